"""Arrays in ``.npy`` files and in members of ``.npz`` archives, read as streams without pickles.

Only the bytes asked for are read: a header alone, or a few rows at a time. Reads, never writes.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from jobpool.disk.npz import UNREADABLE, array_names, split_location
from jobpool.errors import DataError, listing, nearest

Array = NDArray[Any]
FloatArray = NDArray[np.float64]

CUT_SHORT = "the file ends before its last value; copy it again"
_SPARSE_MEMBERS = frozenset({"format", "shape", "data"})  # what scipy.sparse.save_npz writes


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayHeader:
    """What an array file says about itself before its values."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool  # the first axis varies fastest


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayFile:
    """An array on disk: a ``.npy`` file, or one member of an ``.npz`` archive."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    def header(self) -> ArrayHeader:
        """Return shape and type, reading nothing else.

        Raises
        ------
        DataError
            If the file is missing, damaged, or holds no plain numbers.
        """
        with self._open() as stream:
            header = _read_header(stream)
            if self.member is None:  # an archive has checksums of its own
                size = stream.tell() + _count_bytes(header, header.shape)
                more = self.path.stat().st_size - size
                if more < 0:
                    raise EOFError(CUT_SHORT)
                if more:
                    raise ValueError(f"{more:,} bytes follow its last value; save it again")
            return header

    def read(self) -> Array:
        """Return the whole array.

        Raises
        ------
        DataError
            If the file is missing, damaged, or holds no plain numbers.
        """
        with self._open() as stream:
            return _read_whole(stream, _read_header(stream))

    def blocks(self, rows: int, start: int = 0, stop: int | None = None) -> Iterator[Array]:
        """Yield `rows` rows of the array at a time, in order; the last block may be shorter.

        Parameters
        ----------
        rows : int
            Along the first axis.
        start, stop : int
            The first row, and the one after the last; by default all rows.

        Raises
        ------
        DataError
            If the file is missing, damaged, or holds no plain numbers.
        """
        with self._open() as stream:
            header = _read_header(stream)
            last = header.shape[0] if stop is None else stop
            firsts = range(start, last, rows)
            if header.fortran:  # a row is scattered over the whole file
                whole = _read_whole(stream, header)
                for first in firsts:
                    yield whole[first : min(first + rows, last)]
                return
            stream.seek(_count_bytes(header, (start, *header.shape[1:])), os.SEEK_CUR)
            for first in firsts:
                count = min(rows, last - first)
                yield _read_values(stream, header, (count, *header.shape[1:]))

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        try:
            if self.member is None:
                with self.path.open("rb") as stream:
                    yield stream
            else:
                name = f"{self.member}.npy"
                with zipfile.ZipFile(self.path) as archive, archive.open(name) as stream:
                    yield stream
        except FileNotFoundError as error:
            raise DataError(self.path, "no such file; correct the path") from error
        except KeyError as error:
            known = members(self.path)
            what = f"has no array {self.member!r}; it has: {listing(known)}"
            raise DataError(self.path, what + nearest(str(self.member), known)) from error
        except UNREADABLE as error:
            raise DataError(str(self), f"cannot be read: {error}") from error


def _read_header(stream: IO[bytes]) -> ArrayHeader:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype}, not plain numbers; save it as integers or floats")
    return ArrayHeader(shape=shape, dtype=dtype, fortran=fortran)


def _read_whole(stream: IO[bytes], header: ArrayHeader) -> Array:
    if header.fortran:
        return _read_values(stream, header, header.shape[::-1]).T
    return _read_values(stream, header, header.shape)


def _count_bytes(header: ArrayHeader, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * header.dtype.itemsize


def _read_values(stream: IO[bytes], header: ArrayHeader, shape: tuple[int, ...]) -> Array:
    n_bytes = _count_bytes(header, shape)
    data = bytearray()
    while len(data) < n_bytes:
        chunk = stream.read(n_bytes - len(data))
        if not chunk:
            raise EOFError(CUT_SHORT)
        data += chunk
    return np.frombuffer(data, header.dtype).reshape(shape)


def members(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays in an ``.npz`` archive.

    Raises
    ------
    DataError
        If it is missing or no archive.
    """
    try:
        return array_names(path)
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except UNREADABLE as error:
        raise DataError(path, f"is not an .npz archive: {error}") from error


def is_sparse(path: Path) -> bool:
    """Say whether `path` is one sparse matrix as ``scipy.sparse.save_npz`` writes it."""
    return path.suffix == ".npz" and set(members(path)) >= _SPARSE_MEMBERS


def read_sparse(path: Path) -> Any:
    """Return a sparse matrix written by ``scipy.sparse.save_npz``, in CSR form.

    Raises
    ------
    DataError
        If it cannot be read, or holds no plain numbers.
    """
    from scipy import sparse  # noqa: PLC0415 - for this kind of file only

    try:
        found: Any = sparse.load_npz(path)
        if found.format in {"csr", "csc", "bsr"}:
            found.check_format(full_check=True)  # wrong indices would read beyond the arrays
        matrix = sparse.csr_matrix(found)
    except UNREADABLE as error:
        raise DataError(path, f"cannot be read as a sparse matrix: {error}") from error
    if matrix.dtype.kind not in "biuf":
        raise DataError(path, f"holds {matrix.dtype}, not plain numbers")
    return matrix


def locate(text: str, folder: Path) -> ArrayFile:
    """Return the array that ``file.npy``, ``archive.npz:member`` or ``archive.npz`` stands for.

    Parameters
    ----------
    text : str
        The member may be left out if the archive has a single array.
    folder : Path
        Where a relative path starts.

    Raises
    ------
    DataError
        If the file cannot hold an array, or it is not clear which one is meant.
    """
    name, member = split_location(text)
    path = folder / name
    if path.suffix == ".npz" and member is None:
        known = members(path)
        if len(known) != 1:
            what = f"holds {len(known)} arrays; write {name}:MEMBER, one of: {listing(known)}"
            raise DataError(path, what)
        member = known[0]
    check_name(name, folder)
    return ArrayFile(path=path, member=member)


def check_name(text: str, folder: Path) -> None:
    """Refuse a file that holds no array by its name.

    Raises
    ------
    DataError
        If it is of no kind that can be read.
    """
    path = folder / split_location(text)[0]
    if path.suffix not in {".npy", ".npz"}:
        raise DataError(path, "is not a .npy or .npz file, nor an image; save it as one of these")


def path_of(text: str, folder: Path) -> Path:
    """Return the file of ``file`` or ``archive.npz:member``."""
    return folder / split_location(text)[0]


def stamp(text: str, folder: Path) -> tuple[object, ...]:
    """Return what changes when a file changes: path, member, size and time of change.

    Raises
    ------
    DataError
        If the disk does not answer; a file that is not there has a stamp, too.
    """
    path, member = path_of(text, folder), split_location(text)[1]
    status = _status(path)
    if status is None:
        return (str(path), member, None)
    return (str(path), member, status.st_size, status.st_mtime_ns)


def is_there(path: Path) -> bool:
    """Say whether there is such a file.

    Raises
    ------
    DataError
        If the disk does not answer: that does not make a participant without a map.
    """
    return _status(path) is not None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(path, f"cannot be found: {error.strerror}") from error
