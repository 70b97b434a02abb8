"""Which participants a task can use, and whether they are enough.

Splits are made once for everybody in the table; a participant without the target or without a map
is left out of that task alone, and counted.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import Fault, JobpoolError
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.search import FoldData
from jobpool.learning.targets import Target

NOT_FINITE = "a parcel without finite values"


class TooFewError(JobpoolError):
    """What is left of the participants cannot be learned from."""

    fault = Fault.TASK
    advice = "repair the maps, set fewer folds, or leave this task out"

    def __init__(self, place: str, what: str) -> None:
        super().__init__(place, what)
        self.place, self.what = place, what

    def __str__(self) -> str:
        what = f"{self.what} after participants without a usable map were dropped"
        return f"{self.place}: {what}; {self.advice}"


def usable_participants(
    target: Target, values: Array, dropped: Mapping[int, str]
) -> tuple[NDArray[np.bool_], Mapping[str, int]]:
    """Return who has the target and a map, shape (n,), and how many each reason leaves out.

    Parameters
    ----------
    target : Target
        Of n participants.
    values : ndarray of shape (n, n_features)
        ROI values; a row with a NaN cannot be used.
    dropped : mapping of int to str
        Positions of participants without a usable map, and why. Who lacks the target as well
        counts under the target.
    """
    present = target.present
    counts = Counter(target.dropped)
    without_map = np.zeros(len(present), bool)
    for position, reason in dropped.items():
        without_map[position] = True
        counts[reason] += bool(present[position])
    incomplete = np.isnan(values).any(axis=1) & ~without_map
    counts[NOT_FINITE] += int((incomplete & present).sum())
    usable = present & ~without_map & ~incomplete
    return usable, {reason: count for reason, count in counts.items() if count}


def group_ranks(groups: Sequence[str], seed: int) -> FloatArray:
    """Return a number from 0 to 1 for each participant, the same for all of a group.

    From SHA-256, so that no other version of any library can change who belongs to the share of
    participants with the lowest ranks.
    """
    ranks = {}
    for group in set(groups):
        digest = hashlib.sha256(f"rank {seed}\n{group}".encode()).digest()
        ranks[group] = int.from_bytes(digest[:6], "big") / 2**48
    return np.array([ranks[group] for group in groups])


def check_fold(data: FoldData, kind: Kind, n_inner: int, *, ranked: bool = False) -> None:
    """Check that every part of a fold has what models and scores need.

    Parameters
    ----------
    data : FoldData
        What is left of the fold.
    kind : Kind
        Of the target.
    n_inner : int
        Inner folds that there are if nobody is left out.
    ranked : bool
        Whether candidates are compared by a score that needs both classes.

    Raises
    ------
    TooFewError
        If a part lacks a class or has fewer than two participants.
    """
    train = ~data.test
    inner = [data.inner == one for one in range(n_inner)]
    for part in (data.test, train, *(train & ~one for one in inner)):
        if kind is Kind.BINARY and len(np.unique(data.y[part])) < 2:
            raise TooFewError(data.place, "a class has nobody in a part of it")
        if part.sum() < 2:
            raise TooFewError(data.place, "fewer than two participants are in a part of it")
    for part in inner:
        if part.sum() < 2 or (ranked and len(np.unique(data.y[part])) < 2):
            raise TooFewError(data.place, "an inner fold has too few to score candidates on")
