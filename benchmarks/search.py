"""The time and memory of a search by jobpool, and of the same search by RandomizedSearchCV.

    python -m benchmarks.search [--pipeline elastic] [--kind binary] [--cores 1 2]

One task in full: candidates on the inner folds of one outer fold, or of all with ``--folds all``,
then the best fitted to the outer training part and used on the outer test part. The plain side is
what a user of scikit-learn writes: a `Pipeline` of scaler and estimator in `RandomizedSearchCV`,
with the same candidates, splits, score and cores. Each side runs in processes of its own, with
single-threaded linear algebra; memory is the most that they hold at once, pages that they share
counted once. The differences are those between the candidates' scores of the two sides, as far as
jobpool scored them: what cannot win is passed over.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from joblib import Parallel, delayed
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler
from threadpoolctl import threadpool_limits

from benchmarks.figures import machine, say, table
from benchmarks.problems import PROBLEMS, Problem
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.methods import random_search
from jobpool.learning.parallel import in_processes
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import Kind, Pipeline, Settings
from jobpool.learning.search import Recipe, TrainingData, Trials
from jobpool.learning.splits import deal_groups

SEED = 1
N_OUTER, N_INNER = 5, 3
SCORINGS = {"regression": "explained_variance", "binary": "matthews_corrcoef"}
SIDES = ("plain", "jobpool")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def inner_splits(pipeline: Pipeline, train: Any) -> list[tuple[Any, Any]]:
    """Return positions within the outer training part: of the training and the test parts."""
    if pipeline.holdout is None:
        n_folds, tested = N_INNER, range(N_INNER)
    else:
        n_folds, tested = round(1 / pipeline.holdout), range(1)
    folds = deal_groups([str(one) for one in train.tolist()], n_folds, "inner")
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in tested]


def search_by_jobpool(
    pipeline: Pipeline, data: tuple[Any, Any], kind: str, candidates: Sequence[Any], cores: int
) -> Any:
    """Return what searches and predicts, given an outer training and test part."""
    recipe = Recipe(
        pipeline=pipeline,
        kind=Kind(kind),
        settings=Settings(),
        seed=SEED,
        n_candidates=len(candidates),
    )

    def run(train: Any, test: Any) -> Any:
        X, y = data[0][train], data[1][train]
        inner = np.full(len(train), -1)
        for number, (_, held) in enumerate(inner_splits(pipeline, train)):
            inner[held] = number
        training = TrainingData(name="", X=X, y=y, inner=inner, rank=np.arange(len(y)) / len(y))
        checkpoint = Checkpoint(Path("none"), {}, every_s=float("inf"))
        trials = Trials(recipe=recipe, data=training, cores=cores, checkpoint=checkpoint)
        found = random_search(trials)
        every = np.arange(len(data[1]))
        split = recipe.split(*data, np.isin(every, train), np.isin(every, test))
        prepared = recipe.solver.prepare(split)
        next(iter(recipe.solver.solve(prepared, [candidates[found.best]])))
        return found.scores

    return run


def search_by_scikit_learn(
    pipeline: Pipeline, data: tuple[Any, Any], kind: str, candidates: Sequence[Any], cores: int
) -> Any:
    """Return what searches and predicts, given an outer training and test part."""
    settings = Settings()
    models = [pipeline.make(Kind(kind), one, settings, SEED) for one in candidates]
    scaler = RobustScaler(quantile_range=(5, 95)) if pipeline.scaled else "passthrough"
    whole = make_pipeline(scaler, models[0])
    step = whole.steps[-1][0]

    def run(train: Any, test: Any) -> Any:
        X, y = data[0][train], data[1][train]
        splits = inner_splits(pipeline, train)
        search = RandomizedSearchCV(
            whole,
            {step: models},
            n_iter=len(models),
            scoring=SCORINGS[kind],
            cv=splits,
            n_jobs=cores,
            random_state=SEED,
        )
        search.fit(X, y)
        search.predict(data[0][test])
        found = search.cv_results_
        columns = np.array([found[f"split{one}_test_score"] for one in range(len(splits))]).T
        drawn = {id(one[step]): row for row, one in enumerate(found["params"])}
        return columns[[drawn[id(model)] for model in models]]

    return run


def warm_up(cores: int) -> None:
    """Start the processes: a worker keeps them, and tasks do not pay for their imports."""
    if cores > 1:
        Parallel(n_jobs=cores)(delayed(len)(PIPELINES) for _ in range(4 * cores))
        list(in_processes(len, [PIPELINES] * 4 * cores, cores))  # jobpool's are others


def run_side(options: argparse.Namespace) -> None:
    """Run one side, and write seconds and scores."""
    pipeline = PIPELINES[options.pipeline]
    (kind,) = options.kind
    problem = problems_of(options)[0]
    count = options.candidates or pipeline.n_candidates
    candidates = pipeline.candidates(Kind(kind), count, SEED)
    data = problem.load()
    outer = deal_groups([str(one) for one in range(len(data[1]))], N_OUTER, "outer")
    make = {"plain": search_by_scikit_learn, "jobpool": search_by_jobpool}[options.side]
    run = make(pipeline, data, kind, candidates, options.cores[0])
    folds = range(N_OUTER if options.folds == "all" else 1)
    warm_up(options.cores[0])
    start = time.perf_counter()
    with threadpool_limits(1):
        scores = [run(np.flatnonzero(outer != one), np.flatnonzero(outer == one)) for one in folds]
    seconds = time.perf_counter() - start
    peak = psutil.Process().memory_info().rss  # for a run between two looks from outside
    np.savez(options.side_file, seconds=seconds, peak=peak, scores=np.hstack(scores))


def held_bytes(process: psutil.Process) -> int:
    """Return what a process and all under it hold now, shared pages counted once."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:  # it just ended
            continue
    return total


def measure(options: argparse.Namespace, problem: Problem, cores: int, side: str) -> dict[str, Any]:
    """Run one side in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.npz"
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.search", "--side", side]
        command += ["--side-file", str(path), "--pipeline", options.pipeline]
        command += ["--kind", problem.kind, "--problem", problem.name, "--cores", str(cores)]
        command += ["--folds", options.folds, "--candidates", str(options.candidates)]
        environment = {**os.environ, **ONE_THREAD, "PYTHONWARNINGS": "ignore"}
        running = subprocess.Popen(command, env=environment)
        watched, peak = psutil.Process(running.pid), 0
        while running.poll() is None:
            try:
                peak = max(peak, held_bytes(watched))
            except psutil.Error:  # it just ended
                break
            time.sleep(0.1)
        if running.wait():
            raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}")
        with np.load(path) as found:
            return {
                "seconds": float(found["seconds"]),
                "megabytes": max(peak, int(found["peak"])) / 1e6,
                "scores": found["scores"],
            }


def row(options: argparse.Namespace, problem: Problem, cores: int) -> list[object]:
    """Measure both sides of one problem."""
    say(f"{problem.kind}, {problem.name}, {cores} cores")
    plain, fast = (measure(options, problem, cores, side) for side in SIDES)
    differences = np.abs(plain["scores"] - fast["scores"])
    means = [one["scores"].mean(axis=1) for one in (plain, fast)]
    best = [int(np.nanargmax(one)) for one in means]  # a candidate passed over has no mean
    return [
        f"{problem.kind}, {problem.name}",
        cores,
        f"{plain['seconds']:.1f}",
        f"{fast['seconds']:.1f}",
        f"{plain['seconds'] / fast['seconds']:.1f}",
        f"{plain['megabytes']:.0f}",
        f"{fast['megabytes']:.0f}",
        f"{np.nanmedian(differences):.1e}",
        f"{np.nanmax(differences):.1e}",
        "same" if best[0] == best[1] else json.dumps(best),
    ]


HEADER = (
    "problem",
    "cores",
    "plain s",
    "jobpool s",
    "ratio",
    "plain MB",
    "jobpool MB",
    "median diff",
    "max diff",
    "best",
)


def problems_of(options: argparse.Namespace) -> list[Problem]:
    """Return the problems that are asked for."""
    spaces = PIPELINES[options.pipeline].spaces
    asked = [one for kind in options.kind if Kind(kind) in spaces for one in PROBLEMS[kind]]
    return [one for one in asked if not options.problem or options.problem in one.name]


def main() -> int:
    parser = argparse.ArgumentParser(description="Time searches by jobpool and by scikit-learn.")
    parser.add_argument("--pipeline", choices=sorted(PIPELINES), default="elastic")
    parser.add_argument("--kind", nargs="*", choices=sorted(PROBLEMS), default=sorted(PROBLEMS))
    parser.add_argument("--problem", default="", help="only those with this in their name")
    parser.add_argument("--cores", type=int, nargs="*", default=[1])
    parser.add_argument("--folds", choices=("one", "all"), default="one", help="outer folds")
    parser.add_argument("--candidates", type=int, default=0, help="default: the pipeline's own")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--side-file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options)
        return 0
    print(machine())
    rows = []
    for problem in problems_of(options):
        if problem.needs is not None and not problem.needs.is_dir():
            say(f"{problem.name} is left out: there is no folder {problem.needs}")
            continue
        rows += [row(options, problem, cores) for cores in options.cores]
    print(table(HEADER, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
