"""When the tasks that are left will be done: at the present rate, by the workers that run now.

A task that no living worker can take is not done at that rate, however fast the others are: one
that had too little memory or time with as much as they have, or that none of them selects. Such
tasks are counted by themselves. Workers whose jobs end before do not do the rest, either.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobpool.errors import SelectionError
from jobpool.journal.workers import WorkerRecord
from jobpool.scheduler.base import margin_s
from jobpool.table.grid import Grid
from jobpool.table.records import limits_of
from jobpool.table.selection import select
from jobpool.units import DAY_S, HOUR_S, count, duration

Mask = NDArray[np.bool_]
Codes = NDArray[np.unsignedinteger]

WINDOWS_S = (60.0, 600.0, HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S)
ENOUGH = 50  # ends in a window: the rate is then known to about 15 percent
FEWEST = 3  # with fewer ends nothing can be said


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """When the tasks that living workers can take will be done, if the present rate lasts."""

    rate_per_s: float | None = None
    window_s: float | None = None  # what the rate is based on
    eta_s: float | None = None
    why_not: str = ""  # why nothing can be said
    beyond: int = 0  # waiting tasks that no living worker can take: not counted in `eta_s`
    ends_s: float | None = None  # until the last living worker's job ends; None: not known

    def __str__(self) -> str:
        """Say it in words, of a pool that has tasks left."""
        beyond = f"; {count(self.beyond, 'task')} wait for other workers" if self.beyond else ""
        beyond = beyond.replace("1 task wait", "1 task waits")
        if self.eta_s is None:
            return f"time left unknown: {self.why_not}{beyond}"
        if self.rate_per_s is None or self.window_s is None:
            return f"nothing is left for the workers that run{beyond}"
        rate, unit = self.rate_per_s * HOUR_S, "hour"
        if rate > 36_000:
            rate, unit = self.rate_per_s, "second"
        shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        words = f"about {duration(self.eta_s)} left, at {shown} per {unit} "
        words += f"in the last {duration(self.window_s)}"
        if self.ends_s is not None and self.ends_s < self.eta_s:
            words += f", but the jobs that run end in {duration(max(self.ends_s, 0.0))}"
        return words + beyond


def estimate(
    done_ms: NDArray[np.int64], remaining: int, *, working: bool, now: float, beyond: int = 0
) -> Estimate:
    """Return the present rate, and when the remaining tasks will be done at that rate.

    The rate is taken over the shortest of some windows that saw enough tasks end, from the first
    end in it until now: it falls when nothing ends any more, and a break does not lower it.

    Parameters
    ----------
    done_ms : ndarray of shape (n_done,), int64
        When tasks were done, in milliseconds since the epoch, in any order.
    remaining : int
        Tasks still to be done.
    working : bool
        Whether any worker that may live holds a task.
    now : float
        Seconds since the epoch.
    beyond : int
        Of the remaining tasks, those that no living worker can take.

    Examples
    --------
    >>> each_second = 1000 * np.arange(100, 160)
    >>> estimate(each_second, 59, working=True, now=160.0).eta_s
    60.0
    >>> estimate(each_second, 1059, working=True, now=160.0, beyond=1000).eta_s
    60.0
    """
    if remaining == 0:
        return Estimate(eta_s=0.0)
    if not working:
        return Estimate(why_not="no worker is running")
    ages = now - done_ms / 1000
    ages = np.maximum(ages[ages > -DAY_S], 0.0)  # another host's clock may be a little ahead
    for window in WINDOWS_S:
        n_ends = int(np.count_nonzero(ages <= window))
        if n_ends >= ENOUGH:
            break
    if n_ends < FEWEST:
        return Estimate(why_not="too few tasks finished recently", beyond=beyond)
    length = max(float(ages[ages <= window].max()), 0.001)
    rate = (n_ends - 1) / length
    return Estimate(
        rate_per_s=rate, window_s=length, eta_s=(remaining - beyond) / rate, beyond=beyond
    )


def beyond_all(
    grid: Grid, waiting: Mask, bounds: Codes, living: Iterable[WorkerRecord | None], now: float
) -> Mask:
    """Return which waiting tasks no living worker can take, shape (n_tasks,), bool.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    waiting : ndarray of shape (n_tasks,), bool
        Those that wait.
    bounds : ndarray of shape (n_tasks,), uint32
        The bounds of their records, see `jobpool.table.records`; 0 where there are none.
    living : iterable of WorkerRecord
        The workers; None where a record cannot be read: such a worker may take everything.
    now : float
        Seconds since the epoch.
    """
    sizes = {_size_of(one, now) for one in living}
    beyond = waiting.copy()
    memory, time = bounds & 0xFF, bounds >> 8 & 0xFF
    for size in sizes:
        if size is None or not beyond.any():
            return np.zeros_like(beyond)
        fits = ((memory == 0) | (size.memory_code > memory)) & size.has_time
        fits &= (time == 0) | (size.time_code - 1 > time)
        if size.only or size.skip:
            with suppress(SelectionError):  # of a pool as it was when the worker began
                fits &= select(grid, size.only, size.skip)
        beyond &= ~fits
    return beyond


def ends_s(living: Iterable[WorkerRecord | None], now: float) -> float | None:
    """Return how long until the last of some workers stops; None if that is not known."""
    left = [None if one is None or one.end is None else _left_s(one, now) for one in living]
    known = [seconds for seconds in left if seconds is not None]
    return max(known) if known and len(known) == len(left) else None


@dataclass(frozen=True, slots=True)
class _Size:
    """What a worker can take; equal ones are asked once."""

    memory_code: int
    time_code: int
    has_time: bool
    only: tuple[str, ...]
    skip: tuple[str, ...]


def _size_of(one: WorkerRecord | None, now: float) -> _Size | None:
    if one is None:
        return None
    left = None if one.end is None else _left_s(one, now)
    limits = limits_of(one.memory_mb, None if left is None else left * one.cores)
    return _Size(limits.memory_code, limits.time_code, left is None or left > 0, one.only, one.skip)


def _left_s(one: WorkerRecord, now: float) -> float:
    end = one.end or 0.0
    return end - now - margin_s(end - one.started)
