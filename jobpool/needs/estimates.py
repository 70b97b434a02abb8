"""Estimates: how long each task runs and how much memory it takes, with their uncertainty.

From these follows which tasks suit a worker.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jobpool.needs.features import CORES, FloatArray, Layout, Positions, Rows, layout_of
from jobpool.needs.model_file import LearnedNeeds, read_learned_needs, written_at
from jobpool.needs.regression import Posterior, upper_tail
from jobpool.pool import Pool
from jobpool.table.grid import Grid

Kinds = NDArray[np.int32]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
FEWEST = 5  # attempts to learn from, where the user gave no initial estimates
# Chances that a task completes. At even odds it may be better known later, or run on a larger
# worker: in simulations 0.8 rather than 0.5 for likely tasks wastes a third less, in the same time.
LIKELY, EVEN, POSSIBLE = 0.8, 0.5, 0.1
BETTER = 0.1  # a task is left to a fresh worker if its chance there is larger by this
CHUNK = 8192  # rows whose variance is computed at a time
EVERY_KIND = slice(None)
LEAST_SD = 0.1  # however many samples there are: machines differ


@dataclass(frozen=True, kw_only=True)
class Amount:
    """The logarithm of an amount for each kind of task: mean and variance, on any cores."""

    mean: Floats  # (n_kinds,): on one core
    variance: Floats  # (n_kinds,): on one core
    slope: float  # of the mean along the logarithm of the cores
    slope_variance: float
    shared: Floats  # (n_kinds,): covariance of the mean with the slope

    def on(
        self, cores: int | FloatArray, kinds: Kinds | slice = EVERY_KIND
    ) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of some kinds on `cores`, each of shape (n_kinds,)."""
        size = np.log(cores)
        variance = self.variance[kinds] + 2 * size * self.shared[kinds]
        variance += size**2 * self.slope_variance
        return self.mean[kinds] + size * self.slope, np.sqrt(np.maximum(variance, LEAST_SD**2))


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the tasks of one pool are expected to need."""

    time: Amount  # of wall seconds, for each kind of task
    memory: Amount  # of MB, likewise
    which: Kinds  # (n_tasks,): the kind of each task
    censored: Positions  # (n_censored,): tasks only known to need more than some amount
    time_tail: FloatArray  # (n_censored,): chance of that before it was observed
    memory_tail: FloatArray
    grid: Grid
    n_attempts: int  # completed attempts that they are based on
    learned: float  # when, in seconds since the epoch

    def seconds(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return the wall time of each task on `cores`, shape (n_tasks,), in seconds.

        Parameters
        ----------
        cores : int
            Cores of the worker.
        quantile : float
            The chance that a task takes no longer, between 0 and 1.
        """
        return self._quantile(self.time, self.time_tail, cores, quantile)

    def memory_mb(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return the peak memory of each task on `cores`, shape (n_tasks,), in MB."""
        return self._quantile(self.memory, self.memory_tail, cores, quantile)

    def _quantile(self, amount: Amount, tail: FloatArray, cores: int, quantile: float) -> Floats:
        normal = NormalDist()
        mean, sd = amount.on(cores)
        found = np.exp(mean + sd * normal.inv_cdf(quantile)).astype(np.float32)[self.which]
        # in the tail, which is exact where a chance near 1 is not
        left = np.maximum(tail * (1 - quantile), 1e-300).tolist()
        beyond = np.array([-normal.inv_cdf(chance) for chance in left])
        kinds = self.which[self.censored]
        found[self.censored] = np.exp(mean[kinds] + sd[kinds] * beyond)
        return found

    def chance(self, cores: int, seconds: float | None, memory_mb: float | None) -> Floats:
        """Return the chance that each task needs no more, shape (n_tasks,); None: no limit."""
        kinds = self.which[self.censored]
        chance, known = np.ones(len(self.time.mean)), np.ones(len(kinds))
        for amount, tail, limit in (
            (self.time, self.time_tail, seconds),
            (self.memory, self.memory_tail, memory_mb),
        ):
            if limit is not None:
                mean, sd = amount.on(cores)
                more = upper_tail((np.log(max(limit, 1e-3)) - mean) / sd)
                chance *= 1 - more
                known *= 1 - np.minimum(more[kinds] / tail, 1)
        found = chance.astype(np.float32)[self.which]
        found[self.censored] = known
        return found


def load_estimates(pool: Pool, fewest: int = FEWEST) -> Estimates | None:
    """Return the latest estimates, or None if there are none for the present tasks."""
    layout = layout_of(pool.grid)
    needs = read_learned_needs(pool.folder, layout.digest)
    n_samples = 0 if needs is None else needs.n_attempts + len(needs.censored)
    if needs is None or (n_samples < fewest and not pool.experiment().needs):
        return None  # a few attempts of similar tasks say nothing about the others
    return estimates_of(pool.grid, layout, needs)


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


def suitability(estimates: Estimates, capacity: CapacityLike) -> Suitability:
    """Return what a worker should be given."""
    cores, memory_mb = capacity.cores, capacity.memory_mb
    now = estimates.chance(cores, capacity.seconds_left, memory_mb)
    fresh = estimates.chance(cores, capacity.seconds_in_all, memory_mb)
    likely = now >= LIKELY
    split = np.zeros_like(likely)
    # a whole task lies right before its parts
    split[:-1] = estimates.grid.parts.has_dormant[:-1] & (fresh[:-1] < EVEN) & likely[1:]
    possible = (now >= EVEN) | (now >= POSSIBLE) & (fresh < now + BETTER)
    return Suitability(likely=likely, split=split, possible=possible)


def estimates_of(grid: Grid, layout: Layout, needs: LearnedNeeds) -> Estimates:
    """Return the estimates for the tasks of `grid`."""
    codes, which = _kinds(grid, layout)
    time, memory = _amounts(layout, codes, (needs.time, needs.memory))
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
        time_tail=_tail(time, which[positions], cores, seconds),
        memory_tail=_tail(memory, which[positions], cores, memory_mb),
        grid=grid,
        n_attempts=needs.n_attempts,
        learned=needs.learned,
    )


def _tail(amount: Amount, kinds: Kinds, cores: FloatArray, least: FloatArray) -> FloatArray:
    mean, sd = amount.on(cores, kinds)
    return np.maximum(upper_tail((np.log(np.maximum(least, 1.0)) - mean) / sd), 1e-200)


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
    layout: Layout, codes: NDArray[Any], posteriors: tuple[Posterior, ...]
) -> tuple[Amount, ...]:
    """Return what is expected of some tasks, a chunk at a time: rows take many times the memory."""
    n_kinds = codes.shape[1]
    found = [np.empty((3, n_kinds), np.float32) for _ in posteriors]
    for start in range(0, n_kinds, CHUNK):
        part = slice(start, start + CHUNK)
        rows = layout.rows(codes[:, part])
        for columns, posterior in zip(found, posteriors, strict=True):
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
        )
        for (mean, variance, shared), posterior in zip(found, posteriors, strict=True)
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
