"""Estimates: how long each task runs and how much memory it takes, with their uncertainty.

From these follows which tasks suit a worker.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jobpool.needs.amounts import Amount, Bounded, Floats, Kinds, Mask, Normal
from jobpool.needs.calibration import Calibration
from jobpool.needs.features import CORES, FloatArray, Layout, Positions, Rows, layout_of
from jobpool.needs.model_file import LearnedNeeds, read_learned_needs, written_at
from jobpool.needs.regression import Posterior
from jobpool.needs.samples import LEAST_MB, LEAST_S, Censored
from jobpool.needs.work import TimeModel, Work
from jobpool.pool import Pool
from jobpool.table.grid import Grid
from jobpool.table.selection import select

FEWEST = 5  # attempts to learn from, where the user gave no initial estimates
# Chances that a task completes. At even odds it may be better known later, or run on a larger
# worker: in simulations 0.8 rather than 0.5 for likely tasks wastes a third less, in the same time.
LIKELY, EVEN, POSSIBLE = 0.8, 0.5, 0.1
BETTER = 0.1  # a task is left to a fresh worker if its chance there is larger by this
# A task is vague where all that is not known of the model, without the noise, spreads its time or
# memory over more than this factor either way, as an axis value that was never tried does.
VAGUE = 2.0
CHUNK = 8192  # rows whose variance is computed at a time
NO_BOUNDS: Mapping[int, Censored] = {}
LEAST_SD = 0.1  # for chances, however many samples there are: machines differ


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the tasks of one pool are expected to need."""

    time: Amount  # of wall seconds, for each kind of task
    memory: Amount  # of MB, likewise
    which: Kinds  # (n_tasks,): the kind of each task
    censored: Positions  # (n_censored,): tasks only known to need more than some amount
    cores: FloatArray  # (n_censored,): on which that was seen
    model: TimeModel
    time_bound: Bounded
    memory_bound: Bounded
    grid: Grid
    n_attempts: int  # completed attempts that they are based on
    learned: float  # when, in seconds since the epoch
    told: Mask | None = None  # (n_tasks,): tasks of which the user gave an initial estimate

    def seconds(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return the wall time of each task on `cores`, shape (n_tasks,), in seconds.

        Parameters
        ----------
        cores : int
            Cores of the worker.
        quantile : float
            The chance that a task takes no longer, between 0 and 1.
        """
        return self._quantile(self.time, self.time_bound, cores, quantile)

    def memory_mb(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return the peak memory of each task on `cores`, shape (n_tasks,), in MB."""
        return self._quantile(self.memory, self.memory_bound, cores, quantile)

    def _quantile(self, amount: Amount, bound: Bounded, cores: int, quantile: float) -> Floats:
        of_kind = np.exp(amount.on(cores).at(NormalDist().inv_cdf(quantile)))
        found = of_kind.astype(np.float32)[self.which]
        here = self._bound_on(amount, bound, cores)
        found[self.censored] = np.exp(
            here.at(amount.on(cores, self.which[self.censored]), quantile)
        )
        return found

    def _bound_on(self, amount: Amount, bound: Bounded, cores: int) -> Bounded:
        """Return a bound of time converted to other cores; one of memory may be of any cores."""
        if amount is not self.time:
            return bound
        least = bound.least + (np.log(cores) - np.log(self.cores)) * amount.slope
        return replace(bound, least=least)

    def chance(self, cores: int, seconds: float | None, memory_mb: float | None) -> Floats:
        """Return the chance that each task needs no more, shape (n_tasks,); None: no limit."""
        kinds = self.which[self.censored]
        chance, known = np.ones(len(self.time.mean)), np.ones(len(kinds))
        for amount, bound, limit in (
            (self.time, self.time_bound, seconds),
            (self.memory, self.memory_bound, memory_mb),
        ):
            if limit is not None:
                log = float(np.log(max(limit, LEAST_S)))
                more = amount.on(cores).more_than(log, LEAST_SD)
                chance *= 1 - more
                here = self._bound_on(amount, bound, cores)
                known *= 1 - here.share_above(more[kinds], log)
        found = chance.astype(np.float32)[self.which]
        found[self.censored] = known
        return found

    def vague(self) -> Mask:
        """Return the tasks of which so little is known that they should be tried, (n_tasks,).

        What the user said of a task is no guess.
        """
        spread = np.log(VAGUE) ** 2
        time, memory = self.time, self.memory
        of_kind = time.variance - time.noise**2 > spread
        of_kind |= memory.variance - memory.noise**2 > spread
        found: Mask = of_kind[self.which]
        return found if self.told is None else found & ~self.told

    def work(self, tasks: Mask, cores: int, most_s: float) -> Work:
        """Return how long some tasks take one after another on so many cores.

        Parameters
        ----------
        tasks : ndarray of shape (n_tasks,), bool
            The tasks.
        cores : int
            Cores of the job.
        most_s : float
            No run lasts longer than its job.
        """
        bounded = tasks[self.censored]
        kinds = self.which[self.censored[bounded]]
        n_kinds = len(self.time.mean)
        counts = np.bincount(self.which[tasks], minlength=n_kinds)
        model = replace(self.model, mean=self.time.on(cores).mean, cores=cores, most_s=most_s)
        others = model.sum_of(counts - np.bincount(kinds, minlength=n_kinds))
        here = self._bound_on(self.time, self.time_bound, cores).take(bounded)
        times = np.minimum(here.drawn(model.times(kinds), model.draws.own), most_s)
        return others.and_of(times).work(self.time.calibration.spread, model.draws)


def load_estimates(
    pool: Pool,
    fewest: int = FEWEST,
    bounds: Mapping[int, Censored] = NO_BOUNDS,
    positions: Sequence[int] | None = None,
) -> Estimates | None:
    """Return the latest estimates, or None if there are none for the present tasks.

    Parameters
    ----------
    pool : Pool
        The pool.
    fewest : int
        Attempts without which nothing is said, unless the user gave initial estimates.
    bounds : mapping of int to Censored
        What tasks are known to need more than, by position: it may not be learned yet.
    positions : sequence of int, optional
        The tasks that are asked for, whose places here are the positions of `bounds` and of what
        is returned; None for all tasks.
    """
    layout = layout_of(pool.grid)
    needs = read_learned_needs(pool.folder, layout.digest)
    n_samples = 0 if needs is None else needs.n_attempts + len(needs.censored)
    if needs is None or (n_samples < fewest and not pool.experiment().needs):
        return None  # a few attempts of similar tasks say nothing about the others
    censored, grid = dict(needs.censored), pool.grid
    if positions is not None:
        censored = {i: censored[p] for i, p in enumerate(positions) if p in censored}
        grid = grid.take(np.array(positions, np.intp))
    for position, one in bounds.items():
        censored[position] = censored.get(position, Censored()).and_more_than(one)
    found = estimates_of(grid, layout, replace(needs, censored=censored))
    told = [select(grid, one.only) for one in pool.experiment().needs]
    return replace(found, told=np.logical_or.reduce(told)) if told else found


class Latest:
    """The estimates of a pool, read again only when the file has changed.

    Parameters
    ----------
    pool : Pool
        The pool.
    """

    def __init__(self, pool: Pool, fewest: int = FEWEST) -> None:
        self._pool = pool
        self._grid: Grid | None = None
        self._stamp: tuple[int, int] | None = None
        self._fewest = fewest
        self._estimates: Estimates | None = None

    def estimates(self) -> Estimates | None:
        """Return what `load_estimates` does."""
        stamp = written_at(self._pool.folder)
        if stamp != self._stamp or self._grid is not self._pool.grid:
            self._estimates = load_estimates(self._pool, self._fewest)
            self._grid, self._stamp = self._pool.grid, stamp
        return self._estimates


class CapacityLike(Protocol):
    """What a worker can give to a task."""

    @property
    def cores(self) -> int:
        """Return how many it may use at a time."""
        ...

    @property
    def memory_mb(self) -> float | None:
        """Return None if not known: then all tasks fit."""
        ...

    @property
    def seconds_left(self) -> float | None:
        """Return how long until its job ends; None: no end."""
        ...

    @property
    def seconds_in_all(self) -> float | None:
        """Return how long a job of this size lasts from its start; None: no end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Suitability:
    """Masks over all tasks, each of shape (n_tasks,); what is in none is not started."""

    likely: Mask  # ends in time and within memory, almost surely
    split: Mask  # whole tasks too long for any worker of this size, whose parts likely fit
    possible: Mask  # may end well, and would hardly do better on a worker that has just started


def suitability(
    estimates: Estimates, capacity: CapacityLike, has_largest: Callable[[], Mask] | None = None
) -> Suitability:
    """Return what a worker should be given.

    Parameters
    ----------
    estimates : Estimates
        What tasks are expected to need.
    capacity : CapacityLike
        What the worker has.
    has_largest : callable, optional
        Returns the tasks for which no pass has more than this worker, shape (n_tasks,), bool; asked
        only if it matters. None: some pass always has more.
    """
    cores, memory_mb = capacity.cores, capacity.memory_mb
    now = estimates.chance(cores, capacity.seconds_left, memory_mb)
    fresh = estimates.chance(cores, capacity.seconds_in_all, memory_mb)
    likely = now >= LIKELY
    split = np.zeros_like(likely)
    # a whole task lies right before its parts
    split[:-1] = estimates.grid.parts.has_dormant[:-1] & (fresh[:-1] < EVEN) & likely[1:]
    may = now >= POSSIBLE
    # an estimate that is no more than a guess keeps no task back for ever
    guessed = estimates.vague() & ~may
    if has_largest is not None and guessed.any():
        may |= guessed & has_largest()
    possible = (now >= EVEN) | may & (fresh < now + BETTER)
    return Suitability(likely=likely, split=split, possible=possible)


def estimates_of(grid: Grid, layout: Layout, needs: LearnedNeeds) -> Estimates:
    """Return the estimates for the tasks of `grid`."""
    codes, which = _kinds(grid, layout)
    time, memory = _amounts(
        layout,
        codes,
        ((needs.time, needs.time_calibration), (needs.memory, needs.memory_calibration)),
    )
    censored = {i: one for i, one in needs.censored.items() if i < len(grid)}
    positions = np.fromiter(censored, np.intp, len(censored))
    cores = np.array([one.cores for one in censored.values()], np.float64)
    seconds = np.array([one.seconds for one in censored.values()], np.float64)
    memory_mb = np.array([one.memory_mb for one in censored.values()], np.float64)
    return Estimates(
        time=time,
        memory=memory,
        which=which,
        censored=positions,
        cores=cores,
        model=TimeModel(
            layout=layout,
            codes=codes,
            covariance=needs.time.covariance,
            calibration=needs.time_calibration,
            mean=time.mean,
        ),
        time_bound=_bounded(time.on(cores, which[positions]), np.maximum(seconds, LEAST_S)),
        memory_bound=_bounded(memory.on(cores, which[positions]), np.maximum(memory_mb, LEAST_MB)),
        grid=grid,
        n_attempts=needs.n_attempts,
        learned=needs.learned,
    )


def _bounded(normal: Normal, amount: FloatArray) -> Bounded:
    least = np.log(amount)
    return Bounded(least=least, tail=np.maximum(normal.more_than(least), 1e-200))


def _kinds(grid: Grid, layout: Layout) -> tuple[NDArray[Any], Kinds]:
    """Return the codes of one task of each kind that the columns tell apart, and every task's kind.

    Shapes (n_axes, n_kinds) and (n_tasks,). There may be kinds without a task.
    """
    used = sorted(layout.axes())
    shape = [len(grid.axes[number].values) for number in used]
    if layout.part_axis is not None:
        used, shape = [*used, layout.part_axis], [*shape, 2]
    n_kinds = math.prod(shape)
    if n_kinds > len(grid):  # most combinations are no task
        return grid.codes, np.arange(len(grid), dtype=np.int32)
    kind = np.zeros(len(grid), np.int32)
    for number, size in zip(used, shape, strict=True):
        kind *= size
        kind += np.minimum(grid.codes[number], size - 1).astype(np.int32)  # parts are alike
    codes = np.zeros((len(grid.axes), n_kinds), np.intp)
    if used:
        codes[used] = np.unravel_index(np.arange(n_kinds), shape)
    return codes, kind


def _amounts(
    layout: Layout, codes: NDArray[Any], learned: tuple[tuple[Posterior, Calibration], ...]
) -> tuple[Amount, ...]:
    """Return what is expected of some tasks, a chunk at a time: rows take many times the memory."""
    n_kinds = codes.shape[1]
    found = [np.empty((3, n_kinds), np.float32) for _ in learned]
    for start in range(0, n_kinds, CHUNK):
        part = slice(start, start + CHUNK)
        rows = layout.rows(codes[:, part])
        for columns, (posterior, _) in zip(found, learned, strict=True):
            columns[0, part] = rows.times(posterior.mean)
            columns[1, part] = _variance(rows, posterior.covariance) + posterior.noise**2
            columns[2, part] = rows.times(posterior.covariance[CORES])
    return tuple(
        Amount(
            mean=mean,
            variance=variance,
            shared=shared,
            slope=float(posterior.mean[CORES]),
            slope_variance=float(posterior.covariance[CORES, CORES]),
            noise=posterior.noise,
            calibration=calibration,
        )
        for (mean, variance, shared), (posterior, calibration) in zip(found, learned, strict=True)
    )


def _variance(rows: Rows, covariance: FloatArray) -> Floats:
    """Return x'Cx for each row x, from the entries that are not 0."""
    flat = covariance.astype(np.float32).ravel()
    size = len(covariance)
    columns, values = rows.columns.T, rows.values.T.astype(np.float32)
    total = np.zeros(len(rows), np.float32)
    for i, column in enumerate(columns):
        if i == CORES:  # on one core, its logarithm is 0
            continue
        sums = values[i] * flat[column * (size + 1)]
        for j in range(i):
            sums += 2 * values[j] * flat[column * size + columns[j]]
        total += values[i] * sums
    return total
