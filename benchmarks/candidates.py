"""What a search costs beside the fits: time per candidate and inner fold, with fits of no length.

    python -m benchmarks.candidates

By jobpool on 1 and 2 cores, and by RandomizedSearchCV with a dummy estimator; 944 participants x
100 features, 600 candidates, 3 inner folds, medians of 5 runs.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import RandomizedSearchCV
from threadpoolctl import threadpool_limits

from benchmarks.figures import machine, table
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.pipelines.base import (
    Candidate,
    Dimension,
    Kind,
    Pipeline,
    Predictions,
    Settings,
    Split,
)
from jobpool.learning.search import Recipe, TrainingData, Trials
from jobpool.learning.splits import deal_groups

N, N_FEATURES, N_CANDIDATES, N_RUNS = 944, 100, 600, 5


@dataclass(frozen=True)
class Nothing:
    """A solver that fits nothing, in chunks of five."""

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        numbers = range(len(candidates))
        return [numbers[start : start + 5] for start in numbers[::5]]

    def prepare(self, split: Split) -> Split:
        return split

    def solve(self, prepared: Split, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        predicted = prepared.X_test[:, 0]
        for _ in candidates:
            yield Predictions(predicted=predicted, decision=predicted)


def by_jobpool(X: Any, y: Any, inner: Any, cores: int) -> Callable[[], object]:
    pipeline = Pipeline(
        name="nothing",
        spaces={Kind.REGRESSION: (Dimension(name="a"),)},
        make=lambda *_: None,
        solver=Nothing(),
    )
    recipe = Recipe(
        pipeline=pipeline,
        kind=Kind.REGRESSION,
        settings=Settings(),
        seed=1,
        n_candidates=N_CANDIDATES,
    )
    data = TrainingData(name="", X=X, y=y, inner=inner, rank=np.arange(N) / N)
    candidates = pipeline.candidates(Kind.REGRESSION, N_CANDIDATES, 1)

    def run() -> object:
        checkpoint = Checkpoint(Path("none"), {}, every_s=float("inf"))
        trials = Trials(recipe=recipe, data=data, cores=cores, checkpoint=checkpoint)
        return trials.score(candidates)

    return run


def by_scikit_learn(X: Any, y: Any, inner: Any, cores: int) -> Callable[[], object]:
    splits = [(np.flatnonzero(inner != one), np.flatnonzero(inner == one)) for one in range(3)]
    space = {"constant": np.arange(float(N_CANDIDATES))}
    search = RandomizedSearchCV(
        DummyRegressor(strategy="constant"),
        space,
        n_iter=N_CANDIDATES,
        scoring="explained_variance",
        cv=splits,
        n_jobs=cores,
        refit=False,
    )
    return lambda: search.fit(X, y)


def main() -> int:
    warnings.simplefilter("ignore")
    print(machine())
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, N_FEATURES)), rng.standard_normal(N)
    inner = deal_groups([str(one) for one in range(N)], 3, "inner")
    rows = []
    for cores in (1, 2):
        for name, make in (("jobpool", by_jobpool), ("RandomizedSearchCV", by_scikit_learn)):
            run = make(X, y, inner, cores)
            run()  # starts the processes
            seconds = []
            for _ in range(N_RUNS):
                start = time.perf_counter()
                with threadpool_limits(1):
                    run()
                seconds.append(time.perf_counter() - start)
            each = statistics.median(seconds) / (3 * N_CANDIDATES)
            rows.append([name, cores, f"{1000 * each:.2f}"])
    print(table(("search", "cores", "ms a candidate and fold"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
