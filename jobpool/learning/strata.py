"""Strata: whole groups dealt out so that every part has its share of each class.

The strata of a target are its classes, or the lower, middle and upper third of its values. Groups
go out one by one, those that weigh most first, each to the part that lacks most of what it has;
then groups move, or change places between two parts, as long as that makes the parts more alike.
Counts are weighed by the size of their stratum: one case of a class of ten counts as much as ten of
a class of a hundred. All of it is whole numbers, and groups that are alike come in the order of a
SHA-256, so that no library, machine or order of rows changes a part.
"""

import hashlib
from collections.abc import Sequence
from itertools import combinations
from operator import mul

import numpy as np
from numpy.typing import NDArray

from jobpool.brain.arrays import Array
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.targets import Target

Strata = NDArray[np.int8]  # (n_participants,): the class of each; -1: lacks the target
Counts = NDArray[np.int64]
ABSENT = -1
N_LEVELS = 3  # of a continuous target that is split by thirds
_MOST_KINDS = 300  # of groups in one part that are tried against those of another
_MOST_ROUNDS = 100


def strata_of(target: Target, *, thirds: bool = False) -> Strata:
    """Return the stratum of each participant.

    Parameters
    ----------
    target : Target
        Its classes are the strata if it is binary.
    thirds : bool
        Whether those of a continuous target are the thirds of its values: equal values are in
        one of them, so that there may be fewer than three. Otherwise all are in one stratum.

    Examples
    --------
    >>> y = np.array([7.0, 1.0, np.nan, 2.0, 2.0, 9.0, 8.0])
    >>> strata_of(Target(name="a", column="a", kind=Kind.REGRESSION, y=y), thirds=True).tolist()
    [1, 0, -1, 0, 0, 2, 2]
    """
    strata = np.full(len(target.y), ABSENT, np.int8)
    y = target.y[target.present]
    if target.kind is Kind.BINARY:
        strata[target.present] = y
        return strata
    strata[target.present] = 0
    if thirds and len(y):
        ordered = np.sort(y)
        limits = [ordered[-(-len(y) * one // N_LEVELS) - 1] for one in range(1, N_LEVELS)]
        levels = np.searchsorted(np.unique(limits), y)
        # a third of equal values at one end leaves a number out
        strata[target.present] = np.unique(levels, return_inverse=True)[1]
    return strata


def deal_evenly(
    groups: Sequence[str], strata: Array, shares: Sequence[int], seed: str
) -> NDArray[np.int16]:
    """Deal whole groups out to parts, so that each has its share of every stratum.

    Parameters
    ----------
    groups : sequence of str
        The group of each participant.
    strata : ndarray of shape (n_participants,), int
        The stratum of each, from 0.
    shares : sequence of int
        How much of all each part should get, such as ``[1, 1, 1]`` or ``[3, 1]``.
    seed : str
        Another seed deals the groups differently.

    Returns
    -------
    ndarray of shape (n_participants,), int16
        The part of each participant, from 0.

    Raises
    ------
    ValueError
        If there are fewer groups than parts.

    Examples
    --------
    >>> deal_evenly(["a", "a", "b", "b", "c", "d"], [0, 1, 0, 1, 0, 0], [1, 1], "1").tolist()
    [1, 1, 0, 0, 1, 0]
    """
    names, members = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    if len(names) < len(shares):
        raise ValueError(f"{len(names)} groups cannot be dealt out to {len(shares)} parts")
    keys = [hashlib.sha256(f"{seed}\n{name}".encode()).digest() for name in names.tolist()]
    order = np.array(sorted(range(len(names)), key=keys.__getitem__))
    counts = _counts(members, np.asarray(strata))[order]
    dealing = _Dealing(counts, np.array(shares, np.int64))
    part_of_group = np.empty(len(names), np.int16)
    part_of_group[order] = dealing.parts()
    return part_of_group[members]


def _counts(members: NDArray[np.intp], strata: Array) -> Counts:
    """Return how many of each stratum a group has, and in all: shape (n_groups, n_strata + 1)."""
    n_strata = int(strata.max()) + 1
    counts = np.zeros((int(members.max()) + 1, n_strata + 1), np.int64)
    np.add.at(counts, (members, strata), 1)
    counts[:, -1] = counts.sum(axis=1)
    return counts


class _Dealing:
    """Groups on their way into parts; everything is counted in whole numbers."""

    def __init__(self, counts: Counts, shares: Counts) -> None:
        self._counts, self._shares = counts, shares
        self._whole = int(shares.sum())
        totals = counts.sum(axis=0)
        n = int(totals[-1])
        self._weights = 16 * n * n // np.maximum(totals, 1) ** 2  # of each stratum
        self._missing = 64 * n * n * self._whole  # a stratum that a part lacks weighs more than all
        # how far each part is from its share of each stratum, times `_whole`
        self._off = -shares[:, np.newaxis] * totals
        self._held = np.zeros_like(self._off)
        self._part = np.full(len(counts), -1, np.int16)

    def parts(self) -> NDArray[np.int16]:
        """Return the part of each group, shape (n_groups,)."""
        self._deal()
        for _ in range(_MOST_ROUNDS):
            pairs = combinations(range(len(self._shares)), 2)
            if not sum(self._exchange(one, other) for one, other in pairs):
                break
        return self._part

    def _deal(self) -> None:
        """Put each group into the part that lacks most of what it has."""
        weighed = self._weights * self._counts
        order = np.argsort(-(weighed * self._counts).sum(axis=1), kind="stable")
        off: list[list[int]] = self._off.tolist()  # arrays so small are slower than lists
        numbers = range(len(off))
        for group, weight, count in zip(
            order.tolist(), weighed[order].tolist(), self._counts[order].tolist(), strict=True
        ):
            lacking = [sum(map(mul, one, weight)) for one in off]
            part = min(numbers, key=lacking.__getitem__)
            self._part[group] = part
            off[part] = [
                one + self._whole * more for one, more in zip(off[part], count, strict=True)
            ]
        self._off = np.array(off, np.int64)
        np.add.at(self._held, self._part, self._counts)

    def _put(self, group: int, part: int) -> None:
        before = self._part[group]
        self._held[before] -= self._counts[group]
        self._off[before] -= self._whole * self._counts[group]
        self._part[group] = part
        self._held[part] += self._counts[group]
        self._off[part] += self._whole * self._counts[group]

    def _exchange(self, one: int, other: int) -> bool:
        """Make two parts more alike by the best move or swap of groups; say whether there is any.

        A part that lacks a stratum altogether is worse than any difference in numbers.
        """
        leaving, coming = self._kinds(one), self._kinds(other)
        moved = leaving[:, np.newaxis] - coming  # what `one` loses and `other` gets
        change = moved * (self._whole * moved + self._off[other] - self._off[one])
        worse = 2 * (self._weights * change).sum(axis=2)
        lacking = (self._held[one] == moved).sum(axis=2) + (self._held[other] == -moved).sum(axis=2)
        before = (self._held[[one, other]] == 0).sum()
        worse += self._missing * (lacking - before)
        best = np.unravel_index(np.argmin(worse), worse.shape)
        if worse[best] >= 0:
            return False
        pair = self._first(one, leaving[best[0]]), self._first(other, coming[best[1]])
        for group, part in zip(pair, (other, one), strict=True):
            if group is not None:
                self._put(group, part)
        return True

    def _kinds(self, part: int) -> Counts:
        """Return the different counts that groups of a part have, and zeros for none of them."""
        found = np.unique(self._counts[self._part == part], axis=0)
        if len(found) > _MOST_KINDS:
            found = found[np.linspace(0, len(found) - 1, _MOST_KINDS).astype(np.intp)]
        return np.vstack([np.zeros_like(self._counts[:1]), found])

    def _first(self, part: int, counts: Counts) -> int | None:
        if not counts.any():
            return None
        alike = (self._part == part) & (self._counts == counts).all(axis=1)
        return int(np.argmax(alike))
