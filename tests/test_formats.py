"""Pools of past formats still open, and give what they held."""

import shutil
from pathlib import Path

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


def test_the_ids_of_its_tasks_are_what_they_were(old_pool: Path) -> None:
    assert sorted(Pool(old_pool).grid.ids()) == [
        "5vwof6b7qxrf",
        "fuzmrlogn4aa",
        "gv7q57gcfqzq",
        "mblmr5s7ixwx",
        "ssgwe6flpofa",
        "ymd4bwgytgky",
    ]
