"""Parcellations: which vertices make up each parcel, and with which weight.

A hard parcellation gives every vertex a label, 0 for background. A soft (probabilistic) one gives
it a weight in each parcel, none negative; a signed one has negative weights, too, and is fitted by
least squares. All become one sparse matrix, so that everything after treats them alike. Which kind
one is, `jobpool.brain.parcel_kinds` says. Reads, never writes.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import sparse

from jobpool.brain.arrays import Array, stamp
from jobpool.brain.parcel_files import Labels, Weights, join_content, read_content
from jobpool.brain.parcel_kinds import Kind, ParcelSource, check_weights, read_source
from jobpool.brain.random import grow_labels, is_random, read_recipe
from jobpool.brain.spaces import Space, sides
from jobpool.errors import DataError

Choice = Literal["error", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parcellation:
    """The weight of every vertex in every parcel that has vertices."""

    kind: Kind
    weights: Any  # scipy CSR matrix of shape (n_parcels, n_vertices), float64
    labels: Array  # (n_parcels,): the label, or the column of the weights, of each parcel
    n_empty: int  # parcels without vertices; they are left out of `weights`
    space: Space
    greatest: float = 1.0  # of the weights
    n_traces: int = 0  # negative weights that count as 0
    n_unnamed: int = 0  # labels that the file's own table does not name

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
        if self.kind == "signed" and self.weights.data.min() >= 0:  # only its kind tells it apart
            digest.update(b"signed")
        return digest.hexdigest()

    def summary(self) -> "ParcellationSummary":
        """Return everything about it but the weights; takes the time of `digest`."""
        return ParcellationSummary(
            kind=self.kind,
            n_parcels=self.n_parcels,
            n_empty=self.n_empty,
            n_vertices=self.n_vertices,
            digest=self.digest(),
            space=self.space,
            greatest=self.greatest,
            n_traces=self.n_traces,
            n_unnamed=self.n_unnamed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcellationSummary:
    """What there is to say about a parcellation without its weights."""

    kind: Kind
    n_parcels: int  # those that have vertices
    n_empty: int
    n_vertices: int
    digest: str
    space: Space
    greatest: float = 1.0  # of the weights
    n_traces: int = 0  # negative weights that count as 0
    n_unnamed: int = 0  # labels that the file's own table does not name


def describe_parcellation(text: str, folder: Path, empty: Choice = "drop") -> ParcellationSummary:
    """Return what a parcellation is; remembered in this process until a file of it changes.

    Raises
    ------
    DataError
        As `read_parcellation` does.
    """
    return _summary(text, folder, empty, parcellation_stamps(text, folder))


def parcellation_stamps(text: str, folder: Path) -> tuple[tuple[object, ...], ...]:
    """Return what changes when a file of a parcellation changes, opening none.

    Raises
    ------
    DataError
        If the disk does not answer.
    """
    files = read_recipe(text).files if is_random(text) else sides(read_source(text).file)
    return tuple(stamp(file, folder) for file in files)


@lru_cache(maxsize=4096)
def _summary(
    text: str,
    folder: Path,
    empty: Choice,
    stamps: tuple[tuple[object, ...], ...],  # noqa: ARG001 - other files are another call
) -> ParcellationSummary:
    return read_parcellation(text, folder, empty).summary()


def read_parcellation(text: str, folder: Path, empty: Choice = "drop") -> Parcellation:
    """Return the parcellation in a file, or one that is grown.

    Parameters
    ----------
    text : str
        ``file.npy``, ``archive.npz:member``, a sparse matrix written by ``scipy.sparse.save_npz``,
        or an image. Integers in one column, or one image of integers or of labels, are a hard
        parcellation of any integer type, its labels not necessarily contiguous; two axes
        (vertices, parcels) or several images are weights. ``file:2`` is the second column alone,
        ``signed:file`` says the kind. ``{hemisphere}`` stands for L, then R. ``random:...`` is
        grown, see `jobpool.brain.random`.
    folder : Path
        Where a relative path starts.
    empty : {"drop", "error"}
        What to do about parcels without vertices: columns of zeros, or labels that only the label
        table of an image knows.

    Raises
    ------
    DataError
        If it cannot be read, is no parcellation, or has empty parcels where they are an error.
    """
    if is_random(text):
        found = _from_labels(grow_labels(read_recipe(text), folder), text)
    else:
        source = read_source(text)
        parts = [read_content(source, side, folder) for side in sides(source.file)]
        content = join_content(parts, source.file)
        if isinstance(content, Labels):
            found = _from_labels(content, text)
        else:
            found = _from_weights(content, source)
    if found.n_empty and empty == "error":
        what = f"has {found.n_empty} parcels without vertices; set on_empty_parcel: drop"
        raise DataError(text, what)
    return found


def _from_labels(labels: Labels, text: str) -> Parcellation:
    vertices = np.flatnonzero(labels.values)
    found, rows = np.unique(labels.values[vertices], return_inverse=True)
    if not found.size:
        raise DataError(text, "has no parcels: every label is 0; give parcels labels above 0")
    shape = (len(found), len(labels.values))
    weights = sparse.csr_matrix((np.ones(len(rows)), (rows, vertices)), shape=shape)
    named = {key for key in labels.keys if key > 0}
    return Parcellation(
        kind="hard",
        weights=weights,
        labels=found,
        n_empty=len(named.difference(found.tolist())),
        n_unnamed=len(set(found.tolist()) - named) if named else 0,
        space=labels.space,
    )


def _from_weights(given: Weights, source: ParcelSource) -> Parcellation:
    found = check_weights(given.matrix, source, whole=given.whole)
    weights = found.matrix
    used = np.flatnonzero(np.diff(weights.indptr))
    if not used.size:
        raise DataError(source.file, "has no parcels: every weight is 0")
    by_parcel = sparse.csr_matrix(weights[:, used].T)
    by_parcel.sort_indices()
    return Parcellation(
        kind=found.kind,
        weights=by_parcel,
        labels=used,
        n_empty=int(weights.shape[1] - len(used)),
        space=given.space,
        greatest=found.greatest,
        n_traces=found.n_traces,
    )
