"""How figures look, and the pieces that all of them are made of.

Sizes in print, letters, colours that colour-blind readers tell apart; axes in parcels and ranks,
points, lines with bands.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

ONE_COLUMN_MM, TWO_COLUMNS_MM = 89.0, 183.0
DPI = 300
MM_PER_INCH = 25.4
# Okabe and Ito, "Color universal design", 2008; its yellow is too pale for small marks
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
GREY = "#8C8C8C"
INK = "#222222"
RC: Mapping[str, object] = {
    # comes with matplotlib, so that a figure is the same on every machine
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.5,
    "lines.linewidth": 1.0,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.35,
    "ytick.minor.width": 0.35,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "text.parse_math": False,  # a name with two dollars is a name
    "svg.fonttype": "none",  # letters stay letters: they can be searched and edited
    "svg.hashsalt": "jobpool",  # the same ids in every run
}
RANK_LABEL = "Mean rank (1 is best)"
SIZE_LABEL = "Number of parcels"
DOTS = (0, (2, 2))
# numbers at these times powers of ten, on an axis whose ends differ by so many times
_SUBS = ((500, (1,)), (6, (1, 2, 5)), (2.5, (1, 2, 3, 5, 7)), (0, tuple(range(1, 10))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How the points of one group look."""

    colour: str
    marker: str


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """Return a mark for each name, the same for the same set of names.

    Examples
    --------
    >>> marks(["soft", "hard"])["hard"].colour
    '#0072B2'
    """
    return {
        name: Mark(colour=PALETTE[i % len(PALETTE)], marker=MARKERS[i % len(MARKERS)])
        for i, name in enumerate(sorted(set(names)))
    }


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """Return an empty figure of a size in print."""
    inches = width_mm / MM_PER_INCH, height_mm / MM_PER_INCH
    return Figure(figsize=inches, dpi=DPI, layout="constrained")


def log_axis(axes: Axes, which: str, minor: bool = True) -> None:
    """Make an axis logarithmic, once all is drawn, with plain numbers where they have room."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    subs = next(subs for reach, subs in _SUBS if high / low >= reach)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(LogLocator(subs=range(1, 10)) if minor else NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


def linear_axis(axes: Axes, n_ticks: int = 4) -> None:
    """Give both axes few round numbers with thousands marked."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(n_ticks, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def plain(value: float) -> str:
    """Return a number as a reader writes it.

    Examples
    --------
    >>> plain(4000.0), plain(0.5), plain(20.0)
    ('4,000', '0.5', '20')
    """
    return f"{value:,.0f}" if value >= 1 and math.isclose(value, round(value)) else f"{value:g}"


def mark_size(n_points: int) -> float:
    """Return the diameter of marks, in points: many get small ones."""
    return 4.2 if n_points <= 60 else 2.8 if n_points <= 300 else 2.3


def scatter(
    axes: Axes,
    points: pd.DataFrame,
    mark: Mark,
    y: str = "mean_rank",
    size: float = 2.8,
    in_pixels: bool = False,
) -> None:
    """Draw points of one group at their sizes, in an svg as a picture if there are many."""
    axes.plot(  # a hundred times faster than scatter, which can give each point its own look
        points["size"],
        points[y],
        linestyle="none",
        marker=mark.marker,
        markersize=size,
        markerfacecolor=mark.colour,
        markeredgecolor="white",
        markeredgewidth=0.2,
        alpha=0.8,
        zorder=2,
        rasterized=in_pixels,
    )


def spread(axes: Axes, points: pd.DataFrame, mark: Mark) -> None:
    """Draw the standard deviation over folds as a thin bar through each score, as a picture."""
    axes.vlines(
        points["size"],
        points["score"] - points["sd"],
        points["score"] + points["sd"],
        color=mark.colour,
        linewidth=0.4,
        alpha=0.3,
        zorder=1,
        rasterized=True,
    )


def line_with_band(
    axes: Axes, line: pd.DataFrame, colour: str, style: str = "-", width: float = 1.0
) -> None:
    """Draw ``mean_rank`` against ``size`` with the band from ``low`` to ``high``."""
    axes.fill_between(
        line["size"], line["low"], line["high"], color=colour, alpha=0.2, linewidth=0, zorder=1.5
    )
    axes.plot(line["size"], line["mean_rank"], style, color=colour, linewidth=width, zorder=4)


def handles(marked: Mapping[str, Mark], line: bool = False) -> list[Line2D]:
    """Return legend entries of groups, with the line of each or without."""
    return [
        Line2D(
            [],
            [],
            linestyle="-" if line else "none",
            marker=mark.marker,
            markersize=3.2,
            color=mark.colour,
            markeredgecolor="white",
            markeredgewidth=0.2,
            label=name,
        )
        for name, mark in marked.items()
    ]


def legend_below(figure: Figure, entries: Sequence[Line2D], most: int = 8) -> None:
    """Draw one legend of all panels below them, where no point can lie under it."""
    figure.legend(handles=list(entries), loc="outside lower center", ncols=min(most, len(entries)))


def letter(axes: Axes, text: str, title: str) -> None:
    """Write the letter and the title of a panel above it."""
    axes.set_title(title, loc="left", pad=6)
    axes.annotate(
        text,
        xy=(0, 1),
        xytext=(-24, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
        fontweight="bold",
        va="bottom",
    )


def mark_borders(axes: Axes, smallest: float, largest: float) -> None:
    """Mark the borders of a region of sizes, below where an inset may be."""
    for border in (smallest, largest):
        axes.axvline(border, ymax=0.55, color=GREY, linewidth=0.5, linestyle=DOTS, zorder=1)


def spaced(smallest: float, largest: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return sizes at which a line is drawn."""
    sizes: np.ndarray[tuple[int], np.dtype[np.float64]] = np.geomspace(smallest, largest, 60)
    return sizes
