"""Which size each task goes to: the cheapest in which it probably ends.

A whole task that is too long for a size, but not its parts, is cut by the workers of that size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jobpool.experiment.config import Pass
from jobpool.plan.backlog import Forecast, Left, Mask
from jobpool.plan.sizes import (
    ENOUGH,
    LIKELY,
    RATHER,
    USUAL,
    Refusal,
    Wish,
    chance_in,
    core_hours,
    propose,
    wishes,
    within_bounds,
)
from jobpool.table.grid import Grid
from jobpool.table.parts import Parts
from jobpool.table.selection import select


@dataclass(frozen=True, kw_only=True)
class Portion:
    """The tasks for one size of jobs."""

    size: Pass
    proposed: bool  # no pass of the experiment
    whole: Mask  # (n_tasks,): tasks that run as they are
    cut: Mask  # (n_tasks,): whole tasks whose parts run instead
    runs: Mask  # (n_tasks,): what runs in the end

    @property
    def tasks(self) -> Mask:
        """Return the waiting tasks that these are."""
        return self.whole | self.cut

    @property
    def n_tasks(self) -> int:
        """Return how many waiting tasks these are."""
        return int(np.count_nonzero(self.tasks))

    def joined(self, other: "Portion") -> "Portion":
        """Return the tasks of both."""
        return replace(
            self,
            whole=self.whole | other.whole,
            cut=self.cut | other.cut,
            runs=self.runs | other.runs,
        )


@dataclass(frozen=True, kw_only=True)
class Division:
    """All waiting tasks, divided among sizes."""

    portions: tuple[Portion, ...]  # the cheapest first; none is empty
    too_large: Mask  # (n_tasks,): the cluster has no place for them
    unselected: Mask  # (n_tasks,): no pass wants them
    wish: Wish  # what each task would need, in jobs with the cores of `largest`
    largest: Pass
    refused: tuple[tuple[Pass, str], ...]  # passes that the cluster has no place for, and why

    def size_for(self, position: int) -> Pass:
        """Return the size that the task at `position` would need."""
        memory_gb, walltime_s = self.wish.memory_gb[position], self.wish.walltime_s[position]
        return replace(
            self.largest, memory_gb=float(memory_gb), walltime_s=float(walltime_s), only=(), skip=()
        )


@dataclass(frozen=True, kw_only=True)
class _Problem:
    grid: Grid
    left: Left
    forecast: Forecast | None

    def portion(
        self, size: Pass, among: Mask, least: float = LIKELY, *, proposed: bool = False
    ) -> Portion:
        """Return which tasks fit a size, with a chance of at least `least`."""
        chosen = select(self.grid, size.only, size.skip)
        fits = chosen & within_bounds(self.left, size)
        cut = np.zeros_like(among)
        if self.forecast is not None:
            ends = chance_in(self.forecast, size) >= least
            fits &= ends
            cut = among & chosen & ~ends & self.grid.parts.with_all_in(fits)
        whole = among & fits
        runs = whole | self.grid.parts.spares_of(cut)
        return Portion(size=size, proposed=proposed, whole=whole, cut=cut, runs=runs)


def divide(
    grid: Grid,
    left: Left,
    forecast: Forecast | None,
    passes: Sequence[Pass],
    refusal: Refusal = lambda _: None,
) -> Division:
    """Return which size each waiting task goes to.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    left : Left
        Those that wait.
    forecast : Forecast, optional
        What they are expected to take; None if nothing is known.
    passes : sequence of Pass
        The sizes that the user has chosen.
    refusal : callable
        Says why the cluster has no place for a job, None if it has.
    """
    problem = _Problem(grid=grid, left=left, forecast=forecast)
    why = [(one, refusal(one)) for one in passes]
    refused = tuple((one, reason) for one, reason in why if reason is not None)
    menu = sorted(
        [one for one, reason in why if reason is None] or [USUAL],
        key=lambda one: (core_hours(one), one.memory_gb),
    )
    wanted = [select(grid, one.only, one.skip) for one in passes or menu]
    unselected = left.waiting & ~np.logical_or.reduce(wanted)
    remaining = left.waiting & ~unselected
    portions = []
    is_vague = forecast is not None and forecast.n_attempts < ENOUGH
    for least in (RATHER if is_vague else LIKELY, RATHER):
        for size in menu:
            portions.append(problem.portion(size, remaining, least))
            remaining &= ~portions[-1].tasks
    portions = [
        one.joined(other)
        for one, other in zip(portions[: len(menu)], portions[len(menu) :], strict=True)
    ]
    largest = max(menu, key=lambda one: (one.cores, core_hours(one)))
    wish = wishes(left, forecast, largest)
    for amounts in (wish, _of_parts(wish, grid.parts)):
        sizes = propose(remaining, amounts, largest, refusal) if remaining.any() else ()
        for size in sizes:
            portions.append(problem.portion(size, remaining, proposed=True))
            remaining &= ~portions[-1].tasks
    return Division(
        portions=tuple(one for one in portions if one.n_tasks),
        too_large=remaining,
        unselected=unselected,
        wish=wish,
        largest=largest,
        refused=refused,
    )


def _of_parts(wish: Wish, parts: Parts) -> Wish:
    """Return what the parts of whole tasks need, and what tasks without parts need themselves."""
    memory_gb, walltime_s = parts.most(wish.memory_gb), parts.most(wish.walltime_s)
    has_parts = walltime_s > 0
    return Wish(
        memory_gb=np.where(has_parts, memory_gb, wish.memory_gb),
        walltime_s=np.where(has_parts, walltime_s, wish.walltime_s),
    )
