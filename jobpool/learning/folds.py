"""Folds: what a fit learns from and what it predicts, cut out of a pool's splits.

A pool's splits have outer folds, and inner folds and a holdout in the training part of each. A fit
without one of the inner folds compares its candidates on splits of its own, dealt out to whole
groups in what is left of the training part. They follow from the pool's splits and groups alone,
and are kept nowhere. What is left of a fold is checked before anything learns from it.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import Fault, JobpoolError
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.pooling import UNEQUAL
from jobpool.learning.scores import METRICS, Metric
from jobpool.learning.search import FoldData, Recipe
from jobpool.learning.splits import Dealer, Splits
from jobpool.learning.targets import Target


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


class TooFewGroupsError(JobpoolError):
    """The training part without an inner fold has too few groups for splits of its own."""

    fault = Fault.TASK
    advice = "set fewer inner folds, or leave out the strategies stacked and grid"

    def __init__(self, fold: int, without: int, what: str) -> None:
        super().__init__(fold, without, what)
        self.fold, self.without, self.what = fold, without, what

    def __str__(self) -> str:
        return (
            f"outer fold {self.fold} without inner fold {self.without}: {self.what}, as no group "
            f"is divided; {self.advice}"
        )


class Folds:
    """The folds of a pool for one of its targets, or for several, and for any of its pipelines.

    Parameters
    ----------
    splits : Splits
        Of all participants in the table.
    groups : sequence of str
        The group of each of them.
    """

    def __init__(self, splits: Splits, groups: Sequence[str]) -> None:
        self._splits = splits
        self._dealer = Dealer(groups=groups, strata=splits.strata)
        self._rank = group_ranks(groups, splits.seed, splits.strata)
        self._dealt: dict[tuple[int, int, bool], Array] = {}

    @property
    def n_outer(self) -> int:
        """Return the number of outer folds."""
        return self._splits.n_outer

    @property
    def n_inner(self) -> int:
        """Return the number of inner folds in each training part."""
        return int(self._splits.inner.max()) + 1

    def tested(self, number: int) -> Array:
        """Return who is in the test part of an outer fold, a mask of shape (n_participants,)."""
        tested: Array = self._splits.outer == number
        return tested

    def data(
        self,
        number: int,
        X: FloatArray,
        target: Target,
        usable: Array,
        recipe: Recipe,
        inner: int | None = None,
    ) -> FoldData:
        """Return what one fit learns from and predicts.

        Parameters
        ----------
        number : int
            The outer fold.
        X : ndarray of shape (n_usable, n_features), float64
            Features of the participants in `usable`. No key of a fit depends on them: for a key
            alone there may be no columns.
        target : Target
            Of all participants.
        usable : ndarray of shape (n_participants,), bool
            Who has the target and a map.
        recipe : Recipe
            Whether candidates are compared on inner folds or on a holdout, and by which metric.
        inner : int, optional
            Predict this inner fold of the training part; the outer test part is not in the data.
            Otherwise the outer test part is predicted.

        Raises
        ------
        TooFewError
            If a part cannot be learned from or scored.
        TooFewGroupsError
            If the training part without `inner` has too few groups for inner splits.
        """
        held_out = recipe.pipeline.holdout is not None
        outer_test = self._splits.outer == number
        if inner is None:
            test, own = outer_test, self._inner(number, held_out=held_out)
            part = usable
        else:
            test = self._splits.inner[number] == inner
            own = self._inner_without(number, inner, held_out=held_out)
            part = usable & ~outer_test
        data = FoldData(
            fold=number,
            X=X if inner is None else X[part[usable]],
            y=target.y[part],
            test=test[part],
            inner=own[part],
            rank=self._rank[part],
            rows=np.flatnonzero(part).astype(np.int32),
            without=inner,
        )
        metric = METRICS[recipe.kind][recipe.search_metric]
        check_fold(data, recipe.kind, int(own.max()) + 1, metric)
        return data

    def are_unequal(self, present: Array) -> bool:
        """Say whether one outer fold has twice the participants of another.

        Parameters
        ----------
        present : ndarray of shape (n_participants,), bool
            Who has the target.
        """
        outer = self._splits.outer
        sizes = np.bincount(outer[present & (outer >= 0)], minlength=self._splits.n_outer)
        return bool(sizes.max() >= UNEQUAL * sizes.min())

    def check_inner(self) -> None:
        """Check that the training parts without an inner fold have enough groups.

        Raises
        ------
        TooFewGroupsError
            If one of them has not.
        """
        for number in range(self.n_outer):
            for inner in range(self.n_inner):
                for held_out in (False, True):
                    self._inner_without(number, inner, held_out=held_out)

    def _inner(self, number: int, *, held_out: bool) -> Array:
        """Return the inner fold that tests each participant, shape (n_participants,); -1: none."""
        if held_out:  # one split: its tested part is the only inner fold
            return np.where(self._splits.holdout[number] == 1, 0, -1)
        inner: Array = self._splits.inner[number]
        return inner

    def _inner_without(self, number: int, inner: int, *, held_out: bool) -> Array:
        """Return the same for the training part without an inner fold."""
        key = number, inner, held_out
        if key not in self._dealt:
            part = (self._splits.outer != number) & (self._splits.inner[number] != inner)
            part &= self._dealer.present()
            seed = f"{self._splits.seed} {number} {inner}"
            try:
                self._dealt[key] = self._deal(part, seed, held_out=held_out)
            except ValueError as error:
                raise TooFewGroupsError(number, inner, str(error)) from error
        return self._dealt[key]

    def _deal(self, part: Array, seed: str, *, held_out: bool) -> Array:
        if held_out:
            share = self._splits.holdout_share
            out = self._dealer.hold_out(part, share, f"holdout {seed}")
            return np.where(out == 1, 0, -1)
        return self._dealer.deal(part, self.n_inner, f"inner {seed}")


def check_fold(data: FoldData, kind: Kind, n_inner: int, metric: Metric | None = None) -> None:
    """Check that every part of a fold has what models and scores need.

    Parameters
    ----------
    data : FoldData
        What is left of the fold.
    kind : Kind
        Of the target.
    n_inner : int
        Number of inner folds if no participant is left out.
    metric : Metric, optional
        By which candidates are compared.

    Raises
    ------
    TooFewError
        If a part that a model learns from, or the test part, lacks a class or has fewer than two
        participants; or if candidates for two classes have a score on no inner part at all.
    """
    train = ~data.test
    inner = [data.inner == one for one in range(n_inner)]
    for part in (data.test, train, *(train & ~one for one in inner)):
        if kind is Kind.BINARY and len(np.unique(data.y[part])) < 2:
            raise TooFewError(data.place, "a part of it has no participant of one class")
        if part.sum() < 2:
            raise TooFewError(data.place, "fewer than two participants are in a part of it")
    for part in inner:
        if part.sum() < 2:
            raise TooFewError(data.place, "an inner fold has too few to score candidates on")
    # numbers that are all the same somewhere are not too few: such a search decides nothing
    known = ~np.isnan(data.y)  # the key of a fit is made from all participants
    compared = (data.y[one & known] for one in inner)
    if kind is Kind.BINARY and metric and not any(metric.defined(y) for y in compared):
        raise TooFewError(data.place, "no part that candidates are compared on has both classes")


def group_ranks(groups: Sequence[str], seed: int, strata: Array | None = None) -> FloatArray:
    """Return a number from 0 to 1 for each participant, the same for all of a group.

    From SHA-256, so that no other version of any library can change who belongs to the share of
    participants with the lowest ranks.

    Parameters
    ----------
    groups : sequence of str
        The group of each participant.
    seed : int
        Another one orders the groups differently.
    strata : ndarray of shape (n_participants,), int, optional
        The class of each: any share then has that share of the groups with the rarest class, of
        those with the next, and so on. -1: in none.
    """
    ranks = {}
    for group in set(groups):
        digest = hashlib.sha256(f"rank {seed}\n{group}".encode()).digest()
        ranks[group] = int.from_bytes(digest[:6], "big") / 2**48
    if strata is not None:
        ranks = _within_classes(ranks, groups, strata)
    return np.array([ranks[group] for group in groups])


def _within_classes(
    ranks: Mapping[str, float], groups: Sequence[str], strata: Array
) -> dict[str, float]:
    """Return ranks that keep the order of groups with the same rarest class, and spread them."""
    sizes = np.bincount(strata[strata >= 0], minlength=1)
    rarest: dict[str, int] = {}
    for group, stratum in zip(groups, strata.tolist(), strict=True):
        if stratum >= 0 and (group not in rarest or sizes[stratum] < sizes[rarest[group]]):
            rarest[group] = stratum
    members: dict[int, list[str]] = {}
    for group in sorted(ranks, key=ranks.__getitem__):
        members.setdefault(rarest.get(group, -1), []).append(group)
    return {
        group: (number + ranks[group]) / len(alike)
        for alike in members.values()
        for number, group in enumerate(alike)
    }
