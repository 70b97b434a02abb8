"""The backlog of a pool: the tasks that wait, what each needs at least, and how much work it is.

The work is an interval: a sum of times that are lognormal. A task's logarithm of time is uncertain
for two reasons: noise of its own, and what is not known of the model, which is wrong for all tasks
alike. Only the first averages out over many tasks.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.jsonl import worker_name
from jobpool.liveness.judge import Life, judge
from jobpool.needs.regression import upper_tail
from jobpool.pool import Pool
from jobpool.task import COUNTED, TaskState

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

MOST_SPREAD = 5.0  # of the logarithm: beyond, nothing is known
UPPER = 0.9  # the quantile that the spread is read from
_Z = 1.2815515655446004  # of the standard normal distribution at `UPPER`: 80 % lie within


class Forecast(Protocol):
    """What tasks are expected to take: arrays of shape (n_tasks,)."""

    @property
    def n_attempts(self) -> int:
        """Return how many attempts it is based on; 0 for initial estimates alone."""
        ...

    def seconds(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return wall time on so many cores."""
        ...

    def memory_mb(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return the highest memory on so many cores."""
        ...

    def chance(self, cores: int, seconds: float | None, memory_mb: float | None) -> Floats:
        """Return the chance that each task needs no more than that."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The tasks of a pool that no worker runs, and how many are in each other state."""

    waiting: Mask  # (n_tasks,): also those that dead workers hold
    memory_code: NDArray[np.uint8]  # (n_tasks,): codes of the bounds, see `jobpool.table.records`
    time_code: NDArray[np.uint8]
    elsewhere: Mapping[TaskState, int]  # of each counted state but waiting
    n_lost: int = 0  # running with dead workers: they will wait again

    @property
    def n_waiting(self) -> int:
        """Return how many tasks wait, as `status` counts them."""
        return int(np.count_nonzero(self.waiting)) - self.n_lost


def read_backlog(pool: Pool, server_time: float) -> Backlog:
    """Return the backlog of a pool, read without a lock.

    Parameters
    ----------
    pool : Pool
        The pool.
    server_time : float
        The file server's clock, by which heartbeats are judged.

    Raises
    ------
    DamagedStateError
        If a state file is damaged.
    """
    table = pool.table()
    state = table["state"]
    running = state == TaskState.RUNNING
    owners = table["owner"]
    lives = {
        owner: judge(pool, worker_name(owner), server_time)
        for owner in np.unique(owners[running]).tolist()
    }
    dead = [owner for owner, life in lives.items() if life is Life.DEAD]
    lost = running & np.isin(owners, np.array(dead, owners.dtype))
    bounds = table["bounds"]
    others = sorted(COUNTED - {TaskState.WAITING})
    return Backlog(
        waiting=(state == TaskState.WAITING) | lost,
        memory_code=(bounds & 0xFF).astype(np.uint8),
        time_code=(bounds >> 8 & 0xFF).astype(np.uint8),
        elsewhere={one: int(np.count_nonzero(state == one)) for one in others},
        n_lost=int(np.count_nonzero(lost)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An amount that is not known, with its 80 % interval from `low` to `high`."""

    middle: float  # as likely too much as too little
    low: float
    high: float

    def times(self, factor: float) -> "Interval":
        """Return the same in another unit."""
        return Interval(middle=self.middle * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The sum of times of some tasks, in seconds: mean and uncertainty."""

    mean: float = 0.0
    variance: float = 0.0  # of the noise
    shared_sd: float = 0.0  # of what is wrong for all alike
    longest: float = 0.0  # the longest of the means

    def __add__(self, other: "Work") -> "Work":
        return Work(
            mean=self.mean + other.mean,
            variance=self.variance + other.variance,
            shared_sd=self.shared_sd + other.shared_sd,
            longest=max(self.longest, other.longest),
        )

    def times(self, factor: float) -> "Work":
        """Return the work in another unit, such as core-seconds on so many cores."""
        return Work(
            mean=self.mean * factor,
            variance=self.variance * factor**2,
            shared_sd=self.shared_sd * factor,
            longest=self.longest * factor,
        )

    def interval(self) -> Interval:
        """Return the sum as a lognormal of the same mean and variance.

        Examples
        --------
        >>> found = Work(mean=100.0, variance=400.0).interval()
        >>> round(found.low, 1), round(found.high, 1)
        (76.1, 126.4)
        """
        if self.mean <= 0:
            return Interval(middle=0.0, low=0.0, high=0.0)
        log_variance = math.log1p((self.variance + self.shared_sd**2) / self.mean**2)
        middle = self.mean * math.exp(-log_variance / 2)
        factor = math.exp(_Z * math.sqrt(log_variance))
        return Interval(middle=middle, low=middle / factor, high=middle * factor)


def total(works: Iterable[Work]) -> Work:
    """Return the sum of several pieces of work."""
    return reduce(Work.__add__, works, Work())


def work_of(forecast: Forecast, tasks: Mask, cores: int, most_s: float) -> Work:
    """Return the time that tasks take one after another on so many cores.

    Parameters
    ----------
    forecast : Forecast
        What they are expected to take.
    tasks : ndarray of shape (n_tasks,), bool
        The tasks.
    cores : int
        Cores of the job.
    most_s : float
        No run lasts longer than its job.
    """
    median = forecast.seconds(cores)[tasks]
    upper = forecast.seconds(cores, UPPER)[tasks]
    known = np.isfinite(median) & np.isfinite(upper) & (median > 0)
    median, upper = median[known], np.maximum(upper[known], median[known])
    if not len(median):
        return Work()
    spread = np.clip(np.log(upper / median) / _Z, 1e-3, MOST_SPREAD)
    mean, variance = _limited(median.astype(np.float64), spread, most_s)
    noise = spread.min() ** 2
    # what was learned has this noise, too, less the more attempts it is based on: shared by all
    shared = spread**2 - noise + noise / max(forecast.n_attempts, 1)
    scale = len(known) / len(median)  # tasks of which nothing is known are like the others
    return Work(
        mean=float(mean.sum()),
        variance=float((variance * noise / (noise + shared)).sum()),
        shared_sd=float(np.sqrt(variance * shared / (noise + shared)).sum()),
        longest=float(mean.max()) / scale,
    ).times(scale)


def _limited(median: FloatArray, spread: FloatArray, most: float) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of lognormal times, none of which lasts longer than `most`.

    The limited moments of Johnson, Kotz and Balakrishnan, Continuous univariate distributions,
    volume 1, chapter 14.
    """
    z = (np.log(most) - np.log(median)) / spread
    beyond = upper_tail(z)
    first = median * np.exp(spread**2 / 2) * upper_tail(spread - z) + most * beyond
    second = median**2 * np.exp(2 * spread**2) * upper_tail(2 * spread - z) + most**2 * beyond
    return first, np.maximum(second - first**2, 0.0)
