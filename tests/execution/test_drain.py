"""Many processes on one pool: each task done once, whoever is killed."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from jobpool.journal.attempts import all_attempts
from jobpool.journal.results import all_results
from jobpool.pool import Pool
from jobpool.task import Cause, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool


def drain(pool: Path, n_workers: int, kill_every_s: float = 0) -> str:
    command = [
        sys.executable,
        "-m",
        "tests.support.workers",
        "drain",
        str(pool),
        str(n_workers),
        str(kill_every_s),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def ids_in(table: Path) -> list[str]:
    """Return the first column of a results table, without its head."""
    return [line.partition(",")[0] for line in table.read_text().splitlines()[1:]]


@pytest.mark.parametrize("lock", ["flock", "lockf"])
def test_32_processes_do_each_of_20000_tasks_exactly_once(fast_path: Path, lock: str) -> None:
    pool = a_pool(fast_path, 20_000, lock=lock)

    drain(pool, 32)

    assert Pool(pool).counts()[TaskState.DONE] == 20_000
    assert Counter(r.task for r in all_results(pool)) == dict.fromkeys(Pool(pool).grid.ids(), 1)


def test_workers_killed_at_random_lose_no_task(fast_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(fast_path, 20_000)

    said = drain(pool, 32, kill_every_s=0.1)

    table = pool.parent / "results.csv"
    collected = jobpool("collect", pool, "-o", table)
    checked = jobpool("doctor", pool)
    assert int(said.split()[0]) > 5
    assert Pool(pool).counts()[TaskState.DONE] == 20_000
    assert collected.returncode == 0, collected.stderr
    assert Counter(ids_in(table)) == dict.fromkeys(Pool(pool).grid.ids(), 1)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.endswith("all is well\n")


def test_every_attempt_of_a_killed_worker_has_a_cause(fast_path: Path) -> None:
    pool = a_pool(fast_path, 5_000)

    drain(pool, 8, kill_every_s=0.05)

    fences = [Pool(pool).record(i).fence for i in range(5_000)]
    causes = Counter(attempt.cause for attempt in all_attempts(pool))
    assert set(causes) <= {Cause.DONE, Cause.LOST}
    assert causes.total() == sum(fences)


def test_the_exclusive_lock_lets_no_task_be_done_twice(fast_path: Path) -> None:
    pool = a_pool(fast_path, 200, lock="exclusive")

    drain(pool, 4)

    assert Counter(r.task for r in all_results(pool)) == dict.fromkeys(Pool(pool).grid.ids(), 1)


def test_no_worker_starves(fast_path: Path) -> None:
    pool = a_pool(fast_path, 20_000)

    drain(pool, 8)

    shares = Counter(result.worker for result in all_results(pool))
    assert len(shares) == 8
