"""One file of a parcellation: the label of each vertex, or its weight in each parcel.

Labels are never narrowed. Reads, never writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from jobpool.brain.arrays import (
    Array,
    ArrayFile,
    is_sparse,
    locate,
    read_sparse,
)
from jobpool.brain.images import Image, is_image, open_image
from jobpool.brain.parcel_kinds import BY_SIGN, ParcelSource, may_be_weights, saying
from jobpool.brain.spaces import Space, join, sides
from jobpool.disk.npz import split_location
from jobpool.errors import DataError

_BLOCK_BYTES = 32 << 20
_EXACT = 1 << 53  # whole numbers that float64 can tell apart end here
_MOST = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """A hard parcellation as it stands in its file."""

    values: Array  # (n_vertices,), integers from 0; 0 is background
    space: Space
    keys: frozenset[int] = frozenset()  # the labels that the file names in a table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """A parcellation of weights as it stands in its file."""

    matrix: Any  # scipy CSC matrix (n_vertices, n_parcels), float64
    space: Space
    whole: bool = False  # stored as integers


def read_content(source: ParcelSource, text: str, folder: Path) -> Labels | Weights:
    """Return what one file holds.

    Parameters
    ----------
    source : ParcelSource
        What is said of the parcellation.
    text : str
        The file: that of the source, or of one hemisphere.
    folder : Path
        Where a relative path starts.

    Raises
    ------
    DataError
        If it cannot be read, or holds neither labels nor weights.
    """
    if is_image(text):
        return _from_image(open_image(folder / text), source)
    path, member = split_location(text)
    if member is not None and member.isdecimal() and is_sparse(folder / path):
        source, member = replace(source, column=int(member)), None  # it has no members to name
    if member is None and is_sparse(folder / path):
        return _from_sparse(read_sparse(folder / path), source, str(folder / path))
    return _from_array(locate(text, folder), source)


def _from_sparse(matrix: Any, source: ParcelSource, where: str) -> Labels | Weights:
    if source.column is not None and 1 not in matrix.shape:
        matrix = matrix[:, [_chosen(source, matrix.shape[1], where)]]
        source = replace(source, column=None)
    if 1 in matrix.shape:
        return _from_dense(matrix.toarray(), source, where)
    return Weights(
        matrix=sparse.csc_matrix(matrix, dtype=np.float64),
        space=Space(n_vertices=matrix.shape[0]),
        whole=matrix.dtype.kind in "iu",
    )


def _from_array(file: ArrayFile, source: ParcelSource) -> Labels | Weights:
    header, where = file.header(), str(file)
    whole = header.dtype.kind in "iub"
    one_column = len(header.shape) == 1 or 1 in header.shape
    if 0 in header.shape:
        raise DataError(where, f"has shape {header.shape}: nothing in it; give one value a vertex")
    if len(header.shape) == 2 and not one_column and source.column is None:
        return Weights(
            matrix=_read_dense(file, header.shape[1]),
            space=Space(n_vertices=header.shape[0]),
            whole=whole,
        )
    if not 1 <= len(header.shape) <= 4 or (len(header.shape) > 2 and not whole):
        axes = f"has {len(header.shape)} axes"
        raise DataError(where, f"{axes}; give (vertices,) labels or (vertices, parcels) weights")
    return _from_dense(file.read(), source, where)


def _from_dense(values: Array, source: ParcelSource, where: str) -> Labels | Weights:
    """Return what an array of one to four axes holds: a grid of labels may have three."""
    whole, shape = values.dtype.kind in "iub", values.shape
    is_row = len(shape) == 2 and shape[0] == 1
    if is_row and (whole or source.kind == "hard" or not may_be_weights(values)):
        values = values.T  # labels
    grid = shape[:3] if len(shape) > 2 and sum(size > 1 for size in shape[:3]) > 1 else None
    columns = values.reshape(-1, 1 if values.ndim in {1, 3} else values.shape[-1])
    space = Space(n_vertices=len(columns), grid=grid)
    if columns.shape[1] > 1 and source.column is None:
        matrix = sparse.csc_matrix(columns, dtype=np.float64)
        return Weights(matrix=matrix, space=space, whole=whole)
    found = columns[:, [_chosen(source, columns.shape[1], where)]]
    if source.kind == BY_SIGN and whole and len(shape) > 1 and found.max(initial=0) > 1:
        what = "holds labels, which were taken for weights when the pool was made; make a new pool"
        raise DataError(where, what)
    as_weights = source.kind in {"soft", "signed"} or (
        not whole and len(shape) == 2 and source.kind != "hard" and may_be_weights(found)
    )
    if as_weights or (source.kind == BY_SIGN and len(shape) == 2):
        matrix = sparse.csc_matrix(found, dtype=np.float64)
        return Weights(matrix=matrix, space=space, whole=whole)
    return Labels(values=_labels(found.ravel(), source, where), space=space)


def _chosen(source: ParcelSource, n_columns: int, where: str) -> int:
    """Return the position of the column that a source names, or of the only one."""
    if source.column is not None and source.column > n_columns:
        what = f"has no column {source.column}; it has {n_columns}, counted from 1"
        raise DataError(where, what)
    return (source.column or 1) - 1


def count_columns(text: str, folder: Path) -> int:
    """Return how many columns a file has, each of labels or weights.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    file = sides(text)[0]
    if is_image(file):
        return open_image(folder / file, stream=True).n_columns
    if split_location(file)[1] is None and is_sparse(folder / file):
        return int(read_sparse(folder / file).shape[1])
    shape = locate(file, folder).header().shape
    return shape[-1] if len(shape) in {2, 4} else 1


def join_content(parts: Sequence[Labels | Weights], where: str) -> Labels | Weights:
    """Return one parcellation of two hemispheres, left first; of one file, that one.

    Labels of the right hemisphere are other parcels than those of the left one: where both use
    the same numbers, the largest of the left one is added to the right ones. Weights of both
    in the same column belong to the same parcel.

    Raises
    ------
    DataError
        If they cannot be one parcellation.
    """
    if len(parts) == 1:
        return parts[0]
    space = join(tuple(part.space for part in parts), where)
    labels = [part for part in parts if isinstance(part, Labels)]
    weights = [part for part in parts if isinstance(part, Weights)]
    if labels and weights:
        raise DataError(where, "has labels in one hemisphere, weights in the other")
    if weights:
        widths = [part.matrix.shape[1] for part in weights]
        if len(set(widths)) > 1:
            what = f"has {widths[0]} parcels in the left hemisphere, {widths[1]} in the right one"
            raise DataError(where, what)
        stacked = sparse.csc_matrix(sparse.vstack([part.matrix for part in weights]))
        return Weights(matrix=stacked, space=space, whole=any(part.whole for part in weights))
    return _join_labels(labels[0], labels[1], space, where)


def _join_labels(left: Labels, right: Labels, space: Space, where: str) -> Labels:
    values = [part.values.astype(np.uint64) for part in (left, right)]
    used = [set(np.unique(part[part > 0]).tolist()) for part in values]
    keys = right.keys
    if used[0] & used[1]:
        offset = max(used[0] | left.keys)
        if offset + max(used[1]) > _MOST:
            raise DataError(where, "has labels too large to number the right hemisphere after")
        values[1][values[1] > 0] += np.uint64(offset)
        keys = frozenset(key + offset for key in right.keys if key > 0)
    return Labels(values=np.concatenate(values), space=space, keys=left.keys | keys)


def _from_image(image: Image, source: ParcelSource) -> Labels | Weights:
    where, declared = str(image.path), image.label_keys is not None
    if declared and source.kind not in {None, "hard", BY_SIGN}:
        raise DataError(where, f"says that it holds labels; take {source.kind} away")
    if image.n_columns > 1 and source.column is None:
        if declared:
            what = f"holds {image.n_columns} maps of labels; name one of them, {source.file}:1 to "
            raise DataError(where, f"{what}{source.file}:{image.n_columns}")
        return Weights(
            matrix=_image_columns(image), space=image.space, whole=image.dtype.kind in "iu"
        )
    position = _chosen(source, image.n_columns, where)
    values = image.columns(position, position + 1).ravel()
    if source.kind in {"soft", "signed"}:
        matrix = sparse.csc_matrix(values[:, np.newaxis], dtype=np.float64)
        return Weights(matrix=matrix, space=image.space, whole=image.dtype.kind in "iu")
    if values.dtype.kind == "f" and (image.dtype.kind in "iu" or declared):
        values = _whole(values, where)  # scaled, or declared to be labels by the file itself
    keys = image.label_keys or frozenset()
    return Labels(values=_labels(values, source, where), space=image.space, keys=keys)


def _image_columns(image: Image) -> Any:
    """Return all columns of an image as a sparse matrix, never holding all of them dense."""
    step = max(1, _BLOCK_BYTES // (8 * image.space.n_vertices))
    if image.kind == "grayordinates":  # lies by vertex: every read is one of the whole file
        step = image.n_columns
    blocks = [
        sparse.csc_matrix(image.columns(start, min(start + step, image.n_columns)), dtype=float)
        for start in range(0, image.n_columns, step)
    ]
    return sparse.csc_matrix(sparse.hstack(blocks))


def _whole(values: Array, where: str) -> Array:
    """Return numbers that are whole as integers."""
    values = values.astype(np.float64)  # in half precision the limit would be infinite
    with np.errstate(invalid="ignore"):
        exact = (values == np.floor(values)) & (np.abs(values) < _EXACT)
    if not exact.all():
        found = values[~exact][0]
        what = (
            f"has the label {found}, which is not a whole number; save the labels as integers "
            "without scaling (scl_slope 1)"
        )
        raise DataError(where, what)
    return values.astype(np.int64)


def _labels(labels: Array, source: ParcelSource, where: str) -> Array:
    if labels.dtype.kind == "f" and source.kind == "hard":
        labels = _whole(labels, where)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    if labels.dtype.kind not in "iu":
        what = (
            f"labels are {labels.dtype}, not integers; check that they are whole numbers, then "
            f"save them with labels.astype('int32'), or {saying('hard')}"
        )
        raise DataError(where, what)
    if labels.size and labels.min() < 0:
        raise DataError(where, "has negative labels; write 0 for background, parcels above 0")
    return labels


def _read_dense(file: ArrayFile, n_columns: int) -> Any:
    """Return a dense matrix as a sparse one, never holding more than a block of it dense."""
    rows = max(1, _BLOCK_BYTES // (8 * max(n_columns, 1)))
    blocks = [sparse.csr_matrix(block.astype(np.float64)) for block in file.blocks(rows)]
    if not blocks:
        raise DataError(str(file), "has no vertices; give (vertices, parcels) weights")
    return sparse.csc_matrix(sparse.vstack(blocks))
