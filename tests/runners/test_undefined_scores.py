"""Targets that have one value in some fold, and searches that cannot decide."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error

from jobpool.runners.evaluate.results import result_rows
from tests.support.brain_study import StudyOnDisk, scores
from tests.support.evaluate_study import N, StrategiesStudy


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    """Return a study of symptoms that the participants of one clinic of five have."""
    study = StudyOnDisk(tmp_path, 60)
    rng = np.random.default_rng(1)
    study.table["family"] = [f"clinic {one // 12}" for one in range(60)]
    study.table["symptoms"] = np.where(np.arange(60) < 12, rng.integers(0, 9, 60), 0)
    study.config["axes"]["target"] = ["symptoms"]
    study.config["evaluate"] |= {
        "inner_folds": 2,
        "metrics": {"regression": ["r2", "explained_variance", "mae"]},
    }
    return study


def one_row(result: dict[str, Any]) -> dict[str, Any]:
    return dict(result_rows(result, "task")[0])


@pytest.mark.parametrize("pipeline", ["elastic", "svm"])
def test_a_fold_with_one_value_has_no_share_of_variance(study: StudyOnDisk, pipeline: str) -> None:
    study.config["axes"]["pipeline"] = pipeline
    result = study.run(pipeline=pipeline, target="symptoms")

    found: list[float | None] = [*scores(result, "explained_variance")]
    assert found.count(None) == 4


def test_the_mean_over_folds_is_missing_where_a_score_is_not_defined(study: StudyOnDisk) -> None:
    row = one_row(study.run(target="symptoms"))

    assert (row["r2"], row["explained_variance"]) == (None, None)
    assert row["n_undefined"] == 4 * 2  # r2, explained variance


def test_an_error_stays_what_it_is(study: StudyOnDisk) -> None:
    row = one_row(study.run(target="symptoms"))

    y = study.table["symptoms"].to_numpy(float)
    constant = [mean_absolute_error(y[:12], np.zeros(12))]  # learned from clinics without any
    assert max(row[f"mae_fold{fold}"] for fold in range(5)) == pytest.approx(constant[0])


def test_a_search_without_any_part_to_compare_on_is_not_decided(study: StudyOnDisk) -> None:
    result = study.run(target="symptoms")

    (all_zero,) = [fold for fold in result["folds"] if fold["scores"]["r2"] is not None]
    assert all_zero["search_decided"] is False
    assert all_zero["n_inner_undefined"] == 2
    assert all_zero["search_score"] == {"explained_variance": None}


def test_a_row_counts_the_searches_that_decided_nothing(study: StudyOnDisk) -> None:
    row = one_row(study.run(target="symptoms"))

    assert row["search_decided"] is False
    assert row["n_undecided"] >= 1
    assert row["n_inner_undefined"] == 4 + 2  # one inner part of two, and both where all are zero


def test_a_search_that_finds_one_best_candidate_is_decided(tmp_path: Path) -> None:
    study = StudyOnDisk(tmp_path)
    study.config["evaluate"]["candidates"] = 20

    row = one_row(study.run(target="age"))

    assert row["search_decided"] is True
    assert (row["n_undecided"], row["n_inner_undefined"], row["n_undefined"]) == (0, 0, 0)


@pytest.mark.parametrize("strategy", ["voted", "stacked", "grid"])
def test_an_ensemble_on_such_a_target_is_not_decided(tmp_path: Path, strategy: str) -> None:
    study = StrategiesStudy(tmp_path)
    clinic = np.arange(N) % 20
    study.table["family"] = [f"clinic {one}" for one in clinic]
    study.table["age"] = np.where(clinic == 0, np.arange(N), 0)
    study.made()

    row = one_row(study.evaluate(f"{strategy}_abc_x2"))

    assert (row["search_decided"], row["r2"]) == (False, None)
    assert row["n_undefined"] == 2  # r2 and explained variance of the fold without clinic 0
