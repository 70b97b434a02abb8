"""Parcellations: which vertices make up each parcel, and with which weight.

A hard parcellation is a vector of integer labels, 0 for background. A soft (probabilistic) one is
a matrix of non-negative weights, one row per vertex and one column per parcel, dense or sparse.
Both become one sparse matrix, so that everything after treats them alike. Reads, never writes.
"""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import sparse

from jobpool.brain.arrays import Array, ArrayFile, is_sparse, locate
from jobpool.errors import DataError

_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parcellation:
    """The weight of every vertex in every parcel that has vertices."""

    kind: Literal["hard", "soft"]
    weights: Any  # scipy CSR matrix of shape (n_parcels, n_vertices), float64, none negative
    labels: Array  # (n_parcels,): the label, or for a soft one the column, of each parcel
    n_empty: int  # columns without any weight; they are left out of `weights`

    @property
    def n_parcels(self) -> int:
        """Return the number of parcels that have vertices."""
        return int(self.weights.shape[0])

    @property
    def n_vertices(self) -> int:
        """Return the number of vertices, background included."""
        return int(self.weights.shape[1])

    def digest(self) -> str:
        """Return the SHA-256 of the weights: the same for the same content under any name."""
        digest = hashlib.sha256(repr(self.weights.shape).encode())
        for part, kind in (("indptr", "<i8"), ("indices", "<i8"), ("data", "<f8")):
            digest.update(np.ascontiguousarray(getattr(self.weights, part), kind).tobytes())
        return digest.hexdigest()


def read_parcellation(text: str, folder: Path) -> Parcellation:
    """Return the parcellation in a file.

    Parameters
    ----------
    text : str
        ``file.npy``, ``archive.npz:member``, or a sparse matrix written by
        ``scipy.sparse.save_npz``. One axis of integers is a hard parcellation of any integer type,
        its labels not necessarily contiguous; two axes (vertices, parcels) are a soft one.
    folder : Path
        Where a relative path starts.

    Raises
    ------
    DataError
        If it cannot be read, or is neither a hard nor a soft parcellation.
    """
    if not text.rpartition(".npz:")[1] and is_sparse(folder / text):
        return _soft_from(_read_sparse(folder / text), text)
    file = locate(text, folder)
    header = file.header()
    if len(header.shape) == 1:
        return _hard_from(file.read(), text)
    if len(header.shape) == 2:
        return _soft_from(_read_dense(file, header.shape[1]), text)
    what = f"has {len(header.shape)} axes; give (vertices,) labels or (vertices, parcels) weights"
    raise DataError(text, what)


def _hard_from(labels: Array, text: str) -> Parcellation:
    if labels.dtype.kind not in "iu":
        what = (
            f"labels are {labels.dtype}, not integers; check that they are whole numbers, then "
            "save them with labels.astype('int32')"
        )
        raise DataError(text, what)
    if labels.size and labels.min() < 0:
        raise DataError(text, "has negative labels; write 0 for background, parcels above 0")
    vertices = np.flatnonzero(labels)
    found, rows = np.unique(labels[vertices], return_inverse=True)
    if not found.size:
        raise DataError(text, "has no parcels: every label is 0; give parcels labels above 0")
    shape = (len(found), len(labels))
    weights = sparse.csr_matrix((np.ones(len(rows)), (rows, vertices)), shape=shape)
    return Parcellation(kind="hard", weights=weights, labels=found, n_empty=0)


def _read_sparse(path: Path) -> Any:
    try:
        return sparse.csc_matrix(sparse.load_npz(path), dtype=np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(path, f"cannot be read as a sparse matrix: {error}") from error


def _read_dense(file: ArrayFile, n_columns: int) -> Any:
    """Return a dense matrix as a sparse one, never holding more than a block of it dense."""
    rows = max(1, _BLOCK_BYTES // (8 * max(n_columns, 1)))
    blocks = [sparse.csr_matrix(block.astype(np.float64)) for block in file.blocks(rows)]
    if not blocks:
        raise DataError(str(file), "has no vertices; give (vertices, parcels) weights")
    return sparse.csc_matrix(sparse.vstack(blocks))


def _soft_from(weights: Any, text: str) -> Parcellation:
    """Make a parcellation of a (vertices, parcels) matrix."""
    if not np.isfinite(weights.data).all():
        raise DataError(text, "has weights that are not finite; write 0 outside of a parcel")
    if weights.data.size and weights.data.min() < 0:
        what = (
            "has negative weights, which a weighted mean cannot use; least squares is not "
            "available yet: clip them at 0 or leave this parcellation out"
        )
        raise DataError(text, what)
    weights.sum_duplicates()
    weights.eliminate_zeros()
    used = np.flatnonzero(np.diff(weights.indptr))
    if not used.size:
        raise DataError(text, "has no parcels: every weight is 0")
    by_parcel = sparse.csr_matrix(weights[:, used].T)
    by_parcel.sort_indices()
    n_empty = int(weights.shape[1] - len(used))
    return Parcellation(kind="soft", weights=by_parcel, labels=used, n_empty=n_empty)
