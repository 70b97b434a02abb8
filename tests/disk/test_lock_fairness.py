"""The lock of state files on NFS, which hands locks on within a host: looked at, not queued for."""

import argparse
import fcntl
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fairness import measure
from jobpool.disk.locks import LOCKS, Lock, lies_on_nfs, lock_for, polled
from tests.support.processes import exit_codes

N_PROCESSES, N_EACH = 4, 200


def mounts(folder: Path, kind: str) -> Path:
    """Write what the kernel says of a folder that lies on a file system of this kind."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    file = folder / "mountinfo"
    file.write_text(
        "22 1 0:1 / /proc rw shared:5 - proc proc rw\n"
        f"40 1 {number} / /lab\\040disk rw,relatime shared:9 - {kind} nas:/lab rw,vers=4.2\n"
    )
    return file


@pytest.mark.parametrize(
    ("kind", "expected"), [("nfs4", True), ("nfs", True), ("ext4", False), ("lustre", False)]
)
def test_nfs_is_known_by_what_is_mounted(tmp_path: Path, kind: str, expected: bool) -> None:
    assert lies_on_nfs(tmp_path, mounts(tmp_path, kind)) is expected


def test_a_system_that_lists_no_mounts_has_no_nfs(tmp_path: Path) -> None:
    assert not lies_on_nfs(tmp_path, tmp_path / "missing")


def test_waiters_on_a_local_disk_queue_in_the_kernel(tmp_path: Path) -> None:
    assert lock_for("flock", tmp_path) is LOCKS["flock"]


def count_up(path: Path, lock: Lock) -> None:
    """Add to a number in a file, each time under the lock."""
    for _ in range(N_EACH):
        with lock(path, False) as held:
            number = int(os.pread(held.descriptor, 20, 0))
            os.pwrite(held.descriptor, str(number + 1).encode(), 0)


@pytest.mark.parametrize("call", [fcntl.flock, fcntl.lockf])
def test_a_lock_that_is_looked_at_is_held_by_one_process(
    fast_path: Path, call: Callable[[int, int], object]
) -> None:
    path = fast_path / "file"
    path.write_text("0")
    lock = polled(call)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count_up, args=(path, lock)) for _ in range(N_PROCESSES)]

    for process in processes:
        process.start()

    assert exit_codes(processes) == [0] * N_PROCESSES
    assert int(path.read_text()) == N_PROCESSES * N_EACH


def test_two_hosts_share_a_slow_lock_that_is_looked_at() -> None:
    model = argparse.Namespace(workers=1, seconds=2.0, rtt_ms=(0.4, 0.4), notify=False)

    (tasks, _), (others, _) = measure(model, polls=True)

    assert max(tasks, others) < 2 * min(tasks, others)
