"""What is believed of tasks before any was run: wide, and soon outvoted by what is seen."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from jobpool.needs.features import CORES, INTERCEPT, PART, FloatArray, Layout
from jobpool.needs.regression import Moments, Prior, no_moments
from jobpool.table.grid import Grid
from jobpool.table.selection import select

if TYPE_CHECKING:
    from jobpool.experiment.config import Guess

MOST_GUESSED = 4096  # tasks that stand for all those that a guess is about


def prior_of_time(layout: Layout) -> Prior:
    """Return what is believed of the logarithm of wall seconds."""
    mean, sd = _columns(layout)
    mean[INTERCEPT], sd[INTERCEPT] = np.log(600.0), 6.0
    mean[CORES], sd[CORES] = -0.85, 0.15
    mean[PART], sd[PART] = -np.log(layout.n_parts), 0.3
    return Prior(mean=mean, sd=sd, groups=_groups(layout), noise=0.7)


def prior_of_memory(layout: Layout) -> Prior:
    """Return what is believed of the logarithm of the highest memory in MB."""
    mean, sd = _columns(layout)
    mean[INTERCEPT], sd[INTERCEPT] = np.log(1000.0), 1.5
    mean[CORES], sd[CORES] = 0.3, 0.3
    mean[PART], sd[PART] = 0.0, 0.2
    return Prior(mean=mean, sd=sd, groups=_groups(layout), noise=0.5)


def _columns(layout: Layout) -> tuple[FloatArray, FloatArray]:
    mean, sd = np.zeros(layout.n_columns), np.ones(layout.n_columns)
    for term in layout.terms:
        sd[term.start : term.start + term.size] = term.sd
    return mean, sd


def _groups(layout: Layout) -> tuple[slice, ...]:
    return tuple(slice(term.start, term.start + term.size) for term in layout.terms)


def guessed(grid: Grid, layout: Layout, guesses: Iterable["Guess"]) -> tuple[Moments, Moments]:
    """Return the moments of the user's guesses, of time and of memory: one observation for each.

    A guess is about the middle of the tasks that it names, whole ones where there are any.
    """
    times = memories = no_moments(layout.n_columns)
    for guess in guesses:
        chosen = select(grid, guess.only)
        if layout.part_axis is not None:
            whole = chosen & (grid.codes[layout.part_axis] == 0)
            chosen = whole if whole.any() else chosen
        positions = np.flatnonzero(chosen)
        if len(positions) == 0:
            continue
        step = -(-len(positions) // MOST_GUESSED)
        rows = layout.rows(grid.codes[:, positions[::step]])
        middle = np.bincount(rows.columns.ravel(), rows.values.ravel(), layout.n_columns) / len(
            rows
        )
        if guess.time_s is not None:
            times += _one(middle, guess.time_s)
        if guess.memory_gb is not None:
            memories += _one(middle, guess.memory_gb * 1024)
    return times, memories


def _one(row: FloatArray, amount: float) -> Moments:
    y = float(np.log(amount))
    return Moments(xx=np.outer(row, row), xy=row * y, yy=y * y, n=1.0)
