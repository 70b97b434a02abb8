"""Folds that are unequal, because one group is large: the pooled score stands beside the mean."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from jobpool.analysis.study_table import from_results
from jobpool.analysis.whole import analyse
from jobpool.disk.locks import best_lock
from jobpool.runners.evaluate.results import EvaluateResults, merge_results
from jobpool.table.settings import PoolInfo, WorkerSettings
from tests.support.brain_study import StudyOnDisk

POINT = {"parcellation": "hard", "pipeline": "elastic", "target": "age"}


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    study = StudyOnDisk(tmp_path)
    study.table.loc[:59, "family"] = "a large one"
    study.config["evaluate"] |= {"predictions": "keep", "outer_folds": 3}
    info = PoolInfo(
        **{**asdict(WorkerSettings()), "lock": best_lock(study.pool)},
        name="study",
        runner="evaluate",
        folder=str(tmp_path),
        created=0.0,
        version="1.2.3",
    )
    info.write(study.pool)
    return study


def row_of(result: dict[str, Any]) -> dict[str, Any]:
    (row,) = EvaluateResults().rows(result, "task")
    return row


def test_the_pooled_score_is_that_of_all_predictions(study: StudyOnDisk) -> None:
    result = study.run()
    tables = [*study.runner().predictions(POINT, result, study.pool / "cache")]
    y, predicted = (np.concatenate([one[name] for one in tables]) for name in ("y", "predicted"))

    row = row_of(result)

    assert max(fold["n_test"] for fold in result["folds"]) == 60
    assert row["r2_pooled"] == pytest.approx(r2_score(y, predicted), rel=1e-9)
    assert row["r2_pooled"] != pytest.approx(row["r2"], abs=1e-4)


def test_folds_that_were_tasks_give_the_same_pooled_score(study: StudyOnDisk) -> None:
    parts = [study.run(fold=number) for number in range(3)]

    assert row_of(merge_results(parts))["r2_pooled"] == row_of(study.run())["r2_pooled"]


def test_equal_folds_have_no_pooled_score(tmp_path: Path) -> None:
    assert not any("pooled" in name for name in row_of(StudyOnDisk(tmp_path).run()))


def test_a_report_says_that_folds_are_unequal(study: StudyOnDisk) -> None:
    row = row_of(study.run())
    about = {**POINT, "parcels": 12, "parcellation_kind": "hard"}
    table = from_results(pd.DataFrame([about | row]), "POOL")

    found = analyse(table)

    assert any("age (30 to 60)" in note and "beside it" in note for note in found.notes)
    assert table.frame["pooled"].tolist() == [row["r2_pooled"]]


def test_folds_of_other_people_in_each_row_are_not_unequal(study: StudyOnDisk) -> None:
    row = row_of(study.run())
    sizes = pd.DataFrame(
        {f"n_test_fold{fold}": [10 + fold, 100 + fold] for fold in range(3)}
        | {"parcellation": ["few", "many"]}
    )
    about = {**POINT, "parcels": 12, "parcellation_kind": "hard"}
    rows = pd.DataFrame([about | row] * 2).assign(**sizes)

    table = from_results(rows, "POOL")

    assert dict(table.unequal) == {}
