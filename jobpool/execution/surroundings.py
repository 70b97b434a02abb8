"""What a worker was started with, and what cleaners may remove under it.

Python, its packages and the folder for temporary files often lie on a scratch disk that is purged.
What ran meanwhile then fails in any words: at an import, at a temporary file, in a program. None of
that is the task's fault, and no other task would do better in this job.
"""

import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

import jobpool
from jobpool.errors import Fault, JobpoolError


class SurroundingsGoneError(JobpoolError):
    """What a worker was started with was removed while it ran."""

    fault = Fault.FILE_SYSTEM
    advice = "put it back, or submit workers that have another: no task is lost"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}; {self.advice}"


class Surroundings:
    """The places without which this process, and its tasks, cannot go on: those there are now."""

    def __init__(self) -> None:
        temporary = Path(tempfile.gettempdir())  # TMPDIR, where that can be used
        self._there = {
            "the Python environment": _there(_installed()),
            "the folder for temporary files": _there([temporary]),
        }

    def gone(self) -> str:
        """Return what was removed since the beginning, in a few words; empty if nothing was."""
        for what, places in self._there.items():
            for place in places:
                if _is_removed(place):
                    return f"{what} was removed: {place}"
        return ""

    def check(self) -> None:
        """Raise an error if something was removed.

        Raises
        ------
        SurroundingsGoneError
            Which place is gone.
        """
        if gone := self.gone():
            raise SurroundingsGoneError(gone)


def _installed() -> Iterable[Path]:
    packages = sysconfig.get_path("purelib")
    own = str(Path(jobpool.__file__).parent)
    return map(Path, (sys.executable, sys.prefix, sysconfig.get_path("stdlib"), packages, own))


def _there(places: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(place for place in places if not _is_removed(place)))


def _is_removed(place: Path) -> bool:
    """Say whether a place is certainly not there; a disk that does not answer is no proof."""
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
