"""Strategies over several parcellations, compared with single ones."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobpool.analysis.study_table import SINGLE
from jobpool.report.parts import (
    DataTable,
    Figure,
    Section,
    colours_of,
    column,
    logarithmic,
    plain,
    rows,
    symbols_of,
)
from jobpool.report.study_ranks import NAME, PIPELINE, TARGET, both_views

if TYPE_CHECKING:
    from jobpool.analysis.whole import Analysis

STRATEGY = "strategy"
GREY = "#9aa3b2"
NOT_COMPARED = (
    "No gains are shown: there is no single parcellation with half to double the parcels of an "
    "ensemble, and with its pipeline and target."
)


def strategy_section(found: "Analysis") -> Section | None:
    """Return strategies against single parcellations; None if there are none."""
    if found.compared.empty:
        return None
    together = _ranked_together(found)
    gains_printed = ("gain_over_mean", "gain_over_best")
    compared = DataTable(
        name="compared",
        title="Each ensemble against single parcellations",
        frame=found.compared,
        source="from all results",
        traced_by=(NAME, PIPELINE, TARGET),
        printed=(NAME, PIPELINE, TARGET, "score", "sd", "n_folds", *gains_printed),
        note="Comparable: single parcellations with half to double the parcels of all members, "
        "with the same pipeline and target. Gains are differences of scores.",
    )
    summary = DataTable(
        name="strategies",
        title="Gains of strategies",
        frame=found.summary,
        source="from the table of each ensemble against single parcellations",
    )
    looks = colours_of(sorted(set(found.table.frame[STRATEGY]) - {SINGLE}))
    gains = {
        "gain_over_mean": "the mean of comparable single parcellations",
        "gain_over_best": "the best comparable single parcellation",
    }
    drawn = [gain for gain in gains if found.compared[gain].notna().any()]
    figures = (
        *(_together(table, looks, " ".join(_left_out(found))) for table in together),
        *(_gains(compared, gain, gains[gain], looks) for gain in drawn),
    )
    notes = () if together else _left_out(found)
    return Section(
        name="strategies-section",
        title="Strategies over several parcellations",
        text=_text(found, has_gains=bool(drawn)),
        items=(*figures, summary, *(() if drawn else (compared,))),
        tables=(*together, *((compared,) if drawn else ())),
        notes=notes if drawn else (*notes, NOT_COMPARED),
    )


_MEANT = {
    "voted": "Voted: the mean of the members' predictions.",
    "stacked": "Stacked: a ridge model on their predictions.",
    "grid": "Grid: the member that was best on the inner folds.",
}


def _text(found: "Analysis", *, has_gains: bool) -> str:
    """Say what the strategies are that there are, and what they are compared with."""
    there = set(found.compared[STRATEGY])
    said = [words for name, words in _MEANT.items() if name in there]
    if has_gains:
        said.append(
            "Each is compared with single parcellations of about the same number of parcels in all."
        )
    return " ".join(said)


def _left_out(found: "Analysis") -> tuple[str, ...]:
    """Return what the ranking of ensembles and single parcellations leaves out."""
    said = (note.removeprefix("With ensembles: ") for note in found.together_notes)
    return tuple(note[:1].upper() + note[1:] for note in said)


def _ranked_together(found: "Analysis") -> list[DataTable]:
    """Return the mean ranks of ensembles and single parcellations, if they could be ranked."""
    if found.together is None:
        return []
    together = DataTable(
        name="together",
        title="Mean ranks of ensembles and single parcellations together",
        frame=both_views(found.together),
        source="from all results: ranks within pipeline and target",
        traced_by=(NAME, PIPELINE),
    )
    return [together]


def _together(table: DataTable, colours: Mapping[str, str], left_out: str) -> Figure:
    looks = {SINGLE: GREY, **colours}
    grey = " Grey: single parcellations." if (table.frame[STRATEGY] == SINGLE).any() else ""
    symbols = {SINGLE: "circle", **symbols_of([*colours])}
    traces = tuple(
        {
            **rows({STRATEGY: strategy}),
            "type": "scatter",
            "mode": "markers",
            "name": plain(strategy),
            "x": column("size"),
            "y": column("mean_rank"),
            "text": column(NAME),
            "customdata": column("members"),
            "marker": {
                "color": colour,
                "size": 6 if strategy == SINGLE else 9,
                "opacity": 0.6 if strategy == SINGLE else 0.9,
                "symbol": symbols[strategy],
            },
            "hovertemplate": "%{text}<br>%{x:,} parcels in all, members: %{customdata}<br>mean "
            "rank %{y:.4~g}<extra></extra>",
        }
        for strategy, colour in looks.items()
    )
    return Figure(
        name="figure-together",
        title="Mean rank of ensembles and single parcellations",
        caption=f"Ranked together within each pipeline and target; lower is better.{grey} "
        f"{left_out}".rstrip(),
        table=table.name,
        traces=traces,
        choose=PIPELINE if table.frame[PIPELINE].nunique() > 1 else "",
        layout={
            "height": 460,
            "showlegend": True,
            "xaxis": logarithmic("parcels of all members"),
            "yaxis": logarithmic("mean rank"),
        },
    )


def _gains(table: DataTable, gain: str, over: str, colours: Mapping[str, str]) -> Figure:
    traces: tuple[dict[str, Any], ...] = tuple(
        {
            **rows({STRATEGY: strategy}),
            "type": "box",
            "name": plain(strategy),
            "x": column("members"),
            "y": column(gain),
            "text": column(NAME),
            "boxpoints": "all" if len(table.frame) < 400 else "outliers",
            "jitter": 0.5,
            "marker": {"color": colour, "size": 4, "opacity": 0.6},
            "hovertemplate": "%{text}<br>%{y:+.3f}<extra></extra>",
        }
        for strategy, colour in colours.items()
    )
    return Figure(
        name=f"figure-{gain.replace('_', '-')}",
        title=f"Gain over {over}",
        caption=f"Difference of scores between an ensemble and {over} of half to double its "
        "parcels, for each pipeline and target; above zero the ensemble is better.",
        table=table.name,
        traces=traces,
        layout={
            "height": 400,
            "showlegend": True,
            "boxmode": "group",
            "xaxis": {"type": "category", "title": {"text": "members"}},
            "yaxis": {"title": {"text": "gain in score"}, "zeroline": True},
        },
    )
