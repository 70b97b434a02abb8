"""The search: score every candidate on the inner folds, and take the best.

Each inner training part is scaled once, not once per candidate: the same numbers, as the scaler
does not depend on the candidate. Candidates and folds form one batch of `joblib` over the cores of
the job; with one core no process is started. Keeps nothing on disk. The processes end with the one
that started them, also when that is killed; idle, they would otherwise stay for five minutes.
"""

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.exceptions import ConvergenceWarning

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines import Candidate, Kind, Pipeline, Settings, make_scaler
from jobpool.learning.scores import search_score

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one task learns: all that its candidates and folds share."""

    pipeline: Pipeline
    kind: Kind
    settings: Settings
    seed: int

    def make(self, candidate: Candidate) -> Any:
        """Return an unfitted estimator."""
        return self.pipeline.make(self.kind, candidate, self.settings, self.seed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One inner fold, scaled: C-ordered float64 features and the target."""

    X_train: FloatArray
    y_train: Array
    X_test: FloatArray
    y_test: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """The scores of all candidates."""

    scores: FloatArray  # (n_candidates, n_inner); NaN where the solver overflowed
    n_unconverged: int  # fits that stopped at the limit of iterations

    @property
    def best(self) -> int:
        """Return the candidate with the highest mean score, the first of equals."""
        means = self.scores.mean(axis=1)
        return int(np.argmax(np.where(np.isnan(means), -np.inf, means)))


def fit(model: Any, X: FloatArray, y: Array) -> bool:
    """Fit `model`, and return whether it converged.

    A solver that stops early still gives a model; the count of them is part of the result, where
    hundreds of printed warnings would be read by nobody.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
    others = [one for one in caught if not issubclass(one.category, ConvergenceWarning)]
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return len(others) == len(caught)


def score_candidate(recipe: Recipe, candidate: Candidate, part: Part) -> tuple[float, bool]:
    """Return the score of a candidate on one inner fold, and whether its fit converged."""
    model = recipe.make(candidate)
    try:
        converged = fit(model, part.X_train, part.y_train)
    except ValueError as error:
        if "overflow" not in str(error):  # saga on features of very unequal range
            raise
        return float("nan"), False
    return search_score(recipe.kind, part.y_test, model.predict(part.X_test)), converged


def scaled_part(recipe: Recipe, X: Array, y: Array, test: Array) -> Part:
    """Return the features of one split, scaled by its training part.

    Parameters
    ----------
    recipe : Recipe
        Names the scaling.
    X : ndarray of shape (n, n_features)
        Features of all participants.
    y : ndarray of shape (n,)
        The target.
    test : ndarray of shape (n,), bool
        True for the participants that are tested.
    """
    scaler = make_scaler(recipe.settings)
    return Part(
        X_train=scaler.fit_transform(X[~test]),
        y_train=y[~test],
        X_test=scaler.transform(X[test]),
        y_test=y[test],
    )


def _in_processes(jobs: Iterable[Any], cores: int) -> list[tuple[float, bool]]:
    with parallel_config(
        backend="loky",
        n_jobs=cores,
        inner_max_num_threads=1,
        initializer=_end_with_parent,
        initargs=(os.getpid(),),
    ):
        found: list[tuple[float, bool]] = Parallel()(jobs)
    return found


def _end_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died meanwhile
        os._exit(1)


def search(
    recipe: Recipe,
    X: FloatArray,
    y: Array,
    inner: Array,
    candidates: Sequence[Candidate],
    cores: int,
) -> SearchResult:
    """Score every candidate on every inner fold.

    Parameters
    ----------
    recipe : Recipe
        How to learn.
    X : ndarray of shape (n, n_features), float64
        Features of the training part of an outer fold.
    y : ndarray of shape (n,)
        The target.
    inner : ndarray of shape (n,), int
        The inner fold that tests each participant.
    candidates : sequence of Candidate
        What to try.
    cores : int
        With more than one, as many processes, each with single-threaded linear algebra.
    """
    folds = np.unique(inner).tolist()
    parts = [scaled_part(recipe, X, y, inner == fold) for fold in folds]
    jobs = (
        delayed(score_candidate)(recipe, candidate, part)
        for part in parts
        for candidate in candidates
    )
    if cores == 1:
        found = [function(*arguments, **named) for function, arguments, named in jobs]
    else:
        found = _in_processes(jobs, cores)
    scores = np.array([score for score, _ in found]).reshape(len(folds), len(candidates)).T
    n_unconverged = sum(not converged for _, converged in found)
    return SearchResult(scores=scores, n_unconverged=n_unconverged)
