"""How mean rank scales with size: a power law, the region in which it holds, and what type adds.

The law is ``mean rank = factor * size ** exponent``: a straight line of log10(mean rank) on
log10(size), fitted by ordinary least squares. It cannot hold everywhere: ranks end at 1 and at
the number of parcellations, and the largest parcellations may bring nothing more. So the law is
fitted in a region of sizes, which `jobpool.analysis.regions` chooses. A regression fits the same
line with terms for type and pipeline, and for how the slope differs between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.formula.api as models
from numpy.typing import NDArray
from scipy.stats import t as student

from jobpool.errors import DataError

FloatArray = NDArray[np.float64]
ALPHA = 0.05  # of all intervals
_DECIMALS = 9  # of log10: noise of the last digits must not choose a region
N_SIZES = 100  # predicted for each type and pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """A line in log10-log10.

    Attributes
    ----------
    factor, exponent : float
        ``mean rank = factor * size ** exponent``.
    exponent_error, exponent_low, exponent_high : float
        Standard error and 95 % confidence interval (Student's t, `n` - 2 degrees of freedom).
    r2 : float
        Share of the variance of log10(mean rank).
    n, n_sizes : int
        Parcellations, and different sizes among them.
    smallest, largest : int
        Sizes that the line was fitted to.
    ks : float
        Kolmogorov-Smirnov distance, see `jobpool.analysis.regions.find_region`.
    residual_sd, center, spread : float
        Of log10(mean rank) around the line; mean of log10(size), and its sum of squares.
    """

    factor: float
    exponent: float
    exponent_error: float
    exponent_low: float
    exponent_high: float
    r2: float
    n: int
    n_sizes: int
    smallest: int
    largest: int
    ks: float
    residual_sd: float
    center: float
    spread: float

    def predict(self, sizes: Sequence[float] | FloatArray) -> FloatArray:
        """Return the mean rank that the law gives for sizes."""
        law: FloatArray = self.factor * np.asarray(sizes, np.float64) ** self.exponent
        return law

    def band(self, sizes: Sequence[float] | FloatArray) -> pd.DataFrame:
        """Return ``size``, ``mean_rank``, and ``low`` and ``high`` of the line's 95 % band."""
        x = np.asarray(sizes, np.float64)
        distance = np.log10(x) - self.center
        error = self.residual_sd * np.sqrt(1 / self.n + distance**2 / self.spread)
        law, factor = self.predict(x), 10 ** (_quantile(self.n - 2) * error)
        return pd.DataFrame(
            {"size": x, "mean_rank": law, "low": law / factor, "high": law * factor}
        )

    def __str__(self) -> str:
        interval = f"95 % {self.exponent_low:.4f} to {self.exponent_high:.4f}"
        sizes = f"{self.smallest:,} to {self.largest:,} parcels"
        law = f"mean rank = {self.factor:.3g} x parcels^{self.exponent:.4f} ({interval})"
        return f"{law}, {sizes}, R2 {self.r2:.4f}, {self.n} parcellations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One coefficient, of log10(mean rank), with its 95 % interval."""

    name: str  # "intercept", "log10(size)", or such as "type random": against the baseline
    coefficient: float
    error: float
    t: float
    p: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regression:
    """An ordinary least-squares fit.

    Attributes
    ----------
    formula : str
        As statsmodels has it.
    terms : tuple of Term
        The coefficients.
    n, n_parameters : int
        Rows, and coefficients.
    r2, adjusted_r2 : float
        Share of the variance of log10(mean rank); adjusted for the number of coefficients.
    baselines : mapping of str to str
        The value of each factor that its terms are compared with: the first by name.
    left_out : tuple of str
        Sentences: factors that the data cannot tell apart, and why.
    predictions : DataFrame
        ``size``, the factors that are in the formula, ``mean_rank``, and ``low`` and ``high`` of
        the 95 % confidence band of the line, within the sizes that each combination has.
    """

    formula: str
    terms: tuple[Term, ...]
    n: int
    n_parameters: int
    r2: float
    adjusted_r2: float
    baselines: Mapping[str, str]
    left_out: tuple[str, ...]
    predictions: pd.DataFrame


def fit_power_law(points: pd.DataFrame) -> PowerLaw:
    """Fit the law to all points.

    Parameters
    ----------
    points : DataFrame
        ``size`` (parcels) and ``mean_rank`` (above 0), one row per parcellation.

    Raises
    ------
    DataError
        If there are fewer than three different sizes, or all mean ranks are equal.
    """
    sizes, x, y = by_size(points)
    check_varied(sizes, y)
    n_sizes = len(np.unique(sizes))
    if n_sizes < 3:
        raise DataError("mean ranks", f"a power law takes 3 different sizes, there are {n_sizes}")
    n, center = len(x), float(x.mean())
    spread = float(((x - center) ** 2).sum())
    exponent = float(((x - center) * (y - y.mean())).sum()) / spread
    intercept = float(y.mean()) - exponent * center
    left = float(((y - intercept - exponent * x) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    sd = float(np.sqrt(left / (n - 2)))
    error = sd / spread**0.5
    reach = _quantile(n - 2) * error
    return PowerLaw(
        factor=10**intercept,
        exponent=exponent,
        exponent_error=error,
        exponent_low=exponent - reach,
        exponent_high=exponent + reach,
        r2=1 - left / total,
        n=n,
        n_sizes=n_sizes,
        smallest=int(sizes[0]),
        largest=int(sizes[-1]),
        ks=ks_distance(y, intercept + exponent * x),
        residual_sd=sd,
        center=center,
        spread=spread,
    )


def ks_distance(one: FloatArray, another: FloatArray) -> float:
    """Return the largest distance of the distribution functions of two samples of one length.

    Examples
    --------
    >>> ks_distance(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 5.0, 6.0]))
    0.5
    """
    first, second = (np.sort(np.round(values, _DECIMALS)) for values in (one, another))
    steps = np.concatenate([first, second])
    below = np.searchsorted(first, steps, "right") - np.searchsorted(second, steps, "right")
    return float(np.abs(below).max()) / len(first)


def regress(
    points: pd.DataFrame,
    factors: Sequence[str] = ("type", "pipeline"),
    by_size: Sequence[str] = (),
) -> Regression:
    """Fit ``log10(mean rank) ~ log10(size) + C(type) + C(pipeline)`` by ordinary least squares.

    Standard errors are those of independent rows with one variance. The rows of one parcellation
    in several pipelines are not independent of each other: fitted to these, the errors are too
    small, the coefficients are right.

    Parameters
    ----------
    points : DataFrame
        ``size`` (parcels), ``mean_rank`` (above 0) and the factors, one row per parcellation, or
        per parcellation and pipeline.
    factors : sequence of str
        Columns that get one term per value but the first. One that has a single value, or that
        size or earlier factors already determine, is left out, and the result says so.
    by_size : sequence of str
        Factors whose values may have slopes of their own: one more term for each value but the
        first, what its slope differs by.

    Raises
    ------
    DataError
        If there are not more rows than coefficients, or all sizes or all mean ranks are equal.
    """
    frame = _prepared(points, factors)
    kept, crossed, left_out = _usable(frame, factors, by_size)
    terms = [*(f"C({one})" for one in kept), *(f"log10_size:C({one})" for one in crossed)]
    formula = " + ".join(["log10_rank ~ log10_size", *terms])
    n_parameters = 2 + sum(frame[one].nunique() - 1 for one in [*kept, *crossed])
    n_sizes, n_ranks = frame["size"].nunique(), frame["mean_rank"].nunique()
    for number, what in ((n_sizes, "sizes"), (n_ranks, "mean ranks")):
        if number == 1 and len(frame) > 1:
            raise DataError("mean ranks", f"all {what} are equal")
    if len(frame) <= n_parameters:
        found = f"{len(frame)} rows of {n_sizes} sizes with {n_ranks} mean ranks"
        raise DataError("mean ranks", f"{n_parameters} coefficients take more than {found}")
    fitted = models.ols(formula, frame).fit()
    return Regression(
        formula=formula,
        terms=_terms(fitted),
        n=len(frame),
        n_parameters=n_parameters,
        r2=float(fitted.rsquared),
        adjusted_r2=float(fitted.rsquared_adj),
        baselines={one: min(frame[one]) for one in kept},
        left_out=left_out,
        predictions=_predictions(fitted, frame, kept),
    )


def by_size(points: pd.DataFrame) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Return sizes, their log10, and the log10 of the mean ranks, in an order of their own."""
    frame = points[["size", "mean_rank"]].sort_values(["size", "mean_rank"])
    sizes = frame["size"].to_numpy(np.int64)
    return sizes, np.log10(sizes), np.log10(frame["mean_rank"].to_numpy(np.float64))


def check_varied(sizes: NDArray[np.int64], y: FloatArray) -> None:
    """Raise a DataError if several points have one size, or one mean rank."""
    if len(sizes) > 1 and sizes[0] == sizes[-1]:
        raise DataError("mean ranks", "all sizes are equal")
    if len(y) > 1 and are_equal(y):
        raise DataError("mean ranks", "all mean ranks are equal")


def are_equal(y: FloatArray) -> bool:
    """Return whether logarithms differ in noise of the last digits alone."""
    return bool(np.ptp(np.round(y, _DECIMALS)) == 0)


def line_at(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the least-squares line of y on x, at x."""
    distance = x - x.mean()
    slope = (distance @ y) / (distance @ distance)
    line: FloatArray = y.mean() + slope * distance
    return line


def _quantile(df: int) -> float:
    return float(student.ppf(1 - ALPHA / 2, df))


def _prepared(points: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Return what the formula needs, in an order of its own."""
    present = [one for one in factors if one in points]
    frame = points[["size", "mean_rank", *present]].sort_values(
        ["size", *present, "mean_rank"], ignore_index=True
    )
    frame["log10_size"] = np.log10(frame["size"].to_numpy(np.float64))
    frame["log10_rank"] = np.log10(frame["mean_rank"].to_numpy(np.float64))
    return frame


def _usable(
    frame: pd.DataFrame, factors: Sequence[str], by_size: Sequence[str]
) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Return factors and crossed ones that add as many dimensions as terms, and why others not."""
    size = frame["log10_size"].to_numpy(np.float64)
    design = np.column_stack([np.ones(len(frame)), size])
    kept: list[str] = []
    crossed: list[str] = []
    left_out = []
    for one in factors:
        values = sorted(set(frame[one])) if one in frame else []
        if len(values) < 2:
            only = f"all rows have {one} {values[0]!r}" if values else f"there is no {one} column"
            left_out.append(f"No {one} term: {only}.")
            continue
        coded = np.column_stack([frame[one] == value for value in values[1:]]).astype(np.float64)
        wider = [(kept, one, coded)]
        wider += [(crossed, f"{one} x size", coded * size[:, None])] if one in by_size else []
        for names, term, columns in wider:
            more = np.column_stack([design, columns])
            if np.linalg.matrix_rank(more) < np.linalg.matrix_rank(design) + columns.shape[1]:
                left_out.append(f"No {term} term: sizes and the other terms determine the {one}.")
                break
            design = more
            names.append(one)
    return kept, crossed, tuple(left_out)


def _terms(fitted: Any) -> tuple[Term, ...]:
    intervals = fitted.conf_int(alpha=ALPHA)
    return tuple(
        Term(
            name=_plain(name),
            coefficient=float(fitted.params[name]),
            error=float(fitted.bse[name]),
            t=float(fitted.tvalues[name]),
            p=float(fitted.pvalues[name]),
            low=float(intervals.loc[name, 0]),
            high=float(intervals.loc[name, 1]),
        )
        for name in fitted.params.index
    )


def _plain(name: str) -> str:
    """Return what to call a coefficient of statsmodels.

    Examples
    --------
    >>> _plain("C(type)[T.random]"), _plain("log10_size:C(pipeline)[T.svm]")
    ('type random', 'log10(size) x pipeline svm')
    """
    if name.startswith("log10_size:"):
        return f"log10(size) x {_plain(name.partition(':')[2])}"
    if name.startswith("C("):
        factor, _, value = name[2:].partition(")[T.")
        return f"{factor} {value.removesuffix(']')}"
    return {"Intercept": "intercept", "log10_size": "log10(size)"}[name]


def _predictions(fitted: Any, frame: pd.DataFrame, kept: Sequence[str]) -> pd.DataFrame:
    """Return the line and its band for every combination of factors that occurs."""
    groups = frame.groupby(list(kept), sort=True) if kept else [((), frame)]
    parts = []
    for values, rows in groups:
        ends = rows["size"].min(), rows["size"].max()
        grid = pd.DataFrame({"size": np.geomspace(*ends, N_SIZES)})
        for name, value in zip(kept, values, strict=True):
            grid[name] = str(value)
        parts.append(grid)
    grid = pd.concat(parts, ignore_index=True)
    grid["log10_size"] = np.log10(grid["size"])
    line = fitted.get_prediction(grid).summary_frame(alpha=ALPHA)
    for name, column in (
        ("mean_rank", "mean"),
        ("low", "mean_ci_lower"),
        ("high", "mean_ci_upper"),
    ):
        grid[name] = 10 ** line[column].to_numpy(np.float64)
    return grid.drop(columns="log10_size")
