"""How far off estimates are: what makes an 80 % interval hold 80 % of the tasks.

The regression takes errors for normal, and alike for all tasks. Some finished attempts are
therefore kept, each is foreseen from all the others, and the errors that are found there, in
standard deviations of the regression, say which quantile lies how far from the mean [1]_. An
attempt that was cut short counts as an error of at least that much [2]_. Nothing is assumed about
their distribution; only tasks that are less like the others than any attempt was are taken for
normal.

.. [1] Barber, Candes, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of
   Statistics 49:486, 2021.
.. [2] Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53:457, 1958.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from jobpool.needs.features import FloatArray, Rows
from jobpool.needs.regression import CensoredRows, Posterior

# quantiles of the standard normal distribution, at which those of errors are kept: 0.5 to 99.5 %
KNOTS = np.array([-2.576, -2.054, -1.645, -1.282, -0.954, -0.524, 0.0])
KNOTS = np.concatenate([KNOTS, -KNOTS[-2::-1]])
_LEVELS = np.array([0.005, 0.02, 0.05, 0.1, 0.17, 0.3, 0.5])
_LEVELS = np.concatenate([_LEVELS, 1 - _LEVELS[-2::-1]])
FEWEST = 9  # errors: with fewer, no tenth of them lies on either side
MOST_LEVERAGE = 0.999  # of an attempt on its own estimate: beyond, the others say nothing of it
MOST_DOUBT = 1.0  # variance of the model: beyond, a mean is a fantasy
MOST_CUT = 10.0  # a tenth of attempts that were cut: then what finished says nothing of the mean
NEAREST = 1e-6  # between two knots, so that each has an inverse
FARTHEST_KNOT = 50.0  # in standard deviations
_N_SUMS = 4


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Quantiles of errors, and how the sum of many amounts compares with what is expected."""

    knots: FloatArray  # (n_knots,): in standard deviations of the regression, rising
    reach: float = 0.0  # variance of the model by that of the noise, as far as was tried
    ratio: float = 1.0  # the sum of amounts by the sum of what was expected
    ratio_sd: float = 0.0
    spread: float = 0.0  # standard deviation of an amount by what was expected of it

    def error_at(self, normal: FloatArray) -> FloatArray:
        """Return the error at quantiles that are given as those of a standard normal."""
        return _line(normal, KNOTS, self.knots)

    def normal_at(self, error: FloatArray) -> FloatArray:
        """Return the opposite: the place of an error in a standard normal distribution."""
        return _line(error, self.knots, KNOTS)

    def packed(self) -> FloatArray:
        """Return everything as one array."""
        sums = [self.reach, self.ratio, self.ratio_sd, self.spread]
        return np.concatenate([self.knots, sums])


UNKNOWN = Calibration(knots=KNOTS)


def unpacked(numbers: NDArray[np.floating]) -> Calibration:
    """Return what `Calibration.packed` made of it.

    Raises
    ------
    ValueError
        If it is no such array.
    """
    if numbers.shape != (len(KNOTS) + _N_SUMS,) or not np.isfinite(numbers).all():
        raise ValueError("not the numbers of a calibration")
    knots, sums = numbers[:-_N_SUMS].astype(np.float64), numbers[-_N_SUMS:].tolist()
    if (np.diff(knots) <= 0).any() or min(sums) < 0:
        raise ValueError("errors do not rise")
    return Calibration(knots=knots, reach=sums[0], ratio=sums[1], ratio_sd=sums[2], spread=sums[3])


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Finished attempts: a sample of all of them."""

    rows: Rows
    logs: FloatArray  # (n_rows,): the logarithm of what each took
    rounding: FloatArray  # (n_rows,): the step in which it was measured
    n_all: float  # attempts that finished


def calibrated(posterior: Posterior, done: Finished, cut: CensoredRows) -> Calibration:
    """Return how far off the estimates of some attempts are, each made from all the others.

    Parameters
    ----------
    posterior : Posterior
        What all attempts taught, these and others.
    done : Finished
        Attempts that finished.
    cut : CensoredRows
        Attempts that were cut short, and tasks that run.
    """
    if len(done.logs) < FEWEST:
        return _as_normal(posterior.noise, len(done.logs))
    known = _foreseen(posterior, done.rows, done.logs, np.ones(len(done.logs)))
    unknown = _foreseen(posterior, cut.rows, *cut.as_observed(posterior.mean, posterior.noise))
    errors = (done.logs + _apart(done.logs, done.rounding) - known.mean) / known.sd
    found = replace(
        _sums(known, done),
        knots=_quantiles(errors, (cut.least - unknown.mean) / unknown.sd),
        reach=float(np.quantile(known.model, 0.98)) * 1.5,
    )
    return _where_many_are_cut(found, posterior.noise, len(cut.least) / done.n_all)


def _as_normal(noise: float, n: int) -> Calibration:
    """Return a calibration by so few attempts that their errors are taken for normal."""
    variance = min(noise**2, MOST_DOUBT)
    return replace(
        UNKNOWN,
        ratio=math.exp(variance / 2),
        ratio_sd=math.sqrt(variance / (n + 1)),
        spread=math.sqrt(math.expm1(variance)),
    )


@dataclass(frozen=True, kw_only=True)
class _Foreseen:
    """What is foreseen of attempts without themselves, each of shape (n_attempts,)."""

    mean: FloatArray
    sd: FloatArray
    model: FloatArray  # variance of the model, by that of the noise

    @property
    def amount(self) -> FloatArray:
        """Return the amount: the median of the noise, the mean of what the model leaves open."""
        noise = self.sd**2 / (1 + self.model)
        doubt = np.minimum(self.model * noise, MOST_DOUBT)
        found: FloatArray = np.exp(np.minimum(self.mean + doubt / 2, 50.0))
        return found


def _foreseen(posterior: Posterior, rows: Rows, logs: FloatArray, weights: FloatArray) -> _Foreseen:
    expected, variance = rows.times(posterior.mean), variance_of(rows, posterior.covariance)
    leverage = np.minimum(weights * variance / posterior.noise**2, MOST_LEVERAGE)
    model = variance / posterior.noise**2 / (1 - leverage)
    return _Foreseen(
        mean=logs - (logs - expected) / (1 - leverage),
        sd=posterior.noise * np.sqrt(1 + model),
        model=model,
    )


def _sums(known: _Foreseen, done: Finished) -> Calibration:
    """Return how the sum of what attempts took compares with what was foreseen."""
    took, hoped = np.exp(done.logs), known.amount
    ratio = float(took.sum() / hoped.sum())
    left = float(np.sqrt(((took - ratio * hoped) ** 2).sum())) / ratio
    return Calibration(
        knots=KNOTS,
        ratio=ratio,
        ratio_sd=left / float(hoped.sum()),
        spread=left / float(np.sqrt((hoped**2).sum())),
    )


def _where_many_are_cut(found: Calibration, noise: float, cut: float) -> Calibration:
    """Return a calibration whose sums allow for attempts that were cut, so many for each finished.

    What finished is then shorter than the rest. The mean of all follows from the quantiles of
    errors, in which those that were cut count; it misses the longest few.
    """
    weight = max(1 - MOST_CUT * cut, 0.0)  # of the sum of those that finished
    evenly = NormalDist()
    places = np.array([evenly.inv_cdf((n + 0.5) / 200) for n in range(200)])
    mean = float(np.exp(np.minimum(noise * found.error_at(places), 50.0)).mean())
    apart = (1 - weight) * abs(math.log(mean / found.ratio)) / 2
    return replace(
        found,
        ratio=found.ratio**weight * mean ** (1 - weight),
        ratio_sd=math.hypot(found.ratio_sd, apart),
    )


def variance_of(rows: Rows, covariance: FloatArray) -> FloatArray:
    """Return x'Cx for each row x: what is not known of the model, shape (n_rows,)."""
    found: FloatArray = np.zeros(len(rows))
    for i in range(rows.columns.shape[1]):
        cells = covariance[rows.columns[:, i, None], rows.columns]
        found += rows.values[:, i] * (cells * rows.values).sum(axis=1)
    return np.maximum(found, 0.0)


def _apart(logs: FloatArray, rounding: FloatArray) -> FloatArray:
    """Return how far equal amounts lie apart, as far as can be: evenly within their rounding."""
    order = np.argsort(logs, kind="stable")
    _, first, count = np.unique(logs[order], return_index=True, return_counts=True)
    place = np.arange(len(logs)) - np.repeat(first, count)
    share = np.empty(len(logs))
    share[order] = (place + 0.5) / np.repeat(count, count) - 0.5
    return share * rounding


def _quantiles(errors: FloatArray, beyond: FloatArray) -> FloatArray:
    """Return the errors at `KNOTS`; of those `beyond`, only the least is known."""
    values = np.concatenate([errors, beyond])
    is_error = np.concatenate([np.ones(len(errors), bool), np.zeros(len(beyond), bool)])
    order = np.lexsort((~is_error, values))
    values, is_error = values[order], is_error[order]
    at_risk = len(values) - np.arange(len(values))
    beneath = 1 - np.cumprod(np.where(is_error, 1 - 1 / at_risk, 1.0))
    # each error stands in the middle of its step: those of few attempts, found without one of them,
    # are wider than those of tasks that are foreseen from all
    below = (beneath + np.concatenate([[0.0], beneath[:-1]]))[is_error] / 2
    values = values[is_error]
    found = np.interp(_LEVELS, below, values)
    # outside of what was seen, a normal distribution of the same spread
    seen = np.flatnonzero(np.abs(2 * _LEVELS - below[0] - below[-1]) <= below[-1] - below[0])
    if len(seen) < 2:
        return KNOTS
    first, last = seen[0], seen[-1]
    scale = max((found[last] - found[first]) / (KNOTS[last] - KNOTS[first]), NEAREST)
    if len(beyond) and _LEVELS[last] < 0.9:
        scale = max(scale, 1.0)
    found[:first] = found[first] + scale * (KNOTS[:first] - KNOTS[first])
    found[last + 1 :] = found[last] + scale * (KNOTS[last + 1 :] - KNOTS[last])
    rising = np.maximum.accumulate(np.clip(found, -FARTHEST_KNOT, FARTHEST_KNOT))
    spaced: FloatArray = rising + NEAREST * np.arange(len(KNOTS))
    return spaced


def _line(x: FloatArray, xs: FloatArray, ys: FloatArray) -> FloatArray:
    """Return the line through some points, straight on beyond them."""
    x = np.asarray(x, np.float64)
    found = np.interp(x, xs, ys)
    slopes = (ys[-1] - ys[0]) / (xs[-1] - xs[0])
    found = np.where(x < xs[0], ys[0] + (x - xs[0]) * slopes, found)
    line: FloatArray = np.where(x > xs[-1], ys[-1] + (x - xs[-1]) * slopes, found)
    return line
