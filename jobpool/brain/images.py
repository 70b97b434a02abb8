"""Image files, read through nibabel: NIfTI volumes, GIFTI surfaces and CIFTI grayordinates.

Each is seen as columns of vertices: the volumes of a NIfTI file (voxels in C order), the data
arrays of a GIFTI file, the rows of a CIFTI file. nibabel is loaded by the first file that needs
it. It reads all values, but not the XML header of a CIFTI-2 file: see `jobpool.brain.cifti`. Reads,
never writes.
"""

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jobpool.brain.arrays import CUT_SHORT, Array
from jobpool.brain.cifti import read_cifti_header
from jobpool.brain.spaces import Space, is_same_affine, structure
from jobpool.errors import DataError, JobpoolError
from jobpool.installation import missing

_SURFACES = (".gii", ".gii.gz")
ENDINGS = (".nii", ".nii.gz", *_SURFACES)
_BYTE_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
_NIFTI_2 = 540  # bytes of its header
_LABEL = 1002  # NIFTI_INTENT_LABEL
_POINTSET, _TRIANGLE = 1008, 1009  # NIFTI_INTENT_POINTSET, NIFTI_INTENT_TRIANGLE
_CIFTI = range(3000, 3100)  # its intents
_CIFTI_HEADER = 32  # the code of its header among the extensions


def is_image(name: str | Path) -> bool:
    """Say whether a file is an image by its name."""
    return str(name).endswith(ENDINGS)


def is_surface(name: str | Path) -> bool:
    """Say whether a file is a GIFTI surface by its name."""
    return str(name).endswith(_SURFACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image whose header is read; its values are read when asked for."""

    path: Path
    kind: Literal["volume", "surface", "grayordinates"]
    space: Space
    n_columns: int
    dtype: np.dtype[Any]  # as stored, before any scaling
    raw: Any  # of nibabel
    label_keys: frozenset[int] | None = None  # of its label table; None if it declares no labels

    @property
    def end(self) -> int:
        """Return how many bytes header and values have; not of a surface."""
        data = self.raw.dataobj
        return int(data.offset) + math.prod(map(int, data.shape)) * int(data.dtype.itemsize)

    def columns(self, start: int = 0, stop: int | None = None) -> Array:
        """Return some columns, scaled as the file says: shape (n_vertices, stop - start).

        Raises
        ------
        DataError
            If the file is cut short or damaged.
        """
        chosen = slice(start, self.n_columns if stop is None else stop)
        with naming(self.path):
            if self.kind == "surface":
                arrays = [array.data.ravel() for array in self.raw.darrays[chosen]]
                return np.stack(arrays, axis=1)
            data = self.raw.dataobj
            if self.kind == "grayordinates":  # its columns vary fastest: one lies all over the file
                rows: Array = np.asanyarray(data)[0, 0, 0, 0, chosen]
                return rows.T
            whole = chosen == slice(0, self.n_columns)
            values: Array = np.asanyarray(data if whole else data[..., chosen])
            return values.reshape(self.space.n_vertices, -1)


def open_image(path: Path, *, stream: bool = False) -> Image:
    """Return an image; of a compressed volume, its values too, so that its checksum is checked.

    Parameters
    ----------
    path : Path
        Its name ends in one of `ENDINGS`.
    stream : bool
        Leave the values of a compressed volume on disk, to be read in order.

    Raises
    ------
    DataError
        If it is missing, damaged, or of no kind that can be used.
    """
    with naming(path):
        raw, n_bytes = _load(path, stream)
        image = _image(path, raw)
        if n_bytes is not None and n_bytes < image.end:
            raise EOFError(CUT_SHORT)
        return image


def read_triangles(path: Path) -> tuple[Array, Space]:
    """Return the triangles of a GIFTI surface, shape (n, 3), and the space of its vertices.

    Raises
    ------
    DataError
        If it is missing, damaged, or holds no triangles.
    """
    with naming(path):
        raw = _load(path, stream=False)[0]
        arrays = {array.intent: array.data for array in raw.darrays}
        triangles = arrays.get(_TRIANGLE)
        if triangles is None:
            raise DataError(path, "has no triangles; give a .surf.gii file")
        points = arrays.get(_POINTSET)
        n_vertices = int(triangles.max(initial=-1)) + 1 if points is None else len(points)
        return triangles, Space(n_vertices=n_vertices, structures=_structures(raw))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what nibabel raises for a file that cannot be read into an error that names it."""
    if why := missing("nibabel"):
        raise DataError(path, why)
    from nibabel.imageglobals import LoggingOutputSuppressor  # noqa: PLC0415 - as in _load

    try:
        with LoggingOutputSuppressor():  # a remark about each header, once per participant
            yield
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except (JobpoolError, MemoryError):
        raise
    except Exception as error:  # nibabel has errors of every kind for damaged files
        said = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(path, f"cannot be read: {said}") from error


def _load(path: Path, stream: bool) -> tuple[Any, int | None]:
    """Return the image of nibabel, and how many bytes there are for its header and values."""
    import nibabel  # noqa: PLC0415 - a fifth of a second, for image files only

    if is_surface(path):
        return nibabel.GiftiImage.from_filename(path), None  # type: ignore[no-untyped-call]
    compressed = path.suffix == ".gz"
    with gzip.open(path) if compressed else path.open("rb") as file:
        start = file.read(4)
        content = start + file.read() if compressed and not stream else None
    # the first number of a header is its length
    second = _NIFTI_2 in {int.from_bytes(start, order) for order in _BYTE_ORDERS}
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    if content is not None:
        return kind.from_bytes(content), len(content)
    # a memory map of a file that is cut short kills the process
    raw = kind.from_filename(path, mmap=False, keep_file_open=stream or None)
    return raw, None if compressed else path.stat().st_size


def _image(path: Path, raw: Any) -> Image:
    if is_surface(path):
        return _surface(path, raw)
    intent = int(raw.header["intent_code"])
    if intent in _CIFTI:
        return _grayordinates(path, raw)
    return _volume(path, raw, frozenset() if intent == _LABEL else None)


def _volume(path: Path, raw: Any, label_keys: frozenset[int] | None) -> Image:
    shape = tuple(int(size) for size in raw.shape)
    if len(shape) not in {3, 4}:
        raise DataError(path, f"has shape {shape}; give a volume, or several along a 4th axis")
    affine = tuple(float(number) for number in np.ravel(raw.affine))
    grid = shape[:3]
    n_vertices = int(np.prod(grid, dtype=np.int64))
    return Image(
        path=path,
        kind="volume",
        space=Space(
            n_vertices=n_vertices,
            grid=grid,
            affine=affine,
            two_affines=_has_two_affines(raw.header, grid),
        ),
        n_columns=shape[3] if len(shape) == 4 else 1,
        dtype=_plain(path, raw.header.get_data_dtype()),
        raw=raw,
        label_keys=label_keys,
    )


def _has_two_affines(header: Any, grid: tuple[int, ...]) -> bool:
    """Say whether the qform of a header says something else than its sform, which is used."""
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415 - as in _load

    if not int(header["sform_code"]) or not int(header["qform_code"]):
        return False
    try:
        one, other = (
            tuple(np.ravel(form()).tolist()) for form in (header.get_sform, header.get_qform)
        )
    except HeaderDataError:  # a quaternion that is none: the sform alone can be meant
        return False
    return not is_same_affine(grid, one, other)


def _surface(path: Path, raw: Any) -> Image:
    shapes = {array.data.shape for array in raw.darrays}
    sizes = {shape[0] for shape in shapes}
    if len(sizes) != 1 or any(np.prod(shape) != shape[0] for shape in shapes):
        found = sorted(shapes) or "no data arrays"
        raise DataError(path, f"has {found}; give data arrays of one value per vertex")
    dtype = np.result_type(*(array.data.dtype for array in raw.darrays))
    labelled = all(array.intent == _LABEL for array in raw.darrays)
    return Image(
        path=path,
        kind="surface",
        space=Space(n_vertices=int(next(iter(sizes))), structures=_structures(raw)),
        n_columns=len(raw.darrays),
        dtype=_plain(path, dtype),
        raw=raw,
        label_keys=frozenset(raw.labeltable.get_labels_as_dict()) if labelled else None,
    )


def _structures(raw: Any) -> tuple[str, ...]:
    """Return which structure a GIFTI file says that it is, if it does."""
    places = (raw.meta, *(array.meta for array in raw.darrays))
    named = (dict(place or {}).get("AnatomicalStructurePrimary") for place in places)
    return tuple(structure(name) for name in named if name)[:1]


def _grayordinates(path: Path, raw: Any) -> Image:
    content = [part.content for part in raw.header.extensions if part.code == _CIFTI_HEADER]
    header = read_cifti_header(content[0] if content else b"")
    shape = raw.shape
    if len(shape) != 6 or shape[5] != header.n_grayordinates:
        raise ValueError(
            f"the header has {header.n_grayordinates} grayordinates, the matrix {shape}"
        )
    return Image(
        path=path,
        kind="grayordinates",
        space=Space(
            n_vertices=header.n_grayordinates,
            grid=header.grid,
            affine=header.affine,
            models=header.models,
        ),
        n_columns=int(shape[4]),
        dtype=_plain(path, raw.header.get_data_dtype()),
        raw=raw,
        label_keys=header.label_keys,
    )


def _plain(path: Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "biuf":
        raise DataError(path, f"holds {dtype}, not plain numbers; save it as integers or floats")
    return dtype
