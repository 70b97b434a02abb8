"""Pools of past formats still open, and give what they held."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from jobpool.pool import Pool
from jobpool.task import TaskState
from tests.conftest import Jobpool
from tests.support.places import ASSETS


@pytest.fixture(params=[1, 2])
def old_pool(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of a pool of six tasks: two done, one failed, one cancelled, two not begun."""
    return Path(shutil.copytree(ASSETS / f"pool-format-{request.param}", tmp_path / "pool"))


def test_the_states_are_what_they_were(old_pool: Path) -> None:
    counts = Pool(old_pool).counts()

    assert (counts[TaskState.DONE], counts[TaskState.WAITING]) == (2, 4)


def test_the_results_are_what_they_were(old_pool: Path, jobpool: Jobpool) -> None:
    done = jobpool("collect", old_pool, "-o", old_pool.parent / "results.csv")

    rows = (old_pool.parent / "results.csv").read_text().splitlines()
    assert done.returncode == 0, done.stderr
    assert rows[0].startswith("task,site,seed,latitude,value,")
    assert len(rows) == 3


def test_nothing_is_wrong_with_it(old_pool: Path, jobpool: Jobpool) -> None:
    done = jobpool("doctor", old_pool)

    assert done.returncode == 0, done.stdout


def test_a_worker_finishes_it(old_pool: Path, jobpool: Jobpool) -> None:
    done = jobpool("work", old_pool)

    assert done.returncode == 0, done.stderr
    assert Pool(old_pool).counts()[TaskState.DONE] == 6


def test_what_it_holds_is_rerun(old_pool: Path, jobpool: Jobpool) -> None:
    file = old_pool.parent / "results.csv"
    moved = jobpool("rerun", old_pool, "--only", "seed=2")
    jobpool("collect", old_pool, "-o", file)
    waiting = pd.read_csv(file).set_index(["site", "seed"])
    jobpool("work", old_pool)
    jobpool("collect", old_pool, "-o", file)
    done = pd.read_csv(file).set_index(["site", "seed"])

    assert moved.stdout.startswith("1 task waits to be rerun"), moved.stderr
    assert waiting["value"].to_dict() == {("bonn", 2): 20, ("bonn", 3): 30}
    assert waiting["rerun_pending"].to_dict() == {("bonn", 2): True, ("bonn", 3): False}
    assert done["value"].to_dict()["bonn", 2] == 1
    assert done["value"].to_dict()["bonn", 3] == 30
    assert jobpool("doctor", old_pool).returncode == 0


def test_a_state_file_with_a_task_that_is_rerun_opens(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = Path(shutil.copytree(ASSETS / "pool-state-2", tmp_path / "pool"))
    file = tmp_path / "results.csv"

    done = jobpool("collect", pool, "-o", file)

    assert done.returncode == 0, done.stderr
    assert pd.read_csv(file)["value"].to_list() == [20, 30]
    assert pd.read_csv(file)["rerun_pending"].to_list() == [True, False]
    assert Pool(pool).shards[0].path.read_bytes()[:4] == b"JP02"
    assert jobpool("doctor", pool).returncode == 0


def test_the_ids_of_its_tasks_are_what_they_were(old_pool: Path) -> None:
    assert sorted(Pool(old_pool).grid.ids()) == [
        "5vwof6b7qxrf",
        "fuzmrlogn4aa",
        "gv7q57gcfqzq",
        "mblmr5s7ixwx",
        "ssgwe6flpofa",
        "ymd4bwgytgky",
    ]
