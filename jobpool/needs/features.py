"""The columns of the regression: what is known about a task before it runs, as numbers.

Axes and attributes are opaque: a value is a level of a factor, a number is a covariate. Each task
has an entry in a few columns only: rows are kept as column numbers and values. Keeps nothing on
disk.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.table.grid import Grid
from jobpool.task import ALL, Value

FloatArray = NDArray[np.float64]
Positions = NDArray[np.intp]

INTERCEPT, CORES, PART = 0, 1, 2  # columns that every pool has
N_FIXED = 3
MOST_LEVELS = 600  # an axis with more values has no column for each; the published study has 412
MOST_SLOPES = 64  # levels that get a slope of their own
MOST_PAIRS = 256  # combinations of two factors that get a column each
# standard deviations of effects before data, in units of the natural logarithm
LEVEL_SD, SLOPE_SD, STRAY_SD = 0.8, 0.7, 0.4
FARTHEST = 2.5  # standard deviations of a number from its mean
MOST_COLUMNS = 1000  # the time of the regression grows with the third power


@dataclass(frozen=True, kw_only=True)
class Factor:
    """Levels of the values of one axis: the values themselves, or those of an attribute."""

    axis: int
    levels: Positions  # (n_values,): level of each value
    n_levels: int


@dataclass(frozen=True, kw_only=True)
class Covariate:
    """A number for each value of one axis, centred and scaled."""

    axis: int
    numbers: FloatArray  # (n_values,)


@dataclass(frozen=True, kw_only=True)
class Term:
    """Columns side by side that share a prior: one for each level of the factors."""

    start: int
    size: int
    sd: float  # before data, of the coefficients: in units of the natural logarithm
    factors: tuple[Factor, ...] = ()
    covariate: Covariate | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of the regression: `values[i, k]` stands in column `columns[i, k]`, all else is 0."""

    columns: Positions  # (n_rows, n_entries)
    values: FloatArray

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, chosen: Any) -> "Rows":
        """Return some of the rows."""
        return Rows(columns=self.columns[chosen], values=self.values[chosen])

    def times(self, coefficients: FloatArray) -> FloatArray:
        """Return the product with a vector of one number per column, shape (n_rows,)."""
        product: FloatArray = np.einsum("ij,ij->i", self.values, coefficients[self.columns])
        return product


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns for one grid."""

    terms: tuple[Term, ...]
    n_columns: int
    part_axis: int | None
    n_parts: int
    digest: int  # of everything that the columns depend on

    def axes(self) -> set[int]:
        """Return the axes whose values the terms depend on."""
        found = {factor.axis for term in self.terms for factor in term.factors}
        return found | {term.covariate.axis for term in self.terms if term.covariate is not None}

    def rows(self, codes: NDArray[Any], cores: NDArray[Any] | float = 1.0) -> Rows:
        """Return the rows of tasks.

        Parameters
        ----------
        codes : ndarray of shape (n_axes, n_rows), int
            The tasks, as in the grid.
        cores : ndarray of shape (n_rows,) or float
            Cores that each had.
        """
        n_rows = codes.shape[1]
        columns = np.empty((n_rows, N_FIXED + len(self.terms)), np.intp)
        values = np.ones(columns.shape)
        columns[:, :N_FIXED] = range(N_FIXED)
        values[:, CORES] = np.log(np.maximum(cores, 1))
        values[:, PART] = 0.0 if self.part_axis is None else codes[self.part_axis] > 0
        for number, term in enumerate(self.terms, start=N_FIXED):
            level = np.zeros(n_rows, np.intp)
            for factor in term.factors:
                level = level * factor.n_levels + factor.levels[codes[factor.axis]]
            columns[:, number] = term.start + level
            if term.covariate is not None:
                values[:, number] = term.covariate.numbers[codes[term.covariate.axis]]
        return Rows(columns=columns, values=values)


def layout_of(grid: Grid) -> Layout:
    """Return the columns for the tasks of `grid`."""
    part_axis = None if grid.part_axis is None else grid.names.index(grid.part_axis)
    factors = sorted(_factors(grid, part_axis), key=lambda factor: factor.n_levels)
    covariates = list(_covariates(grid, part_axis))
    terms: list[Term] = []
    n_columns = N_FIXED
    for size, sd, chosen, covariate in _wanted(factors, covariates):
        if n_columns + size <= MOST_COLUMNS:
            terms.append(
                Term(start=n_columns, size=size, sd=sd, factors=chosen, covariate=covariate)
            )
            n_columns += size
    return Layout(
        terms=tuple(terms),
        n_columns=n_columns,
        part_axis=part_axis,
        n_parts=1 if part_axis is None else max(len(grid.axes[part_axis].values) - 1, 1),
        digest=_digest(grid),
    )


_Wanted = tuple[int, float, tuple[Factor, ...], Covariate | None]


def _wanted(factors: Sequence[Factor], covariates: Sequence[Covariate]) -> Iterator[_Wanted]:
    """Yield size, standard deviation and parts of every term, the most important first."""
    numbered = {covariate.axis for covariate in covariates}
    for covariate in covariates:
        yield 1, SLOPE_SD, (), covariate
        bend = covariate.numbers**2
        yield 1, 0.3, (), Covariate(axis=covariate.axis, numbers=bend - bend.mean())
    for factor in factors:
        # where numbers are known, each value strays less from their line
        yield factor.n_levels, STRAY_SD if factor.axis in numbered else LEVEL_SD, (factor,), None
    for covariate in covariates:
        for factor in factors:
            if factor.axis != covariate.axis and factor.n_levels <= MOST_SLOPES:
                yield factor.n_levels, 0.3, (factor,), covariate
    for pair in combinations(factors, 2):
        size = pair[0].n_levels * pair[1].n_levels
        if pair[0].axis != pair[1].axis and size <= MOST_PAIRS:
            yield size, 0.3, pair, None


def _factors(grid: Grid, part_axis: int | None) -> Iterator[Factor]:
    for number, axis in enumerate(grid.axes):
        if number != part_axis and 2 <= len(axis.values) <= MOST_LEVELS:
            levels = np.arange(len(axis.values))
            yield Factor(axis=number, levels=levels, n_levels=len(levels))
    for attribute in grid.attributes:
        known = sorted({str(value) for value in attribute.values})
        if _numbers(attribute.values) is None and 2 <= len(known) <= MOST_SLOPES:
            place = {text: level for level, text in enumerate(known)}
            levels = np.array([place[str(value)] for value in attribute.values])
            axis_number = grid.names.index(attribute.axis)
            yield Factor(axis=axis_number, levels=levels, n_levels=len(known))


def _covariates(grid: Grid, part_axis: int | None) -> Iterator[Covariate]:
    found: list[tuple[int, tuple[Value | None, ...]]] = [*enumerate(a.values for a in grid.axes)]
    found += [(grid.names.index(a.axis), a.values) for a in grid.attributes]
    for axis, values in found:
        numbers = _numbers(values)
        if axis != part_axis and numbers is not None and len(np.unique(numbers)) >= 3:
            yield Covariate(axis=axis, numbers=_scaled(numbers))


def _numbers(values: Sequence[Value | None]) -> FloatArray | None:
    """Return values as numbers, NaN for unknown ones; None if any is not a number."""
    if any(isinstance(value, str | bool) for value in values):
        return None
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    return numbers if np.isfinite(numbers).any() else None


def _scaled(numbers: FloatArray) -> FloatArray:
    """Return numbers with mean 0 and variance 1, their logarithms where all are above 0."""
    known = np.isfinite(numbers)
    if (numbers[known] > 0).all():
        numbers = np.log(np.where(known, numbers, 1.0))
    centred = np.where(known, numbers - numbers[known].mean(), 0.0)
    # no value may be so far out that its prediction is useless
    scaled: FloatArray = np.clip(centred / max(centred.std(), 1e-9), -FARTHEST, FARTHEST)
    return scaled


def _digest(grid: Grid) -> int:
    axes = [[axis.name, axis.values] for axis in grid.axes]
    attributes = [[a.name, a.axis, a.values] for a in grid.attributes]
    text = json.dumps([axes, attributes, grid.part_axis, ALL])
    return zlib.crc32(text.encode())
