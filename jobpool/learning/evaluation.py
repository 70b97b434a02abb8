"""The evaluation of one outer fold: search on its training part, score on its test part."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import JobpoolError
from jobpool.learning.pipelines import Candidate
from jobpool.learning.scores import SEARCH_METRIC, reported_scores
from jobpool.learning.search import Recipe, fit, scaled_part, search
from jobpool.task import Json


class NoCandidateError(JobpoolError):
    """No candidate of a search could be fitted."""

    def __init__(self, n_candidates: int) -> None:
        super().__init__(n_candidates)
        self.n_candidates = n_candidates

    def __str__(self) -> str:
        return (
            f"none of {self.n_candidates} candidates could be fitted: the solver overflowed; "
            "use scaling: standard, or more candidates"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldData:
    """The participants of one outer fold that have the target."""

    fold: int
    X: FloatArray  # (n, n_features)
    y: Array  # (n,)
    test: Array  # (n,) bool
    inner: Array  # (n,) int: the inner fold of each training participant


def evaluate_fold(
    recipe: Recipe, data: FoldData, candidates: Sequence[Candidate], cores: int
) -> dict[str, Json]:
    """Return scores, chosen parameters, sizes and seconds of one outer fold.

    Raises
    ------
    NoCandidateError
        If the solver overflowed for every candidate.
    """
    start = time.perf_counter()
    train = ~data.test
    found = search(recipe, data.X[train], data.y[train], data.inner[train], candidates, cores)
    mean = float(found.scores[found.best].mean())
    if np.isnan(mean):
        raise NoCandidateError(len(candidates))
    chosen = candidates[found.best]
    part = scaled_part(recipe, data.X, data.y, data.test)
    model = recipe.make(chosen)
    converged = fit(model, part.X_train, part.y_train)
    scores = reported_scores(recipe.kind, model, part.X_test, part.y_test)
    return {
        "fold": data.fold,
        "scores": dict(scores),
        "search_score": {SEARCH_METRIC[recipe.kind]: mean},
        "chosen": dict(chosen),
        "candidate": found.best,
        "n_train": int(train.sum()),
        "n_test": int(data.test.sum()),
        "n_unconverged": found.n_unconverged,
        "converged": converged,
        "seconds": round(time.perf_counter() - start, 3),
    }
