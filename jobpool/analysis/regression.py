"""Least squares of log10(mean rank) on log10(size), with terms for type and pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.formula.api as models

from jobpool.errors import DataError

ALPHA = 0.05  # of all intervals
N_SIZES = 100  # predicted for each type and pipeline


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


def regress(points: pd.DataFrame, factors: Sequence[str] = ("type", "pipeline")) -> Regression:
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
        size or an earlier factor already tells, is left out, and the result says so.

    Raises
    ------
    DataError
        If there are not more rows than coefficients, or all sizes or all mean ranks are equal.
    """
    frame = _prepared(points, factors)
    kept, left_out = _usable(frame, factors)
    formula = " + ".join(["log10_rank ~ log10_size", *(f"C({one})" for one in kept)])
    n_parameters = 2 + sum(frame[one].nunique() - 1 for one in kept)
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


def _prepared(points: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Return what the formula needs, in an order of its own."""
    present = [one for one in factors if one in points]
    frame = points[["size", "mean_rank", *present]].sort_values(
        ["size", *present, "mean_rank"], ignore_index=True
    )
    frame["log10_size"] = np.log10(frame["size"].to_numpy(np.float64))
    frame["log10_rank"] = np.log10(frame["mean_rank"].to_numpy(np.float64))
    return frame


def _usable(frame: pd.DataFrame, factors: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the factors that add as many dimensions as they have terms, and why others do not."""
    design = np.column_stack([np.ones(len(frame)), frame["log10_size"]])
    kept, left_out = [], []
    for one in factors:
        values = sorted(set(frame[one])) if one in frame else []
        if len(values) < 2:
            only = f"all rows have {one} {values[0]!r}" if values else f"there is no {one} column"
            left_out.append(f"No {one} term: {only}.")
            continue
        coded = [(frame[one] == value).to_numpy(np.float64) for value in values[1:]]
        wider = np.column_stack([design, *coded])
        if np.linalg.matrix_rank(wider) < np.linalg.matrix_rank(design) + len(coded):
            left_out.append(f"No {one} term: sizes and the other terms already tell the {one}.")
            continue
        design = wider
        kept.append(one)
    return kept, tuple(left_out)


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
    >>> _plain("C(type)[T.random]"), _plain("log10_size")
    ('type random', 'log10(size)')
    """
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
