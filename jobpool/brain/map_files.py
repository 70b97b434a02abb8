"""One file of maps: of a participant, as (vertices, modalities), or of all of them.

A volume is flattened in C order, the vertices of an image being those of its file. Reads, never
writes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobpool.brain.arrays import Array, check_name, is_sparse, locate, read_sparse, split_location
from jobpool.brain.images import is_image, open_image
from jobpool.brain.spaces import Space
from jobpool.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class MapHeader:
    """What is known of a participant's map before it is read."""

    n_modalities: int
    dtype: np.dtype[Any]  # as stored
    space: Space
    n_participants: int | None = None  # of an array for all
    scattered: bool = False  # to get at one participant, all those before must be read


def check_map_name(text: str, folder: Path) -> None:
    """Refuse a file that can hold no maps by its name.

    Raises
    ------
    DataError
        If it is of no kind that can be read.
    """
    if not is_image(text):
        check_name(text, folder)


def read_map_header(text: str, folder: Path) -> MapHeader:
    """Return what the file of one participant's map says before its values.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes than (vertices,) or (vertices, modalities).
    """
    if is_image(text):
        image = open_image(folder / text)
        return MapHeader(n_modalities=image.n_columns, dtype=image.dtype, space=image.space)
    file = locate(text, folder)
    header = file.header()
    n_vertices, n_modalities = _axes(header.shape, str(file))
    space = Space(n_vertices=n_vertices)
    return MapHeader(n_modalities=n_modalities, dtype=header.dtype, space=space)


def read_map(text: str, folder: Path) -> tuple[Array, Space]:
    """Return the map of one participant, shape (n_vertices, n_modalities), and its space.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes than (vertices,) or (vertices, modalities).
    """
    if is_image(text):
        image = open_image(folder / text)
        return image.columns(), image.space
    file = locate(text, folder)
    values = file.read()
    shape = _axes(values.shape, str(file))
    return values.reshape(shape), Space(n_vertices=shape[0])


def _axes(shape: tuple[int, ...], where: str) -> tuple[int, int]:
    if len(shape) not in {1, 2}:
        what = f"has shape {shape}; give (vertices,) or (vertices, modalities)"
        raise DataError(where, what)
    return shape[0], shape[1] if len(shape) == 2 else 1


def read_stack_header(text: str, folder: Path) -> MapHeader:
    """Return what the array of all participants says before its values.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes than those of all participants' maps.
    """
    if is_image(text):
        image = open_image(folder / text, stream=True)
        return MapHeader(
            n_modalities=1,
            dtype=image.dtype,
            space=image.space,
            n_participants=image.n_columns,
            scattered=image.kind != "volume" or image.path.suffix == ".gz",
        )
    member = split_location(text)[1]
    if member is None and is_sparse(folder / text):
        whole = read_sparse(folder / text)
        shape, dtype, scattered = whole.shape, whole.dtype, True
    else:
        file = locate(text, folder)
        header = file.header()
        shape, dtype, scattered = header.shape, header.dtype, header.fortran or bool(file.member)
    if len(shape) not in {2, 3}:
        what = f"has shape {shape}; give (participants, vertices) or (..., modalities)"
        raise DataError(folder / text, what)
    return MapHeader(
        n_modalities=shape[2] if len(shape) == 3 else 1,
        dtype=dtype,
        space=Space(n_vertices=shape[1]),
        n_participants=shape[0],
        scattered=scattered,
    )


def read_stack(text: str, folder: Path, span: tuple[int, int], rows: int) -> Iterator[Array]:
    """Yield the maps of a range of participants from the array of all, `rows` at a time.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    starts = range(span[0], span[1], rows)
    if is_image(text):
        image = open_image(folder / text, stream=True)
        # a participant's values lie together in a volume only
        whole = None if image.kind == "volume" else image.columns()
        for start in starts:
            stop = min(start + rows, span[1])
            columns = image.columns(start, stop) if whole is None else whole[:, start:stop]
            yield columns.T
    elif split_location(text)[1] is None and is_sparse(folder / text):
        whole = read_sparse(folder / text)
        for start in starts:
            yield whole[start : min(start + rows, span[1])].toarray()
    else:
        yield from locate(text, folder).blocks(rows, *span)
