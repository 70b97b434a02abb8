"""Making a pool from Python values."""

import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import jobpool
from jobpool.api.given import conditions
from tests.support import tasks

CONFIG = {
    "runner": "function",
    "seed": 3,
    "function": {"call": tasks.nothing},
    "axes": {"site": ("oslo", "berlin"), "number": range(3)},
    "passes": {"first": {"cores": 1, "memory_gb": np.float64(2), "walltime": "3:00:00"}},
}


class Site(StrEnum):
    OSLO = "oslo"


def test_a_dict_is_kept_as_readable_yaml(tmp_path: Path) -> None:
    jobpool.init(CONFIG, tmp_path / "study")

    assert (tmp_path / "study" / "experiment.yaml").read_text() == (
        "name: study\n"
        "runner: function\n"
        "seed: 3\n"
        "function: {call: 'tests.support.tasks:nothing'}\n"
        "axes:\n"
        "  site: [oslo, berlin]\n"
        "  number: [0, 1, 2]\n"
        "passes:\n"
        "  first: {cores: 1, memory_gb: 2.0, walltime: '3:00:00'}\n"
    )


def test_a_dict_makes_the_tasks_that_its_file_makes(tmp_path: Path) -> None:
    of_dict = jobpool.init(CONFIG, tmp_path / "a")

    of_file = jobpool.init(str(tmp_path / "a" / "experiment.yaml"), str(tmp_path / "b"))

    assert {task.id for task in of_dict} == {task.id for task in of_file}
    assert len(of_file) == 6


def test_relative_paths_of_a_dict_start_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.txt").touch()
    monkeypatch.chdir(tmp_path)
    config = {
        "runner": "function",
        "function": {"call": tasks.nothing},
        "axes": {"file": {"glob": "data/*.txt"}},
    }

    pool = jobpool.init(config, "pool")

    assert [dict(task.point) for task in pool] == [{"file": "one"}]


def test_problems_of_a_dict_are_named_by_its_keys(tmp_path: Path) -> None:
    config = {**CONFIG, "sead": 1, "axes": {"number": []}}

    with pytest.raises(jobpool.ConfigError) as caught:
        jobpool.init(config, tmp_path / "pool")

    assert "config: sead = 1: unknown key" in str(caught.value)
    assert "experiment.yaml" not in str(caught.value)


def test_a_value_that_no_file_can_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(jobpool.ConfigError, match=r"config: axes\.site = \{'oslo'\}: must be"):
        jobpool.init({**CONFIG, "axes": {"site": {"oslo"}}}, tmp_path / "pool")


@pytest.mark.parametrize("value", [Site.OSLO, pd.Timestamp("2020-01-01")])
def test_a_value_of_a_type_that_no_file_has_is_named(tmp_path: Path, value: object) -> None:
    with pytest.raises(jobpool.ConfigError, match=r"config: axes\.site\.1 = .*: must be text"):
        jobpool.init({**CONFIG, "axes": {"site": ["a", value]}}, tmp_path / "pool")


def test_a_function_that_workers_cannot_import_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    program = (
        "import jobpool\n"
        "def mine(number): return number\n"
        "config = {'runner': 'function', 'function': {'call': mine}, 'axes': {'number': [1]}}\n"
        "try:\n"
        "    jobpool.init(config, 'pool')\n"
        "except jobpool.ConfigError as error:\n"
        "    print(error)\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "put it into a module beside it" in said.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_is_refused(tmp_path: Path) -> None:
    jobpool.init(CONFIG, tmp_path / "pool")

    with pytest.raises(jobpool.JobpoolError, match="is a pool already"):
        jobpool.init(CONFIG, tmp_path / "pool")


def test_the_yaml_of_a_dict_reads_as_the_dict(tmp_path: Path) -> None:
    config = {**CONFIG, "name": "naïve: study", "seed": np.int64(4)}

    jobpool.init(config, tmp_path / "pool")

    read = yaml.safe_load((tmp_path / "pool" / "experiment.yaml").read_text(encoding="utf-8"))
    assert (read["name"], read["seed"], read["axes"]["number"]) == ("naïve: study", 4, [0, 1, 2])


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({"pipeline": ("svm", "lgbm")}, ("pipeline=svm,lgbm",)),
        ({"number": np.arange(2)}, ("number=0,1",)),
        ({"number": np.int64(2), "site": "o*"}, ("number=2", "site=o*")),
        ({"site": "!=oslo"}, ("site!=oslo",)),
        ([], ()),
        (None, ()),
    ],
)
def test_a_selection_may_be_python_values(given: object, texts: tuple[str, ...]) -> None:
    assert conditions(given) == texts  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"site": []}, {"site": None}, {"site": [["oslo"]]}, [3], 3])
def test_a_selection_that_says_nothing_is_refused(given: object) -> None:
    with pytest.raises(jobpool.SelectionError):
        conditions(given)  # type: ignore[arg-type]
