"""The lock that this file system really honours.

Four kinds, the same promise: while one process holds the lock on a state file, no other does, it
reads what the last holder wrote, and a process that dies releases it.

    flock       the kernel queues the waiters: the fairest and by far the fastest; on NFS, where
                it is not fair between hosts, they look whether it is free (`Polling`)
    lockf       byte-range locks, for file systems that emulate or ignore flock
    fresh       flock, and no cache is trusted: for FUSE file systems such as GlusterFS, where a
                host goes on reading its old copy for a second, lock or no lock
    exclusive   a file made by exclusive creation beside the state file (filelock's lease), for
                file systems whose locks are local to a node; slow, and it polls

The pool remembers the kind it was made with; all its workers use that one.
"""

import fcntl
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobpool.disk.files import temporary_beside
from jobpool.disk.inside import open_inside

LOOKS = 10  # at a lock on NFS in the usual wait, if that is as long as the lock is usually held
LEAST_PAUSE_S, MOST_PAUSE_S = 0.0005, 0.5  # between two of them
UNUSUAL = 8  # times the usual wait: from then on it is looked at less often
MEMORY = 16  # waits that make what is usual
LEASE_S = 30.0  # a lock file not refreshed for so long belonged to a process that died


@dataclass(slots=True)
class Held:
    """An open file under its lock; the holder says whether it wrote."""

    descriptor: int
    written: bool = False


Lock = Callable[[Path, bool], AbstractContextManager[Held]]  # path, durable


class _Kernel:
    """A lock that the kernel keeps: a class, for a generator costs twice as much."""

    __slots__ = ("_call", "_durable", "_held", "_path")

    def __init__(self, call: Callable[[int, int], object], path: Path, durable: bool) -> None:
        self._call, self._path, self._durable = call, path, durable

    def __enter__(self) -> Held:
        descriptor = open_inside(self._path, os.O_RDWR)
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
                    os.fsync(held.descriptor)  # after the release: no process waits for the disk
        finally:
            os.close(held.descriptor)


class Polling:
    """Takes a lock without a queue: looks again and again whether it is free.

    For NFS. Its client hands a lock on within its host, and lets those who wait on other hosts ask
    again after one second, then two, then four: a busy host keeps the lock for itself. Here all
    look about equally often, so that each host has the same chance. Where many wait they look less
    often, so that the lock is idle for a small part of the time, and its server is not flooded. The
    pauses grow more slowly than the waits: who happens to wait for longer must not look ever less.

    Parameters
    ----------
    call : callable
        `fcntl.flock`, or another that takes a descriptor and an operation.
    """

    def __init__(self, call: Callable[[int, int], object]) -> None:
        self._call, self._rng = call, random.Random()
        self._wait_s, self._hold_s, self._taken = 0.0, 0.0, 0.0  # as is usual, and when it was

    def __call__(self, descriptor: int, operation: int) -> None:
        """Take the lock, or release it."""
        began = time.monotonic()
        if operation != fcntl.LOCK_EX:
            self._call(descriptor, operation)
            self._hold_s += (began - self._taken - self._hold_s) / MEMORY
            return
        while not self._take(descriptor):
            time.sleep(self._pause_s(time.monotonic() - began))
        self._taken = time.monotonic()
        self._wait_s += (self._taken - began - self._wait_s) / MEMORY

    def _pause_s(self, waited_s: float) -> float:
        wait_s = max(self._wait_s, waited_s / UNUSUAL)
        mean_s = math.pow(wait_s, 0.75) * math.pow(self._hold_s, 0.25) / LOOKS
        return min(max(mean_s, LEAST_PAUSE_S), MOST_PAUSE_S) * (0.5 + self._rng.random())

    def _take(self, descriptor: int) -> bool:
        try:
            self._call(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def polled(call: Callable[[int, int], object]) -> Lock:
    """Return a lock that is taken by `Polling`."""
    return partial(_Kernel, Polling(call))


class _Fresh(_Kernel):
    """A kernel's lock, under which neither the kernel's cache nor the client's is trusted."""

    __slots__ = ()

    def __enter__(self) -> Held:
        held = super().__enter__()
        try:
            drop_cache(held.descriptor)
        except BaseException:
            os.close(held.descriptor)
            raise
        return held

    def __exit__(self, raised: type[BaseException] | None, *rest: object) -> None:
        try:
            if raised is None and self._held.written:
                _hand_over(self._held)  # before the release: the next holder may be on another host
        finally:
            super().__exit__(raised, *rest)


def drop_cache(descriptor: int) -> None:
    """Drop this host's cached copy of a file opened for writing, so that the server is asked.

    GlusterFS answers reads of small files from a copy of its own, which only a change drops:
    reserving the first byte, which is there, is a change that changes nothing.
    """
    with suppress(OSError):  # a file system that reserves nothing has no such copy
        os.posix_fallocate(descriptor, 0, 1)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _hand_over(held: Held) -> None:
    """Bring what was written to the server, and keep no copy."""
    os.fsync(held.descriptor)
    os.posix_fadvise(held.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    held.written = False


@contextmanager
def _exclusive(path: Path, durable: bool) -> Iterator[Held]:  # noqa: ARG001 - always durable
    from filelock import SoftFileLease  # noqa: PLC0415 - 60 ms, for this kind only

    # opened and closed within the lease: NFS promises that a file opened shows what was written
    # before the last close, and nothing more
    with SoftFileLease(f"{path}.lock", lease_duration=LEASE_S, poll_interval=0.002):
        held = Held(open_inside(path, os.O_RDWR))
        try:
            drop_cache(held.descriptor)
            yield held
            if held.written:
                _hand_over(held)
        finally:
            os.close(held.descriptor)


LOCKS: Mapping[str, Lock] = {
    "flock": partial(_Kernel, fcntl.flock),
    "lockf": partial(_Kernel, fcntl.lockf),
    "fresh": partial(_Fresh, fcntl.flock),
    "exclusive": _exclusive,
}


def lock_for(kind: str, folder: Path) -> Lock:
    """Return the lock of a kind as it is best taken in a folder.

    Parameters
    ----------
    kind : str
        One of `LOCKS`.
    folder : Path
        Where the files lie that are locked.
    """
    if kind in {"flock", "lockf"} and lies_on_nfs(folder):
        return polled(getattr(fcntl, kind))
    return LOCKS[kind]


def lies_on_nfs(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Say whether a folder lies on a network disk of the kind NFS, as far as the kernel says.

    Parameters
    ----------
    folder : Path
        A folder that is there.
    mounts : Path
        Where the kernel lists what is mounted.
    """
    with suppress(OSError, ValueError, IndexError):
        device = folder.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if words[2] == wanted:
                return words[words.index("-") + 1].startswith("nfs")
    return False


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
        One of `LOCKS`; ``exclusive`` rests on exclusive creation, which all file systems
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
            call = "lockf" if kind == "lockf" else "flock"
            asked = [sys.executable, "-c", _PROBE, str(path), call]
            answer = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    except OSError:  # this file system has no such lock
        return False
    finally:
        path.unlink()
    return answer.stdout.strip() == "held"


def kinds_for(folder: Path) -> tuple[str, ...]:
    """Return the kinds of lock that may serve in `folder`, the best first."""
    return kinds_on(*_mount_of(folder))


def kinds_on(file_system: str, options: str) -> tuple[str, ...]:
    """Return the kinds of lock that may serve on a file system mounted so, the best first.

    What is known to be kept by one host alone is left out: no test from that host can tell. On a
    FUSE file system a lock that another host keeps is not enough, for what is read under it may
    come from a cache.

    Examples
    --------
    >>> kinds_on("ext4", "rw"), kinds_on("nfs4", "rw,local_lock=flock")
    (('flock', 'lockf', 'exclusive'), ('lockf', 'exclusive'))
    """
    given = set(options.split(","))
    if file_system.startswith("fuse"):
        return ("fresh", "exclusive")
    # BeeGFS keeps locks within a host unless tuneUseGlobalFileLocks is set, which it is not
    if file_system == "beegfs" or given & {"localflock", "nolock", "local_lock=all"}:
        return ("exclusive",)
    if "local_lock=flock" in given:
        return ("lockf", "exclusive")
    if "local_lock=posix" in given:
        return ("flock", "exclusive")
    return ("flock", "lockf", "exclusive")


def best_lock(folder: Path) -> str:
    """Return the best kind of lock that holds in `folder`, as far as one host can tell."""
    return next(kind for kind in kinds_for(folder) if holds(kind, folder))


def file_system(path: Path) -> str:
    """Return the type of the file system that `path` lies on, such as ``ext4`` or ``nfs4``."""
    return _mount_of(path)[0]


def _mount_of(path: Path) -> tuple[str, str]:
    """Return the type and the mount options of the file system that `path` lies on."""
    import psutil  # noqa: PLC0415 - 15 ms, for an error message or a new pool only

    path = path.resolve()
    mounts = [
        part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)
    ]
    if not mounts:
        return "unknown", ""
    nearest = max(mounts, key=lambda part: len(part.mountpoint))
    return nearest.fstype, nearest.opts
