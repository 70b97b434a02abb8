"""Workers on two clients of one shared file system: each task is done once, whoever is killed."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from jobpool.journal.attempts import all_attempts
from jobpool.journal.results import all_results
from jobpool.pool import Pool
from jobpool.task import Cause, TaskState
from tests.shared.conftest import Mounts
from tests.support.builders import a_pool

pytestmark = pytest.mark.shared


def drain(pools: tuple[Path, Path], n_workers: int, kill_every_s: float = 0) -> str:
    """Run so many workers on each mount until the pool is done; return what both sides say."""
    sides = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.workers",
                "drain",
                str(pool),
                str(n_workers),
                str(kill_every_s),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for pool in pools
    ]
    said = [side.communicate(timeout=300) for side in sides]
    assert [side.returncode for side in sides] == [0, 0], said
    return " ".join(out for out, _ in said)


def pools_in(mounts: Mounts, n_tasks: int, lock: str = "auto") -> tuple[Path, Path]:
    """Make a pool on the first mount; return it as each of the two shows it."""
    a_pool(mounts[0], n_tasks, lock=lock)
    return mounts[0] / "pool", mounts[1] / "pool"


@pytest.mark.parametrize("n_tasks", [100, 2100])  # a client keeps copies of small files of its own
def test_each_task_is_done_once_by_workers_of_both_clients(mounts: Mounts, n_tasks: int) -> None:
    pools = pools_in(mounts, n_tasks)

    drain(pools, 3)

    done = Counter(result.task for result in all_results(pools[1]))
    assert Pool(pools[1]).counts()[TaskState.DONE] == n_tasks
    assert done == dict.fromkeys(Pool(pools[0]).grid.ids(), 1)


def test_the_exclusive_lock_holds_between_both_clients(mounts: Mounts) -> None:
    pools = pools_in(mounts, 60, lock="exclusive")

    drain(pools, 2)

    done = Counter(result.task for result in all_results(pools[0]))
    assert done == dict.fromkeys(Pool(pools[0]).grid.ids(), 1)


def test_workers_of_both_clients_killed_at_random_lose_no_task(mounts: Mounts) -> None:
    pools = pools_in(mounts, 800)

    drain(pools, 3, kill_every_s=0.3)

    pool = Pool(pools[0])
    fences = sum(pool.record(position).fence for position in range(800))
    causes = Counter(attempt.cause for attempt in all_attempts(pools[0]))
    assert pool.counts()[TaskState.DONE] == 800
    assert set(causes) <= {Cause.DONE, Cause.LOST}
    assert causes.total() == fences


def test_workers_notice_a_lock_that_shows_old_copies(mounts: Mounts) -> None:
    pools = pools_in(mounts, 2100, lock="flock")
    command = [
        sys.executable,
        "-m",
        "tests.support.workers",
        "until-noticed",
        *map(str, pools * 2),
    ]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    n_results = sum(1 for _ in all_results(pools[0]))
    assert done.returncode == 1, done.stderr
    assert "locks do not hold on this fuse.glusterfs file system" in done.stdout
    assert n_results < 500  # about ten are usual
