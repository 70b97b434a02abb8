"""Which tasks suit a worker at this moment: what it can still give, and which inputs it has.

Bounds of failed attempts are hard and are checked at every claim. Estimates from attempts that
ended well are learned by one worker for the whole pool, once in a while, and looked up by all.

The values of a task's inputs may still be at hand for another task with the same inputs. Which
tasks these are stands in the grid: `Grid.inputs` names the attribute whose equal values mean
common inputs. Only the state files of such tasks are read, without a lock.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from jobpool.disk.coordination import win_election
from jobpool.errors import JobpoolError, StorageError
from jobpool.execution.deadline import HOURLY_S, JobEnd
from jobpool.journal.workers import WorkerRecord
from jobpool.needs.estimates import Latest, Suitability, suitability
from jobpool.needs.learning import learn
from jobpool.pool import Pool
from jobpool.scheduler.base import margin_s
from jobpool.table.records import WAITING_BASE, WorkerLimits, limits_of
from jobpool.table.selection import select

if TYPE_CHECKING:  # it loads YAML
    from jobpool.experiment.config import Pass

REFRESH_S = 30.0  # between two readings of the estimates and of the time left
LEARN_EVERY_S = 60.0  # between two times that a worker reads new attempts
ALIKE = 1.5  # times as much memory or time as a worker has: a larger pass
Positions = NDArray[np.intp]


class TaskMatcher:
    """Restricts a worker's puller to the tasks that fit.

    Parameters
    ----------
    pool : Pool
        The pool, and its clock.
    worker_record : WorkerRecord
        The worker's resources.
    job_end : JobEnd
        The end of its job.
    """

    def __init__(self, pool: Pool, worker_record: WorkerRecord, job_end: JobEnd) -> None:
        self._pool, self._worker_record, self._job_end = pool, worker_record, job_end
        self._latest = Latest(pool)
        self._refreshed: float | None = None
        self._in_all: float | None = None  # seconds that it had at its start

    def limits(self) -> WorkerLimits:
        """Return what the worker can give a task that it claims now."""
        left = self._seconds_left()
        return limits_of(
            self._worker_record.memory_mb,
            None if left is None else left * self._worker_record.cores,
        )

    def time_is_up(self) -> bool:
        """Say whether to start no task, so that the worker leaves before its job ends."""
        left = self._seconds_left()
        if left is not None and left <= 0:
            self._job_end.confirm()  # it may have been extended
            left = self._seconds_left()
        return left is not None and left <= 0

    def forget(self) -> None:
        """Refresh at the next opportunity: there is a new puller."""
        self._refreshed = None

    def refresh(self, restrict: Callable[[Suitability | None], None], server_time: float) -> None:
        """Learn if this worker is elected, and say which tasks fit; every 30 s at most.

        Parameters
        ----------
        restrict : callable
            Of the worker's puller; given what fits, or None if nothing is known yet.
        server_time : float
            The file server's clock.
        """
        now = self._pool.now()
        if self._refreshed is not None and abs(now - self._refreshed) < REFRESH_S:
            return
        self._job_end.confirm(HOURLY_S)
        if self._in_all is None:
            self._in_all = self._seconds_left()
        if win_election(self._pool.folder, "needs", LEARN_EVERY_S, server_time):
            # another worker learns it later: no reason to lose this one
            with suppress(StorageError, OSError, LinAlgError):
                learn(self._pool, server_time)
        estimates = self._latest.estimates()
        if estimates is None:
            restrict(None)
            self._refreshed = now
            return
        window = ResourceWindow(
            cores=self._worker_record.cores,
            memory_mb=self._worker_record.memory_mb,
            seconds_left=self._seconds_left(),
            seconds_in_all=self._in_all,
        )
        restrict(suitability(estimates, window, self.has_largest))
        self._refreshed = now

    @cached_property
    def _passes(self) -> "tuple[Pass, ...]":
        # read once: the pool's copy may be edited while this worker runs
        with suppress(JobpoolError):
            return self._pool.experiment().passes
        return ()

    def has_largest(self) -> NDArray[np.bool_]:
        """Return the tasks for which no pass has more memory or core-seconds, (n_tasks,)."""
        memory_mb, in_all = self._worker_record.memory_mb, self._in_all
        cores, found = self._worker_record.cores, np.ones(len(self._pool.grid), bool)
        for one in self._passes:
            has_more = memory_mb is not None and one.memory_gb * 1024 > ALIKE * memory_mb
            if in_all is not None:
                has_more |= one.cores * one.walltime_s > ALIKE * cores * in_all
            if has_more:
                found &= ~select(self._pool.grid, one.only, one.skip)
        return found

    def _seconds_left(self) -> float | None:
        end = self._job_end.end
        if end is None:
            return None
        return end - self._pool.now() - margin_s(end - self._worker_record.started)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceWindow:
    """The resources that a worker has for its next task."""

    cores: int
    memory_mb: float | None
    seconds_left: float | None
    seconds_in_all: float | None  # of a job of this size, from its start


class Affinity:
    """Finds untried tasks that are near another one.

    Parameters
    ----------
    pool : Pool
        One whose grid names the attribute behind common inputs.
    rng : random.Random
        Draws among tasks that are equally near.
    """

    def __init__(self, pool: Pool, rng: random.Random) -> None:
        self._pool, self._rng = pool, rng
        grid = self._grid = pool.grid
        attribute = next(one for one in grid.attributes if one.name == grid.inputs)
        self._axis = attribute.axis
        numbers = {value: number for number, value in enumerate(dict.fromkeys(attribute.values))}
        self._group_of_code = np.array([numbers[value] for value in attribute.values])

    @cached_property
    def _by_group(self) -> tuple[Positions, Positions]:
        """Return all positions sorted by their group, and where each group begins."""
        groups = self._group_of_code[self._grid.column(self._axis)]
        order = np.argsort(groups, kind="stable")
        n_groups = int(self._group_of_code.max()) + 1
        return order, np.searchsorted(groups[order], np.arange(n_groups + 1))

    def near(self, position: int, mask: NDArray[np.uint8] | None) -> Iterator[int]:
        """Yield tasks with the inputs of the one at `position`, at most one per state file and way.

        First come those that differ in nothing but the values with common inputs and the part,
        then the others; of each, one at random that was fresh when its state file was read.

        Parameters
        ----------
        position : int
            A task of the pool.
        mask : ndarray of shape (n_tasks,), uint8, optional
            0 for the tasks that may not be claimed.
        """
        same = self._with_same_inputs(position)
        if mask is not None:
            same = same[mask[same] > 0]
        alike = self._is_alike(position, same)
        for tier in (same[alike], same[~alike]):
            yield from self._fresh(tier)

    def _with_same_inputs(self, position: int) -> Positions:
        order, starts = self._by_group
        group = self._group_of_code[self._grid.column(self._axis)[position]]
        return order[starts[group] : starts[group + 1]]

    def _is_alike(self, position: int, others: Positions) -> NDArray[np.bool_]:
        alike = np.ones(len(others), bool)
        for name, codes in zip(self._grid.names, self._grid.codes, strict=True):
            if name not in {self._axis, self._grid.part_axis}:
                alike &= codes[others] == codes[position]
        return alike

    def _fresh(self, positions: Positions) -> Iterator[int]:
        """Yield one untried position of each state file, at random."""
        firsts = [span.start for span in self._pool.spans]
        ends = np.searchsorted(positions, [*firsts, len(self._grid)]).tolist()
        order = list(range(len(firsts)))
        self._rng.shuffle(order)
        for number in order:
            here = positions[ends[number] : ends[number + 1]]
            if len(here):
                index = np.frombuffer(self._pool.index_of(number), np.uint8)
                fresh = here[index[here - firsts[number]] == WAITING_BASE]
                if len(fresh):
                    yield int(fresh[int(self._rng.random() * len(fresh))])
