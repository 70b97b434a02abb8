"""Figures of strategies over several parcellations, and of what results cost."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jobpool.analysis.drawing import (
    DOTS,
    RANK_LABEL,
    SIZE_LABEL,
    handles,
    letter,
    log_axis,
    mark_size,
    new_figure,
    plain,
    scatter,
)
from jobpool.analysis.style import GREY, INK, TWO_COLUMNS_MM, Mark, marks
from jobpool.analysis.table import SINGLE
from jobpool.analysis.whole import Analysis

_COSTS = (
    ("seconds", "Time per task (s)", "front_time"),
    ("memory_mb", "Peak memory (MB)", "front_memory"),
)


def strategies(found: Analysis) -> Figure | None:
    """Draw ensembles among single parcellations, and how often they are better."""
    if found.together is None or found.compared.empty:
        return None
    figure = new_figure(TWO_COLUMNS_MM, 75)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    points = found.together.overall
    marked = _strategy_marks(points)
    for name, mark in marked.items():
        scatter(left, points[points["strategy"] == name], mark, size=mark_size(len(points)))
    log_axis(left, "x")
    log_axis(left, "y")
    left.set(xlabel=f"{SIZE_LABEL}, all members", ylabel=RANK_LABEL)
    left.legend(handles=handles(marked), loc="lower left")
    letter(left, "a", "Ranks of single parcellations and ensembles together")
    _shares(right, found.compared, marked)
    letter(right, "b", "Better than single parcellations of similar size")
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
    figure = new_figure(TWO_COLUMNS_MM, 75)
    grid = figure.subplots(1, 2, squeeze=False)[0]
    marked = _strategy_marks(pairs)
    for axes in grid[len(known) :]:
        axes.set_axis_off()
    for axes, text, (name, label, front) in zip(grid, "ab", known, strict=False):
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
        axes.legend(handles=[*handles(marked), line], loc="lower left")
    return figure


def _strategy_marks(points: pd.DataFrame) -> dict[str, Mark]:
    """Return grey circles for single parcellations, and a mark for each strategy."""
    others = marks(set(points["strategy"]) - {SINGLE})
    single = {SINGLE: Mark(colour=GREY, marker="o")} if (points["strategy"] == SINGLE).any() else {}
    return single | others


def _shares(axes: Axes, compared: pd.DataFrame, marked: dict[str, Mark]) -> None:
    """Draw the share of comparisons that an ensemble wins, by its number of members."""
    rows = compared[compared["n_comparable"] > 0]
    for name, style in (("gain_over_mean", "-"), ("gain_over_best", ":")):
        won = rows.assign(won=rows[name] > 0).groupby(["strategy", "members"])["won"].mean() * 100
        for strategy in sorted(set(rows["strategy"])):
            line, mark = won.loc[strategy], marked[strategy]
            axes.plot(
                line.index,
                line,
                linestyle=style,
                color=mark.colour,
                marker=mark.marker,
                markersize=3.5,
            )
    axes.axhline(50, color=GREY, linewidth=0.5, linestyle=DOTS)
    axes.set(xlabel="Members", ylabel="Ensembles that score higher (%)", ylim=(-4, 104))
    axes.set_xticks(
        np.unique(compared["members"]), [plain(n) for n in np.unique(compared["members"])]
    )
    axes.legend(
        handles=[
            Line2D([], [], color=INK, linestyle="-", label="than their mean"),
            Line2D([], [], color=INK, linestyle=":", label="than the best of them"),
        ],
        loc="best",
    )
