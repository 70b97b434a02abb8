"""All results as a table of the report, and their averages for each value of an axis."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobpool.errors import listing
from jobpool.report.parts import COLOURS, DataTable, Figure, Section, column, plain
from jobpool.report.writing import packed_size
from jobpool.table.columns import beside_report
from jobpool.units import count

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.collect.collect import Collected
    from jobpool.table.grid import Grid

RESULTS = "results"  # the name of the table that all others are traced to
MOST_VALUES = 60  # of an axis that boxes are drawn for
MOST_METRICS = 4
MANY_ROWS = 30_000
MOST_BYTES = 7_300_000  # of the file, for the results: all of it stays under 10 MB
_USEFUL = ("task_seconds", "peak_memory_mb", "failed_attempts", "worker")


def results_table(found: "Collected", grid: "Grid", where: str) -> DataTable:
    """Return the results as they were collected, without the columns of single parts.

    Parameters
    ----------
    found : Collected
        The results, one row per task.
    grid : Grid
        The pool's tasks.
    where : str
        What the reader can do to see all columns.
    """
    frame = found.frame.rename(columns={axis: beside_report(axis) for axis in found.axes})
    left_out = list[str]()
    if grid.part_axis is not None:
        values = grid.axis(grid.part_axis).values
        ends = tuple(f"_{grid.part_axis}{value}" for value in values)
        frame = _with_spread(frame, found.metrics, ends, f"n_{grid.part_axis}s")
        left_out = [name for name in frame.columns if name.endswith(ends)]
        frame = frame.drop(columns=left_out)
    if len(frame) > MANY_ROWS:
        dropped = _beyond(frame, found)
        frame, left_out = frame.drop(columns=dropped), [*left_out, *dropped]
    ended = found.own["ended"]
    if ended in frame:
        frame = frame.assign(**{ended: frame[ended].dt.strftime("%Y-%m-%d %H:%M:%S")})
    notes = []
    if found.n_earlier:
        notes.append(
            f"Marked rows are earlier results of tasks that are being rerun: {found.earlier}."
        )
    if left_out:
        notes.append(f"Not in this table: {listing(left_out, most=4)}; all columns: {where}.")
    return DataTable(
        name=RESULTS,
        title="All results",
        frame=frame,
        source="as collected",
        note=" ".join(notes),
        marked_by=found.earlier or "",
        printed=(found.id, *map(beside_report, found.axes), *found.metrics[:MOST_METRICS]),
    )


def _with_spread(
    frame: "pd.DataFrame", metrics: Sequence[str], ends: tuple[str, ...], number: str
) -> "pd.DataFrame":
    """Return results with the standard deviation over parts beside each score, and their number."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    found = {name: frame[name] for name in map(str, frame.columns)}
    beside: dict[str, dict[str, Any]] = {}
    for metric in metrics:
        parts = [name for name in (f"{metric}{end}" for end in ends) if name in found]
        if parts and all(frame[name].dtype == "float64" for name in parts):
            beside[metric] = {f"{metric}_sd": frame[parts].std(axis=1)}
            beside[metrics[-1]] = beside.get(metrics[-1], {}) | {number: frame[parts].count(axis=1)}
    columns: dict[str, pd.Series[Any]] = {}
    for name, values in found.items():
        columns[name] = values
        columns |= {key: new for key, new in beside.get(name, {}).items() if key not in found}
    return pd.DataFrame(columns)


def _beyond(frame: "pd.DataFrame", found: "Collected") -> list[str]:
    """Return the least useful columns, for which a file of this many rows has no room."""
    keys = [found.id, *map(beside_report, found.axes), *([found.earlier] if found.earlier else [])]
    useful = [found.own[name] for name in _USEFUL]
    scores = [name for one in found.metrics for name in (one, f"{one}_sd")]
    wanted = [*keys, *found.attributes, *useful, *scores]
    names = [name for name in dict.fromkeys([*wanted, *frame.columns]) if name in frame]
    room, dropped = MOST_BYTES, []
    for name in names:
        size = packed_size(frame[name])
        if size > room and name not in keys:
            dropped.append(name)
        else:
            room -= size
    return dropped


def average_section(found: "Collected", grid: "Grid") -> Section | None:
    """Return averages for each value of each axis; None if no task reports a number."""
    metrics = _metrics(found)
    axes = [axis for axis in found.axes if 1 < found.frame[axis].nunique() <= MOST_VALUES]
    if found.frame.empty or not metrics:
        return None
    tables = [
        _averages(found.frame, axis, metrics, f"averages-{grid.names.index(axis)}") for axis in axes
    ]
    figures = [
        _boxes(found.frame, axis, metric, f"boxes-{grid.names.index(axis)}-{number}")
        for number, metric in enumerate(metrics[:MOST_METRICS])
        for axis in axes
    ]
    return Section(
        name="averages",
        title="Results by axis",
        text="What the tasks report, for each value of each axis, over all tasks that are done. "
        "Boxes show the quartiles and the median.",
        items=(*figures, *tables),
    )


def _metrics(found: "Collected") -> list[str]:
    """Return the reported columns that hold numbers with some spread."""
    return [
        name
        for name in found.metrics
        if found.frame[name].dtype.kind in "fiu" and found.frame[name].notna().any()
    ]


def _averages(frame: "pd.DataFrame", axis: str, metrics: Sequence[str], name: str) -> DataTable:
    groups = frame.assign(**{axis: frame[axis].astype(str)}).groupby(axis, sort=False)
    made = groups.size().rename("results").to_frame()
    for metric in metrics:
        made[f"{metric} mean"] = groups[metric].mean()
        made[f"{metric} sd"] = groups[metric].std()
        made[f"{metric} least"] = groups[metric].min()
        made[f"{metric} most"] = groups[metric].max()
        missing = groups[metric].apply(lambda values: int(values.isna().sum()))
        if missing.any():
            made[f"{metric} missing"] = missing
    return DataTable(
        name=name,
        title=f"Averages by {axis}",
        frame=made.rename_axis(beside_report(axis)).reset_index(),
        source="from all results",
        traced_by=(beside_report(axis),),
    )


def _boxes(frame: "pd.DataFrame", axis: str, metric: str, name: str) -> Figure:
    known = frame.loc[frame[metric].notna(), axis]
    trace = {
        "type": "box",
        "x": column(beside_report(axis)),
        "y": column(metric),
        "name": plain(metric),
        "boxpoints": "outliers" if len(frame) < 5000 else False,
        "marker": {"color": COLOURS[0], "size": 4},
        "text": column("task"),
        "hovertemplate": "%{x}<br>%{y:.4~g}<br>task %{text}<extra></extra>",
    }
    return Figure(
        name=name,
        title=f"{metric} by {axis}",
        caption=f"{metric} of the {count(len(known), 'result')} that have it, for each of "
        f"{known.nunique()} values of {axis}.",
        table=RESULTS,
        traces=(trace,),
        layout={
            "height": 360,
            "showlegend": False,
            "xaxis": {"type": "category", "title": {"text": plain(axis)}},
            "yaxis": {"title": {"text": plain(metric)}},
        },
    )
