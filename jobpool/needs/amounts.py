"""What is known of an amount, time or memory: its distribution, and what a bound leaves of it.

All is in logarithms. A distribution is normal but for its errors, whose quantiles are those that
were found (`jobpool.needs.calibration`).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from jobpool.needs.calibration import Calibration
from jobpool.needs.features import FloatArray
from jobpool.needs.regression import upper_tail

Kinds = NDArray[np.signedinteger]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
EVERY_KIND = slice(None)
NO_SD = 1e-4  # an amount that does not vary at all
# A bound that others leave so little chance shows a task to be unlike them. Then the bound is all
# that is known: the task needs twice as much or more with an even chance.
UNLIKE = 0.05
MOST_TIMES = 20.0  # of its bound: what such a task is drawn with at most


@dataclass(frozen=True, kw_only=True)
class Amount:
    """The logarithm of an amount for each kind of task: mean and variance, on any cores."""

    mean: Floats  # (n_kinds,): on one core
    variance: Floats  # (n_kinds,): on one core, with the noise
    slope: float  # of the mean along the logarithm of the cores
    slope_variance: float
    shared: Floats  # (n_kinds,): covariance of the mean with the slope
    noise: float  # standard deviation of what no model explains
    calibration: Calibration

    def on(self, cores: int | FloatArray, kinds: Kinds | slice = EVERY_KIND) -> "Normal":
        """Return the distribution for some kinds on `cores`."""
        size, reach = np.log(cores), max(self.calibration.reach, 1e-9)
        variance = self.variance[kinds] + 2 * size * self.shared[kinds]
        variance += size**2 * self.slope_variance
        return Normal(
            mean=self.mean[kinds] + size * self.slope,
            sd=np.sqrt(np.maximum(variance, NO_SD**2)),
            far=np.clip((variance - self.noise**2) / (self.noise**2 * reach) - 1, 0.0, 1.0),
            calibration=self.calibration,
        )


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Distributions that are normal but for errors as they were found, each of shape (n,)."""

    mean: FloatArray
    sd: FloatArray
    far: FloatArray  # 0 to 1: how much less like what was tried than attempts were; 1: as normal
    calibration: Calibration

    def at(self, normal: float | FloatArray) -> FloatArray:
        """Return quantiles, given as those of a standard normal distribution."""
        z = np.asarray(normal, np.float64)
        errors = self.calibration.error_at(z)
        found: FloatArray = self.mean + self.sd * (errors + self.far * (z - errors))
        return found

    def more_than(self, amount: float | FloatArray, least_sd: float = NO_SD) -> FloatArray:
        """Return the chance of more than the logarithm of an amount."""
        off = amount - self.mean
        z = off / self.sd
        normal = self.calibration.normal_at(z)
        z = normal + self.far * (z - normal)
        return upper_tail(np.sign(off) * np.minimum(np.abs(z), np.abs(off) / least_sd))


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """Tasks that are only known to need more than some amount, shape (n_bounded,)."""

    least: FloatArray  # the logarithm of the amount, on the cores where it was seen
    tail: FloatArray  # chance of that before it was seen

    def share_above(self, more: FloatArray, amount: float) -> FloatArray:
        """Return the chance of more than the logarithm `amount`, of which it was `more` before."""
        as_others = np.minimum(more / self.tail, 1.0)
        unlike = np.exp(np.minimum(self.least - amount, 0.0))
        found: FloatArray = np.where(self.tail < UNLIKE, unlike, as_others)
        return found

    def take(self, chosen: Mask) -> "Bounded":
        """Return some of them."""
        return Bounded(least=self.least[chosen], tail=self.tail[chosen])

    def drawn(self, times: FloatArray, own: FloatArray) -> FloatArray:
        """Return times as drawn, (n_bounded, n_draws), by what they were before, and errors."""
        chance = upper_tail(own)
        unlike = np.exp(self.least)[:, None] / np.maximum(chance, 1 / MOST_TIMES)
        as_others = np.maximum(times, np.exp(self.least)[:, None])
        found: FloatArray = np.where(self.tail[:, None] < UNLIKE, unlike, as_others)
        return found

    def at(self, normal: Normal, quantile: float) -> FloatArray:
        """Return the logarithm at a quantile."""
        left = np.maximum(self.tail * (1 - quantile), 1e-300).tolist()
        as_others = normal.at(np.array([-NormalDist().inv_cdf(chance) for chance in left]))
        unlike = self.least - np.log(1 - quantile)
        found: FloatArray = np.where(self.tail < UNLIKE, unlike, np.maximum(as_others, self.least))
        return found
