"""What needs a person: doubtful results, parked tasks, lost results, incomplete sets, failures."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.attempts import Attempt
from jobpool.overview.failures import group_failures
from jobpool.report.parts import DataTable, Section, clean
from jobpool.runners.base import Doubt
from jobpool.table.columns import beside_report
from jobpool.table.grid import Grid
from jobpool.table.task_index import positions_of
from jobpool.task import TaskState
from jobpool.units import utc_time

if TYPE_CHECKING:
    from jobpool.collect.collect import Collected

_TEXT = (
    "Tasks that will not be done unless somebody acts, and all failures, grouped by cause and "
    "place in the code. A task that failed and was done later is among the failures, too."
)


def attention_section(
    grid: Grid,
    states: NDArray[np.uint8],
    chosen: NDArray[np.bool_],
    found: "Collected",
    failed: Sequence[Attempt],
    doubts: Sequence[Doubt] = (),
) -> Section:
    """Return the section of parked tasks, lost results, failures and incomplete sets.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    states : ndarray of shape (n_tasks,), uint8
        The number of every task's state.
    chosen : ndarray of shape (n_tasks,), bool
        The selection.
    found : Collected
        The results.
    failed : sequence of Attempt
        Failed attempts of selected tasks.
    doubts : sequence of Doubt
        What the runner says of the results.
    """
    stuck = np.flatnonzero(chosen & (states == TaskState.PARKED)).tolist()
    parked = {grid.id(position): position for position in stuck}
    tables = [
        _doubts(doubts),
        _stuck(grid, parked, found.lost, failed),
        _failures(failed, parked),
        _incomplete(found),
    ]
    shown = tuple(table for table in tables if len(table.frame))
    calm = () if shown else ("Nothing failed, and every task that is done has its result.",)
    return Section(
        name="attention", title="What needs attention", text=_TEXT, items=shown, notes=calm
    )


def _doubts(doubts: Sequence[Doubt]) -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    rows = [
        {
            "results": one.n,
            "of": one.of,
            "what": one.what,
            "what to do": one.cure,
            "one of them": one.task,
        }
        for one in doubts
    ]
    return DataTable(
        name="doubts",
        title="Results to look at",
        frame=pd.DataFrame(rows),
        source="from all results",
    )


def _stuck(
    grid: Grid, parked: dict[str, int], lost: Iterable[str], failed: Sequence[Attempt]
) -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    last: dict[str, Attempt] = {}
    for attempt in failed:
        if attempt.task not in last or attempt.ended >= last[attempt.task].ended:
            last[attempt.task] = attempt
    missing = set(lost)
    places = parked | positions_of(grid, missing)
    rows = []
    for task, position in places.items():
        newest = last.get(task)
        rows.append(
            {
                "task": task,
                **{beside_report(axis): clean(value) for axis, value in grid.point(position)},
                "what": "its result is lost" if task in missing else "parked",
                "last cause": str(newest.cause) if newest else None,
                "last error": clean(newest.error or "") if newest else None,
                "last ended": utc_time(newest.ended) if newest else None,
                "worker": newest.worker if newest else None,
            }
        )
    return DataTable(
        name="stuck",
        title="Tasks that need a person",
        frame=pd.DataFrame(rows),
        source="from the state table, the results and the record of attempts",
        note="Parked: correct the cause, then run jobpool retry. Lost: run jobpool doctor.",
    )


def _failures(failed: Sequence[Attempt], parked: Iterable[str]) -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    rows = [
        {
            "cause": str(group.cause),
            "error": clean(group.newest.error or ""),
            "attempts": group.n_attempts,
            "tasks": len(group.tasks),
            "parked": group.n_parked,
            "last ended": utc_time(group.newest.ended),
            "task": group.tasks[0],
            "worker": group.newest.worker,
            "node": group.newest.node,
        }
        for group in group_failures(failed, frozenset(parked))
    ]
    return DataTable(
        name="failures",
        title="Kinds of failure",
        frame=pd.DataFrame(rows),
        source="from the record of attempts; tracebacks: jobpool errors",
    )


def _incomplete(found: "Collected") -> DataTable:
    import pandas as pd  # noqa: PLC0415 - heavy, and needed only for a report

    rows = [
        {
            **{beside_report(axis): clean(value) for axis, value in one.point},
            "parts": one.n_parts,
            "state": f"incomplete: {len(one.missing):,} missing",
            "missing": clean(", ".join(map(str, one.missing))),
        }
        for one in found.incomplete
    ]
    return DataTable(
        name="incomplete",
        title="Split tasks with parts that are not done",
        frame=pd.DataFrame(rows),
        source="from the results; they are not in the table of results",
    )
