"""Search methods: which candidates to try, and on how much of the training part.

Each gives the same candidates on any number of cores, and after any interruption.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jobpool.brain.arrays import FloatArray
from jobpool.learning.pipelines.base import Candidate, Dimension
from jobpool.learning.scores import tied
from jobpool.learning.search import Trials

HALVING_FACTOR = 3
_ROUNDING = 1e-9  # of scores: those of equal candidates may differ in their last digits
_PATIENCE = 5  # batches for each candidate that is wanted
TPE_BATCH = 10  # candidates asked for at a time: fixed, or the number of cores would show


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """The candidates that were tried, and their scores."""

    candidates: tuple[Candidate, ...]
    scores: FloatArray  # (n_candidates, n_splits); NaN: not fitted, or left behind
    n_unconverged: int  # models that stopped at the limit of iterations
    in_unit: bool = False  # scores are errors, in the unit of the target
    answers: tuple[str, ...] = ()  # what each predicts, as a text; empty if a constant

    @property
    def means(self) -> FloatArray:
        """Return the mean score of each candidate; NaN without a score on every split."""
        if not self.scores.shape[1]:
            return np.full(len(self.candidates), np.nan)
        means: FloatArray = self.scores.mean(axis=1)
        return means

    @property
    def best(self) -> int:
        """Return the candidate with the highest mean score, the first of equals."""
        return int(np.argmax(np.where(np.isnan(self.means), -np.inf, self.means)))

    @property
    def n_tied(self) -> int:
        """Return how many different candidates share the highest mean score: 1 if one is best.

        Without any split that tells candidates apart, all of them do.
        """
        equal = (dict(self.candidates[one]) for one in self._highest)
        return len({json.dumps(one, sort_keys=True, default=repr) for one in equal})

    @property
    def decided(self) -> bool:
        """Say whether the highest score belongs to one candidate, or to several that are the same.

        Those are the same that predict the same for everybody, such as two weak penalties that give
        the same classes; but not where it is a constant, of which any candidate is capable.
        """
        if self.n_tied == 1:
            return True
        found = {self.answers[one] for one in self._highest} if self.answers else set()
        return not np.isnan(self.means[self.best]) and len(found) == 1 and "" not in found

    @property
    def _highest(self) -> list[int]:
        found: list[int] = np.flatnonzero(tied(self.means, in_unit=self.in_unit)).tolist()
        return found


def search(trials: Trials) -> SearchResult:
    """Return what the recipe's method finds.

    A split on which no prediction has a score, such as one whose participants are all of one
    class, is not counted for any candidate. If that leaves none, the candidates are those of a
    random search, and nothing is known of them.
    """
    if not trials.splits:
        candidates = _random(trials)
        return _result(trials, candidates, np.empty((len(candidates), 0)))
    return METHODS[trials.recipe.method](trials)


def random_search(trials: Trials) -> SearchResult:
    """Score all random candidates on the first split, on others those that can still win.

    No metric is better than its best value. A candidate that would stay behind the mean score of
    another one even with the best value on all splits that are left is not scored on them: the
    candidate chosen is the same as if all had been.
    """
    candidates, splits = _random(trials), trials.splits
    scores = np.full((len(candidates), len(splits)), np.nan)
    scores[:, 0] = trials.score(candidates, tests=splits[:1])[:, 0]
    if len(splits) == 1 or np.isnan(scores[:, 0]).all():
        return _result(trials, candidates, scores)
    leader = int(np.nanargmax(scores[:, 0]))
    others = list(range(1, len(splits)))
    scores[leader, 1:] = trials.score([candidates[leader]], tests=splits[1:])
    challengers = [one for one in range(len(candidates)) if one != leader]
    left = _hopeful(scores, challengers, [0], trials.metric.best)
    if left == challengers:  # nothing to be saved: one batch
        chosen = [candidates[one] for one in left]
        scores[np.ix_(left, others)] = trials.score(chosen, tests=splits[1:])
        return _result(trials, candidates, scores)
    done = [0]
    for position in reversed(others):  # the last one is still prepared from the leader
        chosen = [candidates[one] for one in left]
        scores[left, position] = trials.score(chosen, tests=[splits[position]])[:, 0]
        done.append(position)
        left = _hopeful(scores, left, done, trials.metric.best)
    return _result(trials, candidates, scores)


def _hopeful(scores: FloatArray, left: list[int], done: list[int], best: float) -> list[int]:
    """Return which candidates of `left` could still have the highest mean.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_splits)
        NaN where there is no score, and where a candidate could not be fitted.
    left : list of int
        Candidates with scores on the splits `done`, as far as they could be fitted.
    done : list of int
        Splits.
    best : float
        That a score can be.
    """
    n_open = scores.shape[1] - len(done)
    highest = (scores[np.ix_(left, done)].sum(axis=1) + best * n_open) / scores.shape[1]
    complete = scores[~np.isnan(scores).any(axis=1)].mean(axis=1)
    leading = float(complete.max(initial=-np.inf))
    # a NaN is not greater than anything
    return [
        one for one, mean in zip(left, highest.tolist(), strict=True) if mean >= leading - _ROUNDING
    ]


def halving_search(trials: Trials) -> SearchResult:
    """Score all random candidates on a share of the participants, the better third on more.

    Successive halving [1]_ with the factor 3: 60 candidates on 1/9 of the training part of each
    split, the 20 best on 1/3, the 7 best on all of it; of these the best is chosen. Whole groups
    enter or stay out. A share too small for the target (fewer than two classes) is passed over.

    References
    ----------
    .. [1] Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
       optimization", AISTATS 2016.
    """
    candidates = _random(trials)
    left = list(range(len(candidates)))
    n_rungs = max(0, math.ceil(math.log(len(candidates) / HALVING_FACTOR**2, HALVING_FACTOR)))
    for rung in range(min(n_rungs, 2), 0, -1):
        share = HALVING_FACTOR**-rung
        if not _usable(trials, share):
            continue
        means = trials.score([candidates[one] for one in left], share).mean(axis=1)
        order = np.argsort(-np.where(np.isnan(means), -np.inf, means), kind="stable")
        kept = math.ceil(len(left) / HALVING_FACTOR)
        left = sorted(left[one] for one in order[:kept].tolist())
    scores = np.full((len(candidates), len(trials.splits)), np.nan)
    scores[left] = trials.score([candidates[one] for one in left])
    return _result(trials, candidates, scores)


def _usable(trials: Trials, share: float) -> bool:
    """Say whether every split can be learned from with a share of its training part."""
    data = trials.data
    for test in data.tests:
        y = data.y[data.train(test, share)]
        if len(y) < 10 or len(np.unique(y)) < 2:
            return False
    return True


def tpe_search(trials: Trials) -> SearchResult:
    """Ask for candidates where good ones were found before: tree-structured Parzen estimator [1]_.

    By optuna, ten candidates at a time. Where no candidate is to be tried twice, one that is asked
    for again counts for the estimator only; if hardly any are new, random ones take their place.

    References
    ----------
    .. [1] Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011.
    """
    import optuna  # noqa: PLC0415 - half a second that only this method pays

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recipe = trials.recipe
    sampler = optuna.samplers.TPESampler(seed=recipe.seed % 2**32, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = recipe.pipeline.spaces[recipe.kind]
    tried = _Tried(trials=trials)
    for _ in range(_PATIENCE * recipe.n_candidates):
        count = min(TPE_BATCH, recipe.n_candidates - len(tried.candidates))
        if not count:
            break
        asked = [study.ask() for _ in range(count)]
        batch = [{one.name: _suggested(trial, one) for one in space} for trial in asked]
        for trial, mean in zip(asked, tried.means(batch), strict=True):
            if math.isnan(mean):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, mean)
    if left := recipe.n_candidates - len(tried.candidates):
        others = [one for one in _random(trials) if _text(one) not in tried.scores]
        tried.means(others[:left])
    scores = np.stack([tried.scores[_text(one)] for one in tried.candidates])
    return _result(trials, tuple(tried.candidates), scores)


@dataclass(kw_only=True, eq=False)
class _Tried:
    """The candidates that were tried, and the scores of each."""

    trials: Trials
    candidates: list[Candidate] = field(default_factory=list)
    scores: dict[str, FloatArray] = field(default_factory=dict)

    def means(self, batch: Sequence[Candidate]) -> list[float]:
        """Return the mean score of each candidate; those that are known are not tried again."""
        new = list(batch)
        if self.trials.recipe.distinct:
            unknown = {_text(one): one for one in batch if _text(one) not in self.scores}
            new = list(unknown.values())
        if new:
            self.candidates += new
            self.scores |= zip(map(_text, new), self.trials.score(new), strict=True)
        return [float(self.scores[_text(one)].mean()) for one in batch]


def _text(candidate: Candidate) -> str:
    return json.dumps(dict(candidate), sort_keys=True)


def _suggested(trial: Any, dimension: Dimension) -> Any:
    if dimension.choices:
        return trial.suggest_categorical(dimension.name, dimension.choices)
    if dimension.zero and trial.suggest_categorical(f"{dimension.name} is 0", (True, False)):
        return 0.0
    if dimension.whole:
        return trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high))
    return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)


def by_score(trials: Trials, found: SearchResult) -> Iterator[tuple[int, float]]:
    """Yield the candidates that have a score with their mean, the best first; else all of them.

    What a random search passed over, as it could not win, is scored if more than the best one is
    asked for.
    """
    yield found.best, float(found.means[found.best])
    if not trials.splits:  # nothing is known of any
        yield from ((one, np.nan) for one in range(1, len(found.candidates)))
        return
    scores = found.scores
    if trials.recipe.method == "random":
        scores = trials.score(found.candidates)
    means = scores.mean(axis=1)
    order = np.argsort(-np.where(np.isnan(means), -np.inf, means), kind="stable")
    others = (one for one in order.tolist() if one != found.best and not np.isnan(means[one]))
    yield from ((one, float(means[one])) for one in others)


def _random(trials: Trials) -> tuple[Candidate, ...]:
    return trials.recipe.candidates()


def _result(trials: Trials, candidates: tuple[Candidate, ...], scores: FloatArray) -> SearchResult:
    return SearchResult(
        candidates=candidates,
        scores=scores,
        n_unconverged=trials.n_unconverged,
        in_unit=trials.metric.lower_is_better,
        answers=trials.answers(candidates),
    )


METHODS: Mapping[str, Callable[[Trials], SearchResult]] = {
    "random": random_search,
    "halving": halving_search,
    "tpe": tpe_search,
}
# the optional packages that a method needs
PACKAGES: Mapping[str, tuple[str, ...]] = {"tpe": ("optuna",)}
