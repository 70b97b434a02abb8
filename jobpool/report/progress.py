"""How far a pool is: the states of its tasks by the values of each axis, and cells not done."""

from itertools import combinations
from typing import TYPE_CHECKING, assert_never

import numpy as np
from numpy.typing import NDArray

from jobpool.pool import Pool
from jobpool.report.parts import (
    DataTable,
    Figure,
    Section,
    bars_by_axis,
    clean,
    column,
    counting,
    plain,
)
from jobpool.table.arrays import is_counted, state_of
from jobpool.table.columns import beside_report
from jobpool.table.grid import Grid
from jobpool.task import SHOWN, TaskState
from jobpool.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator


MOST_BARS = 1500
MOST_CELLS = 6000


def _colour(state: TaskState) -> str:
    match state:
        case TaskState.DONE:
            return "#009e73"
        case TaskState.RUNNING:
            return "#56b4e9"
        case TaskState.WAITING | TaskState.SUPERSEDED:  # of the two, only waiting is shown
            return "#b9c0cc"
        case TaskState.PARKED:
            return "#d55e00"
        case TaskState.HELD:
            return "#e69f00"
        case _:
            assert_never(state)


COLOURS = {state.word: _colour(state) for state in SHOWN}
_TEXT = (
    "The number of tasks in each state, from the pool's state table. Waiting: not run yet, or "
    "failed and requeued. Parked: failed several times in a row with the same error, until "
    "somebody retries them. Held: kept back by hand. A task that was split is counted by its parts."
)


def states_of(pool: Pool) -> NDArray[np.uint8]:
    """Return the number of every task's state, shape (n_tasks,)."""
    return state_of(pool.index())


def progress_section(grid: Grid, states: NDArray[np.uint8], chosen: NDArray[np.bool_]) -> Section:
    """Return the states of the selected tasks by axis.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    states : ndarray of shape (n_tasks,), uint8
        See `states_of`.
    chosen : ndarray of shape (n_tasks,), bool
        The selection.
    """
    counted = chosen & is_counted(states)
    figures, tables = list[Figure](), list[DataTable]()
    for number, axis in enumerate(grid.axes):
        table = _by_axis(grid, axis.name, f"progress-{number}", states, counted)
        if len(table.frame) > 1:
            tables.append(table)
            if len(table.frame) <= MOST_BARS:
                figures.append(_bars(table))
    cells = _cells(grid, states, counted)
    if cells is not None:
        tables.append(cells)
        figures.append(_heat(cells))
    drawn = {figure.table for figure in figures}
    return Section(
        name="progress",
        title="Progress",
        text=_TEXT,
        items=(*figures, *(table for table in tables if table.name not in drawn)),
        tables=tuple(table for table in tables if table.name in drawn),
    )


def _by_axis(
    grid: Grid, axis: str, name: str, states: NDArray[np.uint8], counted: NDArray[np.bool_]
) -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    values, codes = grid.axis(axis).values, grid.column(axis)
    columns = {
        f"tasks {state.word}": np.bincount(
            codes[counted & (states == state)], minlength=len(values)
        )
        for state in SHOWN
    }
    all_tasks = np.bincount(codes[counted], minlength=len(values))
    shown = beside_report(axis)
    frame = pd.DataFrame({shown: list(map(clean, values)), **columns, "tasks": all_tasks})
    frame["done in %"] = np.floor(1000 * frame["tasks done"] / frame["tasks"].clip(1)) / 10
    return DataTable(
        name=name,
        title=f"Tasks by {axis}",
        frame=frame[frame["tasks"] > 0].reset_index(drop=True),
        source="from the pool's state table",
        traced_by=(shown,),
    )


def _bars(table: DataTable) -> Figure:
    shown = {word: one for word, one in COLOURS.items() if table.frame[f"tasks {word}"].any()}
    axis, n_values = table.traced_by[0], len(table.frame)
    caption = f"Tasks in each state, for each of the {n_values:,} values of {axis}."
    ticks = counting("tasks", int(table.frame["tasks"].max()))
    return bars_by_axis(table, shown, "tasks", ticks, caption)


def _cells(grid: Grid, states: NDArray[np.uint8], counted: NDArray[np.bool_]) -> DataTable | None:
    """Return how much is done for each pair of values of the two axes that make most cells."""
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    axes = [a for a in grid.axes if len(a.values) > 1 and a.name != grid.part_axis]
    pairs = [
        (len(one.values) * len(other.values), one.name, other.name)
        for one, other in combinations(axes, 2)
    ]
    fitting = [pair for pair in pairs if pair[0] <= MOST_CELLS]
    if not fitting:
        return None
    _, one, other = max(fitting, key=lambda pair: pair[0])
    sizes = len(grid.axis(one).values), len(grid.axis(other).values)
    numbers = np.ravel_multi_index([grid.column(n).astype(np.intp) for n in (one, other)], sizes)
    n_all = np.bincount(numbers[counted], minlength=sizes[0] * sizes[1])
    is_done = counted & (states == TaskState.DONE)
    n_done = np.bincount(numbers[is_done], minlength=sizes[0] * sizes[1])
    first, second = np.unravel_index(np.arange(len(n_all)), sizes)
    frame = pd.DataFrame(
        {
            beside_report(one): [clean(grid.axis(one).values[i]) for i in first],
            beside_report(other): [clean(grid.axis(other).values[i]) for i in second],
            "tasks": n_all,
            "tasks done": n_done,
            "done in %": np.floor(1000 * n_done / np.maximum(n_all, 1)) / 10,
            "state": list(_words(n_all - n_done)),
        }
    )
    frame = frame[frame["tasks"] > 0].reset_index(drop=True)
    missing = int((frame["tasks done"] < frame["tasks"]).sum())
    return DataTable(
        name="cells",
        title=f"Cells of {one} and {other}",
        frame=frame,
        source="from the pool's state table",
        traced_by=(beside_report(one), beside_report(other)),
        note=f"{count(missing, 'cell')} of {len(frame):,} not complete.",
    )


def _words(missing: NDArray[np.intp]) -> "Iterator[str]":
    for n in missing.tolist():
        yield f"incomplete: {n:,} missing" if n else "complete"


def _heat(table: DataTable) -> Figure:
    one, other = table.traced_by
    n_one, n_other = table.frame[one].nunique(), table.frame[other].nunique()
    across, down = (one, other) if n_one >= n_other else (other, one)
    trace = {
        "type": "heatmap",
        "x": column(across),
        "y": column(down),
        "z": column("done in %"),
        "customdata": column("state"),
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, "#d55e00"], [0.9999, "#f5e3a1"], [1, "#009e73"]],
        "colorbar": {"title": {"text": "done in %"}, "thickness": 12},
        "xgap": 1 if max(n_one, n_other) < 80 else 0,
        "ygap": 1,
        "hovertemplate": "%{x}<br>%{y}<br>%{z} % done, %{customdata}<extra></extra>",
    }
    return Figure(
        name="figure-cells",
        title=f"What is done of {down} and {across}",
        caption=f"Share of the tasks done for each pair of values; green only where all are. "
        f"{table.note}",
        table=table.name,
        traces=(trace,),
        layout={
            "height": 140 + max(22 * min(n_one, n_other), 60),
            "xaxis": {"type": "category", "title": {"text": plain(across)}},
            "yaxis": {"type": "category", "autorange": "reversed"},
        },
    )
