"""The arrays to submit next: which size each task goes to, how many jobs, and when all is done.

A task goes to the cheapest size in which it probably ends. A whole task that is too long for a
size, but not its parts, is split by the workers of that size.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from jobpool.experiment.config import Pass
from jobpool.needs.work import Interval, Work, total
from jobpool.plan.backlog import Backlog, FloatArray, Forecast, Mask
from jobpool.plan.sizes import (
    ENOUGH,
    LIKELY,
    POSSIBLE,
    RATHER,
    USUAL,
    Refusal,
    Requirement,
    chance_in,
    core_hours,
    find_requirement,
    propose,
    usable_s,
    within_bounds,
)
from jobpool.scheduler.base import name_in_job, throttle_of
from jobpool.table.grid import Grid
from jobpool.table.parts import Parts
from jobpool.table.selection import select
from jobpool.units import HOUR_S, count

USUAL_JOBS = 200  # in the queue at one time


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many jobs may be in the queue, and which are there."""

    most: int = USUAL_JOBS  # in the queue at one time, of all sizes
    queued: Mapping[str, int]  # jobs of each size, by its name in that of a job
    keep_full: bool = False  # no more in the queue than may run: the rest follows later
    why_closed: Callable[[Pass], str] = lambda _: ""  # why no further job of a size is of use


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The tasks for one size of jobs."""

    size: Pass
    proposed: bool  # no pass of the experiment
    whole: Mask  # (n_tasks,): tasks that run as they are
    split: Mask  # (n_tasks,): whole tasks whose parts run instead
    runs: Mask  # (n_tasks,): what runs in the end

    @property
    def tasks(self) -> Mask:
        """Return the waiting tasks that these are."""
        return self.whole | self.split

    @property
    def n_tasks(self) -> int:
        """Return how many waiting tasks these are."""
        return int(np.count_nonzero(self.tasks))

    def joined(self, other: "Assignment") -> "Assignment":
        """Return the tasks of both."""
        return replace(
            self,
            whole=self.whole | other.whole,
            split=self.split | other.split,
            runs=self.runs | other.runs,
        )


@dataclass(frozen=True, kw_only=True)
class Division:
    """All waiting tasks, divided among sizes."""

    assignments: tuple[Assignment, ...]  # the cheapest first; none is empty
    too_large: Mask  # (n_tasks,): the cluster has no place for them
    unselected: Mask  # (n_tasks,): no pass wants them
    requirement: Requirement  # what each task would need, in jobs with the cores of `largest`
    largest: Pass
    refused: tuple[tuple[Pass, str], ...]  # passes that the cluster has no place for, and why
    blocked: Mapping[str, Mask]  # (n_tasks,): what waits for each of these, by its name

    def size_for(self, position: int) -> Pass:
        """Return the size that the task at `position` would need."""
        need = self.requirement
        return replace(
            self.largest,
            memory_gb=float(need.memory_gb[position]),
            walltime_s=float(need.walltime_s[position]),
            only=(),
            skip=(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """The jobs of one size."""

    size: Pass
    proposed: bool  # no pass of the experiment
    n_tasks: int
    n_split: int  # of them: tasks that are split into parts
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
        return None if self.work is None else self.work.interval().times(self.size.cores / HOUR_S)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is left of a pool, and what to submit."""

    backlog: Backlog
    division: Division
    arrays: tuple[Array, ...]  # the cheapest size first
    n_queued: int  # jobs of this pool that wait or run already
    n_attempts: int | None  # that the forecast is based on; None: nothing is known
    closed: Mapping[str, str] = field(default_factory=dict)  # sizes no job of which is of use: why

    @property
    def waits(self) -> tuple[tuple[str, str], ...]:
        """Return the passes that tasks wait for although no job of them is sent, and why."""
        blocked, found = self.division.blocked, []
        for one, why in self.division.refused:
            if n_tasks := int(np.count_nonzero(blocked[one.name])):
                found.append((one.name, f"{count(n_tasks, 'task')} for it: {why}"))
        has_tasks = {array.size.name for array in self.arrays}
        found += [
            (name, f"none is sent: {why}") for name, why in self.closed.items() if name in has_tasks
        ]
        return tuple(found)

    @property
    def n_jobs(self) -> int:
        """Return how many jobs are to be submitted."""
        return sum(array.jobs for array in self.arrays)

    @property
    def core_hours(self) -> Interval | None:
        """Return what all waiting tasks take that have a size; None if that is not known."""
        works = [a.work.times(a.size.cores / HOUR_S) for a in self.arrays if a.work is not None]
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
    backlog: Backlog,
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
    backlog : Backlog
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
    division = divide(grid, backlog, forecast, passes, refusal)
    works = [_work(assignment, forecast) for assignment in division.assignments]
    queued = _queued(division.assignments, wanted.queued)
    asked = [
        _jobs_for(assignment, work)
        for assignment, work in zip(division.assignments, works, strict=True)
    ]
    if wanted.keep_full:
        limits = [assignment.size.max_running for assignment in division.assignments]
        asked = [min(n, limit or n) for n, limit in zip(asked, limits, strict=True)]
    names = [assignment.size.name for assignment in division.assignments]
    why = {one.size.name: wanted.why_closed(one.size) for one in division.assignments}
    closed = {name: reason for name, reason in why.items() if reason}
    asked = [0 if name in closed else n for name, n in zip(names, asked, strict=True)]
    # in proportion to their work all sizes are done at about the same time
    weights = [n if work is None else work.mean for n, work in zip(asked, works, strict=True)]
    aims = share(asked, wanted.most, weights)
    missing = [max(n - there, 0) for n, there in zip(aims, queued, strict=True)]
    n_queued = sum(wanted.queued.values())
    jobs = share(missing, max(wanted.most - n_queued, 0), missing)
    return Plan(
        backlog=backlog,
        division=division,
        arrays=tuple(
            Array(
                size=assignment.size,
                proposed=assignment.proposed,
                n_tasks=assignment.n_tasks,
                n_split=int(np.count_nonzero(assignment.split)),
                work=works[i],
                queued=queued[i],
                jobs=jobs[i],
            )
            for i, assignment in enumerate(division.assignments)
        ),
        n_queued=n_queued,
        n_attempts=None if forecast is None else forecast.n_attempts,
        closed=closed,
    )


def _work(assignment: Assignment, forecast: Forecast | None) -> Work | None:
    if forecast is None:
        return None
    size = assignment.size
    return forecast.work(assignment.runs, size.cores, usable_s(size))


def _jobs_for(assignment: Assignment, work: Work | None) -> int:
    """Return how many jobs do the tasks of a size within about one walltime."""
    n_runs = int(np.count_nonzero(assignment.runs))
    if work is None or work.mean == 0:
        return n_runs
    usable = usable_s(assignment.size)
    # a task that is longer than half of a job leaves no room for another like it
    per_job = max(usable // max(work.mean / n_runs, 1e-3), 1)
    return min(max(math.ceil(n_runs / per_job), math.ceil(work.mean / usable)), n_runs)


def _queued(assignments: Sequence[Assignment], queued: Mapping[str, int]) -> list[int]:
    """Return how many jobs of each size are in the queue; sizes once proposed stand in for all."""
    names = [name_in_job(assignment.size.name) for assignment in assignments]
    found = [queued.get(name, 0) for name in names]
    others = sum(n for name, n in queued.items() if name not in names)
    for i, assignment in enumerate(assignments):
        if assignment.proposed and others:
            found[i], others = found[i] + others, 0
    return found


def share(asked: Sequence[int], most: int, weights: Sequence[float]) -> list[int]:
    """Return how many jobs each size gets of those asked for, all together at most `most`.

    Each size gets one as long as there is one, and more in proportion to its weight.

    Examples
    --------
    >>> share([300, 100, 1], 200, [3, 1, 1]), share([3, 1], 200, [1, 1]), share([5, 9], 1, [1, 9])
    ([149, 50, 1], [3, 1], [0, 1])
    """
    given = [0] * len(asked)
    heaviest = sorted(range(len(asked)), key=lambda i: (-weights[i], i))
    for i in [i for i in heaviest if asked[i]][:most]:
        given[i] = 1
    while rest := min(most, sum(asked)) - sum(given):
        open_ = [i for i in heaviest if given[i] < asked[i]]
        weight = sum(weights[i] for i in open_) or 1.0
        for i in open_:
            more = max(round(rest * weights[i] / weight), 1)
            more = min(more, asked[i] - given[i], min(most, sum(asked)) - sum(given))
            given[i] += more
    return given


def divide(
    grid: Grid,
    backlog: Backlog,
    forecast: Forecast | None,
    passes: Sequence[Pass],
    refusal: Refusal = lambda _: None,
) -> Division:
    """Return which size each waiting task goes to.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    backlog : Backlog
        Those that wait.
    forecast : Forecast, optional
        What they are expected to take; None if nothing is known.
    passes : sequence of Pass
        The sizes that the user has chosen.
    refusal : callable
        Says why the cluster has no place for a job, None if it has.
    """
    problem = _Problem(grid=grid, backlog=backlog, forecast=forecast)
    sizes = passes or [USUAL]  # one is invented only where the experiment has none
    why = [(one, refusal(one)) for one in sizes]
    refused = tuple((one, reason) for one, reason in why if reason is not None)
    menu = sorted(
        (one for one, reason in why if reason is None),
        key=lambda one: (core_hours(one), one.memory_gb),
    )
    wanted = [select(grid, one.only, one.skip) for one in sizes]
    unselected = backlog.waiting & ~np.logical_or.reduce(wanted)
    remaining = backlog.waiting & ~unselected
    assignments = []
    for chance in problem.rounds():
        for size in menu:
            assignments.append(problem.assignment(size, remaining, chance))
            remaining &= ~assignments[-1].tasks
    assignments = _by_size(menu, assignments)
    blocked = {}
    for one, _ in refused:
        blocked[one.name] = remaining & problem.within_reach(one)
        remaining &= ~blocked[one.name]
    largest = max(menu or sizes, key=lambda one: (one.cores, core_hours(one)))
    requirement = find_requirement(backlog, forecast, largest)
    for amounts, in_parts in problem.amounts(requirement, largest):
        proposed = propose(remaining, amounts, largest, refusal) if remaining.any() else ()
        for size in proposed:
            assignments.append(problem.proposal(size, remaining, amounts, in_parts=in_parts))
            remaining &= ~assignments[-1].tasks
    return Division(
        assignments=tuple(one for one in assignments if one.n_tasks),
        too_large=remaining,
        unselected=unselected,
        requirement=requirement,
        largest=largest,
        refused=refused,
        blocked=blocked,
    )


def _by_size(menu: Sequence[Pass], assignments: Sequence[Assignment]) -> list[Assignment]:
    """Return one assignment for each size, of those of all rounds."""
    n_sizes = len(menu)
    return [reduce(Assignment.joined, assignments[i::n_sizes]) for i in range(n_sizes)]


@dataclass(frozen=True, kw_only=True)
class _Problem:
    grid: Grid
    backlog: Backlog
    forecast: Forecast | None

    def within_reach(self, size: Pass) -> Mask:
        """Return which tasks a size is meant for, as far as nothing is known against it."""
        found: Mask = select(self.grid, size.only, size.skip) & within_bounds(self.backlog, size)
        return found

    def rounds(self) -> Iterator[FloatArray | float]:
        """Yield the least chance in a size with which tasks go to it, from the most wanted on.

        A guess excludes no task from the passes: at last it goes where it is not known to fail.
        """
        if self.forecast is None:
            yield LIKELY
            return
        vague = self.forecast.vague()
        usual = RATHER if self.forecast.n_attempts < ENOUGH else LIKELY
        yield np.where(vague, POSSIBLE, usual)
        yield RATHER
        if vague.any():
            yield np.where(vague, 0.0, RATHER)

    def amounts(
        self, requirement: Requirement, largest: Pass
    ) -> Iterator[tuple[Requirement, bool]]:
        """Yield what sizes to propose for, and whether they are for parts.

        Where the cluster has no place for what would surely do, what may do is better than nothing.
        """
        of_parts = _of_parts(requirement, self.grid.parts)
        yield requirement, False
        yield of_parts, True
        if self.forecast is not None:
            yield find_requirement(self.backlog, self.forecast, largest, RATHER), False

    def assignment(self, size: Pass, among: Mask, least: FloatArray | float) -> Assignment:
        """Return which tasks fit a size, with a chance of at least `least`."""
        chosen = select(self.grid, size.only, size.skip)
        fits = chosen & within_bounds(self.backlog, size)
        split = np.zeros_like(among)
        if self.forecast is not None:
            ends = chance_in(self.forecast, size) >= least
            fits &= ends
            split = among & chosen & ~ends & self.grid.parts.with_all_in(fits)
        return self._assigned(size, among & fits, split)

    def proposal(
        self, size: Pass, among: Mask, amounts: Requirement, *, in_parts: bool
    ) -> Assignment:
        """Return which tasks a size was proposed for."""
        enough = among & amounts.within(size) & within_bounds(self.backlog, size)
        split = enough & self.grid.parts.has_dormant if in_parts else np.zeros_like(among)
        return replace(self._assigned(size, enough & ~split, split), proposed=True)

    def _assigned(self, size: Pass, whole: Mask, split: Mask) -> Assignment:
        runs = whole | self.grid.parts.dormant_of(split)
        return Assignment(size=size, proposed=False, whole=whole, split=split, runs=runs)


def _of_parts(requirement: Requirement, parts: Parts) -> Requirement:
    """Return what the parts of whole tasks need, and what tasks without parts need themselves."""
    memory_gb, walltime_s = parts.most(requirement.memory_gb), parts.most(requirement.walltime_s)
    has_parts = walltime_s > 0
    return Requirement(
        memory_gb=np.where(has_parts, memory_gb, requirement.memory_gb),
        walltime_s=np.where(has_parts, walltime_s, requirement.walltime_s),
    )
