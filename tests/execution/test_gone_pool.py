"""A pool that is moved or deleted under its workers: they leave, and nothing takes its place."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool.disk.coordination import Leases
from jobpool.disk.files import created_whole
from jobpool.errors import Fault, PoolGoneError
from jobpool.journal.jsonl import append_line
from jobpool.pool import Pool
from jobpool.table.settings import WorkerSettings
from jobpool.task import TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.processes import wait_until

QUICK = WorkerSettings(heartbeat_s=0.2, lost_after_s=1.0, grace_s=1.0)


def move(pool: Path) -> None:
    pool.rename(pool.with_name("moved"))


def delete(pool: Path) -> None:
    hidden = pool.rename(pool.with_name("hidden"))  # at once: a worker may be writing
    shutil.rmtree(hidden)


def is_running(pool: Path) -> bool:
    return Pool(pool).counts()[TaskState.RUNNING] == 1


def worker_in(pool: Path) -> "subprocess.Popen[str]":
    """Start a worker in the folder of a pool, and return it once it runs a task."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "jobpool", "work", pool.name],
        cwd=pool.parent,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: is_running(pool))
    return worker


@pytest.mark.parametrize(
    ("take_away", "call"), [(move, "naps"), (delete, "naps"), (move, "sleeps")]
)
def test_a_worker_whose_pool_is_taken_away_leaves_with_one_line(
    tmp_path: Path, take_away: Callable[[Path], None], call: str
) -> None:
    pool = a_pool(tmp_path, 3, call=f"tests.support.tasks:{call}", settings=QUICK)
    with worker_in(pool) as worker:
        take_away(pool)
        said = worker.communicate(timeout=60)[1].splitlines()

    assert worker.returncode == Fault.POOL
    assert "it was moved or deleted" in said[-1]
    assert sum(line.startswith("jobpool: ") for line in said) == 1
    assert not pool.exists()


def test_a_pool_that_was_moved_is_finished_at_its_new_place(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 3, call="tests.support.tasks:naps", settings=QUICK)
    with worker_in(pool) as worker:
        move(pool)
        worker.communicate(timeout=60)

    jobpool("run", tmp_path / "moved")

    assert Pool(tmp_path / "moved").counts()[TaskState.DONE] == 3


@pytest.mark.parametrize("call", ["naps", "sleeps"])
def test_a_worker_does_not_touch_another_pool_in_the_place_of_its_own(
    tmp_path: Path, call: str
) -> None:
    pool = a_pool(tmp_path, 3, call=f"tests.support.tasks:{call}", settings=QUICK)
    with worker_in(pool) as worker:
        other = a_pool(tmp_path / "other", 5, call="tests.support.tasks:naps", settings=QUICK)
        move(pool)
        other.rename(pool)
        said = worker.communicate(timeout=60)[1].splitlines()

    assert worker.returncode == Fault.POOL
    assert "it was moved or deleted" in said[-1]
    assert Pool(pool).counts()[TaskState.WAITING] == 5
    assert [*pool.glob("results/*"), *pool.glob("attempts/*"), *pool.glob("workers/*")] == []


def test_a_task_process_knows_its_pool_by_a_path_that_holds_in_any_folder(
    tmp_path: Path,
) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:sleeps", settings=QUICK)
    with worker_in(pool) as worker:
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
        worker.kill()

    assert any(bytes(pool) in command for command in commands)


def append(pool: Path) -> None:
    append_line(pool / "results" / "aa" / "aa.jsonl", {"n": 1})


def create(pool: Path) -> None:
    with created_whole(pool / "cache" / "roi" / "aa" / "key") as stream:
        stream.write(b"")


def lease(pool: Path) -> None:
    with Leases(pool / "cache" / "fits" / "leases" / "aa").take("name"):
        pass


@pytest.mark.parametrize("take_away", [move, delete, lambda pool: (pool / "pool.json").unlink()])
@pytest.mark.parametrize("write", [append, create, lease])
def test_no_file_of_a_pool_that_is_gone_brings_it_back(
    fast_path: Path, write: Callable[[Path], None], take_away: Callable[[Path], None]
) -> None:
    pool = a_pool(fast_path, 1)
    Pool(pool)
    take_away(pool)

    with pytest.raises(PoolGoneError, match="moved or deleted"):
        write(pool)

    assert list(pool.glob("*/*/*/aa")) + list(pool.glob("results/aa")) == []


@pytest.mark.parametrize("write", [append, create, lease])
def test_a_folder_that_was_removed_from_a_pool_is_made_again(
    fast_path: Path, write: Callable[[Path], None]
) -> None:
    pool = a_pool(fast_path, 1)
    for name in ("results", "cache"):
        (pool / name).rmdir()

    write(pool)

    assert pool.exists()
