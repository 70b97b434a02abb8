"""Real workers on a disk that fails: for a moment, for a while, now and then.

The disk is stood in for by a small library between the worker and the kernel: while a file says so,
what is done to files of the pool fails.
"""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobpool.journal.attempts import all_attempts
from jobpool.journal.results import all_results
from jobpool.pool import Pool
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause, TaskState
from tests.support.builders import a_pool

QUICK = WorkerSettings(heartbeat_s=0.1, lost_after_s=30.0, grace_s=1.0)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library to load before all others."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here to build the library that makes a disk fail")
    built = tmp_path_factory.mktemp("library") / "faildisk.so"
    source = Path(__file__).parents[1] / "support" / "faildisk.c"
    command = [compiler, "-shared", "-fPIC", "-o", str(built), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return built


@pytest.fixture
def start(tmp_path: Path, library: Path) -> Iterator[Start]:
    """Return a function that starts a worker on a disk that can fail."""
    started = []

    def begin(pool: Path, *words: str) -> "subprocess.Popen[str]":
        variables = {
            "LD_PRELOAD": str(library),
            "FAILDISK_UNDER": str(pool),
            "FAILDISK_NOW": str(tmp_path / "now"),
        }
        command = [sys.executable, "-m", "jobpool", "work", str(pool), *words]
        started.append(
            subprocess.Popen(
                command, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables}
            )
        )
        return started[-1]

    yield begin
    for worker in started:
        worker.kill()
        worker.communicate()


def fail(folder: Path, number: int, percent: int = 100) -> None:
    """Let the disk fail from now on."""
    new = folder / "now.new"
    new.write_text(f"{number} {percent}")
    new.rename(folder / "now")


def wait_until(happened: Callable[[], object], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def has_done(pool: Path, n_tasks: int) -> bool:
    return Pool(pool).counts()[TaskState.DONE] >= n_tasks


@pytest.mark.parametrize(
    "number",
    [errno.EIO, errno.EKEYEXPIRED, errno.EACCES],
    ids=lambda number: errno.errorcode[number],
)
def test_a_blip_of_the_disk_costs_no_task_an_attempt(
    tmp_path: Path, start: Start, number: int
) -> None:
    pool = a_pool(tmp_path, 8, call="tests.support.tasks:naps", settings=QUICK)
    worker = start(pool)
    wait_until(lambda: has_done(pool, 2))

    fail(tmp_path, number)
    time.sleep(0.6)
    (tmp_path / "now").unlink()
    _, said = worker.communicate(timeout=60)

    assert worker.returncode == 0, said
    assert Counter(one.cause for one in all_attempts(pool)) == {Cause.DONE: 8}
    assert len(list(all_results(pool))) == 8


def test_a_disk_that_fails_now_and_then_loses_no_task(tmp_path: Path, start: Start) -> None:
    pool = a_pool(tmp_path, 40, call="tests.support.tasks:nothing", settings=QUICK)
    worker = start(pool)
    wait_until(lambda: has_done(pool, 1))

    fail(tmp_path, errno.EIO, percent=2)
    wait_until(lambda: has_done(pool, 40) or worker.poll() is not None)
    (tmp_path / "now").unlink()
    _, said = worker.communicate(timeout=60)

    assert "Traceback" not in said
    assert Pool(pool).counts()[TaskState.DONE] == 40, said
    assert {one.cause for one in all_attempts(pool)} <= {Cause.DONE, Cause.STORAGE}


def test_a_disk_that_stays_away_ends_a_worker_with_one_line(tmp_path: Path, start: Start) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:rests", settings=QUICK)
    worker = start(pool)
    wait_until(lambda: Pool(pool).counts()[TaskState.RUNNING])

    fail(tmp_path, errno.ESHUTDOWN)
    _, said = worker.communicate(timeout=120)

    assert worker.returncode == 11
    assert said.splitlines()[-1].startswith("jobpool: ")
    assert "Cannot send after transport endpoint shutdown; wait until the disk answers" in said
    assert "Traceback" not in said


def test_blips_of_credentials_in_a_tasks_own_code_park_nothing(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:meets_a_bad_disk", settings=QUICK)
    command = [sys.executable, "-m", "jobpool", "work", str(pool)]

    variables = {**os.environ, "ERRNO": "EKEYEXPIRED"}
    subprocess.run(command, env=variables, stderr=subprocess.DEVNULL, check=False, timeout=60)
    subprocess.run(command, env=variables, stderr=subprocess.DEVNULL, check=False, timeout=60)

    record = Pool(pool).record(0)
    assert {one.cause for one in all_attempts(pool)} == {Cause.STORAGE}
    assert (record.state, record.attempts) == (TaskState.WAITING, 0)
