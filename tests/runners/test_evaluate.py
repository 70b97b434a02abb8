"""What a task of the runner ``evaluate`` returns, whole or in parts, and which tasks there are."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn

from jobpool.learning.pipelines import PIPELINES
from jobpool.runners.evaluate.results import EvaluateResults
from jobpool.task import Json
from tests.support.brain_study import VERTICES, N, StudyOnDisk, scores, without_seconds

# counts every time that a process opens the maps while it evaluates two targets
COUNTING = """
import sys
from pathlib import Path
from jobpool.experiment.config import load_experiment
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.runner import Evaluate

config, pool, *targets = sys.argv[1:]
runner = Evaluate(load_experiment(Path(config)), Path(pool))
opened = []
sys.addaudithook(
    lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None
)
context = RunContext(cores=1, cache=Path(pool) / "cache", checkpoint=Path(pool))
for target in targets:
    opened.clear()
    runner.run({"parcellation": "hard", "pipeline": "elastic", "target": target}, context)
    print(sum(name.endswith("maps.npy") for name in opened))
"""


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    return StudyOnDisk(tmp_path)


def test_merged_folds_equal_the_whole_task(study: StudyOnDisk) -> None:
    whole = study.run(target="sex")
    parts = [study.run(target="sex", fold=fold) for fold in (3, 0, 4, 1, 2)]

    merged = EvaluateResults().merge(parts)

    assert without_seconds(merged) == without_seconds(whole)


def test_seconds_of_parts_add_up(study: StudyOnDisk) -> None:
    part = study.run(fold=0)

    merged = EvaluateResults().merge([part, {**part, "seconds": {"values": 1.0, "total": 2.0}}])

    assert merged["seconds"]["total"] == pytest.approx(part["seconds"]["total"] + 2, abs=1e-3)  # type: ignore[index,call-overload]


def test_parts_made_by_other_versions_name_both(study: StudyOnDisk) -> None:
    part = study.run(fold=0)
    other = {**part, "versions": {**part["versions"], "numpy": "0.1"}}

    merged: dict[str, Any] = EvaluateResults().merge([part, other])

    assert merged["versions"]["numpy"] == f"0.1, {np.__version__}"


@pytest.mark.parametrize("target", ["age", "sex"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_task_on_two_cores_equals_the_task_on_one(
    study: StudyOnDisk, pipeline: str, target: str
) -> None:
    np.save(study.folder / "hard.npy", np.arange(VERTICES) + 1)
    study.config["axes"]["pipeline"] = pipeline
    # splits above 1 MB, which are memory-mapped, and at least two chunks of candidates
    n_candidates = {"svm": 11, "lgbm": 13}.get(pipeline, 6)
    study.config["evaluate"] |= {"inner_folds": 5, "candidates": n_candidates}
    one = study.run(pipeline=pipeline, target=target, fold=1)

    two = study.run(pipeline=pipeline, target=target, fold=1, cores=2)

    assert without_seconds(two) == without_seconds(one)


def test_a_result_is_plain_json(study: StudyOnDisk) -> None:
    result: dict[str, Json] = study.run(target="sex", fold=0)

    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_row_has_means_with_every_fold_beside_them(study: StudyOnDisk) -> None:
    result = study.run(target="sex")

    (row,) = EvaluateResults().rows(result, "task")

    assert row["roc_auc"] == pytest.approx(np.mean(scores(result, "roc_auc")))
    assert row["matthews_fold3"] == scores(result, "matthews")[3]
    assert row["C_fold2"] == result["folds"][2]["chosen"]["C"]


def test_the_result_tells_how_it_came_about(study: StudyOnDisk) -> None:
    result = study.run(target="sex", parcellation="soft", fold=0)

    assert (result["kind"], result["classes"]) == ("binary", ["f", "m"])
    assert (result["seed"], result["n_candidates"]) == (4, 4)
    assert (result["n_parcels"], result["n_empty_parcels"], result["n_features"]) == (5, 0, 10)
    assert result["versions"]["numpy"] == np.__version__


def test_a_participant_without_the_target_is_dropped_with_the_reason(study: StudyOnDisk) -> None:
    study.table.loc[[5, 17, 40], "age"] = np.nan

    result = study.run(target="age")

    assert result["participants"] == {
        "in_table": N,
        "used": N - 3,
        "dropped": {"age is missing": 3},
    }
    assert sum(fold["n_test"] for fold in result["folds"]) == N - 3


def test_a_missing_target_changes_no_other_task(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "holes").mkdir()
    full, holes = StudyOnDisk(tmp_path / "full"), StudyOnDisk(tmp_path / "holes")
    holes.table.loc[[5, 17, 40], "age"] = np.nan

    results = [one.run(target="sex") for one in (full, holes)]

    assert without_seconds(results[0]) == without_seconds(results[1])


def test_a_second_task_on_a_parcellation_opens_no_raw_map(study: StudyOnDisk) -> None:
    study.runner()
    command = [sys.executable, "-c", COUNTING, str(study.file), str(study.pool), "age", "sex"]

    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)

    first, second = map(int, done.stdout.split())
    assert first > 0
    assert second == 0


def test_a_small_parcellation_is_one_task_while_a_large_one_is_split_into_folds(
    study: StudyOnDisk,
) -> None:
    study.config["evaluate"]["by_fold"] = {"parcels": ">=12"}

    grid = study.checked().task_grid()

    entering = np.flatnonzero(~grid.parts.is_dormant).tolist()
    points = [dict(grid.point(position)) for position in entering]
    assert [one["fold"] for one in points if one["parcellation"] == "soft"] == ["all", "all"]
    assert [one["fold"] for one in points if one["parcellation"] == "hard"] == [*range(5)] * 2


def test_parcellations_are_split_into_folds_by_name(study: StudyOnDisk) -> None:
    study.config["evaluate"]["by_fold"] = {"parcellations": ["so*"]}

    grid = study.checked().task_grid()

    assert np.count_nonzero(~grid.parts.is_dormant) == 2 + 2 * 5
    assert grid.part_axis == "fold"


def test_every_task_that_enters_whole_can_be_split_into_folds_later(study: StudyOnDisk) -> None:
    study.config["evaluate"]["by_fold"] = {"parcellations": ["so*"]}

    grid = study.checked().task_grid()

    wholes = np.flatnonzero(grid.parts.column == 0).tolist()
    parts = [[dict(grid.point(part))["fold"] for part in grid.parts.of(one)] for one in wholes]
    assert parts == [[*range(5)]] * 2
    assert {dict(grid.point(one))["parcellation"] for one in wholes} == {"hard"}


def test_the_grid_knows_parcels_with_the_kind_of_each_target(study: StudyOnDisk) -> None:
    grid = study.checked().task_grid()

    found = {attribute.name: attribute.values for attribute in grid.attributes}
    assert found == {
        "parcels": (12, 5),
        "parcellation_kind": ("hard", "soft"),
        "parcellation_type": ("hard", "soft"),
        "strategy": ("single", "single"),
        "members": (1, 1),
        "inputs": ("hard", "soft"),
        "target_kind": ("regression", "binary"),
    }


def test_a_fold_without_a_score_leaves_the_mean_empty(study: StudyOnDisk) -> None:
    result = study.run()
    result["folds"][2]["scores"]["mse"] = None

    (row,) = EvaluateResults().rows(result, "task")

    assert row["mse"] is None
    assert row["mae"] is not None


def test_folds_of_the_same_data_name_one_value_in_their_row(study: StudyOnDisk) -> None:
    parts = [study.run(fold=0), study.run(fold=1)]

    (row,) = EvaluateResults().rows(EvaluateResults().merge(parts), "task")

    assert row["roi_values"] == parts[0]["roi_values"]


@pytest.mark.parametrize("pipeline", ["elastic", "svm"])
def test_settings_of_the_process_change_no_number(study: StudyOnDisk, pipeline: str) -> None:
    study.config["axes"]["pipeline"] = [pipeline]
    study.config["evaluate"]["scaling"] = "standard"
    expected = without_seconds(study.run(pipeline=pipeline))

    with sklearn.config_context(transform_output="pandas"), np.errstate(all="raise"):
        found = study.run(pipeline=pipeline)

    assert without_seconds(found) == expected
