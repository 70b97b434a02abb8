"""Archives of arrays: opened without pickles, and all that a damaged one may raise.

Reads, never writes: `jobpool.disk.files.replace_whole` does that.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.inside import reading

# what zipfile and NumPy raise, by the place of the damaged byte, for archives and single arrays
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,  # a member that is not there, an unknown encoding
    EOFError,
    RuntimeError,  # "encrypted", or of an unknown compression
    TypeError,
    SyntaxError,  # the header of an array is a Python literal
    TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def open_npz(source: Path | bytes) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Yield the arrays of an archive, or of its content, by name; each is read when asked for.

    Raises
    ------
    One of `UNREADABLE`
        If the archive, or an array asked for, cannot be read.
    """
    # opened here: NumPy leaves its own file open when the archive is damaged
    opened = io.BytesIO(source) if isinstance(source, bytes) else reading(source)
    with opened as stream, np.load(stream, allow_pickle=False) as archive:
        yield archive


def array_names(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays in an archive, in its order.

    Raises
    ------
    One of `UNREADABLE`
        If it is missing or no archive.
    """
    with zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


def split_location(text: str) -> tuple[str, str | None]:
    """Return the path and the member of ``archive.npz:member``; other paths have no member.

    Examples
    --------
    >>> split_location("maps.npz:X"), split_location("c:maps.npy")
    (('maps.npz', 'X'), ('c:maps.npy', None))
    """
    path, separator, member = text.rpartition(".npz:")
    return (f"{path}.npz", member) if separator else (text, None)
