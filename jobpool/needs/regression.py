"""Bayesian linear regression from moments, with right-censored observations.

The standard deviation of each group of coefficients, and the noise, are learned as well [1]_: a
group that explains little shrinks to nothing. An attempt that ran out of time or memory says that
the task needs more than that: it enters by its likelihood, one Newton step per iteration.

.. [1] MacKay, "Bayesian interpolation", Neural Computation 4:415, 1992.
"""

from dataclasses import dataclass

import numpy as np

from jobpool.needs.features import FloatArray, Rows

CHUNK = 2048  # rows whose products are added up at a time
MOST_ITERATIONS = 40
CLOSE = 2e-3  # of a coefficient: 0.2 % of a time
PRIOR_WEIGHT = 3.0  # coefficients, or observations, that the prior of a deviation counts for


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over observations: sufficient statistics of the regression."""

    xx: FloatArray  # (n_columns, n_columns)
    xy: FloatArray  # (n_columns,)
    yy: float = 0.0
    n: float = 0.0

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            xx=self.xx + other.xx, xy=self.xy + other.xy, yy=self.yy + other.yy, n=self.n + other.n
        )


def no_moments(n_columns: int) -> Moments:
    """Return the moments of no observation."""
    return Moments(xx=np.zeros((n_columns, n_columns)), xy=np.zeros(n_columns))


def moments_of(rows: Rows, y: FloatArray, n_columns: int) -> Moments:
    """Return the moments of observations `y`, shape (n_rows,)."""
    xx, xy = weighted(rows, np.ones(len(y)), y, n_columns)
    return Moments(xx=xx, xy=xy, yy=float(y @ y), n=float(len(y)))


def weighted(
    rows: Rows, weights: FloatArray, y: FloatArray, n_columns: int
) -> tuple[FloatArray, FloatArray]:
    """Return X'WX, shape (n_columns, n_columns), and X'Wy, shape (n_columns,)."""
    xx = np.zeros(n_columns * n_columns)
    for first in range(0, len(y), CHUNK):
        part = slice(first, first + CHUNK)
        columns, values = rows.columns[part], rows.values[part]
        cells = columns[:, :, None] * n_columns + columns[:, None, :]
        products = (values * weights[part, None])[:, :, None] * values[:, None, :]
        xx += np.bincount(cells.ravel(), products.ravel(), n_columns * n_columns)
    products = rows.values * (weights * y)[:, None]
    xy = np.bincount(rows.columns.ravel(), products.ravel(), n_columns)
    return xx.reshape(n_columns, n_columns), xy.astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Prior:
    """The distribution of the coefficients before data."""

    mean: FloatArray  # (n_columns,)
    sd: FloatArray  # (n_columns,)
    groups: tuple[slice, ...]  # columns whose deviation is learned together
    noise: float


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """The distribution of the coefficients after data."""

    mean: FloatArray  # (n_columns,)
    covariance: FloatArray  # (n_columns, n_columns)
    sd: FloatArray  # (n_columns,): of the coefficients before data, as learned
    noise: float


@dataclass(frozen=True, kw_only=True)
class CensoredRows:
    """Right-censored observations: they are larger than `least`."""

    rows: Rows
    least: FloatArray  # (n_rows,)

    def as_observed(self, mean: FloatArray, noise: float) -> tuple[FloatArray, FloatArray]:
        """Return observations, and their weights, that have the same slope and curvature there."""
        expected = self.rows.times(mean)
        beyond = (self.least - expected) / noise
        hazard = hazard_of(beyond)
        weights = np.clip(hazard * (hazard - beyond), 1e-6, 1.0)
        return expected + noise * hazard / weights, weights


def posterior_of(
    moments: Moments, censored: CensoredRows, prior: Prior, start: Posterior | None = None
) -> Posterior:
    """Return the posterior after `moments` and `censored`.

    Parameters
    ----------
    moments : Moments
        Of what was observed.
    censored : CensoredRows
        Of what was not: only lower bounds are known.
    prior : Prior
        The distribution before both.
    start : Fit, optional
        An earlier one to start from: saves iterations, changes nothing else.
    """
    mean, sd, noise = prior.mean, prior.sd, prior.noise
    if start is not None:
        mean, sd, noise = start.mean, start.sd, start.noise
    for _ in range(MOST_ITERATIONS):
        before = mean
        xx, xy = _with_censored(moments, censored, mean, noise)
        precision = xx / noise**2 + np.diag(sd**-2)
        covariance = np.linalg.inv(precision).astype(np.float64, copy=False)
        mean = covariance @ (xy / noise**2 + prior.mean * sd**-2)
        noise_before, noise = noise, _noise(moments, mean, covariance, prior.noise)
        sd = _deviations(mean, covariance, sd, prior)
        if np.abs(mean - before).max() < CLOSE and abs(noise - noise_before) < CLOSE:
            break
    return Posterior(mean=mean, covariance=covariance, sd=sd, noise=noise)


def _with_censored(
    moments: Moments, censored: CensoredRows, mean: FloatArray, noise: float
) -> tuple[FloatArray, FloatArray]:
    """Return X'X and X'y, each censored row an observation of the same slope and curvature."""
    if len(censored.least) == 0:
        return moments.xx, moments.xy
    y, weights = censored.as_observed(mean, noise)
    xx, xy = weighted(censored.rows, weights, y, len(mean))
    return moments.xx + xx, moments.xy + xy


def _noise(moments: Moments, mean: FloatArray, covariance: FloatArray, initial: float) -> float:
    left = moments.yy - 2 * mean @ moments.xy + mean @ moments.xx @ mean
    doubt = np.einsum("ij,ij->", moments.xx, covariance)
    return float(
        np.sqrt((max(left, 0.0) + doubt + PRIOR_WEIGHT * initial**2) / (moments.n + PRIOR_WEIGHT))
    )


def _deviations(
    mean: FloatArray, covariance: FloatArray, sd: FloatArray, prior: Prior
) -> FloatArray:
    """Return the most likely deviations, given the coefficients."""
    found = sd.copy()
    determined = 1.0 - np.diag(covariance) / sd**2  # how well data determine each, 0 to 1
    for group in prior.groups:
        spread = (mean[group] ** 2).sum() + PRIOR_WEIGHT * prior.sd[group][0] ** 2
        found[group] = np.sqrt(spread / (np.clip(determined[group], 0, 1).sum() + PRIOR_WEIGHT))
    return np.maximum(found, 1e-3)


def upper_tail(z: FloatArray) -> FloatArray:
    """Return the chance that a standard normal number exceeds `z`, to 2e-7 of itself.

    By the series of Press et al., Numerical Recipes, 2nd edition, section 6.2.

    Examples
    --------
    >>> upper_tail(np.array([0.0, 1.96, -9.0])).round(4)
    array([0.5  , 0.025, 1.   ])
    """
    scaled = np.abs(z) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.5 * scaled)
    series = np.polynomial.polynomial.polyval(t, _SERIES)
    tail = 0.5 * t * np.exp(np.maximum(series - scaled**2, -700.0))
    chance: FloatArray = np.where(z >= 0, tail, 1.0 - tail)
    return chance


_SERIES = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)


def hazard_of(z: FloatArray) -> FloatArray:
    """Return the density over the upper tail of the standard normal distribution at `z`."""
    capped = np.minimum(z, 30.0)  # beyond, both are 0: the hazard is about z
    density = np.exp(-0.5 * capped**2) / np.sqrt(2 * np.pi)
    hazard: FloatArray = density / np.maximum(upper_tail(capped), 1e-300) + (z - capped)
    return hazard
