"""What a pool has cost: core-hours by outcome, and by axis."""

from typing import TYPE_CHECKING

from jobpool.overview.spending import AGAIN, RUNNING, USEFUL
from jobpool.report.parts import DataTable, Figure, Section, bars_by_axis, clean, column, rows
from jobpool.report.progress import MOST_BARS
from jobpool.table.columns import beside_report
from jobpool.table.grid import Grid
from jobpool.task import Axis, Cause, UnknownCause
from jobpool.units import HOUR_S, count

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

COLOURS = {
    USEFUL: "#009e73",
    RUNNING: "#56b4e9",
    AGAIN: "#7a68a6",
    str(Cause.ERROR): "#d55e00",
    str(Cause.MEMORY): "#cc79a7",
    str(Cause.TIME): "#e69f00",
    str(Cause.LOST): "#4d4d4d",
    str(Cause.NODE): "#8c6d31",
    str(Cause.STORAGE): "#b3a000",
    str(Cause.PREEMPTED): "#0072b2",
    str(Cause.CANCELLED): "#999999",
}
_OTHER = "#c2b5a3"  # of a cause without a colour of its own
_MEANING = {
    **{str(cause): cause.words for cause in Cause},
    USEFUL: "its result was accepted",
    RUNNING: "running now",
    AGAIN: "done, but another result was accepted",
}
_HOURS = {"title": {"text": "core-hours"}, "rangemode": "tozero", "exponentformat": "none"}
_TEXT = (
    "Core-hours are the worker's cores times the duration of each attempt, from the record of "
    "attempts and, for running tasks, from the state table. Lost core-hours are an upper bound: "
    "finished pieces of a task are kept and used by its next attempt."
)


def colours_of(uses: "Iterable[str]") -> dict[str, str]:
    """Return the colour of each outcome that occurs, in the order in which they are shown.

    Parameters
    ----------
    uses : iterable of str
        Outcomes of attempts; a cause that this jobpool does not know is shown, too.
    """
    there = set(uses)
    known = {use: colour for use, colour in COLOURS.items() if use in there}
    return known | dict.fromkeys(sorted(there - known.keys()), _OTHER)


def cost_section(grid: Grid, attempts: "pd.DataFrame") -> Section:
    """Return core-hours by outcome, in all and by axis.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    attempts : DataFrame
        See `jobpool.overview.spending.Spending`.
    """
    by_use = _by_use(attempts)
    tables, figures = [by_use], [_figure_by_use(by_use)]
    for number, axis in enumerate(grid.axes):
        if 1 < len(axis.values) <= MOST_BARS and len(attempts):
            table = _by_axis(attempts, grid, axis, f"costs-{number}")
            if len(table.frame) > 1:
                tables.append(table)
                figures.append(_figure_by_axis(table))
    unknown = int(attempts["core_hours"].isna().sum())
    counts = "counts" if unknown == 1 else "count"
    note = f"{count(unknown, 'attempt')} of unknown duration {counts} as zero."
    return Section(
        name="costs",
        title="Cost",
        text=_TEXT,
        items=(by_use, *figures),
        tables=tuple(tables[1:]),
        notes=(note,) if unknown else (),
    )


def _by_use(attempts: "pd.DataFrame") -> DataTable:
    grouped = attempts.groupby("use")
    frame = grouped.agg(attempts=("place", "size"), tasks=("place", "nunique"))
    frame["core-hours"] = grouped["core_hours"].sum()
    frame["share in %"] = 100 * frame["core-hours"] / max(frame["core-hours"].sum(), 1e-12)
    frame["longest in hours"] = (
        ((attempts["ended"] - attempts["started"]) / HOUR_S).groupby(attempts["use"]).max()
    )
    order = list(colours_of(frame.index))
    frame = frame.loc[order].reset_index(names="outcome")
    frame.insert(1, "meaning", [_MEANING.get(use, UnknownCause.words) for use in order])
    return DataTable(
        name="costs",
        title="Core-hours by outcome",
        frame=frame,
        source="from the record of attempts",
    )


def _figure_by_use(table: DataTable) -> Figure:
    traces = tuple(
        {
            **rows({"outcome": use}),
            "type": "bar",
            "orientation": "h",
            "name": use,
            "x": column("core-hours"),
            "y": column("outcome"),
            "customdata": column("share in %"),
            "marker": {"color": colour},
            "hovertemplate": "%{y}: %{x:,.4~g} core-hours (%{customdata:.1f} %)<extra></extra>",
        }
        for use, colour in colours_of(table.frame["outcome"]).items()
    )
    return Figure(
        name="figure-costs",
        title="Core-hours, useful and lost",
        caption="Core-hours by the outcome of the attempt that took them.",
        table="costs",
        traces=traces,
        layout={
            "height": 90 + 30 * len(table.frame),
            "showlegend": False,
            "xaxis": _HOURS,
            "yaxis": {"type": "category", "autorange": "reversed"},
        },
    )


def _by_axis(attempts: "pd.DataFrame", grid: Grid, axis: Axis, name: str) -> DataTable:
    codes = grid.column(axis.name)[attempts["place"].to_numpy(int)]
    hours = attempts["core_hours"].groupby([codes, attempts["use"].to_numpy()]).sum()
    frame = hours.unstack().fillna(0.0)
    values = [clean(axis.values[code]) for code in frame.index]
    frame = frame[list(colours_of(frame.columns))]
    frame = frame.rename(columns=lambda use: f"core-hours {use}")
    frame["core-hours"] = frame.sum(axis=1)
    frame.insert(0, beside_report(axis.name), values)
    return DataTable(
        name=name,
        title=f"Core-hours by {axis.name}",
        frame=frame.reset_index(drop=True),
        source="from the record of attempts",
        traced_by=(beside_report(axis.name),),
    )


def _figure_by_axis(table: DataTable) -> Figure:
    prefix = "core-hours "
    uses = (str(name).removeprefix(prefix) for name in table.frame if str(name).startswith(prefix))
    shown = colours_of(uses)
    caption = f"Core-hours for each value of {table.traced_by[0]}, by outcome of the attempt."
    return bars_by_axis(table, shown, "core-hours", _HOURS, caption)
