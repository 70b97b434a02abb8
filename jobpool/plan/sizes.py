"""Sizes of jobs: which tasks fit one, and which larger one to propose for what fits none.

A size is a pass of the experiment, or one made here in the same form.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jobpool.experiment.config import Pass
from jobpool.plan.backlog import Backlog, FloatArray, Floats, Forecast, Mask
from jobpool.scheduler.base import MARGIN_S, for_other_memory, warning_s
from jobpool.table.records import amount_of, code_of
from jobpool.units import DAY_S, HOUR_S, short_duration

USUAL = Pass(name="usual", cores=1, memory_gb=4, walltime_s=3 * HOUR_S)  # as of the first pass
# the chance that a task ends in a job of the size it goes to; what is less likely in every pass
# is tried there all the same before a larger size is proposed: little may be known of it yet.
# A task of which nearly nothing is known is tried in the cheapest size where it is possible at all.
LIKELY, RATHER, POSSIBLE = 0.8, 0.5, 0.1
ENOUGH = 30  # attempts behind a forecast; with fewer the cheapest size that may do is tried
FARTHEST = 4.0  # times the median
SURE = 0.9  # of time and of memory each: both hold with a chance of 80 %
START_S = 60.0  # of a job's time until its worker claims, or by which a warning comes early
SAFETY = 1.25  # what a proposed size has more than the upper quantile
DOUBLE = 2.0  # nothing but a bound is known: a power of two wastes least, whatever the need is
MOST_PROPOSED = 3  # sizes
_MEMORY_GB = tuple(n * 2**power for power in range(11) for n in (1, 1.5))
_TIMES_S = (
    *(minutes * 60.0 for minutes in (10, 20, 30)),
    *(hours * HOUR_S for hours in (1, 2, 3, 4, 6, 8, 12, 18)),
    *(days * DAY_S for days in (1, 1.5, 2, 3, 4, 5, 7, 10, 14, 21, 28)),
)

Refusal = Callable[[Pass], str | None]


def core_hours(size: Pass) -> float:
    """Return what one whole job of a size takes."""
    return size.cores * size.walltime_s / HOUR_S


def usable_s(one: Pass) -> float:
    """Return how much of a job's time a task may take.

    Before its end the worker is warned and stops its task, up to a minute earlier than asked, and
    it needs a while to start. Of a very short job nothing may be left; a quarter is hoped for.

    Examples
    --------
    >>> usable_s(USUAL), usable_s(replace(USUAL, walltime_s=600))
    (10620.0, 480.0)
    """
    return max(one.walltime_s - START_S - warning_s(one), one.walltime_s / 4)


def within_bounds(backlog: Backlog, size: Pass) -> Mask:
    """Return which tasks are not known to need more than a job of this size has."""
    memory = code_of(size.memory_gb * 1024)
    time = code_of(size.cores * usable_s(size))
    no_bound = backlog.time_code == 0
    fits: Mask = (backlog.memory_code < memory) & (no_bound | (backlog.time_code < time - 1))
    return fits


def chance_in(forecast: Forecast, size: Pass) -> Floats:
    """Return the chance that each task ends in a job of this size, by what others took."""
    return forecast.chance(size.cores, usable_s(size), size.memory_gb * 1024)


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What each task would need of a job, shape (n_tasks,)."""

    memory_gb: FloatArray
    walltime_s: FloatArray

    def within(self, size: Pass) -> Mask:
        """Return which tasks a job of some size is enough for."""
        enough: Mask = (self.memory_gb <= size.memory_gb) & (self.walltime_s <= size.walltime_s)
        return enough


def find_requirement(
    backlog: Backlog, forecast: Forecast | None, largest: Pass, quantile: float = SURE
) -> Requirement:
    """Return the memory and time that tasks should be given, on the cores of the largest pass."""
    bound_gb = _amounts(backlog.memory_code) / 1024
    bound_s = _amounts(backlog.time_code) / largest.cores
    if forecast is None:
        memory_gb = np.where(bound_gb > 0, DOUBLE * bound_gb, largest.memory_gb)
        return Requirement(
            memory_gb=memory_gb,
            walltime_s=np.where(bound_s > 0, DOUBLE * bound_s, largest.walltime_s),
        )
    cores, safety = largest.cores, SAFETY if quantile >= SURE else 1.0
    expected_s = _at_most(forecast.seconds(cores, quantile), forecast.seconds(cores))
    expected_gb = _at_most(forecast.memory_mb(cores, quantile), forecast.memory_mb(cores)) / 1024
    return Requirement(
        memory_gb=np.maximum(expected_gb, SAFETY * bound_gb),
        walltime_s=np.maximum(safety * expected_s, SAFETY * bound_s) + START_S + MARGIN_S,
    )


def _at_most(sure: Floats, median: Floats) -> FloatArray:
    """Return what surely is enough, but no fantasies: little is known where both lie far apart."""
    found: FloatArray = np.nan_to_num(np.minimum(sure, FARTHEST * median)).astype(np.float64)
    return found


def _amounts(codes: NDArray[np.uint8]) -> FloatArray:
    table = np.array([amount_of(code) or 0.0 for code in range(256)])
    found: FloatArray = table[codes]
    return found


def propose(
    tasks: Mask, requirement: Requirement, largest: Pass, refusal: Refusal
) -> tuple[Pass, ...]:
    """Return a few sizes, the smallest first, for tasks that fit no pass.

    Tasks that the cluster has no place for are in none of them.

    Parameters
    ----------
    tasks : ndarray of shape (n_tasks,), bool
        What fits no pass.
    requirement : Requirement
        What they need.
    largest : Pass
        Its cores, partition, account and options are taken over.
    refusal : callable
        Says why the cluster has no place for a job, None if it has.
    """
    memory_gb, walltime_s = requirement.memory_gb[tasks], requirement.walltime_s[tasks]
    steps = np.searchsorted(_MEMORY_GB, memory_gb), np.searchsorted(_TIMES_S, walltime_s)
    classes, of_class = np.unique(np.stack(steps), axis=1, return_inverse=True)
    found: dict[float, tuple[float, int]] = {}  # time and number of tasks for each memory
    for number, (memory_step, time_step) in enumerate(classes.T.tolist()):
        members = of_class.ravel() == number
        need = float(memory_gb[members].max()), float(walltime_s[members].max())
        rounded = _step(_MEMORY_GB, memory_step, need[0]), _step(_TIMES_S, time_step, need[1])
        # between two steps there may be room for just what is needed
        tried = [rounded, (need[0], rounded[1]), (rounded[0], need[1]), need]
        allowed = [one for one in tried if refusal(_size(*one, largest)) is None]
        if allowed:
            gb, time_s = allowed[0]
            before_s, n_before = found.get(gb, (0.0, 0))
            found[gb] = max(before_s, time_s), n_before + int(np.count_nonzero(members))
    return tuple(_size(gb, time_s, largest) for gb, time_s in _few(found))


def _step(steps: Sequence[float], number: int, need: float) -> float:
    return steps[number] if number < len(steps) else need


def _few(found: Mapping[float, tuple[float, int]]) -> list[tuple[float, float]]:
    """Merge what fewest tasks need into the next larger memory until few sizes are left."""
    rows = [(gb, time_s, n) for gb, (time_s, n) in sorted(found.items())]
    while len(rows) > MOST_PROPOSED:
        least = min(range(len(rows) - 1), key=lambda i: rows[i][2])
        (_, time_s, n), (gb, next_s, n_next) = rows[least : least + 2]
        rows[least : least + 2] = [(gb, max(time_s, next_s), n + n_next)]
    return [(gb, time_s) for gb, time_s, _ in rows]


def _size(memory_gb: float, walltime_s: float, largest: Pass) -> Pass:
    """Return a size that no pass has, with the cores, partition and account of the largest."""
    walltime_s = 60.0 * math.ceil(walltime_s / 60)
    return replace(
        for_other_memory(largest),
        name=f"{math.ceil(memory_gb)}gb-{short_duration(walltime_s)}",
        memory_gb=memory_gb,
        walltime_s=walltime_s,
        only=(),
        skip=(),
    )
