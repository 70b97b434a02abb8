"""Strategies: how the members of an ensemble become one prediction.

    voted     the mean of what the members predict, of their probabilities if the target is binary
    stacked   a ridge on their out-of-fold predictions [1]_ [2]_
    grid      the one member whose out-of-fold predictions are best

A prediction is out-of-fold if the participant was in no training part of the model that made it.
Every function here is pure: it gets the members' fits and makes none. A participant that some
member cannot use is left out, in training and in testing.

References
----------
.. [1] Wolpert, "Stacked generalization", Neural Networks 5:241, 1992.
.. [2] Breiman, "Stacked regressions", Machine Learning 24:49, 1996.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import Fault, JobpoolError
from jobpool.learning.fits import Fitted
from jobpool.learning.pipelines.base import Candidate, Kind, Pipeline, Predictions, Settings, Split
from jobpool.learning.pipelines.plain import PlainSolver
from jobpool.learning.scores import METRICS, search_score, tied
from jobpool.task import Json

_MAX_ITERATIONS = 1000  # of lbfgs: the weakest penalties take more than its usual 100
_POWERS = range(-5, 6)
# the strongest first: it is chosen among equals
STRENGTHS: Mapping[Kind, tuple[Candidate, ...]] = {
    Kind.REGRESSION: tuple({"alpha": 10.0**-power} for power in _POWERS),
    Kind.BINARY: tuple({"C": 10.0**power} for power in _POWERS),
}


class TooFewTogetherError(JobpoolError):
    """The members of an ensemble have too few participants in common."""

    fault = Fault.TASK
    advice = "repair the maps, or leave out the member that lacks most of them"

    def __init__(self, fold: int, part: str) -> None:
        super().__init__(fold, part)
        self.fold, self.part = fold, part

    def __str__(self) -> str:
        return (
            f"outer fold {self.fold}: {self.part} has too few participants, or one class only, "
            f"among those that all members can use; {self.advice}"
        )


class NothingComparedError(JobpoolError):
    """No member, or no strength of the penalty, has a score on every inner fold."""

    fault = Fault.TASK
    advice = "use another search_metric"

    def __init__(self, fold: int, metric: str) -> None:
        super().__init__(fold, metric)
        self.fold, self.metric = fold, metric

    def __str__(self) -> str:
        return (
            f"outer fold {self.fold}: {self.metric} is defined on every inner fold for nothing "
            f"that could be chosen; {self.advice}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldMembers:
    """The fits of all members in one outer fold."""

    fold: int
    kind: Kind
    metric: str  # by which members, or strengths of the penalty, are compared
    y: Array  # (n_participants,): the target of all participants in the table
    names: tuple[str, ...]
    wholes: tuple[Fitted, ...]  # of each member: predicts the outer test part
    inners: tuple[tuple[Fitted, ...], ...] = ()  # of each member: one for each inner fold


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Combined:
    """What an ensemble predicts in one outer fold."""

    rows: Array  # (n_test,) int32: positions in the participants table, ascending
    predictions: Predictions
    chosen: Mapping[str, Json]  # nothing, the strength of the penalty, or the member
    search_score: float | None  # of what was chosen: mean over the inner folds, higher is better
    decided: bool | None  # whether nothing else had that score; None: nothing was chosen
    n_left_out: int  # participants that some members predict, but not all


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is best on the inner folds, among members or strengths of a penalty."""

    best: int  # the first of equals
    score: float | None  # its mean; None where no inner fold has a score for anything
    n_tied: int  # how many share that score


def voted(members: FoldMembers) -> Combined:
    """Return the mean of what the members predict.

    If the target is binary, that of their probabilities; above one half is the positive class.

    Raises
    ------
    TooFewTogetherError
        If the test part has too few participants that all members can use, or one class.
    """
    rows, features = _tested(members)
    mean = features.mean(axis=1)
    converged = all(one.converged for one in members.wholes)
    found = Predictions(predicted=mean, decision=mean, converged=converged)
    if members.kind is Kind.BINARY:
        classes = np.where(np.isnan(mean), np.nan, mean > 0.5)
        found = replace(found, predicted=classes, probability=mean)
    return _combined(members, rows, found)


def stacked(members: FoldMembers) -> Combined:
    """Return what a ridge on the members' predictions says, logistic if the target is binary.

    It learns from the members' out-of-fold predictions, standardised: for each inner fold those of
    the fits without it. Eleven strengths of the penalty, from 1e5 to 1e-5, are compared on the same
    inner folds, so that no group is divided here either; the strongest of equals is chosen, and
    fitted on all of them. It is applied to what the fits on the whole training part predict for the
    test part.

    Raises
    ------
    TooFewTogetherError
        If a part has too few participants that all members can use, or one class.
    NothingComparedError
        If no strength has a score on every inner fold.
    """
    rows, tested = _tested(members)
    parts = _inner_parts(members)
    trained_on = np.sort(np.concatenate(parts))
    features = np.stack([_out_of_fold(fits, trained_on) for fits in members.inners], axis=1)
    if np.isnan(tested).any() or np.isnan(features).any():  # a model of a member overflowed
        return _combined(members, rows, Predictions.none(len(rows)))
    y = members.y[trained_on]
    strengths = STRENGTHS[members.kind]
    scores = np.empty((len(strengths), len(parts)))
    for fold, part in enumerate(parts):
        test = np.isin(trained_on, part)
        meta = Meta(kind=members.kind, X=features[~test], y=y[~test], X_test=features[test])
        scores[:, fold] = [_score(members, part, one) for one in solve_ridge(meta, strengths)]
    choice = _best(members, scores, parts)
    meta = Meta(kind=members.kind, X=features, y=y, X_test=tested)
    [found] = solve_ridge(meta, [strengths[choice.best]])
    converged = found.converged and all(one.converged for one in members.wholes)
    combined = _combined(members, rows, replace(found, converged=converged))
    return replace(
        combined,
        chosen=strengths[choice.best],
        search_score=choice.score,
        # the strongest of some equals is a choice
        decided=choice.n_tied < len(strengths),
    )


def grid(members: FoldMembers) -> Combined:
    """Return what the member that is best on the inner folds predicts, where all members do.

    Raises
    ------
    TooFewTogetherError
        If a part has too few participants that all members can use, or one class.
    NothingComparedError
        If no member has a score on every inner fold.
    """
    choice = best_member(members)
    rows, _ = _tested(members)
    n_left_out = _combined(members, rows, Predictions.none(len(rows))).n_left_out
    return chosen_member(members, choice, members.wholes[choice.best], rows, n_left_out)


def best_member(members: FoldMembers) -> Choice:
    """Return which member is best on the inner folds, the first of equals.

    The score of a member is the mean of its scores on the inner folds, each predicted by its fit
    without that fold. No fit on the whole training part is used.

    Raises
    ------
    TooFewTogetherError, NothingComparedError
        As of `grid`.
    """
    parts = _inner_parts(members)
    scores = np.array(
        [
            [_score(members, part, _of(one, part)) for one, part in zip(fits, parts, strict=True)]
            for fits in members.inners
        ]
    )
    return _best(members, scores, parts)


def chosen_member(
    members: FoldMembers, choice: Choice, whole: Fitted, rows: Array, n_left_out: int
) -> Combined:
    """Return what `grid` returns where only the best member was fitted on the training part.

    Parameters
    ----------
    members : FoldMembers
        Their fits without each inner fold.
    choice : Choice
        From `best_member`.
    whole : Fitted
        The best member's fit on the whole training part.
    rows : ndarray of shape (n_test,), int
        The participants of the test part that all members can use, ascending.
    n_left_out : int
        Of those that some can use.

    Raises
    ------
    TooFewTogetherError
        If they are too few, or of one class.
    """
    _check_part(members, rows, "the test part", both=True)
    return Combined(
        rows=rows.astype(np.int32),
        predictions=_of(whole, rows),
        chosen={"member": members.names[choice.best]},
        search_score=choice.score,
        decided=choice.n_tied == 1,
        n_left_out=n_left_out,
    )


STRATEGIES: Mapping[str, Callable[[FoldMembers], Combined]] = {
    "voted": voted,
    "stacked": stacked,
    "grid": grid,
}
NEEDS_INNER = frozenset({"stacked", "grid"})


def _tested(members: FoldMembers) -> tuple[Array, FloatArray]:
    """Return the test participants that all members predict, and what, (n_test, n_members)."""
    rows = _common([one.rows for one in members.wholes])
    _check_part(members, rows, "the test part", both=True)
    return rows, np.stack([_out_of_fold([one], rows) for one in members.wholes], axis=1)


def _inner_parts(members: FoldMembers) -> list[Array]:
    """Return the participants that all members predict in each inner fold."""
    parts = [_common([one.rows for one in fits]) for fits in zip(*members.inners, strict=True)]
    for fold, part in enumerate(parts):
        others = np.concatenate([one for one in parts if one is not part])
        _check_part(members, part, f"inner fold {fold}", both=False)
        _check_part(members, others, f"the training part without inner fold {fold}", both=True)
    return parts


def _check_part(members: FoldMembers, rows: Array, name: str, *, both: bool) -> None:
    """Check that a part can be scored, or fitted: that needs both classes."""
    one_class = members.kind is Kind.BINARY and len(np.unique(members.y[rows])) < 2
    if len(rows) < 2 or (both and one_class):
        raise TooFewTogetherError(members.fold, name)


def _common(rows: Sequence[Array]) -> Array:
    return reduce(np.intersect1d, rows)


def _out_of_fold(fits: Sequence[Fitted], rows: Array) -> FloatArray:
    """Return one member's out-of-fold predictions for the participants at `rows`, one fit each."""
    found = np.full(max(int(one.rows.max()) for one in fits) + 1, np.nan)
    for one in fits:
        found[one.rows] = one.predicted if one.probability is None else one.probability
    return found[rows]


def _of(fitted: Fitted, rows: Array) -> Predictions:
    """Return the predictions for some of the participants of a fit, in their order."""
    chosen = np.searchsorted(fitted.rows, rows)
    every = fitted.predictions
    return replace(
        every,
        predicted=every.predicted[chosen],
        decision=every.decision[chosen],
        probability=None if every.probability is None else every.probability[chosen],
    )


def _score(members: FoldMembers, rows: Array, predictions: Predictions) -> float:
    return search_score(members.kind, members.metric, members.y[rows], predictions)


def _best(members: FoldMembers, scores: FloatArray, parts: Sequence[Array]) -> Choice:
    """Return the first row with the highest mean over the parts on which anything has a score."""
    metric = METRICS[members.kind][members.metric]
    defined = [metric.defined(members.y[part]) for part in parts]
    if not any(defined):
        if members.kind is Kind.BINARY:
            raise NothingComparedError(members.fold, members.metric)
        return Choice(best=0, score=None, n_tied=len(scores))  # the target is the same for all
    means = scores[:, defined].mean(axis=1)
    best = int(np.argmax(np.where(np.isnan(means), -np.inf, means)))
    if np.isnan(means[best]):
        raise NothingComparedError(members.fold, members.metric)
    n_tied = int(tied(means, in_unit=metric.lower_is_better).sum())
    return Choice(best=best, score=float(means[best]), n_tied=n_tied)


def _combined(members: FoldMembers, rows: Array, predictions: Predictions) -> Combined:
    """Return predictions for which nothing was chosen."""
    of_any = reduce(np.union1d, [one.rows for one in members.wholes])
    return Combined(
        rows=rows.astype(np.int32),
        predictions=predictions,
        chosen={},
        search_score=None,
        decided=None,
        n_left_out=len(of_any) - len(rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meta:
    """The members' predictions for a training part and a test part: the features of a ridge."""

    kind: Kind
    X: FloatArray  # (n_train, n_members)
    y: Array  # (n_train,)
    X_test: FloatArray  # (n_test, n_members)


def solve_ridge(meta: Meta, strengths: Sequence[Candidate]) -> list[Predictions]:
    """Return what a ridge of each strength predicts; if the target is binary, a logistic one."""
    split = Split(
        X_train=meta.X,
        y_train=meta.y,
        X_test=meta.X_test,
        kind=meta.kind,
        settings=Settings(scaling="standard"),
        seed=0,
    )
    return list(_RIDGE.solve(_RIDGE.prepare(split), strengths))


def _make_ridge(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:  # noqa: ARG001 (as any `make`)
    if kind is Kind.REGRESSION:
        return Ridge(**candidate)
    return LogisticRegression(max_iter=_MAX_ITERATIONS, **candidate)


_RIDGE = PlainSolver(
    pipeline=Pipeline(name="ridge", spaces={}, make=_make_ridge), probabilities=True
)
