"""Make the report of a pool, or of a table of results, as one file: for the command and notebooks.

Reading comes first (states, attempts, results), then the analysis, then the sections in their
order on the page; `jobpool.report.writing` makes the file. A pool is only read.
"""

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jobpool import __version__
from jobpool.analysis.study_table import KEY, POSITIVE, from_results, read_study_table
from jobpool.analysis.whole import analyse
from jobpool.collect.collect import collect, worth_starting
from jobpool.collect.frames import frame_of, provenance
from jobpool.collect.reading import Reading
from jobpool.collect.row_columns import point_columns
from jobpool.disk.files import replace_whole, server_time
from jobpool.errors import DataError, listing
from jobpool.experiment.report import RegionChoice
from jobpool.needs.estimates import load_estimates
from jobpool.overview.spending import Spending, read_spending
from jobpool.plan.arrays import Wanted, make_plan
from jobpool.plan.backlog import read_backlog
from jobpool.pool import Pool
from jobpool.report.attention import attention_section
from jobpool.report.costs import cost_section
from jobpool.report.parts import DataTable, Report, Section, Tile, core_tile
from jobpool.report.progress import progress_section, states_of
from jobpool.report.results import RESULTS, average_section, results_table
from jobpool.report.study import study_sections
from jobpool.report.timeline import timeline_section, workers_frame
from jobpool.report.writing import html_of
from jobpool.runners import make_results
from jobpool.runners.base import SupportsDoubts
from jobpool.table.arrays import is_counted, n_counted
from jobpool.table.grid import Grid
from jobpool.table.selection import select
from jobpool.task import SHOWN, TaskState
from jobpool.units import count, percent, utc_time

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.analysis.study_table import StudyTable
    from jobpool.analysis.whole import Analysis
    from jobpool.collect.collect import Collected
    from jobpool.runners.base import Results

Tell = Callable[[str], None]
_ALL_RESULTS = (
    "Every row is a result. Click on a column's name to sort, type below it to filter (=x: exactly "
    "x, !x: without x, >= 5, 2..3), and save the remaining rows as CSV. The numbers of other "
    "tables and figures come from these rows: the buttons in their rows lead here."
)


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """What a report shall contain."""

    now: float  # seconds since the epoch
    version: str  # of jobpool
    selection: str = ""  # in words; empty for the whole pool
    metrics: Mapping[str, str]  # the score to use by kind of target; empty for the first reported
    region: RegionChoice = field(default_factory=RegionChoice)
    facts: tuple[tuple[str, str], ...] = ()  # label and value, of what it was made from
    rest: tuple[Tile, ...] = ()  # estimates for the remaining tasks


@dataclass(frozen=True, kw_only=True)
class Made:
    """A report, and the analysis in it if the results are a study."""

    report: Report
    analysis: "Analysis | None"


def make_report(
    pool: Pool,
    tell: Tell,
    *,
    only: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    metrics: Mapping[str, str],
    region: RegionChoice | None = None,
) -> Made:
    """Return the report of a pool.

    Parameters
    ----------
    pool : Pool
        The pool.
    tell : callable
        Takes one line about each step.
    only, skip : tuple of str
        Conditions of a selection.
    metrics : mapping
        The score to rank by, by kind of target; the first reported where none is named.
    region : RegionChoice, optional
        How the region of the power law is chosen; by default as the experiment says.

    Raises
    ------
    SelectionError
        If a condition does not fit the pool.
    """
    chosen = select(pool.grid, only, skip) if only or skip else None
    words = [*only, *(f"not {text}" for text in skip)]
    request = _request(
        selection="; ".join(words),
        metrics=metrics,
        region=region or pool.experiment().report.region,
        facts=_facts_of(pool),
        rest=() if words else _rest(pool),
    )
    processes = worth_starting(pool.folder, len(os.sched_getaffinity(0)))
    return report_of_pool(pool, make_results(pool.info.runner), chosen, request, tell, processes)


def make_table_report(
    table: Path,
    tell: Tell,
    region: RegionChoice | None = None,
    missing: Collection[str] | None = None,
) -> Made:
    """Return the report of a table of results from elsewhere; `missing` as of its reader."""
    read = read_study_table(table, missing)
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    facts = (("table", str(table)), ("sha256 of the table", digest))
    request = _request(metrics={}, facts=facts, region=region or RegionChoice())
    return report_of_table(read, request, tell)


def write_report(made: Made, output: Path, tell: Tell) -> int:
    """Replace `output` by a report, and return how many bytes it has."""
    tell("writing")
    content = html_of(made.report)
    replace_whole(output, content)
    return len(content)


def _request(**given: Any) -> ReportRequest:
    return ReportRequest(now=time.time(), version=__version__, **given)


def _facts_of(pool: Pool) -> tuple[tuple[str, str], ...]:
    """Return label and value of what a report of a pool is made from."""
    about = provenance(pool)
    labels = {
        "experiment": "experiment",
        "experiment_sha256": "sha256 of the experiment file",
        "seed": "seed",
    }
    facts = [(label, str(about[key])) for key, label in labels.items() if key in about]
    return (("pool", str(pool.folder.resolve())), ("pool made by", pool.info.version), *facts)


def _rest(pool: Pool) -> tuple[Tile, ...]:
    """Return estimates for the waiting tasks, if any can be made."""
    backlog, forecast = (
        read_backlog(pool, server_time(pool.folder / "workers")),
        load_estimates(pool),
    )
    if not backlog.waiting.any() or forecast is None:
        return ()
    passes = pool.experiment().passes
    plan = make_plan(pool.grid, backlog, forecast, passes, lambda _: None, Wanted(queued={}))
    expected = plan.core_hours
    if expected is None:
        return ()
    amounts = [expected.middle, expected.low, expected.high]
    return (core_tile(" to go", amounts, "80 % interval: {} to {}"),)


def report_of_pool(
    pool: Pool,
    meaning: "Results",
    chosen: NDArray[np.bool_] | None,
    request: ReportRequest,
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
    request : ReportRequest
        What the report shall contain.
    tell : callable
        Takes one line about each step.
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
    spending, workers = read_spending(pool, mask, request.now), workers_frame(pool)
    if chosen is not None:
        workers = workers[workers["worker"].isin(set(spending.frame["worker"]))]
    tell("collecting results")
    found = collect(pool, meaning, chosen, reading=Reading(processes=processes))
    tell("analysing")
    asked = mask & is_counted(states)
    results = _with_unfinished(found, pool.grid, asked)
    analysis, warnings = _analysed(found, results, str(pool.folder), request)
    doubts = meaning.doubts(found.frame) if isinstance(meaning, SupportsDoubts) else ()
    sections = [
        progress_section(pool.grid, states, mask),
        attention_section(pool.grid, states, mask, found, spending.failed, doubts),
        *(study_sections(analysis) if analysis else [average_section(found, pool.grid)]),
        cost_section(pool.grid, spending.frame),
        timeline_section(workers, spending.frame),
        _results_section(found, pool.grid),
    ]
    tiles = (*_progress_tiles(states[mask], found), *_cost_tiles(spending, workers["worker"]))
    report = Report(
        title=pool.info.name,
        facts=(*_all_facts(request), *_positive_classes(found)),
        tiles=(*tiles, *request.rest),
        sections=tuple(section for section in sections if section is not None),
        warnings=(*_mixed(found), *_damage(found), *_earlier(found), *warnings),
    )
    return Made(report=report, analysis=analysis)


def _analysed(
    found: "Collected",
    results: "pd.DataFrame",
    source: str,
    request: ReportRequest,
) -> "tuple[Analysis | None, tuple[str, ...]]":
    """Return the analysis of results with the axes of a study, or the reason why there is none."""
    metrics = request.metrics
    if not set(KEY) <= set(found.axes):
        if metrics:
            raise DataError(source, f"no study with {', '.join(KEY)}; leave --metric out")
        return None, ()
    if results.empty:
        return None, ()
    try:
        table = from_results(results, source, metrics, found.metrics)
        made = analyse(table, request.region)
        return made, (made.other_people,) if made.other_people else ()
    except DataError as error:
        if metrics:
            raise
        return None, (f"The study cannot be analysed: {error}.",)


def _positive_classes(found: "Collected") -> tuple[tuple[str, str], ...]:
    """Return as a fact which class of each binary target is 1: scores depend on it."""
    if POSITIVE not in found.frame or not set(KEY) <= set(found.axes):
        return ()
    known = found.frame[[KEY[-1], POSITIVE]].dropna().drop_duplicates()
    said = [f"{target}: {one}" for target, one in known.itertuples(index=False)]
    return (("positive class", listing(said)),) if said else ()


def _with_unfinished(found: "Collected", grid: Grid, asked: NDArray[np.bool_]) -> "pd.DataFrame":
    """Return the results with a row for each task asked for that has none: it lacks all scores.

    Parameters
    ----------
    found : Collected
        The results, one row per task.
    grid : Grid
        The pool's tasks.
    asked : ndarray of shape (n_tasks,), bool
        The tasks that are to have a result. The parts of a task that was split count as that
        task: without one of them it has none.
    """
    # without attributes, only results have the attributes of values
    if found.frame.empty or not found.attributes:
        return found.frame
    places = np.flatnonzero(asked)
    _, first = np.unique(grid.parts.units[places], return_index=True)
    if len(first) <= len(found.frame):
        return found.frame
    codes = grid.parts.as_wholes(grid.codes[:, places[first]].astype(np.intp))
    every = frame_of(point_columns(grid, codes))
    others = [name for name in found.frame.columns if name == found.id or name not in every]
    return every.merge(found.frame[others], on=found.id, how="left", validate="1:1")


def _results_section(found: "Collected", grid: Grid) -> Section:
    notes = [f"{count(len(found.incomplete), 'task')} in parts not complete."]
    return Section(
        name="all-results",
        title="All results",
        text=_ALL_RESULTS,
        items=(results_table(found, grid, "jobpool collect"),),
        notes=tuple(notes) if found.incomplete else (),
    )


def _mixed(found: "Collected") -> tuple[str, ...]:
    """Return a warning for each input that is not the same in all results."""
    said = "Results of different inputs are compared and averaged: "
    return tuple(f"{said}{one}." for one in found.mixtures)


def _damage(found: "Collected") -> tuple[str, ...]:
    """Return warnings about results that should be there, but are not."""
    said = []
    if found.lost:
        said.append(f"{count(len(found.lost), 'task')} done without a result on disk.")
    if found.damaged:
        said.append(f"{count(len(found.damaged), 'damaged line')} of results left out.")
    return tuple(f"{one} Run: jobpool doctor" for one in said)


def _earlier(found: "Collected") -> tuple[str, ...]:
    """Return a warning if some results are earlier ones: all tables and figures have them."""
    if not found.n_earlier:
        return ()
    of = "a task that is being rerun" if found.n_earlier == 1 else "tasks that are being rerun"
    return (
        f"{count(found.n_earlier, 'result')} of {of}: shown until the new result is accepted, "
        "and marked in the table of all results.",
    )


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
            label="need attention",
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


def report_of_table(table: "StudyTable", request: ReportRequest, tell: Tell) -> Made:
    """Return the report of a study table from elsewhere.

    Parameters
    ----------
    table : StudyTable
        From `jobpool.analysis.study_table.read_study_table`.
    request : ReportRequest
        What the report shall contain.
    tell : callable
        Takes one line about each step.
    """
    tell("analysing")
    analysis = analyse(table, request.region)
    covered = analysis.coverage
    everything = DataTable(
        name=RESULTS, title="All results", frame=table.frame, source=f"as in {table.source}"
    )
    tiles = (
        Tile(label="results", value=f"{len(table.frame):,}"),
        Tile(label="single parcellations", value=f"{covered.n_parcellations:,}"),
        Tile(
            label="cells with a result",
            value=percent(covered.n_present, covered.n_cells),
            detail=f"{covered.n_present:,} of {covered.n_cells:,}",
            is_bad=not covered.complete,
        ),
    )
    section = Section(
        name="all-results", title="All results", text=_ALL_RESULTS, items=(everything,)
    )
    report = Report(
        title=table.source.rpartition("/")[2],
        facts=_all_facts(request),
        tiles=tiles,
        sections=(*study_sections(analysis), section),
    )
    return Made(report=report, analysis=analysis)


def _all_facts(request: ReportRequest) -> tuple[tuple[str, str], ...]:
    """Return the facts at the head of a report: when it was made, by which version, from what."""
    return (
        ("made", f"{utc_time(request.now)} UTC"),
        ("jobpool", request.version),
        *request.facts,
        *((("selection", request.selection),) if request.selection else ()),
    )
