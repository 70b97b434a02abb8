"""What a report is made of: tables, figures that are views of tables, and sections.

A figure holds no numbers of its own: its traces name columns of its table and which rows, so that
what is drawn is what the table below it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobpool.units import HOUR_S

if TYPE_CHECKING:
    import pandas as pd

Spec = Mapping[str, Any]  # a piece of a plotly figure, as JSON holds it

# the value of a column in rows that stand for all its values; the blank sorts it first
EVERY = " all together"
# Okabe and Ito, "Color universal design", 2008: told apart by colour-blind readers, too
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7a68a6")
FEW = 10  # a number that has room for a tick at each step up to it; beyond, steps are whole
MOST_LABELLED = 30  # values whose names fit beside their bars
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "x", "hexagon")


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """A table of the report: shown, searched, saved as CSV, and drawn from."""

    name: str  # unique in the report; letters, digits and dashes
    title: str
    frame: "pd.DataFrame"
    source: str  # what it was made from, in words
    traced_by: tuple[str, ...] = ()  # columns that pick the rows of the results behind a row
    note: str = ""
    marked_by: str = ""  # a column of truth values: the rows where it holds are marked
    printed: tuple[str, ...] = ()  # the columns on paper; empty: the first ones


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A plotly figure whose numbers are columns of a table."""

    name: str
    title: str
    caption: str  # what it shows, also to who cannot see it
    table: str  # the name of the table that it is drawn from
    traces: tuple[Spec, ...]  # plotly's, with `column` in place of arrays; see `rows`
    layout: Spec
    choose: str = ""  # a column: the reader picks which of its values is drawn
    y_titles: Mapping[str, str] = field(default_factory=dict)  # of the y axis, by the value picked


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report with an anchor of its own."""

    name: str
    title: str
    text: str
    items: tuple[Figure | DataTable, ...] = ()
    tables: tuple[DataTable, ...] = ()  # that figures are drawn from, folded away below them
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # what stands before all else


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One number at the head of the report."""

    label: str
    value: str
    detail: str = ""
    is_bad: bool = False


def core_tile(name: str, amounts: Sequence[float], detail: str) -> Tile:
    """Return core-hours, or core-seconds where they are few, in words.

    Parameters
    ----------
    name : str
        What follows the unit, such as `` to go``.
    amounts : sequence of float
        Core-hours: the one to show, then those that stand in the detail.
    detail : str
        With a ``{}`` for each further amount.

    Examples
    --------
    >>> core_tile(" to go", [0.5, 0.25, 1.0], "{} to {}").detail
    '900 to 3,600'
    """
    unit, factor = ("hours", 1) if amounts[0] >= 1 else ("seconds", HOUR_S)
    shown, *others = (
        f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"
        for number in (amount * factor for amount in amounts)
    )
    return Tile(label=f"core-{unit}{name}", value=shown, detail=detail.format(*others))


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report, before it becomes a file."""

    title: str
    facts: tuple[tuple[str, str], ...]  # what it rests on: label and value
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = field(default=())


def column(name: str) -> Spec:
    """Return what stands for the values of a column in a trace."""
    return {"$": name}


def rows(where: Mapping[str, Any], order: str = "", table: str = "") -> Spec:
    """Return which rows a trace shows, the column they are sorted by, and of which table.

    By default it is the table of the figure.
    """
    return {"$rows": {"where": dict(where), "order": order, "table": table}}


def clean(text: object) -> str:
    r"""Return a text that UTF-8 can hold: half a surrogate pair becomes an escape.

    Examples
    --------
    >>> clean("caf\udce9")
    'caf\\udce9'
    """
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def plain(text: object) -> str:
    """Return a text that plotly shows as it is: it takes tags and entities for its own.

    Examples
    --------
    >>> plain("a<b> & c")
    'a&lt;b&gt; &amp; c'
    """
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def colours_of(values: Sequence[object]) -> dict[Any, str]:
    """Return a colour for each value, again from the start where they run out."""
    return {value: COLOURS[i % len(COLOURS)] for i, value in enumerate(values)}


def symbols_of(values: Sequence[object]) -> dict[Any, str]:
    """Return a marker for each value, again from the start where they run out."""
    return {value: SYMBOLS[i % len(SYMBOLS)] for i, value in enumerate(values)}


def counting(title: str, most: int) -> Spec:
    """Return an axis from 0 for numbers up to `most` that has ticks at whole numbers only."""
    steps = {"dtick": 1} if most <= FEW else {}
    return {"title": {"text": title}, "rangemode": "tozero", **steps}


def logarithmic(title: str) -> Spec:
    """Return a logarithmic axis with whole numbers at 1, 2 and 5 of each power of ten.

    Where these are too few, the page's script takes equal steps instead.
    """
    ticks = [float(f"{digit}e{power}") for power in range(-4, 10) for digit in (1, 2, 5)]
    return {
        "type": "log",
        "title": {"text": title},
        "separatethousands": True,
        "exponentformat": "none",
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" if tick < 1e6 else f"{tick / 1e6:,g}M" for tick in ticks],
    }


def bars_by_axis(
    table: DataTable, series: Mapping[str, str], what: str, length_axis: Spec, caption: str
) -> Figure:
    """Return one bar for each row of a table, stacked from the columns of several series.

    The bars lie on their side while their labels fit, and stand upright beyond.

    Parameters
    ----------
    table : DataTable
        Traced by the axis; has a column ``WHAT SERIES`` for each series.
    series : mapping of str to str
        Name and colour, in order.
    what : str
        What is counted, such as ``tasks``.
    length_axis : dict
        Of the bars' length.
    caption : str
        What stands below.
    """
    axis, n_values = table.traced_by[0], len(table.frame)
    upright = n_values > MOST_LABELLED
    position, length = ("x", "y") if upright else ("y", "x")
    traces = tuple(
        {
            "type": "bar",
            "orientation": "v" if upright else "h",
            "name": name,
            position: column(axis),
            length: column(f"{what} {name}"),
            "marker": {"color": colour},
            "hovertemplate": f"%{{{position}}}<br>%{{{length}:,.6~r}} {what} {name}<extra></extra>",
        }
        for name, colour in series.items()
    )
    names = {"type": "category", "title": {"text": plain(axis) if upright else ""}}
    return Figure(
        name=f"figure-{table.name}",
        title=table.title,
        caption=caption,
        table=table.name,
        traces=traces,
        layout={
            "showlegend": True,
            "barmode": "stack",
            "bargap": 0.05 if upright else 0.25,
            "height": 340 if upright else 110 + 26 * n_values,
            f"{position}axis": names if upright else {**names, "autorange": "reversed"},
            f"{length}axis": length_axis,
        },
    )
