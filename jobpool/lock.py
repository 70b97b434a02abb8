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
from functools import partial
from pathlib import Path

from jobpool.files import temporary_beside

LEASE_S = 30.0  # a lock file not refreshed for so long belonged to a process that died


@dataclass(slots=True)
class Held:
    """An open file under its lock; the holder says whether it wrote."""

    descriptor: int
    written: bool = False


Lock = Callable[[Path, bool], AbstractContextManager[Held]]  # path, durable


class _Kernel:
    """A lock that the kernel keeps: a class, for a generator costs twice as much at every visit."""

    __slots__ = ("_call", "_durable", "_held", "_path")

    def __init__(self, call: Callable[[int, int], object], path: Path, durable: bool) -> None:
        self._call, self._path, self._durable = call, path, durable

    def __enter__(self) -> Held:
        descriptor = os.open(str(self._path), os.O_RDWR)
        try:
            self._call(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        self._held = Held(descriptor)
        return self._held

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        held = self._held
        try:
            if raised is None:
                self._call(held.descriptor, fcntl.LOCK_UN)
                if self._durable and held.written:
                    os.fsync(held.descriptor)  # after letting go: nobody waits for the disk
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


LOCKS: Mapping[str, Lock] = {
    "flock": partial(_Kernel, fcntl.flock),
    "lockf": partial(_Kernel, fcntl.lockf),
    "exclusive": _exclusive,
}

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
    import psutil  # noqa: PLC0415 - 15 ms, for an error message only

    path = path.resolve()
    mounts = [
        part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)
    ]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
