"""The arrays to submit next: how many jobs of which size, and when all would be done."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobpool.experiment.config import Pass
from jobpool.plan.backlog import Forecast, Left
from jobpool.plan.portions import Division, Portion, divide
from jobpool.plan.sizes import Refusal, usable_s
from jobpool.plan.work import Interval, Work, total, work_of
from jobpool.scheduler.base import throttle_of
from jobpool.table.grid import Grid

USUAL_JOBS = 200  # in the queue at one time


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many jobs may be in the queue, and which are there."""

    most: int = USUAL_JOBS  # in the queue at one time, of all sizes
    queued: Mapping[str, int]  # jobs of each size, by its name
    keep_full: bool = False  # no more in the queue than may run: the rest follows later


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """The jobs of one size."""

    size: Pass
    proposed: bool  # no pass of the experiment
    n_tasks: int
    n_cut: int  # of them: tasks that are cut into parts
    work: Work | None  # one after another on the cores of a job; None if nothing is known
    queued: int  # jobs of this size that wait or run already
    jobs: int  # to submit

    @property
    def at_once(self) -> int:
        """Return how many jobs of this size may run at one time."""
        return min(self.queued + self.jobs, throttle_of(self.size))

    @property
    def core_hours(self) -> Interval | None:
        """Return what its tasks take."""
        return None if self.work is None else self.work.interval().times(self.size.cores / 3600)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is left of a pool, and what to submit."""

    left: Left
    division: Division
    arrays: tuple[Array, ...]  # the cheapest size first
    n_queued: int  # jobs of this pool that wait or run already
    n_attempts: int | None  # that the forecast rests on; None: nothing is known

    @property
    def n_jobs(self) -> int:
        """Return how many jobs are to be submitted."""
        return sum(array.jobs for array in self.arrays)

    @property
    def core_hours(self) -> Interval | None:
        """Return what all waiting tasks take that have a size; None if that is not known."""
        works = [a.work.times(a.size.cores / 3600) for a in self.arrays if a.work is not None]
        return total(works).interval() if works else None

    @property
    def end_s(self) -> Interval | None:
        """Return when the last of them is done, in seconds from when the jobs run.

        None if that is not known, or the queue has no room for some of them.
        """
        ends = [_end(a.work, a.at_once) for a in self.arrays if a.work is not None and a.at_once]
        if not ends or len(ends) < len(self.arrays):
            return None
        return Interval(
            middle=max(one.middle for one in ends),
            low=max(one.low for one in ends),
            high=max(one.high for one in ends),
        )


def _end(work: Work, at_once: int) -> Interval:
    spread = work.interval().times(1 / at_once)
    least = work.longest  # no task is shared by two jobs
    return Interval(
        middle=max(spread.middle, least), low=max(spread.low, least), high=spread.high + least
    )


def make_plan(
    grid: Grid,
    left: Left,
    forecast: Forecast | None,
    passes: Sequence[Pass],
    refusal: Refusal,
    wanted: Wanted,
) -> Plan:
    """Return what to submit next.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    left : Left
        Those that wait.
    forecast : Forecast, optional
        What they are expected to take; None if nothing is known.
    passes : sequence of Pass
        Of the experiment.
    refusal : callable
        Says why the cluster has no place for a job, None if it has.
    wanted : Wanted
        How many jobs.
    """
    division = divide(grid, left, forecast, passes, refusal)
    works = [_work(portion, forecast) for portion in division.portions]
    queued = _queued(division.portions, wanted.queued)
    wishes = [
        _jobs_for(portion, work) for portion, work in zip(division.portions, works, strict=True)
    ]
    if wanted.keep_full:
        limits = [portion.size.max_running for portion in division.portions]
        wishes = [min(n, limit or n) for n, limit in zip(wishes, limits, strict=True)]
    # in proportion to their work all sizes are done at about the same time
    weights = [n if work is None else work.mean for n, work in zip(wishes, works, strict=True)]
    aims = share(wishes, wanted.most, weights)
    missing = [max(n - there, 0) for n, there in zip(aims, queued, strict=True)]
    n_queued = sum(wanted.queued.values())
    jobs = share(missing, max(wanted.most - n_queued, 0), missing)
    return Plan(
        left=left,
        division=division,
        arrays=tuple(
            Array(
                size=portion.size,
                proposed=portion.proposed,
                n_tasks=portion.n_tasks,
                n_cut=int(np.count_nonzero(portion.cut)),
                work=works[i],
                queued=queued[i],
                jobs=jobs[i],
            )
            for i, portion in enumerate(division.portions)
        ),
        n_queued=n_queued,
        n_attempts=None if forecast is None else forecast.n_attempts,
    )


def _work(portion: Portion, forecast: Forecast | None) -> Work | None:
    if forecast is None:
        return None
    size = portion.size
    return work_of(forecast, portion.runs, size.cores, usable_s(size.walltime_s))


def _jobs_for(portion: Portion, work: Work | None) -> int:
    """Return how many jobs do the tasks of a size within about one walltime."""
    n_runs = int(np.count_nonzero(portion.runs))
    if work is None or work.mean == 0:
        return n_runs
    usable = usable_s(portion.size.walltime_s)
    # a task that is longer than half of a job leaves no room for another like it
    per_job = max(usable // max(work.mean / n_runs, 1e-3), 1)
    return min(max(math.ceil(n_runs / per_job), math.ceil(work.mean / usable)), n_runs)


def _queued(portions: Sequence[Portion], queued: Mapping[str, int]) -> list[int]:
    """Return how many jobs of each size are in the queue; sizes once proposed stand in for all."""
    names = {portion.size.name for portion in portions}
    found = [queued.get(portion.size.name, 0) for portion in portions]
    others = sum(n for name, n in queued.items() if name not in names)
    for i, portion in enumerate(portions):
        if portion.proposed and others:
            found[i], others = found[i] + others, 0
    return found


def share(wishes: Sequence[int], most: int, weights: Sequence[float]) -> list[int]:
    """Return how much of each wish is met if all together may be `most`.

    Each gets one, as long as there is one, and more in proportion to its weight.

    Examples
    --------
    >>> share([300, 100, 1], 200, [3, 1, 1]), share([3, 1], 200, [1, 1]), share([5, 9], 1, [1, 9])
    ([149, 50, 1], [3, 1], [0, 1])
    """
    given = [0] * len(wishes)
    heaviest = sorted(range(len(wishes)), key=lambda i: (-weights[i], i))
    for i in [i for i in heaviest if wishes[i]][:most]:
        given[i] = 1
    while rest := min(most, sum(wishes)) - sum(given):
        open_ = [i for i in heaviest if given[i] < wishes[i]]
        weight = sum(weights[i] for i in open_) or 1.0
        for i in open_:
            more = max(round(rest * weights[i] / weight), 1)
            more = min(more, wishes[i] - given[i], min(most, sum(wishes)) - sum(given))
            given[i] += more
    return given
