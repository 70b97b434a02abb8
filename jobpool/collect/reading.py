"""How results are read: by how many processes, and how far they are.

The processes that read write the number of bytes that they read into a small file of this machine,
8 bytes each, where the process that waits for them sees it.
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NUMBER = struct.Struct("<Q")
EVERY = 1 << 22  # bytes between two notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How results are read, and who is told how far that is."""

    processes: int = 1  # that read side by side
    tell: Callable[[str], None] = lambda _: None  # given what is done next
    file: Path | None = None  # where processes note what they read


ALONE = Reading()


class ReadNotes:
    """Notes how much one process read.

    Parameters
    ----------
    file : Path, optional
        Where to note it; None if nobody looks.
    number : int
        Of the process.
    """

    def __init__(self, file: Path | None, number: int) -> None:
        self._file, self._place = file, number * _NUMBER.size
        self._noted = 0

    def note(self, n_bytes: int) -> None:
        """Note how many bytes were read so far, now and then."""
        if self._file is not None and n_bytes - self._noted >= EVERY:
            self._noted = n_bytes
            # a full or cleaned folder of temporary files: nothing but the progress is lost
            with suppress(OSError), self._file.open("r+b") as stream:
                stream.seek(self._place)
                stream.write(_NUMBER.pack(n_bytes))


def n_read(file: Path) -> int:
    """Return how many bytes all processes have noted.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "read"
    >>> file.touch()
    >>> ReadNotes(file, 0).note(5_000_000)
    >>> ReadNotes(file, 2).note(6_000_000)
    >>> n_read(file)
    11000000
    """
    found = file.read_bytes()
    whole = len(found) - len(found) % _NUMBER.size
    return sum(number for (number,) in _NUMBER.iter_unpack(found[:whole]))
