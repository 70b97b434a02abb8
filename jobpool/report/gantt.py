"""The workers that were there longest, one by one: what they worked on, and how that ended."""

from typing import TYPE_CHECKING

import numpy as np

from jobpool.report.costs import colours_of
from jobpool.report.parts import DataTable, Figure, column, rows
from jobpool.units import utc_time

if TYPE_CHECKING:
    import pandas as pd

LANES = 30  # workers shown one by one
GAP = 1 / 400  # of the whole time: attempts that end alike, with a shorter break, become one bar


def lanes_of(people: DataTable, known: "pd.DataFrame", span_s: float) -> DataTable:
    """Return the work of the longest workers; short breaks between like attempts are closed."""
    shown = people.frame["worker"].head(LANES)
    frame = known[known["worker"].isin(set(shown))]
    frame = frame.sort_values(["worker", "started", "place"], ignore_index=True)
    gap = span_s * GAP
    begins = (
        (frame["worker"] != frame["worker"].shift())
        | (frame["use"] != frame["use"].shift())
        | (frame["started"].astype(float) - frame["ended"].astype(float).shift() > gap)
    )
    pieces = frame.groupby(begins.cumsum(), sort=False)
    merged = pieces.agg(
        worker=("worker", "first"),
        became=("use", "first"),
        started=("started", "min"),
        ended=("ended", "max"),
        attempts=("place", "size"),
    ).reset_index(drop=True)
    lengths = (merged["ended"] - merged["started"]).astype(float)
    merged["milliseconds"] = np.rint(1000 * lengths.to_numpy(float))
    for name in ("started", "ended"):
        merged[name] = [utc_time(t, 3) for t in merged[name]]
    return DataTable(
        name="lanes",
        title="The work of the longest workers",
        frame=merged,
        source="from the record of attempts",
        traced_by=("worker",),
    )


def lane_figure(table: DataTable, people: DataTable) -> Figure:
    """Return the lanes, in the order of the table of workers."""
    drawn = set(table.frame["worker"])
    names = [name for name in people.frame["worker"].head(LANES) if name in drawn]
    traces = tuple(
        {
            **rows({"became": use}),
            "type": "bar",
            "orientation": "h",
            "name": use,
            "y": column("worker"),
            "base": column("started"),
            "x": column("milliseconds"),
            "customdata": column("attempts"),
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": "worker %{y}<br>from %{base}<br>%{customdata:,} attempts in a row: "
            f"{use}<extra></extra>",
        }
        for use, colour in colours_of(table.frame["became"]).items()
    )
    return Figure(
        name="figure-lanes",
        title=f"The {len(names)} workers that were there longest",
        caption="Each line is a worker, each bar attempts in a row that ended alike.",
        table=table.name,
        traces=traces,
        layout={
            "height": 110 + 16 * len(names),
            "showlegend": True,
            "barmode": "overlay",
            "bargap": 0.2,
            "xaxis": {"type": "date"},
            "yaxis": {
                "type": "category",
                "autorange": "reversed",
                "showticklabels": False,
                "ticks": "",
                "categoryarray": names,
            },
        },
    )
