"""Search methods: which candidates to try, and on how much of the training part.

Each gives the same candidates on any number of cores, and after any interruption.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobpool.brain.arrays import FloatArray
from jobpool.learning.pipelines.space import Candidate, Dimension
from jobpool.learning.search import Trials

HALVING_FACTOR = 3
TPE_BATCH = 10  # candidates asked for at a time: fixed, or the number of cores would show


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """The candidates that were tried, and their scores."""

    candidates: tuple[Candidate, ...]
    scores: FloatArray  # (n_candidates, n_splits); NaN: could not be fitted, or was left behind
    n_unconverged: int  # fits that stopped at the limit of iterations

    @property
    def best(self) -> int:
        """Return the candidate with the highest mean score, the first of equals."""
        means = self.scores.mean(axis=1)
        return int(np.argmax(np.where(np.isnan(means), -np.inf, means)))


def random_search(trials: Trials) -> SearchResult:
    """Score all random candidates on all splits."""
    candidates = _random(trials)
    scores = trials.score(candidates)
    return _result(trials, candidates, scores)


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
    scores = np.full((len(candidates), len(trials.data.tests)), np.nan)
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

    By optuna, ten candidates at a time.

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
    candidates: list[Candidate] = []
    found: list[FloatArray] = []
    while len(candidates) < recipe.n_candidates:
        count = min(TPE_BATCH, recipe.n_candidates - len(candidates))
        asked = [study.ask() for _ in range(count)]
        batch = [{one.name: _suggested(trial, one) for one in space} for trial in asked]
        scores = trials.score(batch)
        for trial, mean in zip(asked, scores.mean(axis=1).tolist(), strict=True):
            if math.isnan(mean):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, mean)
        candidates += batch
        found.append(scores)
    return _result(trials, tuple(candidates), np.concatenate(found))


def _suggested(trial: Any, dimension: Dimension) -> Any:
    if dimension.choices:
        return trial.suggest_categorical(dimension.name, dimension.choices)
    if dimension.zero and trial.suggest_categorical(f"{dimension.name} is 0", (True, False)):
        return 0.0
    if dimension.whole:
        return trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high))
    return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)


def _random(trials: Trials) -> tuple[Candidate, ...]:
    recipe = trials.recipe
    return recipe.pipeline.candidates(recipe.kind, recipe.n_candidates, recipe.seed)


def _result(trials: Trials, candidates: tuple[Candidate, ...], scores: FloatArray) -> SearchResult:
    return SearchResult(candidates=candidates, scores=scores, n_unconverged=trials.n_unconverged)


METHODS: Mapping[str, Callable[[Trials], SearchResult]] = {
    "random": random_search,
    "halving": halving_search,
    "tpe": tpe_search,
}
