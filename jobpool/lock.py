"""The lock that this file system really honours.

Three kinds, the same promise: while one process holds the lock on a state file, no other does,
and a process that dies lets go of it.

    flock       the kernel queues the waiters: the fairest and by far the fastest
    lockf       byte-range locks, for file systems that emulate or ignore flock
    exclusive   a file made by exclusive creation beside the state file (filelock's lease), for
                file systems whose locks are local to a node; slow, and it polls

The pool remembers the kind it was made with; all its workers use that one.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobpool.files import temporary_beside

LEASE_S = 30.0  # a lock file not refreshed for so long belonged to a process that died


@dataclass(slots=True)
class Held:
    """An open file under its lock; the holder says whether it wrote."""

    descriptor: int
    written: bool = False


Lock = Callable[[Path, bool], AbstractContextManager[Held]]  # path, durable


@contextmanager
def _flock(path: Path, durable: bool) -> Iterator[Held]:
    held = Held(os.open(path, os.O_RDWR))
    try:
        fcntl.flock(held.descriptor, fcntl.LOCK_EX)
        yield held
        fcntl.flock(held.descriptor, fcntl.LOCK_UN)
        if durable and held.written:
            os.fsync(held.descriptor)  # after letting go: nobody waits for the disk
    finally:
        os.close(held.descriptor)


@contextmanager
def _lockf(path: Path, durable: bool) -> Iterator[Held]:
    held = Held(os.open(path, os.O_RDWR))
    try:
        fcntl.lockf(held.descriptor, fcntl.LOCK_EX)
        yield held
        fcntl.lockf(held.descriptor, fcntl.LOCK_UN)
        if durable and held.written:
            os.fsync(held.descriptor)
    finally:
        os.close(held.descriptor)


@contextmanager
def _exclusive(path: Path, durable: bool) -> Iterator[Held]:
    from filelock import SoftFileLease  # noqa: PLC0415 - 60 ms, for this kind only

    # opened and closed within the lease: NFS promises that a file opened shows what was written
    # before the last close, and nothing more
    with SoftFileLease(f"{path}.lock", lease_duration=LEASE_S, poll_interval=0.002):
        held = Held(os.open(path, os.O_RDWR))
        try:
            yield held
            if durable and held.written:
                os.fsync(held.descriptor)
        finally:
            os.close(held.descriptor)


LOCKS: Mapping[str, Lock] = {"flock": _flock, "lockf": _lockf, "exclusive": _exclusive}

# run by a second process: takes the lock without waiting and says whether it got it
_PROBE = """
import fcntl, sys
with open(sys.argv[1], "r+b") as stream:
    try:
        getattr(fcntl, sys.argv[2])(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("held")
    else:
        print("free")
"""


def holds(kind: str, folder: Path) -> bool:
    """Say whether a lock taken here is seen by another process of this host.

    Parameters
    ----------
    kind : str
        ``flock`` or ``lockf``; ``exclusive`` rests on exclusive creation, which all file systems
        known to us keep atomic.
    folder : Path
        On the file system to ask; a small file is made in it and removed.
    """
    if kind == "exclusive":
        return True
    path = temporary_beside(folder / "lock-probe")
    path.touch()
    try:
        with LOCKS[kind](path, False):
            asked = [sys.executable, "-c", _PROBE, str(path), kind]
            answer = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    except OSError:  # this file system has no such lock
        return False
    finally:
        path.unlink()
    return answer.stdout.strip() == "held"


def best_lock(folder: Path) -> str:
    """Return the first kind of lock that holds in `folder`, the fastest first."""
    return next(kind for kind in LOCKS if holds(kind, folder))


def file_system(path: Path) -> str:
    """Return the type of the file system that `path` lies on, such as ``ext4`` or ``nfs4``."""
    path = path.resolve()
    mounts = [
        part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)
    ]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
