"""What a report is asked for, and the whole report of a table of results from elsewhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobpool.analysis.whole import analyse
from jobpool.report.parts import DataTable, Report, Section, Tile
from jobpool.report.results import RESULTS
from jobpool.report.study import study_sections
from jobpool.units import percent, utc_time

if TYPE_CHECKING:
    from jobpool.analysis.study_table import StudyTable
    from jobpool.analysis.whole import Analysis

Tell = Callable[[str], None]
ALL_RESULTS = (
    "Every row is a result. Click on a column's name to sort, type below it to filter (=x: exactly "
    "x, !x: without x, >= 5, 2..3), and save what is left as CSV. The numbers of other tables and "
    "figures come from these rows: the buttons in their rows lead here, with the task ids."
)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a report is asked for."""

    now: float  # seconds since the epoch
    version: str  # of jobpool
    selection: str = ""  # in words; empty for the whole pool
    metrics: Mapping[str, str]  # the score to use by kind of target; empty for the first reported
    facts: tuple[tuple[str, str], ...] = ()  # label and value of what it rests on
    rest: tuple[Tile, ...] = ()  # what is expected of the tasks that are left


@dataclass(frozen=True, kw_only=True)
class Made:
    """A report, and the analysis in it if the results are a study."""

    report: Report
    analysis: "Analysis | None"


def report_of_table(table: "StudyTable", wishes: Wishes, tell: Tell) -> Made:
    """Return the report of a study table from elsewhere.

    Parameters
    ----------
    table : StudyTable
        From `jobpool.analysis.study_table.read_study_table`.
    wishes : Wishes
        What is asked for.
    tell : callable
        Told what is being done.
    """
    tell("analysing")
    analysis = analyse(table)
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
        name="all-results", title="All results", text=ALL_RESULTS, items=(everything,)
    )
    report = Report(
        title=table.source.rpartition("/")[2],
        facts=facts_of(wishes),
        tiles=tiles,
        sections=(*study_sections(analysis), section),
    )
    return Made(report=report, analysis=analysis)


def facts_of(wishes: Wishes) -> tuple[tuple[str, str], ...]:
    """Return what every report says of itself, and what this one rests on."""
    return (
        ("made", f"{utc_time(wishes.now)} UTC"),
        ("jobpool", wishes.version),
        *wishes.facts,
        *((("selection", wishes.selection),) if wishes.selection else ()),
    )
