"""A process that was stopped while it held a lock: the waiters say so, and stay alive."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.disk.locks import LOCKS
from jobpool.disk.waiting import Watch, told
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import own_worker_record
from jobpool.liveness.judge import Life
from jobpool.liveness.waits import WaitReport, held_locks, holder
from jobpool.overview.status import read_status, status_text
from jobpool.pool import Pool
from jobpool.table.settings import WorkerSettings
from jobpool.task import TaskState
from tests.support.builders import a_pool, shard_files
from tests.support.processes import wait_until
from tests.support.simulated import SimulatedWorker

HOLDS = """
import fcntl, os, signal, sys
stream = open(sys.argv[1], "r+b")
getattr(fcntl, sys.argv[2])(stream, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""
Started = Callable[..., "subprocess.Popen[bytes]"]


def made(folder: Path, lock: str = "flock") -> Path:
    settings = WorkerSettings(heartbeat_s=0.2, lost_after_s=1.0, grace_s=1.0, lock=lock)
    return a_pool(folder, 3, call="tests.support.tasks:naps", settings=settings)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """Return a function that starts a process of Python, its errors in ``log``."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*words: object) -> "subprocess.Popen[bytes]":
        with (tmp_path / "log").open("ab") as log:
            command = [sys.executable, *map(str, words)]
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def held_and_stopped(started: Started, pool: Path, lock: str) -> "subprocess.Popen[bytes]":
    """Return a process that was stopped while it held the lock of the only state file."""
    process = started("-c", HOLDS, shard_files(pool)[0], lock)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("lock", ["flock", "lockf"])
def test_a_worker_that_waits_for_a_stopped_process_names_it(
    fast_path: Path, tmp_path: Path, started: Started, lock: str
) -> None:
    pool = made(fast_path, lock)
    holding = held_and_stopped(started, pool, lock)

    worker = started("-m", "jobpool", "work", pool)
    wait_until(lambda: read_status(Pool(pool)).held_locks)
    told = status_text(read_status(Pool(pool)))
    holding.send_signal(signal.SIGCONT)  # it ends, and so gives the lock back
    worker.wait(60)

    said = (tmp_path / "log").read_text()
    advice = f"is stopped: kill -CONT {holding.pid} lets it go on"
    assert "state/00: waiting for its lock for" in said
    assert advice in said
    assert advice in told
    assert "state/00: got its lock after" in said
    assert Pool(pool).counts()[TaskState.DONE] == 3
    assert read_status(Pool(pool)).held_locks == ()


def test_a_worker_that_waits_for_a_lock_is_not_taken_for_dead(
    fast_path: Path, started: Started
) -> None:
    pool = made(fast_path)
    started("-m", "jobpool", "work", pool)
    wait_until(lambda: Pool(pool).counts()[TaskState.RUNNING])
    held_and_stopped(started, pool, "flock")
    long = time.time() + 3 * Pool(pool).info.lost_after_s

    wait_until(lambda: time.time() > long and held_locks(Pool(pool), time.time()))

    assert read_status(Pool(pool)).workers[Life.ALIVE] == 1


def test_a_command_that_waits_for_a_lock_says_who_holds_it(
    fast_path: Path, tmp_path: Path, started: Started
) -> None:
    pool = made(fast_path)
    holding = held_and_stopped(started, pool, "flock")

    started("-m", "jobpool", "hold", pool, "--only", "number=1")
    wait_until((tmp_path / "log").read_text)

    assert f"process {holding.pid} of" in (tmp_path / "log").read_text()


def test_the_wait_for_another_file_of_the_pool_is_told(fast_path: Path, started: Started) -> None:
    folder = made(fast_path)
    process = started("-c", HOLDS, folder / "pool.json", "flock")
    assert process.stdout is not None
    process.stdout.readline()
    pool, told = Pool(folder), list[str]()

    def tell(line: str) -> None:
        told.append(line)
        process.send_signal(signal.SIGCONT)

    with (
        Watch(pool.waiting, WaitReport(pool, tell).waits, long_s=0.1),
        pool.locked(folder / "pool.json"),
    ):
        pass

    assert told[0].startswith("pool.json: waiting for its lock for ")
    assert f"process {process.pid} of" in told[0]


def test_the_wait_of_a_task_for_a_bucket_of_fits_is_told(
    fast_path: Path, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fast_path / "bucket"
    path.touch()
    process = started("-c", HOLDS, path, "flock")
    assert process.stdout is not None
    process.stdout.readline()
    later = threading.Timer(0.5, process.send_signal, args=(signal.SIGCONT,))
    later.start()

    with told(path, LOCKS["flock"](path, False), long_s=0.1):
        later.join()

    assert (
        f"{path}: waiting for its lock for 0.1 s; process {process.pid}" in capsys.readouterr().err
    )


def test_a_holder_on_another_host_is_looked_for_among_the_silent(fast_path: Path) -> None:
    pool = made(fast_path)
    SimulatedWorker(pool, 7).claim(1)
    record = replace(own_worker_record(cores=1, started=0.0), host="far", pid=99, job="5_1")
    path = record.write(pool, worker_name(7))
    os.utime(path, (time.time() - 60, time.time() - 60))

    said = holder(Pool(pool), shard_files(pool)[0], waited_s=30.0)

    assert "of another host holds it" in said
    assert "worker 000000000007 on far, process 99, job 5_1, for 1 min" in said
