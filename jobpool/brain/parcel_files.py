"""One file of a parcellation: the label of each vertex, or its weight in each parcel.

Labels are never narrowed. Reads, never writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    split_location,
)
from jobpool.brain.images import Image, is_image, open_image
from jobpool.brain.spaces import Space, join
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


def read_content(text: str, folder: Path) -> Labels | Weights:
    """Return what one file holds.

    Raises
    ------
    DataError
        If it cannot be read, or holds neither labels nor weights.
    """
    if is_image(text):
        return _from_image(open_image(folder / text))
    if split_location(text)[1] is None and is_sparse(folder / text):
        matrix = sparse.csc_matrix(read_sparse(folder / text), dtype=np.float64)
        return Weights(matrix=matrix, space=Space(n_vertices=matrix.shape[0]))
    file = locate(text, folder)
    header = file.header()
    space = Space(n_vertices=header.shape[0]) if header.shape else Space(n_vertices=1)
    if len(header.shape) == 1:
        return Labels(values=_integers(file.read(), str(file)), space=space)
    if len(header.shape) == 2:
        return Weights(matrix=_read_dense(file, header.shape[1]), space=space)
    what = f"has {len(header.shape)} axes; give (vertices,) labels or (vertices, parcels) weights"
    raise DataError(str(file), what)


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
    space = join(tuple(part.space for part in parts))
    labels = [part for part in parts if isinstance(part, Labels)]
    weights = [part for part in parts if isinstance(part, Weights)]
    if labels and weights:
        raise DataError(where, "has labels in one hemisphere, weights in the other")
    if weights:
        widths = [part.matrix.shape[1] for part in weights]
        if len(set(widths)) > 1:
            what = f"has {widths[0]} parcels in the left hemisphere, {widths[1]} in the right one"
            raise DataError(where, what)
        stacked = sparse.vstack([part.matrix for part in weights])
        return Weights(matrix=sparse.csc_matrix(stacked), space=space)
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


def _from_image(image: Image) -> Labels | Weights:
    where = str(image.path)
    if image.label_keys is None and image.n_columns > 1:
        step = max(1, _BLOCK_BYTES // (8 * image.space.n_vertices))
        if image.kind == "grayordinates":  # lies by vertex: every read is one of the whole file
            step = image.n_columns
        blocks = [
            sparse.csc_matrix(image.columns(start, min(start + step, image.n_columns)), dtype=float)
            for start in range(0, image.n_columns, step)
        ]
        return Weights(matrix=sparse.csc_matrix(sparse.hstack(blocks)), space=image.space)
    if image.n_columns > 1:
        raise DataError(where, f"holds {image.n_columns} maps of labels; keep one of them")
    values = image.columns().ravel()
    if values.dtype.kind == "f" and (image.dtype.kind in "iu" or image.label_keys is not None):
        values = _whole(values, where)  # scaled, or declared to be labels by the file itself
    return Labels(
        values=_integers(values, where), space=image.space, keys=image.label_keys or frozenset()
    )


def _whole(values: Array, where: str) -> Array:
    """Return numbers that are whole as integers."""
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


def _integers(labels: Array, where: str) -> Array:
    if labels.dtype.kind not in "iu":
        what = (
            f"labels are {labels.dtype}, not integers; check that they are whole numbers, then "
            "save them with labels.astype('int32')"
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
