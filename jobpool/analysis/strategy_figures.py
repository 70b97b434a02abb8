"""Figures of strategies over several parcellations, and of what results cost."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jobpool.analysis.study_table import SINGLE, StudyTable
from jobpool.analysis.style import (
    DOTS,
    GREY,
    INK,
    ONE_COLUMN_MM,
    RANK_LABEL,
    SIZE_LABEL,
    TWO_COLUMNS_MM,
    Mark,
    handles,
    legend_below,
    letter,
    log_axis,
    mark_size,
    marks,
    new_figure,
    plain,
    scatter,
)
from jobpool.analysis.whole import Analysis

_COSTS = (
    ("seconds", "Time per task (s)", "front_time"),
    ("memory_mb", "Peak memory (MB)", "front_memory"),
)
_HIGHER = ("higher than their mean", "higher than the best of them")


def strategies(found: Analysis) -> Figure | None:
    """Draw ensembles among single parcellations, and how often they are better."""
    compared = found.compared[found.compared["n_comparable"] > 0]
    n_panels = (found.together is not None) + (not compared.empty)
    if not n_panels:
        return None
    figure = new_figure(TWO_COLUMNS_MM if n_panels > 1 else ONE_COLUMN_MM, 80)
    panels = figure.subplots(1, n_panels, squeeze=False, width_ratios=[3, 2][:n_panels])[0]
    marked = _strategy_marks(found.table)
    if found.together is not None:
        _together(panels[0], found.together.overall, marked)
    if not compared.empty:
        _shares(panels[-1], compared, marked)
    for axes, text in zip(panels, "ab" if n_panels > 1 else " ", strict=True):
        letter(axes, text, axes.get_title(loc="left"))
    entries = handles(marked)
    if not compared.empty:
        entries += [
            Line2D([], [], color=INK, linestyle="-", marker="o", markersize=3, label=_HIGHER[0]),
            Line2D([], [], color=INK, linestyle=":", marker="o", markersize=3, label=_HIGHER[1]),
        ]
        entries[-1].set_markerfacecolor("white")
    legend_below(figure, entries, most=3 * n_panels)
    return figure


def trade_off_figure(found: Analysis) -> Figure | None:
    """Draw mean rank against time and against memory, with what no other pair beats."""
    pairs = found.trade_off
    known = [
        (name, label, front)
        for name, label, front in _COSTS
        if name in pairs and pairs[name].notna().any()
    ]
    if pairs.empty or not known:
        return None
    figure = new_figure(TWO_COLUMNS_MM if len(known) > 1 else ONE_COLUMN_MM, 80)
    grid = figure.subplots(1, len(known), squeeze=False)[0]
    marked = {
        name: mark
        for name, mark in _strategy_marks(found.table).items()
        if (pairs["strategy"] == name).any()
    }
    letters = "ab" if len(known) > 1 else " "
    for axes, text, (name, label, front) in zip(grid, letters, known, strict=True):
        for strategy, mark in marked.items():
            part = pairs[pairs["strategy"] == strategy]
            scatter(axes, part.assign(size=part[name]), mark, size=mark_size(len(pairs)))
        best = pairs[pairs[front]].sort_values([name, "mean_rank"])
        axes.step(best[name], best["mean_rank"], where="post", color=INK, linewidth=0.9, zorder=4)
        log_axis(axes, "x")
        log_axis(axes, "y")
        axes.set(xlabel=label, ylabel=RANK_LABEL)
        letter(axes, text, "Ranks among all pipelines and strategies")
    line = Line2D([], [], color=INK, linewidth=0.9, label="nothing cheaper is better")
    legend_below(figure, [*handles(marked), line])
    return figure


def _strategy_marks(table: StudyTable) -> dict[str, Mark]:
    """Return grey circles for single parcellations, and a mark for each strategy."""
    names = set(table.frame["strategy"])
    single = {SINGLE: Mark(colour=GREY, marker="o")} if SINGLE in names else {}
    return single | marks(names - {SINGLE})


def _together(axes: Axes, points: pd.DataFrame, marked: dict[str, Mark]) -> None:
    """Draw mean ranks of single parcellations and ensembles together."""
    for name, mark in marked.items():
        scatter(axes, points[points["strategy"] == name], mark, size=mark_size(len(points)))
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set(xlabel=f"{SIZE_LABEL}, all members", ylabel=RANK_LABEL)
    axes.set_title("Ranks of single parcellations and ensembles together", loc="left")


def _shares(axes: Axes, compared: pd.DataFrame, marked: dict[str, Mark]) -> None:
    """Draw the share of comparisons that an ensemble wins, by its number of members."""
    members = np.unique(compared["members"])
    names = [name for name in marked if (compared["strategy"] == name).any()]
    # equal shares side by side, not one on another
    gap = np.diff(members).min() if len(members) > 1 else 1
    step = min(0.08, 0.7 / len(names)) * gap
    for gain, style in (("gain_over_mean", "-"), ("gain_over_best", ":")):
        rows = compared.assign(won=compared[gain] > 0)
        won = rows.groupby(["strategy", "members"])["won"].mean()
        for place, name in enumerate(names):
            line, mark = 100 * won.xs(name), marked[name]
            axes.plot(
                line.index + (place - (len(names) - 1) / 2) * step,
                line,
                linestyle=style,
                color=mark.colour,
                marker=mark.marker,
                markersize=3.5,
                markerfacecolor=mark.colour if style == "-" else "white",
                clip_on=False,
            )
    axes.axhline(50, color=GREY, linewidth=0.5, linestyle=DOTS)
    number = _range(compared.groupby(["strategy", "members"])["parcellation"].nunique())
    axes.set_xlabel(f"Members\n{number} per point,\nin each pipeline and target")
    axes.set(ylabel="Ensembles that score higher (%)", ylim=(-4, 104))
    axes.set_xticks(members, [plain(n) for n in members])
    axes.set_xlim(members[0] - gap / 2, members[-1] + gap / 2)
    axes.set_title("Better than single parcellations of similar size", loc="left")


def _range(numbers: pd.Series) -> str:
    """Return how many ensembles there are in a point."""
    low, high = int(numbers.min()), int(numbers.max())
    many = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{many} ensemble{'s' if high > 1 else ''}"
