"""What LightGBM can never split: known before a tree is grown.

A split needs ``min_child_samples`` rows and a sum of second derivatives of ``min_child_weight`` on
both sides. If no threshold of any feature leaves that much, every iteration fails like the first
one, at the full price of looking for a split: the model stays the constant that it starts from.
The bounds here only say so where it is certain; else LightGBM finds out by itself.
"""

import math

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind

_COLUMNS = 256  # sorted together: bounds the memory for a copy of them
_DEVIATIONS = 8.0  # of the number of rows that bagging draws: beyond, 1 of 10^15 draws
_ROUNDING = 1e-6  # LightGBM adds up single precision
_STEEPEST = {Kind.REGRESSION: 1.0, Kind.BINARY: 0.25}  # second derivative of a row's loss, at most


def reaches(X: FloatArray) -> Array:
    """Return how many rows each feature can leave on the smaller side of a split, at most.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float64
        Features.

    Returns
    -------
    ndarray of shape (n_features,), int64
        From 0 for a constant to ``n // 2`` for different values.

    Examples
    --------
    >>> reaches(np.array([[1.0, 0.0, 7.0], [2.0, 0.0, 7.0], [3.0, 0.0, 7.0], [4.0, 5.0, 7.0]]))
    array([2, 1, 0])
    """
    n_rows = len(X)
    result = np.zeros(X.shape[1], np.int64)
    for start in range(0, X.shape[1], _COLUMNS):
        part = X[:, start : start + _COLUMNS]
        median = np.partition(part, n_rows // 2, axis=0)[n_rows // 2]
        # the best threshold lies just below the median value or just above it
        sides = [(part < median).sum(axis=0), (part <= median).sum(axis=0)]
        result[start : start + _COLUMNS] = np.max(
            [np.minimum(side, n_rows - side) for side in sides], axis=0
        )
    return result


def surely_constant(kind: Kind, candidate: Candidate, reach: Array, n_rows: int) -> bool:
    """Return whether no tree can have a split, whatever is drawn.

    Parameters
    ----------
    kind : Kind
        Of the target.
    candidate : mapping
        Parameters of LightGBM.
    reach : ndarray of shape (n_features,), int64
        Made by `reaches`.
    n_rows : int
        Participants of the training part.
    """
    rows, weight = number(candidate, "min_child_samples"), number(candidate, "min_child_weight")
    best = int(reach.max(initial=0))
    half = _most_drawn(candidate, n_rows) / 2.0
    steepest = _STEEPEST[kind]
    if candidate.get("class_weight") is not None:
        # rows count by their weight, which sums to n_rows: no feature's own reach holds
        return rows > half or rows > best or weight > steepest * n_rows / 2.0 * (1 + _ROUNDING)
    return max(rows, weight / steepest) > min(best, half) * (1 + _ROUNDING)


def _most_drawn(candidate: Candidate, n_rows: int) -> float:
    """Return how many rows a tree sees at most; `goss` draws none before the first good tree."""
    if candidate["boosting_type"] == "goss":
        return n_rows
    share = number(candidate, "subsample")
    spread = math.sqrt(n_rows * share * (1.0 - share))
    return min(n_rows, n_rows * share + _DEVIATIONS * spread)


def number(candidate: Candidate, name: str) -> float:
    """Return a parameter that is a number in every candidate."""
    return float(candidate[name])  # type: ignore[arg-type]  # texts and None are of other names
