"""Where the code of tasks is found, and the variables they see."""

import json
from pathlib import Path

import pytest

from jobpool.errors import ConfigError
from jobpool.experiment.config import load_experiment
from jobpool.pool import Pool
from jobpool.table.settings import read_info
from tests.conftest import Jobpool

OWN = "runner: function\nfunction: {call: 'mine:f'}\naxes: {x: [1, 2]}\n"
SEEN = """\
import os, subprocess, sys


def f(x):
    other = subprocess.run([sys.executable, "-c", "import lib_of_lab"], check=False)
    return {"mode": os.environ.get("LAB_MODE", ""), "code": other.returncode}
"""


def a_study(folder: Path, more: str = "", code: str = "def f(x):\n    return x\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(code, encoding="utf-8")
    (folder / "study.yaml").write_text(OWN + more, encoding="utf-8")
    return folder / "study.yaml"


def results_of(pool: Path) -> list[dict[str, object]]:
    lines = [
        line for file in pool.glob("results/*/*.jsonl") for line in file.read_text().splitlines()
    ]
    return [json.loads(line)["result"] for line in lines]


def test_the_folder_of_the_experiment_file_is_searched_by_itself(
    jobpool: Jobpool, tmp_path: Path
) -> None:
    file, pool = a_study(tmp_path / "study"), tmp_path / "pool"

    made = jobpool("init", file, pool)
    ran = jobpool("run", pool)

    assert made.returncode == 0, made.stderr
    assert "2 of 2 tasks done" in ran.stderr + ran.stdout


def test_a_module_beside_the_experiment_never_takes_the_place_of_an_installed_one(
    jobpool: Jobpool,
    tmp_path: Path,
) -> None:
    file, pool = a_study(tmp_path / "study"), tmp_path / "pool"
    for name in ("random", "numpy", "yaml"):
        (file.parent / f"{name}.py").write_text("raise SystemExit('mine')", encoding="utf-8")

    jobpool("init", file, pool)
    ran = jobpool("run", pool)

    assert "2 of 2 tasks done" in ran.stderr + ran.stdout


def test_a_folder_that_all_may_write_to_is_not_searched(jobpool: Jobpool, tmp_path: Path) -> None:
    file = a_study(tmp_path / "study")
    file.parent.chmod(0o777)

    made = jobpool("init", file, tmp_path / "pool")

    assert made.returncode == 1
    assert "name its folder under path:" in made.stderr


def test_tasks_see_the_path_together_with_the_variables_of_their_experiment(
    jobpool: Jobpool,
    tmp_path: Path,
) -> None:
    more = 'path: [lib]\nenvironment: {LAB_MODE: "$HOME/fast"}\n'
    (tmp_path / "study" / "lib").mkdir(parents=True)
    (tmp_path / "study" / "lib" / "lib_of_lab.py").touch()
    (tmp_path / "study" / "mine.py").write_text(SEEN, encoding="utf-8")
    (tmp_path / "study" / "study.yaml").write_text(OWN + more, encoding="utf-8")

    jobpool("init", tmp_path / "study" / "study.yaml", tmp_path / "pool")
    jobpool("run", tmp_path / "pool", HOME="/home/somebody")

    assert results_of(tmp_path / "pool") == 2 * [{"mode": "/home/somebody/fast", "code": 0}]


def test_the_code_that_init_tries_sees_the_variables(jobpool: Jobpool, tmp_path: Path) -> None:
    code = "import os\nMODE = os.environ['LAB_MODE']\n\ndef f(x):\n    return x\n"
    file = a_study(tmp_path / "study", "environment: {LAB_MODE: fast}\n", code)

    made = jobpool("init", file, tmp_path / "pool")

    assert made.returncode == 0, made.stderr


def test_an_extension_changes_variables_for_the_workers_to_come(
    jobpool: Jobpool, tmp_path: Path
) -> None:
    file, pool = a_study(tmp_path / "study", "environment: {A: 1}\n"), tmp_path / "pool"
    jobpool("init", file, pool)
    file.write_text(OWN + "environment: {A: 2}\n", encoding="utf-8")

    jobpool("extend", file, pool)

    assert read_info(pool).environment == ("A=2",)
    assert Pool(pool).experiment().environment == ("A=2",)


def test_a_pool_whose_code_is_gone_can_still_be_read(jobpool: Jobpool, tmp_path: Path) -> None:
    file = a_study(tmp_path / "study", "path: [lib]\n")
    (file.parent / "lib").mkdir()
    jobpool("init", file, tmp_path / "pool")
    (file.parent / "lib").rmdir()

    assert Pool(tmp_path / "pool").experiment().path == (str(file.parent / "lib"),)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("path: [nowhere]\n", "path = 'nowhere': no such folder"),
        ("path: [3]\n", "must be text"),
        ("path: ['~nosuchuser/lib']\n", "there is no such user; write the whole path"),
        ("environment: {A: true}\n", "environment.A = True: must be text or a whole number"),
        ("environment: {A: 1.10}\n", "put quotes around it"),
        ("environment: {A B: x}\n", "is no name of a variable"),
        ("environment: [A]\n", "environment"),
    ],
)
def test_init_refuses_what_is_no_place_or_variable(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", "\\(")):
        load_experiment(a_study(tmp_path / "study", more))
