"""How much work some tasks are: the sum of their times, drawn many times.

A sum is uncertain for three reasons. What is not known of a value of an axis is wrong for all
tasks that have it; the sum of what attempts took may not be what was expected, on the whole; and
each task has an error of its own, the only one that averages out over many tasks. So the
coefficients of the regression are drawn from their distribution, every time for all tasks.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.needs.calibration import Calibration
from jobpool.needs.features import FloatArray, Layout, Positions, Rows

N_SUMS = 100  # that are drawn: even, as each draw is used with both signs
MOST_SUMMED = 16_384  # kinds of tasks whose times are drawn
CHUNK = 2048  # of them at a time
SEED = 1  # the same attempts give the same plan
MOST_LOG = 60.0


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
    """The sum of times of some tasks, in seconds: as it was drawn, each equally likely."""

    sums: FloatArray  # (N_SUMS,)
    longest: float = 0.0  # the longest time that is expected of one

    @property
    def mean(self) -> float:
        """Return what is expected."""
        return float(self.sums.mean())

    def __add__(self, other: "Work") -> "Work":
        return Work(sums=self.sums + other.sums, longest=max(self.longest, other.longest))

    def times(self, factor: float) -> "Work":
        """Return the work in another unit, such as core-seconds on so many cores."""
        return Work(sums=self.sums * factor, longest=self.longest * factor)

    def interval(self) -> Interval:
        """Return the middle of what was drawn, and the 80 % around it.

        Examples
        --------
        >>> found = Work(sums=np.arange(0.0, 101.0)).interval()
        >>> found.low, found.middle, found.high
        (10.0, 50.0, 90.0)
        """
        low, middle, high = np.quantile(self.sums, (0.1, 0.5, 0.9)).tolist()
        return Interval(middle=middle, low=low, high=high)


def no_work() -> Work:
    """Return the work of no task."""
    return Work(sums=np.zeros(N_SUMS))


def total(works: Iterable[Work]) -> Work:
    """Return the sum of several pieces of work."""
    return reduce(Work.__add__, works, no_work())


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Coefficients, and errors that are no task's own, as they are drawn each time."""

    off: FloatArray  # (n_columns, N_SUMS): coefficients less their means
    factor: FloatArray  # (N_SUMS,): the sum of what attempts take by what is expected
    own: FloatArray  # (N_SUMS,): standard normal, for the errors of single tasks

    def log_times(self, rows: Rows, mean: NDArray[np.floating[Any]]) -> FloatArray:
        """Return the expected logarithm of each row's time as drawn, (n_rows, N_SUMS)."""
        found = np.repeat(np.asarray(mean, np.float64)[:, None], N_SUMS, axis=1)
        for entry in range(rows.columns.shape[1]):
            found += rows.values[:, entry, None] * self.off[rows.columns[:, entry]]
        return np.minimum(found, MOST_LOG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """The sum of times without the errors of single tasks, and what these need to be added."""

    sums: FloatArray  # (N_SUMS,)
    squares: float  # the sum of the squares of what is expected of each
    longest: float

    def and_of(self, times: FloatArray) -> "Sum":
        """Return this with more tasks, shape (n_tasks, N_SUMS)."""
        each = times.mean(axis=1)
        return Sum(
            sums=self.sums + times.sum(axis=0),
            squares=self.squares + float(each @ each),
            longest=max(self.longest, float(each.max(initial=0.0))),
        )

    def work(self, spread: float, draws: Draws) -> Work:
        """Return the sum with errors: their standard deviation, by what is expected of a task.

        The sum of few is as lopsided as their times, so that it is taken for lognormal, too.
        """
        mean = float(self.sums.mean())
        if mean <= 0:
            return no_work()
        variance = math.log1p(spread**2 * self.squares / mean**2)
        errors = np.exp(math.sqrt(variance) * draws.own - variance / 2)
        return Work(sums=self.sums * errors, longest=self.longest)


@dataclass(frozen=True, kw_only=True)
class TimeModel:
    """What the sum of times is drawn from."""

    layout: Layout
    codes: NDArray[Any]  # (n_axes, n_kinds): of one task of each kind
    covariance: FloatArray  # of the coefficients
    calibration: Calibration
    mean: NDArray[np.floating[Any]]  # (n_kinds,): of the logarithm of the time on `cores`
    cores: int = 1
    most_s: float = math.inf  # no run lasts longer

    @cached_property
    def draws(self) -> Draws:
        """Return the same draws for all kinds."""
        return drawn(self.covariance, self.calibration.ratio, self.calibration.ratio_sd)

    def times(self, kinds: Positions) -> FloatArray:
        """Return the times of some kinds as drawn, shape (n, N_SUMS)."""
        rows = self.layout.rows(self.codes[:, kinds], float(self.cores))
        logs = self.draws.log_times(rows, self.mean[kinds])
        found: FloatArray = np.minimum(np.exp(logs) * self.draws.factor, self.most_s)
        return found

    def sum_of(self, counts: NDArray[np.intp]) -> Sum:
        """Return the sum over so many tasks of each kind; of too many kinds, a random sample."""
        chosen = np.flatnonzero(counts)
        hoped = np.minimum(np.exp(np.minimum(self.mean, MOST_LOG)), self.most_s) * counts
        if len(chosen) > MOST_SUMMED:
            chosen = np.random.default_rng(SEED).choice(chosen, MOST_SUMMED, replace=False)
        found = Sum(sums=np.zeros(N_SUMS), squares=0.0, longest=0.0)
        for start in range(0, len(chosen), CHUNK):
            part = chosen[start : start + CHUNK]
            times, each = self.times(part), counts[part].astype(np.float64)
            mean = times.mean(axis=1)
            found = Sum(
                sums=found.sums + each @ times,
                squares=found.squares + float(each @ mean**2),
                longest=max(found.longest, float(mean.max())),
            )
        share = float(hoped[chosen].sum() / hoped.sum()) if len(chosen) else 1.0
        return Sum(sums=found.sums / share, squares=found.squares / share, longest=found.longest)


def drawn(covariance: FloatArray, ratio: float, ratio_sd: float) -> Draws:
    """Return draws of the coefficients of a regression.

    Parameters
    ----------
    covariance : ndarray of shape (n_columns, n_columns), float64
        Of the coefficients.
    ratio, ratio_sd : float
        The sum of what attempts took by what was expected, and how uncertain that is, by itself.
    """
    rng = np.random.default_rng(SEED)
    half = rng.standard_normal((len(covariance), N_SUMS // 2))
    off = _root(covariance) @ np.concatenate([half, -half], axis=1)
    logs = rng.permutation(_normal_scores(N_SUMS)) * min(ratio_sd, 1.0)
    return Draws(
        off=off,
        factor=ratio * np.exp(logs - min(ratio_sd, 1.0) ** 2 / 2),
        own=rng.permutation(_normal_scores(N_SUMS)),
    )


def _root(covariance: FloatArray) -> FloatArray:
    """Return a matrix whose square is the covariance; it was rounded when it was written."""
    rounded = 1e-6 * float(np.diag(covariance).max())
    with suppress(np.linalg.LinAlgError):
        return np.asarray(np.linalg.cholesky(covariance + rounded * np.eye(len(covariance))))
    values, vectors = np.linalg.eigh(covariance)
    root: FloatArray = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _normal_scores(n: int) -> FloatArray:
    """Return standard normal numbers that are spread as evenly as `n` can be."""
    rng = np.random.default_rng(SEED)
    ranks = np.sort(rng.standard_normal((n, 200)), axis=0).mean(axis=1)
    scores: FloatArray = ranks / ranks.std()
    return scores
