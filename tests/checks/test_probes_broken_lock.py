"""A lock that does not lock: workers notice it soon, and ``jobpool doctor`` says so.

The file system is stood in for by a small library between the programs and the kernel: each call
that locks says that it did, and does nothing.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from jobpool.errors import Fault
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import all_results
from jobpool.journal.workers import own_worker_record
from jobpool.pool import Pool
from tests.conftest import Jobpool
from tests.support.builders import a_pool

N_TASKS = 4000
A_FEW = 1000  # of all workers together; about 45 are usual


@pytest.fixture(scope="module")
def no_lock(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the library to load before all others."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here to build the library that makes locks lock nothing")
    library = tmp_path_factory.mktemp("library") / "nolock.so"
    source = Path(__file__).with_name("nolock.c")
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return str(library)


@pytest.mark.parametrize("lock", ["flock", "lockf"])
def test_workers_notice_a_lock_that_does_not_lock(fast_path: Path, no_lock: str, lock: str) -> None:
    pool = a_pool(fast_path, N_TASKS, lock=lock)
    command = [sys.executable, "-m", "tests.support.workers", "until-noticed", *[str(pool)] * 6]

    done = subprocess.run(
        command,
        env={**os.environ, "LD_PRELOAD": no_lock},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    n_results = Counter(result.task for result in all_results(pool))
    assert done.returncode == 1, done.stderr
    assert "BrokenLockError" in done.stdout
    assert f"run: jobpool doctor {pool}" in done.stdout
    assert n_results.total() < A_FEW
    assert n_results.total() - len(n_results) <= 1


def test_doctor_names_a_lock_that_does_not_lock(
    fast_path: Path, no_lock: str, jobpool: Jobpool
) -> None:
    pool = a_pool(fast_path, lock="flock")

    done = jobpool("doctor", pool, LD_PRELOAD=no_lock)

    assert done.returncode == Fault.POOL
    assert "flock does not hold on this" in done.stdout
    assert "then use exclusive, which holds; repair it with --repair" in done.stdout


def test_a_repair_takes_a_lock_that_locks(fast_path: Path, no_lock: str, jobpool: Jobpool) -> None:
    pool = a_pool(fast_path, lock="flock")

    repair = jobpool("doctor", pool, "--repair", LD_PRELOAD=no_lock)
    again = jobpool("doctor", pool, LD_PRELOAD=no_lock)

    assert "repaired: the pool now uses exclusive" in repair.stdout
    assert Pool(pool).info.lock == "exclusive"
    assert (repair.returncode, again.returncode) == (0, 0), again.stdout


def test_the_lock_is_not_changed_while_a_worker_lives(
    fast_path: Path, no_lock: str, jobpool: Jobpool
) -> None:
    pool = a_pool(fast_path, lock="flock")
    own_worker_record(started=1.0, cores=1).write(pool, worker_name(9))

    refused = jobpool("doctor", pool, "--repair", LD_PRELOAD=no_lock)

    assert refused.returncode == 1
    assert "the lock cannot be changed while workers live: 000000000009" in refused.stderr
    assert Pool(pool).info.lock == "flock"
