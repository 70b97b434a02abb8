"""Figures of mean rank, and of score, against the number of parcels."""

import textwrap
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jobpool.analysis.scaling import PowerLaw, Regression
from jobpool.analysis.study_table import SCORE
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
    letter,
    line_with_band,
    linear_axis,
    log_axis,
    mark_borders,
    mark_size,
    marks,
    new_figure,
    scatter,
    spaced,
)
from jobpool.analysis.whole import Analysis

TARGETS_PER_PAGE = 12
_N_BINS = 9


def rank_by_size(found: Analysis) -> Figure | None:
    """Draw mean rank against size in log-log, with the law in its region, and linearly inside."""
    if found.ranking is None:
        return None
    points = found.ranking.overall
    figure = new_figure(ONE_COLUMN_MM, 80)
    axes = figure.subplots()
    by_type = marks(points["type"])
    inset = axes.inset_axes((0.6, 0.62, 0.4, 0.38))
    for one, size in ((axes, mark_size(len(points))), (inset, 1.6)):
        for name, mark in by_type.items():
            scatter(one, points[points["type"] == name], mark, size=size)
        if found.scaling:
            law = found.scaling.region
            line_with_band(one, law.band(spaced(law.smallest, law.largest)), INK)
    linear_axis(inset, 3)
    inset.set_ylim(bottom=0)
    inset.set_xlim(left=0)
    axes.set(xlabel=SIZE_LABEL, ylabel=RANK_LABEL)
    entries = handles(by_type)
    if found.scaling:
        entries += _law_entries(axes, found.scaling.region, found.scaling.whole)
    low, high = float(points["mean_rank"].min()), float(points["mean_rank"].max())
    axes.set_ylim(low * 0.6, high * (high / low) ** 0.35 * 1.1)  # room for legend and inset
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.legend(
        handles=entries, loc="lower left", frameon=True, facecolor="white", edgecolor="none"
    )
    return figure


def rank_by_type(found: Analysis) -> Figure | None:
    """Draw mean rank against size with one line per type, and how types differ."""
    if found.ranking is None or found.regression is None:
        return None
    points, regression = found.ranking.overall, found.regression
    several = "type" in regression.baselines
    figure = new_figure(TWO_COLUMNS_MM if several else ONE_COLUMN_MM, 75)
    panels = figure.subplots(1, 1 + several, squeeze=False, width_ratios=[3, 2][: 1 + several])[0]
    left = panels[0]
    by_type = marks(points["type"])
    for name, mark in by_type.items():
        scatter(left, points[points["type"] == name], mark, size=mark_size(len(points)))
    for name, line in _lines(regression, "type"):
        line_with_band(left, line, by_type[name].colour if name else INK)
    log_axis(left, "x")
    log_axis(left, "y")
    left.set(xlabel=SIZE_LABEL, ylabel=RANK_LABEL)
    left.legend(handles=handles(by_type, line=several), loc="lower left")
    letter(left, "a" if several else "", "Ranks within each pipeline and target")
    if several:
        _forest(panels[1], regression, by_type)
        letter(panels[1], "b", "Difference between types at equal size")
    return figure


def rank_by_pipeline(found: Analysis) -> Figure | None:
    """Draw mean rank against size by pipeline: ranks of its own, and ranks among all."""
    if found.ranking is None or found.across is None:
        return None
    figure = new_figure(TWO_COLUMNS_MM, 75)
    left, right = figure.subplots(1, 2)
    by_pipeline = marks(found.ranking.by_pipeline["pipeline"])
    for axes, points in (
        (left, found.ranking.by_pipeline),
        (right, found.across.by_pipeline),
    ):
        for name, mark in by_pipeline.items():
            scatter(axes, points[points["pipeline"] == name], mark, size=mark_size(len(points)))
        log_axis(axes, "x")
        log_axis(axes, "y")
        axes.set(xlabel=SIZE_LABEL, ylabel=RANK_LABEL)
        axes.legend(handles=handles(by_pipeline, line=True), loc="lower left")
    for name, scaling in found.scaling_by_pipeline.items():
        law = scaling.region
        line_with_band(left, law.band(spaced(law.smallest, law.largest)), by_pipeline[name].colour)
    if found.regression_by_pipeline:
        # one line per pipeline: that of the type which most parcellations have
        common = found.ranking.overall["type"].mode().min()
        for name, line in _lines(found.regression_by_pipeline, "pipeline", type=common):
            line_with_band(right, line, by_pipeline[name].colour if name else INK)
    letter(left, "a", "Ranks within each pipeline")
    letter(right, "b", "Ranks among all pipelines together")
    return figure


def score_by_size(found: Analysis) -> Iterator[Figure]:
    """Draw the score of each target against size, by pipeline, some targets to a page."""
    frame = found.table.singles.frame
    if found.table.measure != SCORE or frame.empty:
        return
    targets = sorted(set(frame["target"]))
    by_target = dict(tuple(frame.groupby("target")))
    for start in range(0, len(targets), TARGETS_PER_PAGE):
        page = targets[start : start + TARGETS_PER_PAGE]
        yield _score_page(found, {name: by_target[name] for name in page})


def _score_page(found: Analysis, by_target: dict[str, pd.DataFrame]) -> Figure:
    n_columns = min(4, len(by_target))
    n_rows = -(-len(by_target) // n_columns)
    narrow = len(by_target) == 1
    width = ONE_COLUMN_MM if narrow else TWO_COLUMNS_MM
    figure = new_figure(width, 12 + n_rows * (60 if n_columns < 4 else 48))
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
    by_pipeline = marks(found.table.singles.frame["pipeline"])
    for number, axes in enumerate(grid.flat):
        axes.set_visible(number < len(by_target))
        # the lowest of its column, also where the last row is not full
        axes.tick_params(labelbottom=number + n_columns >= len(by_target))
    for axes, (target, rows) in zip(grid.flat, by_target.items(), strict=False):
        for name, mark in by_pipeline.items():
            part = rows[rows["pipeline"] == name]
            if part.empty:
                continue
            scatter(axes, part, mark, y="score", size=1.8, in_pixels=True)
            middle = _medians(part)
            axes.plot(middle["size"], middle["score"], color=mark.colour, zorder=3)
        log_axis(axes, "x", minor=False)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.set_title(textwrap.shorten(target, 30, placeholder="…"), loc="left")
        axes.set_ylabel(found.table.score_label(target))
    figure.supxlabel(SIZE_LABEL, fontsize=7)
    figure.legend(
        handles=handles(by_pipeline, line=True), loc="outside upper right", ncols=len(by_pipeline)
    )
    return figure


def _medians(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the median score in bins of equal width in log size."""
    logs = np.log10(rows["size"].to_numpy(np.float64))
    edges = np.linspace(logs.min(), logs.max(), _N_BINS + 1)
    bins = np.clip(np.digitize(logs, edges) - 1, 0, _N_BINS - 1)
    middle = rows.groupby(bins).agg(size=("size", "median"), score=("score", "median"))
    return middle.sort_values("size")


def _law_entries(axes: Axes, law: PowerLaw, whole: PowerLaw) -> list[Line2D]:
    """Return legend entries for the law, and for that of all sizes, drawn here, if it differs."""
    exponent = _signed(law.exponent)
    if law == whole:
        return [Line2D([], [], color=INK, label=f"law of all sizes: exponent {exponent}")]
    mark_borders(axes, law.smallest, law.largest)
    sizes = spaced(whole.smallest, whole.largest)
    axes.plot(sizes, whole.predict(sizes), "--", color=GREY, linewidth=0.7, zorder=3)
    borders = f"region's borders: {law.smallest:,} and {law.largest:,} parcels"
    everywhere = f"law of all sizes: exponent {_signed(whole.exponent)}"
    return [
        Line2D([], [], color=INK, label=f"law in its region: exponent {exponent}"),
        Line2D([], [], color=GREY, linewidth=0.5, linestyle=DOTS, label=borders),
        Line2D([], [], color=GREY, linestyle="--", linewidth=0.7, label=everywhere),
    ]


def _signed(value: float) -> str:
    """Return a number with a real minus sign."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _lines(regression: Regression, by: str, **fixed: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the predicted line of each value of a factor; of all data if it has no term."""
    lines = regression.predictions
    for name, wanted in fixed.items():
        if name in lines and (lines[name] == wanted).any():
            lines = lines[lines[name] == wanted]
    if by not in lines:
        yield "", lines
        return
    for value, line in lines.groupby(by, sort=True):
        yield str(value), line


def _forest(axes: Axes, regression: Regression, by_type: Mapping[str, Mark]) -> None:
    """Draw how many times the mean rank of the baseline each type has, with intervals."""
    baseline = regression.baselines["type"]
    terms = {term.name: term for term in regression.terms}
    for place, (name, mark) in enumerate(by_type.items()):
        term = terms.get(f"type {name}")
        if term:
            axes.plot([10**term.low, 10**term.high], [place, place], color=mark.colour)
        middle = 10**term.coefficient if term else 1.0
        axes.plot([middle], [place], mark.marker, color=mark.colour, markersize=4)
    axes.axvline(1, color=GREY, linewidth=0.5, linestyle=DOTS, zorder=1)
    axes.set_yticks(range(len(by_type)), list(by_type))
    axes.set_ylim(len(by_type) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.set_xlabel(f"Mean rank, times that of {baseline} (95 % interval)")
