"""What ``init`` says that it understood, line by line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobpool.learning.targets import read_target
from jobpool.learning.understood import target_lines
from tests.conftest import Jobpool
from tests.learning.test_targets import settings_of
from tests.support.brain_study import StudyOnDisk

ANSWERS = [*["no"] * 74, *["Yes"] * 46]


def lines_of(values: Any, **settings: object) -> list[str]:
    target = read_target(pd.DataFrame({"y": values}), "y", settings_of(settings))
    return list(target_lines(target))


@pytest.mark.parametrize(
    ("values", "settings", "line"),
    [
        (ANSWERS, {}, "y: binary, 1 = no (74), 0 = Yes (46) [2 different values]"),
        ([1, 2, 2, None], {}, "y: binary, 1 = 2 (2), 0 = 1 (1) [2 different values]; 1 missing"),
        (
            [1, 2, 2],
            {"kind": "regression"},
            "y: regression, 3 numbers from 1 to 2, mean 1.667, SD 0.5774 [kind: regression]",
        ),
        (
            [20, 30, 41],
            {},
            "y: regression, 3 numbers from 20 to 41, mean 30.33, SD 10.5 [3 different values]",
        ),
        (
            [0, 2, 3, 6],
            {"threshold": 2},
            "y: binary, 1 = y > 2 (2), 0 = y <= 2 (2) [by threshold 2]",
        ),
        (
            ["l", "r", "b", None],
            {"positive": ["l"], "negative": ["r"]},
            "y: binary, 1 = y: l (1), 0 = y: r (1) [by the list of positive values]"
            "; 1 missing; 1 neither positive nor negative",
        ),
        (
            [*range(20), 1000],
            {"outliers_sd": 3},
            "y: regression, 20 numbers from 0 to 19, mean 9.5, SD 5.916 [21 different values]"
            "; 1 an outlier",
        ),
    ],
)
def test_a_line_says_of_which_kind_a_target_is(
    values: Any, settings: dict[str, object], line: str
) -> None:
    assert lines_of(values, **settings) == [line]


def test_codes_for_missing_in_a_target_are_named_with_a_cure() -> None:
    said = lines_of([34, 51, 28, 47, 999, -9, 999])[1]

    assert said == (
        "  look at y: -9 (1), 999 (2) may stand for missing; if so, list them under missing"
    )


def test_codes_above_a_threshold_are_named() -> None:
    assert "999 (1)" in lines_of([0, 1, 2, 3, 999], threshold=2)[1]


@pytest.mark.parametrize("values", [[9, 10, 9], ["9", "10", "9"], [9.0, 10.0, 9.0]])
def test_the_larger_of_two_numbers_is_the_positive_class(values: list[object]) -> None:
    target = read_target(pd.DataFrame({"y": values}), "y", settings_of({}))

    np.testing.assert_array_equal(target.y, [0, 1, 0])


def test_a_dry_run_says_what_it_understood(tmp_path: Path, jobpool: Jobpool) -> None:
    study = StudyOnDisk(tmp_path)
    study.table["sex"] = ["no" if one < 74 else "Yes" for one in range(120)]
    study.table["age"] = [40 + one % 30 for one in range(119)] + [-999]
    study.table.loc[3:5, "family"] = "family-00"

    shown = jobpool("init", study.written(), tmp_path / "new", "--dry-run")

    lines = shown.stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if "participants" in line)
    assert lines[first : first + 8] == [
        "  participants  120 in table.csv, by id",
        "  groups        39 by family, the largest family-00: 6 of 120 participants",
        "  maps          120, each of 900 vertices, 2 modalities",
        "  parcels       1 hard of 12 parcels; 1 soft of 5 parcels",
        "  targets       age: regression, 120 numbers from -999 to 69, mean 45.6, SD 96.54 "
        "[31 different values]",
        "                  look at age: -999 (1) may stand for missing; if so, list them under "
        "missing",
        "                sex: binary, 1 = no (74), 0 = Yes (46) [2 different values]",
        "  folds         5 outer, in the training part of each 3 inner",
    ]


def test_of_many_targets_those_with_codes_are_shown(tmp_path: Path, jobpool: Jobpool) -> None:
    study = StudyOnDisk(tmp_path)
    for number in range(30):
        study.table[f"score_{number}"] = study.table["age"].round() + number
    study.table.loc[7, "score_25"] = 9999
    study.config["axes"]["target"] = [f"score_{number}" for number in range(30)]

    shown = jobpool("init", study.written(), tmp_path / "new", "--dry-run").stdout

    assert "look at score_25: 9999 (1)" in shown
    assert "... and 20 more targets" in shown
    assert "score_20: regression" not in shown


def test_a_group_that_looks_like_a_code_for_missing_is_named(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    study = StudyOnDisk(tmp_path)
    study.table.loc[10:30, "family"] = "unknown"

    shown = jobpool("init", study.written(), tmp_path / "new", "--dry-run").stdout

    assert "look at family: unknown (21) may stand for missing" in shown
