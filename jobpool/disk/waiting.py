"""Waits for a lock that last too long are noticed, by a thread beside the one that waits.

A lock is held for some microseconds. Who waits for seconds waits for a process that was stopped,
hangs in the disk, or is on a host that froze; the kernel says nothing, and wakes nobody.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
