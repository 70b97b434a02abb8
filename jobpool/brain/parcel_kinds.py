"""What kind a parcellation is: what its source says, and what its numbers allow.

A source is the text that says where a parcellation is. It names a file, and may name a column of it
(``atlases.nii.gz:2``) and the kind that it is (``signed:ica.npy``). Without a kind the numbers
decide, and what could be meant in two ways is refused:

- whole numbers in one column are labels, whatever the shape of the array;
- weights are shares from 0 to 1;
- negative weights no larger than `TRACE` times the greatest one of their column are errors of
  rounding, and count as 0.

Reads no file.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.errors import DataError
from jobpool.units import count

Kind = Literal["hard", "soft", "signed"]
KINDS: tuple[Kind, ...] = ("hard", "soft", "signed")
# any negative weight makes it signed, and any weight is one: for pools that were made so
BY_SIGN = "by-sign"
READING = 2  # another number where the same file would be another parcellation
TRACE = 1e-6  # what single precision leaves of a sum that is 0
_ONE = 1 + 1e-3  # resampled shares exceed 1 by rounding

_COLUMN = re.compile(r"(?P<file>.*\.(?:npy|nii|nii\.gz|gii|gii\.gz|npz:.+)):(?P<column>[1-9]\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelSource:
    """Where a parcellation is, and what is said of it."""

    file: str  # with ``{hemisphere}`` two of them
    column: int | None = None  # counted from 1
    kind: str | None = None  # one of `KINDS`, or `BY_SIGN`


def read_source(text: str) -> ParcelSource:
    """Return what a source says.

    Examples
    --------
    >>> read_source("signed:ica.npy")
    ParcelSource(file='ica.npy', column=None, kind='signed')
    >>> read_source("atlases.nii.gz:2"), read_source("all.npz:200")
    (ParcelSource(file='atlases.nii.gz', column=2, kind=None), \
ParcelSource(file='all.npz:200', column=None, kind=None))
    """
    kind, _, rest = text.partition(":")
    known = kind in {*KINDS, BY_SIGN}
    file = rest if known else text
    found = _COLUMN.fullmatch(file)
    return ParcelSource(
        file=found["file"] if found else file,
        column=int(found["column"]) if found else None,
        kind=kind if known else None,
    )


def of_kind(text: str, kind: str) -> str:
    """Return a source that says its kind.

    Examples
    --------
    >>> of_kind("ica.npy", "signed"), of_kind("hard:a.npy", "soft")
    ('signed:ica.npy', 'hard:a.npy')
    """
    return text if read_source(text).kind else f"{kind}:{text}"


def may_be_weights(values: Array) -> bool:
    """Say whether one column of floats can be shares: none is above 1."""
    with np.errstate(invalid="ignore"):
        return not (values > _ONE).any()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightsOfKind:
    """Weights that can be used, and what was found in them."""

    kind: Kind
    matrix: Any  # scipy CSC matrix (n_vertices, n_parcels), float64
    greatest: float
    n_traces: int  # negative weights that count as 0


def check_weights(matrix: Any, source: ParcelSource, *, whole: bool) -> WeightsOfKind:
    """Return weights with their kind.

    Parameters
    ----------
    matrix : scipy CSC matrix (n_vertices, n_parcels), float64
        As it stands in the file.
    source : ParcelSource
        What is said of it.
    whole : bool
        The file stores integers.

    Raises
    ------
    DataError
        If weights are not finite, or could be something else.
    """
    if source.kind == "hard":
        what = f"has {matrix.shape[1]} columns, not one of labels; name one of them: {source.file}"
        raise DataError(source.file, f"{what}:1, for example")
    matrix.sum_duplicates()
    if not (finite := np.isfinite(matrix.data)).all():
        found = f"has {count(int((~finite).sum()), 'weight')} not finite"
        what = f"{found}, first in column {_column_of(matrix, ~finite)}"
        raise DataError(source.file, f"{what}; write 0 outside of a parcel")
    greatest = float(matrix.data.max(initial=0.0))
    if source.kind is None or (source.kind == BY_SIGN and whole):
        _check_not_labels(matrix, source, greatest)
    negative = matrix.data < 0
    kind: Kind = "soft"
    n_traces = 0
    if source.kind == "signed" or (source.kind == BY_SIGN and negative.any()):
        kind = "signed"
    elif negative.any():
        _check_negative(matrix, source)
        n_traces = int(negative.sum())
        matrix.data[negative] = 0.0
    if source.kind is None:
        _check_shares(matrix, source, greatest)
    matrix.eliminate_zeros()
    return WeightsOfKind(kind=kind, matrix=matrix, greatest=greatest, n_traces=n_traces)


def _check_not_labels(matrix: Any, source: ParcelSource, greatest: float) -> None:
    if greatest <= _ONE or (matrix.data != np.floor(matrix.data)).any():
        return
    file, n_columns = source.file, matrix.shape[1]
    what = (
        f"holds whole numbers up to {greatest:.15g} in {n_columns} columns: labels of several "
        f"parcellations? Name one of them, {file}:1 to {file}:{n_columns}; if they are weights"
    )
    raise DataError(file, f"{what}, {saying('soft')}")


def _check_shares(matrix: Any, source: ParcelSource, greatest: float) -> None:
    if greatest <= _ONE:
        return
    column = _column_of(matrix, matrix.data > _ONE)
    what = (
        f"has weights up to {greatest:.4g}, the first above 1 in column {column}; divide them, as "
        "weights are shares from 0 to 1; if they are meant so"
    )
    raise DataError(source.file, f"{what}, {saying('soft')}")


def _check_negative(matrix: Any, source: ParcelSource) -> None:
    """Refuse negative weights that may be meant, and columns with nothing else."""
    least, most = (one.toarray().ravel() for one in (matrix.min(axis=0), matrix.max(axis=0)))
    allowed = most > 0 if source.kind == "soft" else least >= -TRACE * most
    wrong = np.flatnonzero((least < 0) & ~allowed)
    if not wrong.size:
        return
    column = int(wrong[0])
    found = f"has the weight {least[column]:.4g} in column {column + 1}"
    if source.kind == "soft":
        raise DataError(source.file, f"{found}, where none is above 0; leave that column out")
    advice = (
        f"whose greatest is {most[column]:.4g}; {saying('signed')}, for coefficients by least "
        "squares; or soft instead of signed, for weighted means in which negative weights count "
        "as 0"
    )
    raise DataError(source.file, f"{found}, {advice}")


def saying(kind: Kind) -> str:
    """Return how a user says the kind of a parcellation."""
    return f"write kind: {kind} beside its glob, or {kind}: before its path"


def _column_of(matrix: Any, chosen: Array) -> int:
    """Return the column of the first chosen number, counted from 1."""
    first = int(np.flatnonzero(chosen)[0])
    return int(np.searchsorted(matrix.indptr, first, side="right"))
