"""Pools of the runner `evaluate` with ensembles, made in one line; tasks run in this process."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from jobpool.admin.create import create_pool
from jobpool.experiment.config import load_experiment
from jobpool.journal.results import all_results
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.task import ALL, Value
from tests.support.brain_study import VERTICES, StudyOnDisk
from tests.support.simulated import SimulatedWorker

N = 60
SIZES = {"a": 4, "b": 6, "c": 9}  # name and parcels of each member
ENSEMBLES = ("voted_abc_x2", "stacked_abc_x2", "grid_abc_x2")
SPLIT = "c"  # enters as one task per fold


class StrategiesStudy(StudyOnDisk):
    """Three parcellations, and all three strategies over the first two and over all of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, N)
        for name, size in SIZES.items():
            np.save(folder / f"{name}.npy", np.arange(VERTICES, dtype=np.int32) % size + 1)
        self.config["axes"] = {
            "parcellation": [
                {"glob": "[abc].npy"},
                {
                    "strategies": ["voted", "stacked", "grid"],
                    "sets": [{"name": "abc", "members": ["a", "b", "c"], "counts": [2, 3]}],
                },
            ],
            "pipeline": ["elastic"],
            "target": ["age"],
        }
        self.config["evaluate"] |= {"outer_folds": 2, "inner_folds": 3, "candidates": 2}

    def made(self) -> Path:
        """Make the pool and return its folder."""
        shutil.rmtree(self.pool)
        experiment = load_experiment(self.written(), forms=forms_of)
        runner = Evaluate(experiment)
        create_pool(self.pool, experiment, runner.task_grid(), runner.prepare, now=time.time())
        return self.pool

    def evaluate(self, parcellation: str, **point: Any) -> dict[str, Any]:
        """Run one task in this process, as a worker that has just started."""
        runner = Evaluate(load_experiment(self.file, forms=forms_of), self.pool)
        context = RunContext(
            cores=1, cache=self.pool / "cache", checkpoint=self.pool / "checkpoints" / parcellation
        )
        usual = {"pipeline": "elastic", "target": "age", "fold": ALL}
        return dict(runner.run({"parcellation": parcellation, **usual, **point}, context))

    def with_fits_of(self, other: "StrategiesStudy") -> "StrategiesStudy":
        """Make the pool, and put the fits of another study's pool into its cache."""
        shutil.copytree(other.pool / "cache/fits", self.made() / "cache/fits")
        return self


def fits_made(pool: Path) -> int:
    """Return how many fits the finished tasks of a pool made."""
    return sum(one.result["fits"]["made"] for one in all_results(pool))


def a_finished_study(folder: Path) -> Path:
    """Make a pool of singles, ensembles and folds, run some of its tasks, and return its folder."""
    study = StrategiesStudy(folder)
    study.config["axes"] |= {"pipeline": ["elastic", "svm", "lgbm"], "target": ["age", "sex"]}
    study.config["evaluate"] |= {"predictions": "keep", "by_fold": {"parcellations": [SPLIT]}}
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
    if point["parcellation"] == SPLIT:
        return elastic and point["target"] == "age"
    whole = point["fold"] == "all"
    return whole and (
        point["parcellation"] == "a" or (elastic and point["parcellation"] in ENSEMBLES)
    )
