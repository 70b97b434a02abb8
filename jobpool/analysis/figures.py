"""Static figures of an analysis, for print: png at 300 dots per inch, and svg.

    NAME.png, NAME.svg    one pair for each figure that the study has data for

The same analysis gives the same bytes: no date, no random ids. Files of the same names are
replaced whole.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jobpool.analysis.comparison import is_interpreters_own
from jobpool.analysis.scaling import PowerLaw, Regression
from jobpool.analysis.study_table import SCORE, SINGLE, StudyTable
from jobpool.analysis.style import (
    DOTS,
    GREY,
    INK,
    ONE_COLUMN_MM,
    RANK_LABEL,
    RC,
    SIZE_LABEL,
    TWO_COLUMNS_MM,
    Mark,
    handles,
    legend_below,
    letter,
    line_with_band,
    linear_axis,
    log_axis,
    mark_borders,
    mark_size,
    marks,
    new_figure,
    plain,
    scatter,
    spaced,
    spread,
)
from jobpool.analysis.whole import Analysis
from jobpool.disk.files import replace_whole
from jobpool.errors import DataError, listing

TARGETS_PER_PAGE = 12
_COSTS = (
    ("seconds", "Time per task (s)", "front_time"),
    ("memory_mb", "Peak memory (MB)", "front_memory"),
)
_HIGHER = ("higher than their mean", "higher than the best of them")
_N_BINS = 9
_NO_LETTER = re.compile(r"Glyph (\d+) .* missing from font")


def write_figures(
    found: Analysis, folder: Path, tell: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Write the figures of an analysis, and return their files.

    Parameters
    ----------
    found : Analysis
        From `analyse`.
    folder : Path
        Is made if it is missing.
    tell : callable, optional
        Called with a sentence about each problem in the figures.

    Raises
    ------
    DataError
        If the folder cannot be made.
    StorageError
        If the disk is full, over quota or failing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"is no folder and cannot become one: {error.strerror}; give another folder"
        raise DataError(folder, what) from error
    written = []
    with rc_context(cast("Any", RC)), _missing_glyphs_reported(tell):
        for name, figure in _figures(found):
            for ending, data in zip(("png", "svg"), _images(figure), strict=True):
                path = folder / f"{name}.{ending}"
                replace_whole(path, data)
                written.append(path)
    return written


@contextmanager
def _missing_glyphs_reported(tell: Callable[[str], None]) -> Iterator[None]:
    """Report once which letters the font lacks; matplotlib warns of each. Pass other warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = set()
    for one in caught:
        found = _NO_LETTER.match(str(one.message))
        if found:
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        letters = listing(sorted(missing))
        tell(f"the font of the figures lacks letters, drawn as boxes in png: {letters}")


def _images(figure: Figure) -> tuple[bytes, bytes]:
    """Return a figure as png and as svg, without date and version: equal data, equal bytes."""
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")  # laid out once, not once more for each format
    png, svg = io.BytesIO(), io.BytesIO()
    # `savefig` would draw everything twice; these two have no types
    agg: Any = FigureCanvasAgg(figure)
    agg.print_png(png, metadata={"Software": None})
    vector: Any = FigureCanvasSVG(figure)
    vector.print_svg(svg, metadata={"Date": None, "Creator": "jobpool"})
    return png.getvalue(), svg.getvalue()


def _figures(found: Analysis) -> Iterator[tuple[str, Figure]]:
    """Yield the figures that the study has data for."""
    for name, draw in (
        ("rank-by-size", rank_by_size),
        ("rank-by-type", rank_by_type),
        ("rank-by-pipeline", rank_by_pipeline),
        ("strategies", strategies),
        ("trade-off", trade_off_figure),
    ):
        figure = draw(found)
        if figure is not None:
            if found.other_people:
                figure.suptitle("Scores are not of the same participants", fontsize=6, color=GREY)
            yield name, figure
    pages = list(score_by_size(found))
    for number, page in enumerate(pages, start=1):
        yield f"score-by-size-{number}" if len(pages) > 1 else "score-by-size", page


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
    axes.set_ylim(low * 0.9, high * (high / low) ** 0.35 * 1.1)  # room for the inset
    log_axis(axes, "x")
    log_axis(axes, "y")
    legend_below(figure, entries, most=2)
    return figure


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
    legend_below(figure, handles(by_type, line=several))
    letter(left, "a" if several else "", "Ranks within each pipeline and target")
    if several:
        _forest(panels[1], regression, by_type)
        letter(panels[1], "b", "Difference between types at equal size")
    return figure


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
    for name, scaling in found.scaling_by_pipeline.items():
        law = scaling.region
        line_with_band(left, law.band(spaced(law.smallest, law.largest)), by_pipeline[name].colour)
    if found.regression_by_pipeline:
        # one line per pipeline: that of the type which most parcellations have
        common = found.ranking.overall["type"].mode().min()
        for name, line in _lines(found.regression_by_pipeline, "pipeline", type=common):
            line_with_band(right, line, by_pipeline[name].colour if name else INK)
    legend_below(figure, handles(by_pipeline, line=True))
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
            if "sd" in part:
                spread(axes, part, mark)
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
    lines = []
    title = "Ranks among all pipelines" + (" and strategies" if len(marked) > 1 else "")
    for axes, text, (name, label, front) in zip(grid, letters, known, strict=True):
        for strategy, mark in marked.items():
            part = pairs[pairs["strategy"] == strategy]
            scatter(axes, part.assign(size=part[name]), mark, size=mark_size(len(pairs)))
        if name != "memory_mb" or not is_interpreters_own(pairs[name]):
            best = pairs[pairs[front]].sort_values([name, "mean_rank"])
            axes.step(
                best[name], best["mean_rank"], where="post", color=INK, linewidth=0.9, zorder=4
            )
            lines = [Line2D([], [], color=INK, linewidth=0.9, label="nothing cheaper is better")]
        log_axis(axes, "x")
        log_axis(axes, "y")
        axes.set(xlabel=label, ylabel=RANK_LABEL)
        letter(axes, text, title)
    legend_below(figure, [*handles(marked), *lines])
    return figure
