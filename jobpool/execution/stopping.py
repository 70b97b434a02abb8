"""When a worker must stop, and why: the signals that it hears, and the end of its job.

Keeps nothing on disk. Schedulers send TERM both when the time is up and when a job is cancelled,
and the signal that a user ordered for the end may be sent by hand at any time: the clock tells
them apart as far as one process can know.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from jobpool.scheduler.base import MARGIN_S, margin_s
from jobpool.task import Cause

NEAR_S = 60.0  # TERM so shortly before that means that the time is up
WARNED_S = 600.0  # so long before the end a user may order USR1


class StopSignals:
    """Hears TERM, USR1, HUP and Ctrl-C; `select` wakes up on `descriptor` when one arrives."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.descriptor, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def install(self) -> None:
        """Hear the signals from now on."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: object) -> None:  # noqa: ARG002 - given by Python
        self.received = self.received or signal.Signals(number)
        with suppress(BlockingIOError):
            os.write(self._writing, b"!")


class Deadline:
    """The end of a worker's time, and how long before it the present task is stopped.

    Parameters
    ----------
    end : float, optional
        In seconds since the epoch; None if there is no end, or none that is known.
    now : callable
        The clock that `end` is told by.
    """

    def __init__(self, end: float | None, now: Callable[[], float]) -> None:
        self._end, self._now = end, now
        self._leave_s = MARGIN_S

    def begin(self) -> None:
        """Note that a task starts: a short time is not eaten up by the time to leave."""
        self._leave_s = margin_s(max(self._left_s(), 0.0))

    def wait_s(self) -> float:
        """Return the seconds until the task must be stopped; infinite without an end."""
        return max(self._left_s() - self._leave_s, 0.0)

    def is_reached(self) -> bool:
        """Say whether the task must be stopped now."""
        return self._left_s() <= self._leave_s

    def grace_s(self, wanted: float) -> float:
        """Return how long a task that is stopped may take: half of what is left at most."""
        left_s = self._left_s()
        return min(wanted, left_s / 2) if left_s > 0 else wanted

    def meaning(self, received: signal.Signals) -> Cause:
        """Return why a worker was told to stop, as far as the clock tells."""
        left_s = self._left_s()
        if received is signal.SIGUSR1 and (self._end is None or left_s < WARNED_S):
            return Cause.TIME
        if received is signal.SIGTERM and left_s < self._leave_s + NEAR_S:
            return Cause.TIME
        return Cause.CANCELLED

    def _left_s(self) -> float:
        return float("inf") if self._end is None else self._end - self._now()
