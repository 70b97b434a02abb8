"""The digests of parcellations, remembered by what their files look like.

    digests.json    stamp of the files of a parcellation -> digest of its content

To read a large parcellation only to know its key takes seconds, in every process. This file is a
memory and nothing rests on it: it is replaced whole, what two processes write at a time may be
lost, and a damaged one is made again.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jobpool import __version__
from jobpool.cache.roi.loading import Extraction, Loader
from jobpool.disk.files import read_json, write_json
from jobpool.errors import JobpoolError

FORMAT = 1


class Digests:
    """The digests of a study's parcellations."""

    def __init__(self, folder: Path, made_of: Extraction, loader: Loader) -> None:
        self._path, self._made_of, self._loader = folder / "digests.json", made_of, loader
        self._known: dict[str, str] = {}  # by stamp

    def of(self, name: str) -> str:
        """Return the digest of a parcellation, reading it only if no process has yet.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        stamp = self._made_of.stamp(name)
        found = _named(stamp)
        if found not in self._known:
            self._known |= self._read()
        if found in self._known:
            return self._known[found]
        digest = self._loader.summary(name).digest
        if self._made_of.stamp(name) == stamp:  # else it may be of another content than the stamp
            self.remember({stamp: digest})
        return digest

    def remember(self, digests: Mapping[str, str]) -> None:
        """Remember digests by stamps that were the same after reading, also for others."""
        new = {_named(stamp): digest for stamp, digest in digests.items()}
        known = self._read()
        self._known |= known | new
        if new.items() <= known.items():
            return
        with suppress(OSError, JobpoolError):  # one who may only read, or a full disk
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, {"format": FORMAT, "digests": dict(self._known)})

    def _read(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            record = read_json(self._path)
            if record is not None and record["format"] == FORMAT:
                found = record["digests"]
                if isinstance(found, dict):
                    return {key: str(digest) for key, digest in found.items()}
        return {}


def _named(stamp: str) -> str:
    # the version, for another one may see the same file as another content
    return hashlib.sha256(f"{__version__} {stamp}".encode()).hexdigest()[:32]
