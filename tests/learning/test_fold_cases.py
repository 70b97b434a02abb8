"""What `init` says of the cases in every fold, before there is a pool."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.brain_study import StudyOnDisk
from tests.support.evaluate_study import StrategiesStudy


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    study = StudyOnDisk(tmp_path, 136)
    study.table["family"] = [f"family-{one}" for one in range(136)]
    study.table["sex"] = np.where(np.arange(136) % 7 == 0, "f", "m")  # 20 women
    study.config["axes"]["target"] = ["sex"]
    return study


def lines(study: StudyOnDisk, label: str) -> list[str]:
    """Return the lines under a label."""
    found, last = [], ""
    for one, text in study.checked().understood():
        last = one or last
        found += [text] if last == label else []
    return found


def test_the_cases_of_every_fold_are_named_with_the_smallest_first(study: StudyOnDisk) -> None:
    assert lines(study, "cases") == [
        "sex, 5 outer test parts - f: 4, 4, 4, 4, 4; m: 23, 23, 23, 23, 24",
        "sex, 15 inner test parts - f: 5, 5, 5, 5, ... 6; m: 30, 31, 31, 31, ... 31",
    ]


def test_a_holdout_is_a_level_of_its_own(study: StudyOnDisk) -> None:
    study.config["axes"]["pipeline"] = ["lgbm"]

    found = lines(study, "cases")

    assert [one.split(" - ")[0] for one in found] == [
        "sex, 5 outer test parts",
        "sex, 5 holdouts",
    ]


def test_the_fits_of_a_strategy_are_a_level_of_their_own(tmp_path: Path) -> None:
    study = StrategiesStudy(tmp_path)
    study.config["axes"]["target"] = ["sex"]

    found = lines(study, "cases")

    assert found[-1].startswith("sex, 18 inner test parts of fits without an inner fold - ")


def test_a_class_with_few_cases_in_a_test_part_is_warned_of(study: StudyOnDisk) -> None:
    found = lines(study, "look at")

    assert found == [
        "sex: 5 of 5 outer test parts have fewer than 5 f, the fewest 4: their scores move in "
        "large steps"
    ]


def test_an_inner_part_without_a_class_is_warned_of(study: StudyOnDisk) -> None:
    study.config["evaluate"]["splits"] = "plain"
    study.config["evaluate"]["inner_folds"] = 12

    found = lines(study, "look at")

    assert any("have no f, so candidates are not compared there" in one for one in found)


def test_enough_cases_are_no_reason_to_look(study: StudyOnDisk) -> None:
    study.table["sex"] = np.where(np.arange(136) % 3 == 0, "f", "m")

    assert lines(study, "look at") == []


def test_outer_folds_in_which_everybody_has_one_value_are_named(study: StudyOnDisk) -> None:
    study.table["family"] = [f"clinic {one % 8}" for one in range(136)]
    study.table["symptoms"] = np.where(np.arange(136) % 8 == 0, np.arange(136), 0)
    study.config["axes"]["target"] = ["symptoms"]

    found = lines(study, "look at")

    assert found[0].startswith("symptoms: everybody tested in outer folds ")
    assert "r2 and the like are not defined there" in found[0]
    assert "so candidates are not compared there" in found[1]


def test_the_thirds_of_a_continuous_target_are_counted(study: StudyOnDisk) -> None:
    study.config["axes"]["target"] = ["age"]
    study.config["evaluate"]["splits"] = "thirds"

    found = lines(study, "cases")

    assert found[0].startswith("age, 5 outer test parts - ")
    assert "upper third: 9, 9, 9, 9, 9" in found[0]


def test_candidates_that_can_only_predict_a_constant_are_counted(study: StudyOnDisk) -> None:
    study.config["axes"] |= {"pipeline": ["lgbm"], "target": ["age"]}
    del study.config["evaluate"]["candidates"]

    found = lines(study, "look at")

    assert len(found) == 1
    assert found[0].startswith("age: 17")
    assert "of 180 candidates of lgbm can only predict a constant when they learn from" in found[0]


@pytest.mark.parametrize("target", ["age", "sex"])
def test_leaves_as_small_as_the_study_leave_no_candidate_constant(
    study: StudyOnDisk, target: str
) -> None:
    study.table["sex"] = np.where(np.arange(136) % 3 == 0, "f", "m")
    study.config["axes"] |= {"pipeline": ["lgbm"], "target": [target]}
    study.config["evaluate"] |= {"lgbm_space": "by_size", "candidates": 180}

    assert lines(study, "look at") == []


def test_a_search_with_small_leaves_is_decided(study: StudyOnDisk) -> None:
    study.config["axes"] |= {"pipeline": ["lgbm"], "target": ["age"]}
    study.config["evaluate"] |= {"lgbm_space": "by_size", "candidates": 20}

    (fold,) = study.run(pipeline="lgbm", target="age", fold=0)["folds"]

    assert (fold["search_decided"], fold["n_constant_candidates"]) == (True, 0)
    assert fold["chosen"]["min_child_samples"] <= 10


def test_a_result_counts_candidates_that_can_only_predict_a_constant(study: StudyOnDisk) -> None:
    study.config["axes"] |= {"pipeline": ["lgbm"], "target": ["age"]}
    study.config["evaluate"]["candidates"] = 20

    (fold,) = study.run(pipeline="lgbm", target="age", fold=0)["folds"]

    assert 15 < fold["n_constant_candidates"] <= 20
    assert fold["n_tied"] >= fold["n_constant_candidates"] or fold["search_decided"]


def test_a_target_that_groups_leave_without_cases_is_refused(study: StudyOnDisk) -> None:
    study.table["family"] = np.where(study.table["sex"] == "f", "ward", study.table["family"])

    assert "where every part needs both classes" in study.problems()["axes.target"]


def test_many_targets_do_not_fill_the_screen(study: StudyOnDisk) -> None:
    more = pd.DataFrame({f"t{one}": study.table["sex"] for one in range(30)})
    study.table = pd.concat([study.table, more], axis=1)
    study.config["axes"]["target"] = list(more)

    assert len(lines(study, "cases")) < 15
    assert lines(study, "look at")[-1] == "... and 19 more like these"
