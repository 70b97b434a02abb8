"""The sections of a study in a report, in their order on the page.

What is missing, scores, the best parcellations and trade-offs are made here; ranks and strategies
have modules of their own.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from jobpool.analysis.comparison import is_interpreters_own
from jobpool.analysis.coverage import combined_pipelines
from jobpool.analysis.ranks import best
from jobpool.analysis.study_table import LOWER_IS_BETTER, SCORE, SINGLE
from jobpool.analysis.whole import unequal_folds
from jobpool.report.parts import (
    DataTable,
    Figure,
    Section,
    Spec,
    colours_of,
    column,
    logarithmic,
    plain,
    rows,
    symbols_of,
)
from jobpool.report.study_ranks import NAME, PIPELINE, TARGET, rank_section
from jobpool.report.study_strategies import GREY, STRATEGY, strategy_section
from jobpool.units import count

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.analysis.study_table import StudyTable
    from jobpool.analysis.whole import Analysis

MOST_BEST = 10  # places in the tables of the best
_OF_RANKS = ("ranks", "strategies-section", "best", "trade-offs")  # sections that compare scores


def study_sections(found: "Analysis") -> tuple[Section, ...]:
    """Return the sections of an analysed study.

    Parameters
    ----------
    found : Analysis
        From `jobpool.analysis.whole.analyse`.
    """
    made = (
        _coverage_section(found),
        rank_section(found),
        _score_section(found.table, f"from {found.table.source}"),
        strategy_section(found),
        _best_section(found),
        _trade_section(found),
    )
    sections = [section for section in made if section is not None]
    warnings = (found.other_people,) if found.other_people else ()
    return tuple(
        replace(section, warnings=warnings) if section.name in _OF_RANKS else section
        for section in sections
    )


def _coverage_section(found: "Analysis") -> Section:
    """Return how complete the study is: it comes before the ranks."""
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
        title="The study and what is missing",
        text=f"{count(covered.n_parcellations, 'single parcellation')}, "
        f"{count(covered.n_columns, 'pair')} of pipeline and target: {covered.n_present:,} of "
        f"{count(covered.n_cells, 'cell')} with a result.",
        items=(missing,) if len(covered.missing) else (),
        notes=found.notes or ((calm,) if covered.complete else ()),
    )


def _score_section(table: "StudyTable", source: str) -> Section:
    """Return the score of every parcellation against its size, for the target that is chosen."""
    spread = [name for name in ("sd", "n_folds", "pooled", "n_used") if name in table.frame]
    kept = [NAME, "size", "type", STRATEGY, PIPELINE, TARGET, table.measure, *spread]
    of_scores = table.measure == SCORE
    title = "Scores by target" if of_scores else "Mean ranks by target"
    scores = DataTable(
        name="scores",
        title=title,
        frame=table.frame[kept],
        source=source,
        traced_by=(NAME, PIPELINE, TARGET),
        printed=(NAME, "size", STRATEGY, PIPELINE, TARGET, table.measure, *spread),
    )
    return Section(
        name="scores",
        title=title,
        text=_about_scores(table) if of_scores else "As the table has them; 1 is the best.",
        items=(_score_figure(scores, table),),
        tables=(scores,),
        notes=tuple(unequal_folds(table)),
    )


def _about_scores(table: "StudyTable") -> str:
    """Say what a score is, with its spread and its sign where there is something to say."""
    said = ["Scores as the table has them; higher is better."]
    if table.metrics:
        said = ["Mean scores over the outer folds, as the tasks reported them."]
    if "sd" in table.frame:
        said.append("Bars: the standard deviation over folds, which share training participants.")
    if LOWER_IS_BETTER & set(table.metrics.values()):
        said.append("Errors are negated, so that higher is better everywhere.")
    return " ".join(said)


def _score_figure(scores: DataTable, table: "StudyTable") -> Figure:
    frame, measure = table.frame, table.measure
    of_scores, of_folds = measure == SCORE, "sd" in table.frame
    place: Spec = {"x": column("size"), "y": column(measure)}
    label_text = "%{text}<br>%{x:,} parcels<br>%{y:.4~g}"
    if of_folds:
        place = {
            **place,
            "error_y": {"type": "data", "array": column("sd"), "thickness": 1, "width": 0},
            "customdata": column("n_folds"),
        }
        label_text += ", SD %{error_y.array:.3~g} over %{customdata} folds"
    labels = {
        str(target): plain(table.score_label(str(target)) if of_scores else "mean rank")
        for target in frame[TARGET].unique()
    }
    what = "Score" if of_scores else "Mean rank"
    marked = ", with a marker for each strategy" if frame[STRATEGY].nunique() > 1 else ""
    better = "higher" if of_scores else "lower"
    return Figure(
        name="figure-scores",
        title=f"{what} against number of parcels",
        caption=f"{what} of each parcellation for the chosen target, coloured by pipeline{marked}; "
        f"{better} is better.{_BARS if of_folds else ''}",
        table=scores.name,
        traces=tuple(_clouds(scores, place, label_text)),
        choose=TARGET,
        y_titles=labels,
        layout={
            "showlegend": True,
            "height": 460,
            "xaxis": logarithmic(_parcels(frame)),
            "yaxis": {"title": {"text": next(iter(labels.values()), what)}},
        },
    )


_BARS = " Bars: standard deviation over folds."


def _parcels(frame: "pd.DataFrame") -> str:
    """Return what an axis of sizes counts."""
    return "number of parcels" if (frame[STRATEGY] == SINGLE).all() else "parcels of all members"


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


def _trade_section(found: "Analysis") -> Section | None:
    """Return rank against time and memory; None where neither is known."""
    if found.trade_off.empty:
        return None
    table = DataTable(
        name="trade-off",
        title="Rank, time and memory",
        frame=found.trade_off,
        source="from all results: means over targets",
        traced_by=(NAME, PIPELINE),
        note="Front: no other pair of parcellation and pipeline is better in one of the two, and "
        "at least as good in the other.",
        printed=(NAME, "size", STRATEGY, PIPELINE, "mean_rank", "seconds", "memory_mb"),
    )
    known = {
        "seconds": ("front_time", "seconds", "seconds of a task"),
        "memory_mb": ("front_memory", "MB", "peak memory in MB"),
    }
    drawn = [cost for cost in known if found.trade_off[cost].notna().any()]
    own = is_interpreters_own(found.trade_off["memory_mb"])
    if not drawn:
        return None
    costs = " and ".join({"seconds": "time", "memory_mb": "memory"}[cost] for cost in drawn)
    return Section(
        name="trade-offs",
        title="What a good rank costs",
        text=f"All pairs of parcellation and pipeline are ranked together within each target; "
        f"{costs} {'are means' if len(drawn) > 1 else 'is a mean'} over targets, as measured when "
        "the tasks ran.",
        items=tuple(
            _trade(table, cost, *known[cost], has_front=cost != "memory_mb" or not own)
            for cost in drawn
        ),
        tables=(table,),
        notes=_trade_notes(found, own=own),
    )


def _trade_notes(found: "Analysis", *, own: bool) -> tuple[str, ...]:
    """Return who is not ranked, and where memory says nothing."""
    n_pairs = len(found.table.frame[[NAME, PIPELINE]].drop_duplicates())
    n_out = n_pairs - len(found.trade_off)
    said = []
    if n_out:
        why = "They lack a score for some target"
        if combined_pipelines(found.table):
            why += ", or no single parcellation has their pipeline"
        said.append(
            f"Not ranked: {n_out:,} of {n_pairs:,} pairs of parcellation and pipeline. {why}."
        )
    if own:
        said.append(
            "Peak memory has no front: no task took a tenth more than the least, so that it is "
            "that of the interpreter and its libraries."
        )
    return tuple(said)


def _trade(
    table: DataTable, cost: str, front: str, unit: str, what: str, *, has_front: bool
) -> Figure:
    place = {"x": column(cost), "y": column("mean_rank")}
    line = {
        **rows({front: "yes"}, order=cost),
        **place,
        "type": "scatter",
        "mode": "lines",
        "name": "front",
        "line": {"color": GREY, "width": 2, "shape": "hv"},
        "hoverinfo": "skip",
    }
    label_text = "%{text}<br>%{customdata:,} parcels<br>%{x:,.4~g} "
    label_text += f"{unit}<br>mean rank %{{y:.4~g}}"
    marked = ", with a marker for each strategy" if table.frame[STRATEGY].nunique() > 1 else ""
    base = _OWN if cost == "memory_mb" else ""
    return Figure(
        name=f"figure-trade-{cost.replace('_', '-')}",
        title=f"Rank against {what}",
        caption=f"Mean rank (lower is better) against {what}, coloured by pipeline{marked}"
        f"{f'{_FRONT}{base}' if has_front else '.'}",
        table=table.name,
        traces=(
            *((line,) if has_front else ()),
            *_clouds(table, {**place, "customdata": column("size")}, label_text),
        ),
        layout={
            "height": 460,
            "xaxis": logarithmic(what),
            "yaxis": logarithmic("mean rank"),
        },
    )


_FRONT = "; the line joins the pairs that no other beats in both."
_OWN = (
    " Memory up to a tenth above the least counts as equal: it is that of the interpreter and its "
    "libraries."
)


def _clouds(table: DataTable, place: Spec, label: str) -> Iterator[Spec]:
    """Yield the points of each pipeline and strategy: a colour and a marker, named in the legend.

    Parameters
    ----------
    table : DataTable
        Has a row for each point.
    place : mapping
        The columns of a point's position, and of more that its label shows.
    label : str
        Template of the label.
    """
    strategies = sorted(table.frame[STRATEGY].unique(), key=lambda one: (one != SINGLE, one))
    alone = set(table.frame.loc[table.frame[STRATEGY] == SINGLE, PIPELINE])
    # combined ones last: a pipeline has the same colour whether there are some or not
    pipelines = sorted(table.frame[PIPELINE].unique(), key=lambda one: (one not in alone, one))
    for strategy, symbol in symbols_of(strategies).items():
        for pipeline, colour in colours_of(pipelines).items():
            yield {
                **rows({PIPELINE: pipeline, STRATEGY: strategy}),
                **place,
                "type": "scatter",
                "mode": "markers",
                "name": plain(pipeline if strategies == [SINGLE] else f"{pipeline}, {strategy}"),
                "text": column(NAME),
                "marker": {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.75},
                "hovertemplate": f"{label}<extra>%{{fullData.name}}</extra>",
            }
