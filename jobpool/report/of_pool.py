"""The whole report of a pool."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobpool.analysis.columns import KEY
from jobpool.analysis.study_table import from_results
from jobpool.analysis.whole import analyse
from jobpool.collect.collect import collect
from jobpool.errors import DataError
from jobpool.overview.spending import Spending, read_spending
from jobpool.pool import Pool, is_counted, n_counted
from jobpool.report.attention import attention_section
from jobpool.report.costs import cost_section
from jobpool.report.parts import Report, Section, Tile, core_tile
from jobpool.report.progress import progress_section, states_of
from jobpool.report.results import average_section, results_table
from jobpool.report.study import study_sections
from jobpool.report.timeline import timeline_section, workers_frame
from jobpool.report.unfinished import with_unfinished
from jobpool.report.whole import ALL_RESULTS, Made, Tell, Wishes, facts_of
from jobpool.table.grid import Grid
from jobpool.task import SHOWN, TaskState
from jobpool.units import count, percent

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.analysis.whole import Analysis
    from jobpool.collect.collect import Collected
    from jobpool.runners.base import Results


def report_of_pool(
    pool: Pool,
    meaning: "Results",
    chosen: NDArray[np.bool_] | None,
    wishes: Wishes,
    tell: Tell,
    processes: int = 1,
) -> Made:
    """Return the report of a pool.

    Parameters
    ----------
    pool : Pool
        The pool.
    meaning : Results
        Makes rows of results; a runner does, too.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; None for all tasks.
    wishes : Wishes
        What is asked for.
    tell : callable
        Told what is being done.
    processes : int
        That read results side by side; with several, `meaning` is sent to them.

    Raises
    ------
    DamagedStateError
        If the state table cannot be trusted.
    """
    mask = np.ones(len(pool.grid), bool) if chosen is None else chosen
    tell("reading states")
    states = states_of(pool)
    tell("reading attempts")
    spending, workers = read_spending(pool, mask, wishes.now), workers_frame(pool)
    if chosen is not None:
        workers = workers[workers["worker"].isin(set(spending.frame["worker"]))]
    tell("collecting results")
    found = collect(pool, meaning, chosen, processes=processes)
    tell("analysing")
    asked = mask & is_counted(states)
    results = with_unfinished(found, pool.grid, asked)
    analysis, warnings = _analysed(found, results, str(pool.folder), wishes.metrics)
    sections = [
        progress_section(pool.grid, states, mask),
        attention_section(pool.grid, states, mask, found, spending.failed),
        *(study_sections(analysis) if analysis else [average_section(found, pool.grid)]),
        cost_section(pool.grid, spending.frame),
        timeline_section(workers, spending.frame),
        _results_section(found, pool.grid),
    ]
    tiles = (*_progress_tiles(states[mask], found), *_cost_tiles(spending, workers["worker"]))
    report = Report(
        title=pool.info.name,
        facts=facts_of(wishes),
        tiles=(*tiles, *wishes.rest),
        sections=tuple(section for section in sections if section is not None),
        warnings=(*_damage(found), *warnings),
    )
    return Made(report=report, analysis=analysis)


def _analysed(
    found: "Collected", results: "pd.DataFrame", source: str, metrics: Mapping[str, str]
) -> "tuple[Analysis | None, tuple[str, ...]]":
    """Return the analysis of results that have the axes of a study, or why there is none."""
    if not set(KEY) <= set(found.axes):
        if metrics:
            raise DataError(source, f"no study with {', '.join(KEY)}; leave --metric out")
        return None, ()
    if results.empty:
        return None, ()
    try:
        return analyse(from_results(results, source, metrics, found.metrics)), ()
    except DataError as error:
        if metrics:
            raise
        return None, (f"The study cannot be analysed: {error}.",)


def _results_section(found: "Collected", grid: Grid) -> Section:
    notes = [f"{count(len(found.incomplete), 'task')} in parts not complete."]
    return Section(
        name="all-results",
        title="All results",
        text=ALL_RESULTS,
        items=(results_table(found, grid, "jobpool collect"),),
        notes=tuple(notes) if found.incomplete else (),
    )


def _damage(found: "Collected") -> tuple[str, ...]:
    """Say what is not among the results, though it should be."""
    said = []
    if found.lost:
        said.append(f"{count(len(found.lost), 'task')} done without a result on disk.")
    if found.damaged:
        said.append(f"{count(len(found.damaged), 'damaged line')} of results left out.")
    return tuple(f"{one} Run: jobpool doctor" for one in said)


def _progress_tiles(states: NDArray[np.uint8], found: "Collected") -> tuple[Tile, ...]:
    n_of = {state: int(np.count_nonzero(states == state)) for state in TaskState}
    n_all, done = n_counted(n_of), n_of[TaskState.DONE]
    left = {s: n_of[s] for s in SHOWN if not s.settled and s is not TaskState.PARKED}
    stuck = n_of[TaskState.PARKED] + len(found.lost)
    return (
        Tile(label="tasks done", value=percent(done, n_all), detail=f"{done:,} of {n_all:,}"),
        Tile(
            label="left",
            value=f"{sum(left.values()):,}",
            detail=", ".join(f"{n:,} {s.word}" for s, n in left.items() if n) or "nothing",
        ),
        Tile(
            label="need a person",
            value=f"{stuck:,}",
            detail="parked, or result lost" if stuck else "nothing parked or lost",
            is_bad=stuck > 0,
        ),
    )


def _cost_tiles(cost: Spending, names: Iterable[str]) -> tuple[Tile, ...]:
    n_workers = len({*names, *cost.frame["worker"]})
    lost = f"{100 * cost.lost / cost.total:.1f} %" if cost.total else "0 %"
    return (
        core_tile("", [cost.total], f"{lost} of them lost"),
        Tile(label="workers", value=f"{n_workers:,}", detail="in all"),
    )
