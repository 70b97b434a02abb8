"""The study in a report: ranks, scores, strategies, the best, trade-offs, and what is missing."""

from typing import TYPE_CHECKING

from jobpool.analysis.ranks import best
from jobpool.report.parts import DataTable, Section
from jobpool.report.study_ranks import NAME, PIPELINE, TARGET, rank_section
from jobpool.report.study_scores import cost_trade_section, score_section
from jobpool.report.study_strategies import strategy_section
from jobpool.units import count

if TYPE_CHECKING:
    from jobpool.analysis.whole import Analysis

MOST_BEST = 10


def study_sections(found: "Analysis") -> tuple[Section, ...]:
    """Return what the analysis of a study says.

    Parameters
    ----------
    found : Analysis
        From `jobpool.analysis.whole.analyse`.
    """
    made = (
        _coverage_section(found),
        rank_section(found),
        score_section(found.table, f"from {found.table.source}"),
        strategy_section(found),
        _best_section(found),
        cost_trade_section(found),
    )
    return tuple(section for section in made if section is not None)


def _coverage_section(found: "Analysis") -> Section:
    """Say what there is of the study, before anybody reads a rank."""
    covered = found.coverage
    missing = DataTable(
        name="missing-cells",
        title=f"Cells without a result: {len(covered.missing):,} of {covered.n_cells:,}",
        frame=covered.missing.assign(state="incomplete: no result"),
        source="single parcellations by pipeline and target that are not among the results",
    )
    calm = "Every single parcellation has a result for every pipeline and target."
    return Section(
        name="coverage",
        title="The study and what is missing of it",
        text=f"{count(covered.n_parcellations, 'single parcellation')}, "
        f"{count(covered.n_columns, 'pair')} of pipeline and target: {covered.n_present:,} of "
        f"{count(covered.n_cells, 'cell')} with a result.",
        items=(missing,) if len(covered.missing) else (),
        notes=found.notes or ((calm,) if covered.complete else ()),
    )


def _best_section(found: "Analysis") -> Section | None:
    if found.ranking is None:
        return None
    tables = [
        DataTable(
            name=f"best-{number}",
            title=f"The best by {by}",
            frame=best(found.ranking, by, MOST_BEST),
            source="from ranks within pipeline and target",
            traced_by=(NAME, by) if by in {PIPELINE, TARGET} else (NAME,),
        )
        for number, by in enumerate((TARGET, PIPELINE, "type"))
    ]
    by_type = DataTable(
        name="by-type",
        title="Mean rank by type",
        frame=found.ranking.by_type,
        source="from the mean ranks of single parcellations",
        traced_by=("type",),
    )
    return Section(
        name="best",
        title="The best parcellations",
        text=f"Single parcellations by mean rank, the first {MOST_BEST} places; places are "
        "shared where mean ranks are equal.",
        items=(*tables, by_type),
    )
