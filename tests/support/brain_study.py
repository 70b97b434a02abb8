"""A small study of generated brain maps on disk, made in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from jobpool.brain.arrays import Array
from jobpool.errors import ConfigError
from jobpool.experiment.config import load_experiment
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.task import Value

N, VERTICES = 120, 900
LABELS = np.arange(VERTICES, dtype=np.int32) % 13 * 100  # 12 parcels, up to 1200, in steps of 100


class StudyOnDisk:
    """A small study on disk, and a pool folder for it."""

    def __init__(self, folder: Path, n: int = N) -> None:
        self.folder, self.pool = folder, folder / "pool"
        self.file = folder / "study.yaml"
        self.pool.mkdir()
        rng = np.random.default_rng(0)
        self.maps = rng.normal(size=(n, VERTICES, 2))
        np.save(folder / "maps.npy", self.maps)
        np.save(folder / "hard.npy", LABELS)
        np.save(folder / "soft.npy", rng.random((VERTICES, 5)))
        age = 50 + 40 * self.roi()[:, 3] + rng.normal(size=n)
        self.table = pd.DataFrame(
            {
                "id": [f"{one:03}" for one in range(n)],
                "family": [f"family-{one // 3:02}" for one in range(n)],
                "age": age,
                "sex": np.where(age + rng.normal(size=n) * 3 > 50, "m", "f"),
                "site": [f"site {one % 3}" for one in range(n)],
            }
        )
        self.config: dict[str, Any] = {
            "runner": "evaluate",
            "seed": 4,
            "axes": {
                "parcellation": [{"glob": "hard.npy"}, {"glob": "soft.npy"}],
                "pipeline": ["elastic"],
                "target": ["age", "sex"],
            },
            "evaluate": {
                "maps": "maps.npy",
                "participants": "table.csv",
                "id": "id",
                "group": "family",
                "candidates": 4,
            },
        }

    def roi(self) -> Array:
        """Return the ROI values of the hard parcellation, shape (n, 24), by plain NumPy."""
        labels = [label for label in np.unique(LABELS) if label > 0]
        columns = [
            self.maps[:, label == LABELS, modality].mean(axis=1)
            for modality in (0, 1)
            for label in labels
        ]
        return np.stack(columns, axis=1)

    def write_maps_one_by_one(self, folder: Path) -> None:
        folder.mkdir()
        for name, values in zip(self.table["id"], self.maps, strict=True):
            np.save(folder / f"{name}.npy", values)

    def written(self) -> Path:
        self.table.to_csv(self.folder / "table.csv", index=False)
        self.file.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return self.file

    def checked(self) -> Evaluate:
        """Return the runner as it is made where there is no pool yet."""
        return Evaluate(load_experiment(self.written(), forms=forms_of))

    def runner(self) -> Evaluate:
        """Return the runner as a worker makes it."""
        self.checked().prepare(self.pool)
        return Evaluate(load_experiment(self.file, forms=forms_of), self.pool)

    def run(self, cores: int = 1, **point: Value) -> dict[str, Any]:
        context = RunContext(
            cores=cores, cache=self.pool / "cache", checkpoint=self.pool / "checkpoint"
        )
        usual: dict[str, Value] = {"parcellation": "hard", "pipeline": "elastic", "target": "age"}
        return dict(self.runner().run(usual | point, context))

    def problems(self) -> dict[str, str]:
        """Return the advice about each key."""
        with pytest.raises(ConfigError) as caught:
            self.checked()
        return {problem.key: problem.advice for problem in caught.value.problems}


def without_seconds(result: dict[str, Any]) -> dict[str, Any]:
    folds = [{**fold, "seconds": None} for fold in result["folds"]]
    # the same values in other files have another key
    return {**result, "folds": folds, "seconds": None, "roi_values": None}


def scores(result: dict[str, Any], name: str) -> list[float]:
    return [fold["scores"][name] for fold in result["folds"]]
