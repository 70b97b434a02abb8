"""Waits for a lock that last too long are noticed, by a thread beside the one that waits.

A lock is held for some microseconds. Who waits for seconds waits for a process that was stopped,
hangs in the disk, or is on a host that froze; the kernel says nothing, and wakes nobody.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from jobpool.disk.locks import Held

LONG_S = 5.0  # to wait for a lock: then something is wrong
_LOOKS = 5  # at a wait, before it is a long one


@dataclass(slots=True)
class Waiting:
    """What a process waits for, as its other threads see it."""

    since: tuple[Path, float] | None = None  # the file, and when the wait began (monotonic)

    @contextmanager
    def taking(self, path: Path, lock: AbstractContextManager[Held]) -> Iterator[Held]:
        """Hold a lock on a file; the wait for it is seen, and not the time in which it is held."""
        with ExitStack() as stack:
            self.since = path, time.monotonic()
            try:
                held = stack.enter_context(lock)
            finally:
                self.since = None
            yield held


@contextmanager
def told(
    path: Path, lock: AbstractContextManager[Held], *, long_s: float = LONG_S
) -> Iterator[Held]:
    """Hold a lock on a file; a long wait is told on standard error, where no `Watch` looks."""
    timer = threading.Timer(long_s, _tell, args=(path, long_s))
    timer.daemon = True
    timer.start()
    with ExitStack() as stack:
        try:
            held = stack.enter_context(lock)
        finally:
            timer.cancel()
        yield held


def _tell(path: Path, waited_s: float) -> None:
    who = holder_here(path) or "a process of another host holds it"
    sys.stderr.write(f"{path}: waiting for its lock for {waited_s:g} s; {who}\n")
    sys.stderr.flush()


def holder_here(path: Path) -> str | None:
    """Return in words which process of this host holds a lock on a file; None if none does.

    The kernel lists the locks by the number of the file.
    """
    for pid in _holders(path):
        with suppress(OSError):
            folder = Path("/proc") / str(pid)
            command = os.fsdecode(b" ".join((folder / "cmdline").read_bytes().split(b"\0"))).strip()
            who = f"process {pid} of {socket.gethostname()} holds it ({command})"
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            if stat.rpartition(")")[2].split()[0] in {"T", "t"}:
                return f"{who} and is stopped: kill -CONT {pid} lets it go on, kill -KILL ends it"
            return who
    return None


def _holders(path: Path) -> list[int]:
    found = []
    with suppress(OSError):
        seen = path.stat()
        place = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] != "->" and words[5] == place:
                found.append(int(words[4]))
    return [pid for pid in found if pid > 0]


class Watch:
    """Watches over the waits of one process, in a thread of its own.

    Parameters
    ----------
    waiting : Waiting
        What the process waits for.
    waits : callable
        Given the file and the seconds waited so far; called again and again in a long wait.
    got : callable
        Given the same, once a long wait has ended.
    long_s : float
        From how many seconds on a wait is long.
    """

    def __init__(
        self,
        waiting: Waiting,
        waits: Callable[[Path, float], object],
        got: Callable[[Path, float], object] = lambda *_: None,
        *,
        long_s: float = LONG_S,
    ) -> None:
        self._waiting, self._waits, self._got, self._long_s = waiting, waits, got, long_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def start(self) -> "Watch":
        """Begin to watch, and return this watch."""
        self._thread.start()
        return self

    def __enter__(self) -> "Watch":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        told: tuple[Path, float] | None = None  # the long wait that `waits` was called for
        while not self._ended.wait(self._long_s / _LOOKS):
            now, since = time.monotonic(), self._waiting.since
            if told is not None and since != told:
                self._got(told[0], now - told[1])
                told = None
            if since is not None and now - since[1] >= self._long_s:
                told = since
                self._waits(since[0], now - since[1])
        if told is not None:
            self._got(told[0], time.monotonic() - told[1])
