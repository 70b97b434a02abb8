"""Workers over time: how many at once, how attempts ended, and a Gantt chart of the longest."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.jsonl import worker_files
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.report.costs import colours_of
from jobpool.report.parts import DataTable, Figure, Section, clean, column, counting, rows
from jobpool.units import HOUR_S, utc_time

if TYPE_CHECKING:
    import pandas as pd

    FloatArray = NDArray[np.float64]

GANTT_WORKERS = 30  # rows of the Gantt chart: the workers that ran longest
GAP = 1 / 400  # of the whole time: attempts of one outcome with a shorter gap become one bar
BINS = 240  # steps in time
_TEXT = (
    "Each worker counts from its start to its last heartbeat, each attempt as the record of "
    "attempts says. All times are UTC. Averages are taken over {step}."
)


def workers_frame(pool: Pool) -> "pd.DataFrame":
    """Return one row per worker: its id, node, job, cores, start and last heartbeat."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    records = []
    for path in worker_files(pool.folder, "workers"):
        worker_record = read_worker_record(pool.folder, path.stem)
        if worker_record is not None:
            records.append(
                {
                    "worker": path.stem,
                    "node": clean(worker_record.node or worker_record.host),
                    "job": worker_record.job,
                    "cores": worker_record.cores,
                    "started": worker_record.started,
                    "ended": max(path.stat().st_mtime, worker_record.started),
                }
            )
    return pd.DataFrame(records, columns=["worker", "node", "job", "cores", "started", "ended"])


def timeline_section(workers: "pd.DataFrame", attempts: "pd.DataFrame") -> Section | None:
    """Return the timeline, or None if no worker has started yet.

    Parameters
    ----------
    workers : DataFrame
        See `workers_frame`.
    attempts : DataFrame
        See `jobpool.overview.spending.Spending`.
    """
    known = attempts.dropna(subset=["started", "ended"])
    workers = _with_strangers(workers, known)
    if workers.empty:
        return None
    starts = np.concatenate([workers["started"], known["started"]]).astype(float)
    ends = np.concatenate([workers["ended"], known["ended"]]).astype(float)
    edges = np.linspace(starts.min(), max(ends.max(), starts.min() + 1.0), BINS + 1)
    steps = _steps(workers, known, edges)
    people = _workers(workers, known)
    gantt = _gantt_bars(people, known, edges[-1] - edges[0])
    step_s = edges[1] - edges[0]
    return Section(
        name="workers",
        title="Workers over time",
        text=_TEXT.format(step=f"{step_s / 60:.3g} minutes" if step_s > 90 else f"{step_s:.3g} s"),
        items=(_at_once(steps), _endings(steps), _gantt_figure(gantt, people), people),
        tables=(steps, gantt),
    )


def _with_strangers(workers: "pd.DataFrame", known: "pd.DataFrame") -> "pd.DataFrame":
    """Add the workers of attempts whose records are gone: from the first attempt to the last."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    others = known[~known["worker"].isin(set(workers["worker"]))].groupby("worker")
    found = others.agg(started=("started", "min"), ended=("ended", "max")).reset_index()
    if workers.empty or found.empty:
        return workers if found.empty else found.reindex(columns=workers.columns)
    return pd.concat([workers, found], ignore_index=True)


def covered(starts: "FloatArray", ends: "FloatArray", edges: "FloatArray") -> "FloatArray":
    """Return how many intervals are open at the same time, as the mean of each step.

    Examples
    --------
    >>> covered(np.array([0.0, 1.0]), np.array([2.0, 2.0]), np.array([0.0, 2.0, 4.0])).tolist()
    [1.5, 0.0]
    """

    def passed(times: "FloatArray") -> "FloatArray":
        ordered = np.sort(times)
        before = np.searchsorted(ordered, edges)
        sums = np.concatenate([[0.0], np.cumsum(ordered - edges[0])])[before]
        found: FloatArray = before * (edges - edges[0]) - sums
        return found

    mean: FloatArray = np.diff(passed(starts) - passed(ends)) / np.diff(edges)
    return np.maximum(mean, 0.0)


def _steps(workers: "pd.DataFrame", known: "pd.DataFrame", edges: "FloatArray") -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    def mean_of(frame: "pd.DataFrame") -> "FloatArray":
        return covered(frame["started"].to_numpy(float), frame["ended"].to_numpy(float), edges)

    frame = pd.DataFrame({"time": [utc_time(t, 3) for t in edges[:-1]]})
    frame["workers"] = mean_of(workers)
    frame["tasks running"] = mean_of(known)
    for use in colours_of(known["use"]):
        ended = known.loc[known["use"] == use, "ended"].to_numpy(float)
        if len(ended):
            frame[f"ended {use}"] = np.histogram(ended, edges)[0]
    return DataTable(
        name="timeline",
        title="Workers and tasks over time",
        frame=frame,
        source="from workers' records and the record of attempts",
    )


def _at_once(table: DataTable) -> Figure:
    looks = (("workers", "#5b6475", None), ("tasks running", "#0072b2", "tozeroy"))
    traces = tuple(
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": column("time"),
            "y": column(name),
            "line": {"color": colour, "shape": "hv", "width": 1.5},
            "fill": fill or "none",
            "hovertemplate": f"%{{x}}<br>%{{y:.4~g}} {name}<extra></extra>",
        }
        for name, colour, fill in looks
    )
    return Figure(
        name="figure-timeline",
        title="Workers and running tasks",
        caption="Workers, and the tasks that they ran at the same time. The gap between the "
        "lines is time for starting, waiting for a task, and writing.",
        table=table.name,
        traces=traces,
        layout={
            "height": 300,
            "xaxis": {"type": "date"},
            "yaxis": {"title": {"text": "at the same time"}, "rangemode": "tozero"},
        },
    )


def _endings(table: DataTable) -> Figure:
    ended = [name for name in map(str, table.frame) if name.startswith("ended ")]
    traces = tuple(
        {
            "type": "bar",
            "name": use,
            "x": column("time"),
            "y": column(f"ended {use}"),
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": f"%{{x}}<br>%{{y:,}} {use}<extra></extra>",
        }
        for use, colour in colours_of(name.removeprefix("ended ") for name in ended).items()
    )
    return Figure(
        name="figure-endings",
        title="How attempts ended",
        caption="Attempts that ended in each time step, by outcome; those that still run are "
        "at the end.",
        table=table.name,
        traces=traces,
        layout={
            "height": 280,
            "showlegend": True,
            "barmode": "stack",
            "bargap": 0,
            "xaxis": {"type": "date"},
            "yaxis": counting("attempts", int(table.frame[ended].sum(axis=1).max())),
        },
    )


def _workers(workers: "pd.DataFrame", known: "pd.DataFrame") -> DataTable:
    """Return time and attempts of each worker, the longest first."""
    busy = (known["ended"] - known["started"]).groupby(known["worker"]).sum()
    frame = workers.assign(hours=(workers["ended"] - workers["started"]) / HOUR_S)
    frame["hours at work"] = frame["worker"].map(busy).astype(float).fillna(0.0) / HOUR_S
    frame["attempts"] = frame["worker"].map(known["worker"].value_counts()).fillna(0).astype(int)
    frame = frame.sort_values(["hours", "worker"], ascending=[False, True], ignore_index=True)
    frame["started"] = [utc_time(t) for t in frame["started"]]
    frame["last heartbeat"] = [utc_time(t) for t in frame.pop("ended")]
    return DataTable(
        name="workers-table",
        title="Workers",
        frame=frame,
        source="from workers' records and the record of attempts",
        traced_by=("worker",),
    )


def _gantt_bars(people: DataTable, known: "pd.DataFrame", span_s: float) -> DataTable:
    """Return the attempts of the longest workers; short gaps between equal outcomes are closed."""
    shown = people.frame["worker"].head(GANTT_WORKERS)
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
        outcome=("use", "first"),
        started=("started", "min"),
        ended=("ended", "max"),
        attempts=("place", "size"),
    ).reset_index(drop=True)
    lengths = (merged["ended"] - merged["started"]).astype(float)
    merged["milliseconds"] = np.rint(1000 * lengths.to_numpy(float))
    for name in ("started", "ended"):
        merged[name] = [utc_time(t, 3) for t in merged[name]]
    return DataTable(
        name="gantt",
        title="Attempts of the longest workers",
        frame=merged,
        source="from the record of attempts",
        traced_by=("worker",),
    )


def _gantt_figure(table: DataTable, people: DataTable) -> Figure:
    """Return the Gantt chart, its rows in the order of the table of workers."""
    drawn = set(table.frame["worker"])
    names = [name for name in people.frame["worker"].head(GANTT_WORKERS) if name in drawn]
    traces = tuple(
        {
            **rows({"outcome": use}),
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
        for use, colour in colours_of(table.frame["outcome"]).items()
    )
    return Figure(
        name="figure-gantt",
        title=f"The {len(names)} workers that ran longest",
        caption="Each row is a worker, each bar consecutive attempts with the same outcome.",
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
