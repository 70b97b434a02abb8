"""A pool of the runner evaluate whose tasks were run in this process: singles, ensembles, folds."""

from pathlib import Path

from jobpool.experiment.config import load_experiment
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.task import Value
from tests.support.simulated import SimulatedWorker
from tests.support.strategies_study import StrategiesStudy

ENSEMBLES = ("voted_abc_x2", "stacked_abc_x2", "grid_abc_x2")
CUT = "c"  # enters as one task per fold


def a_finished_study(folder: Path) -> Path:
    """Make the pool, run some of its tasks, and return its folder."""
    study = StrategiesStudy(folder)
    study.config["axes"] |= {"pipeline": ["elastic", "svm", "lgbm"], "target": ["age", "sex"]}
    study.config["evaluate"] |= {"predictions": "keep", "by_fold": {"parcellations": [CUT]}}
    worker = SimulatedWorker(study.made())
    runner, grid = (
        Evaluate(load_experiment(study.file, forms=forms_of), study.pool),
        worker.pool.grid,
    )
    for position in range(len(grid)):
        if is_run(dict(grid.point(position))):
            claim = worker.claim(position)
            context = RunContext(
                cores=1, cache=study.pool / "cache", checkpoint=study.pool / "checkpoints" / "one"
            )
            worker.finish(claim, **runner.run(dict(claim.point), context))
    return study.pool


def is_run(point: dict[str, Value]) -> bool:
    """Say whether a task is run: each pipeline alone, each strategy, and one in two folds."""
    elastic = point["pipeline"] == "elastic"
    if point["parcellation"] == CUT:
        return elastic and point["target"] == "age"
    whole = point["fold"] == "all"
    return whole and (
        point["parcellation"] == "a" or (elastic and point["parcellation"] in ENSEMBLES)
    )
