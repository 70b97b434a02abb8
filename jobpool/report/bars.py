"""Bars by the values of an axis, one above the other: lying while they can be labelled."""

from collections.abc import Mapping

from jobpool.report.parts import DataTable, Figure, Spec, column, plain

MOST_LABELLED = 30  # values whose names fit beside their bars


def bars_by_axis(
    table: DataTable, series: Mapping[str, str], what: str, length_axis: Spec, caption: str
) -> Figure:
    """Return one bar for each row of a table, made of the columns of several series.

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
