"""The headers of image files without their values, for the check of thousands of maps.

Of a compressed volume the last four bytes say how long it is when decompressed: where that is not
the length that the header asks for, the file is read whole to find out. Of a GIFTI surface with
one data array the beginning and the end are read. All other files are opened as they always are.
Reads, never writes.
"""

import gzip
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from jobpool.brain.arrays import CUT_SHORT
from jobpool.brain.images import Image, is_surface, naming, open_image
from jobpool.brain.spaces import Space, structure
from jobpool.errors import DataError

_HEAD_BYTES = 64 << 10
_TAIL_BYTES = 64
_CHUNK_BYTES = 4 << 20
_ISIZE = 1 << 32  # the length in a gzip file is kept modulo this
_ARRAY = re.compile(rb"<DataArray\b[^>]*>")
_ATTRIBUTE = re.compile(rb"(\w+)\s*=\s*[\"']([^\"']*)[\"']")
_STRUCTURE = re.compile(
    rb"AnatomicalStructurePrimary\s*(?:\]\]>)?\s*</Name>\s*<Value>\s*(?:<!\[CDATA\[)?\s*(\w+)"
)
_TYPES: dict[bytes, Any] = {
    b"NIFTI_TYPE_FLOAT32": np.float32,
    b"NIFTI_TYPE_INT32": np.int32,
    b"NIFTI_TYPE_UINT8": np.uint8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What an image says before its values."""

    space: Space
    n_columns: int
    dtype: np.dtype[Any]  # as stored


def read_image_header(path: Path) -> ImageHeader:
    """Return what an image says before its values, checked against its length.

    Raises
    ------
    DataError
        If it is missing, cut short or damaged as far as that can be seen, or of no kind that can
        be used.
    """
    if is_surface(path):
        return _surface_header(path) or _of(open_image(path))
    compressed = path.suffix == ".gz"
    image = open_image(path, stream=compressed)
    if compressed and not _has_length(path, image):
        status = path.stat()
        if _count_bytes(path, status.st_size, status.st_mtime_ns) < image.end:
            raise DataError(path, f"cannot be read: {CUT_SHORT}")
    return _of(image)


def _of(image: Image) -> ImageHeader:
    return ImageHeader(space=image.space, n_columns=image.n_columns, dtype=image.dtype)


def _has_length(path: Path, image: Image) -> bool:
    """Say whether a compressed volume is as long as its header says."""
    with path.open("rb") as file:
        file.seek(-4, 2)
        return int.from_bytes(file.read(4), "little") == image.end % _ISIZE


@lru_cache(maxsize=1024)
def _count_bytes(path: Path, size: int, time_ns: int) -> int:  # noqa: ARG001 - another file
    """Return how many bytes a compressed file holds, checking their checksums."""
    with naming(path), gzip.open(path) as file:
        return sum(map(len, iter(lambda: file.read(_CHUNK_BYTES), b"")))


def _surface_header(path: Path) -> ImageHeader | None:
    """Return the header of a surface with one data array, or None if it cannot be seen."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            tail = file.read()
    except OSError:
        return None
    arrays = _ARRAY.findall(head)
    if not re.search(rb"NumberOfDataArrays\s*=\s*[\"']1[\"']", head) or len(arrays) != 1:
        return None
    if b"</GIFTI>" not in tail:
        return None
    said = dict(_ATTRIBUTE.findall(arrays[0]))
    n_axes, dtype = int(said.get(b"Dimensionality", b"0")), _TYPES.get(said.get(b"DataType", b""))
    sizes = [int(said.get(b"Dim%d" % axis, b"1")) for axis in range(n_axes)]
    if dtype is None or not sizes or np.prod(sizes) != sizes[0]:
        return None
    named = _STRUCTURE.search(head)
    structures = (structure(named[1].decode()),) if named else ()
    return ImageHeader(
        space=Space(n_vertices=sizes[0], structures=structures),
        n_columns=1,
        dtype=np.dtype(dtype),
    )
