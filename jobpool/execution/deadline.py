"""When a worker's job ends, and how long before that its task is stopped.

The end is asked for once, when the worker starts. A limit can be shortened or extended later: so it
is asked for again just before anything follows from it, and once an hour.
"""

import signal
import time
from collections.abc import Callable
from contextlib import suppress

from jobpool.errors import SchedulerError
from jobpool.journal.attempts import BEFORE_END_S
from jobpool.scheduler.base import MARGIN_S, margin_s
from jobpool.task import Cause

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)  # the second where a site or a user asks for it
NEAR_S = 60.0  # TERM this close to the end means that the time is up
SOON_S = 30.0  # an answer is as good as a new one for so long
HOURLY_S = 3600.0
PATIENCE_S = 10.0  # for an answer; a third of the time that is left at most

Ask = Callable[[float], float | None]


class JobEnd:
    """The end of a worker's job, as it was last asked for.

    Parameters
    ----------
    end : float, optional
        In seconds since the epoch; None if there is no end, or it is not known.
    ask : callable, optional
        Given the seconds to wait, asks the scheduler anew; raises `SchedulerError` without answer.
    now : callable
        The clock of `end`.
    """

    def __init__(
        self, end: float | None, ask: Ask | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self.end, self.now = end, now
        self._ask = ask
        self._asked = time.monotonic()

    def left_s(self) -> float:
        """Return the seconds until the end; infinite without one."""
        return float("inf") if self.end is None else self.end - self.now()

    def confirm(self, oldest_s: float | None = None) -> None:
        """Ask again, unless that was done lately; without an answer, the last one stands."""
        if self._ask is None or time.monotonic() - self._asked < (oldest_s or SOON_S):
            return
        patience_s = min(PATIENCE_S, max(1.0, self.left_s() / 3))
        with suppress(SchedulerError):
            self.end = self._ask(patience_s)
        self._asked = time.monotonic()


class Deadline:
    """How long before the end of the job the present task is stopped."""

    def __init__(self, job_end: JobEnd) -> None:
        self._job_end = job_end
        self._leave_s = MARGIN_S

    def begin(self) -> None:
        """Start the deadline of a task; if little time is left, the margin to leave is shorter."""
        self._leave_s = margin_s(max(self._job_end.left_s(), 0.0))

    def wait_s(self) -> float:
        """Return the seconds until the task must be stopped; infinite without an end."""
        return max(self._job_end.left_s() - self._leave_s, 0.0)

    def is_reached(self) -> bool:
        """Say whether the task must be stopped now."""
        if self.wait_s() > 0:
            return False
        self._job_end.confirm()
        return self.wait_s() <= 0

    def grace_s(self, wanted: float) -> float:
        """Return how long a task that is stopped may take: at most half of the time left."""
        left_s = self._job_end.left_s()
        return min(wanted, left_s / 2) if left_s > 0 else wanted

    def meaning(self, received: signal.Signals) -> Cause:
        """Return why a worker was stopped, as far as the clock shows."""
        left_s = self._job_end.left_s()
        if received in WARNINGS and (self._job_end.end is None or left_s < BEFORE_END_S):
            return Cause.TIME
        if received is signal.SIGTERM and left_s < self._leave_s + NEAR_S:
            return Cause.TIME
        return Cause.CANCELLED
