"""The evaluation of one outer fold: search on its training part, score on its test part."""

import time
from dataclasses import dataclass

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import JobpoolError
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.methods import METHODS
from jobpool.learning.scores import METRICS, reported_scores
from jobpool.learning.search import Recipe, TrainingData, Trials
from jobpool.task import Json


class NoCandidateError(JobpoolError):
    """No candidate of a search could be fitted and scored."""

    def __init__(self, n_candidates: int) -> None:
        super().__init__(n_candidates)
        self.n_candidates = n_candidates

    def __str__(self) -> str:
        return (
            f"none of {self.n_candidates} candidates has a score on every inner fold: fits "
            "overflowed, or the score is not defined for what they predict; use scaling: standard, "
            "more candidates, or another search_metric"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldData:
    """The participants of one outer fold that have the target."""

    fold: int
    X: FloatArray  # (n, n_features)
    y: Array  # (n,)
    test: Array  # (n,) bool
    inner: Array  # (n,) int: the inner fold that tests each training participant; -1: none does
    rank: FloatArray  # (n,): the same for all of a group


def evaluate_fold(
    recipe: Recipe, data: FoldData, cores: int, checkpoint: Checkpoint
) -> dict[str, Json]:
    """Return scores, chosen parameters, sizes and seconds of one outer fold.

    What was finished before an interruption is taken from `checkpoint`.

    Raises
    ------
    NoCandidateError
        If no candidate could be fitted and scored.
    """
    name = f"fold {data.fold}"
    kept: dict[str, Json] | None = checkpoint.get(name)
    if kept is not None:
        return kept
    start = time.perf_counter()
    train = ~data.test
    training = TrainingData(
        name=name,
        X=data.X[train],
        y=data.y[train],
        inner=data.inner[train],
        rank=data.rank[train],
    )
    trials = Trials(recipe=recipe, data=training, cores=cores, checkpoint=checkpoint)
    found = METHODS[recipe.method](trials)
    mean = float(found.scores[found.best].mean())
    if np.isnan(mean):
        raise NoCandidateError(len(found.candidates))
    chosen = found.candidates[found.best]
    split = recipe.split(data.X, data.y, train, data.test)
    predictions = next(iter(recipe.solver.solve(recipe.solver.prepare(split), [chosen])))
    scores = reported_scores(recipe.kind, recipe.reported_metrics, data.y[data.test], predictions)
    metric = recipe.search_metric
    sign = -1.0 if METRICS[recipe.kind][metric].lower_is_better else 1.0
    result: dict[str, Json] = {
        "fold": data.fold,
        "scores": {key: None if np.isnan(one) else one for key, one in scores.items()},
        "search_score": {metric: sign * mean},
        "chosen": dict(chosen),
        "candidate": found.best,
        "n_train": int(train.sum()),
        "n_test": int(data.test.sum()),
        "n_unconverged": found.n_unconverged,
        "converged": predictions.converged,
        "seconds": round(time.perf_counter() - start, 3),
    }
    checkpoint.put(name, result)
    return result
