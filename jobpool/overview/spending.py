"""What every attempt cost and what became of it, also of those that run now.

An attempt costs the cores of its worker times its length. It was useful if the result that counts
came from it; if another result counts, or it ended in any other way, it was lost, but for
finished pieces that the next attempt took over.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jobpool.collect.accepted import known_tasks
from jobpool.journal.attempts import Attempt, all_attempts
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.table.arrays import Table
from jobpool.task import Cause, TaskState
from jobpool.units import HOUR_S

if TYPE_CHECKING:
    import pandas as pd

USEFUL, AGAIN, RUNNING = "useful", "done again", "running"


@dataclass(frozen=True, kw_only=True, eq=False)
class Spending:
    """What a pool has cost.

    Attributes
    ----------
    frame : DataFrame
        One row per attempt: ``place`` of the task in the grid, ``worker``, ``started`` and
        ``ended`` (seconds since the epoch), ``use`` (what became of it), ``core_hours``; NaN
        where unknown.
    failed : tuple of Attempt
        Those that ended, and not well.
    """

    frame: "pd.DataFrame"
    failed: tuple[Attempt, ...]

    @property
    def useful(self) -> float:
        """Return the core-hours that gave results that count."""
        return self._hours(USEFUL)

    @property
    def lost(self) -> float:
        """Return the core-hours that gave nothing; those of unknown length count nothing."""
        # no difference of sums: it may be a trace below nothing
        kept = self.frame["use"].isin([USEFUL, RUNNING])
        return float(self.frame.loc[~kept, "core_hours"].sum())

    @property
    def total(self) -> float:
        """Return all core-hours."""
        return float(self.frame["core_hours"].sum())

    def _hours(self, use: str) -> float:
        return float(self.frame.loc[self.frame["use"] == use, "core_hours"].sum())


def read_spending(pool: Pool, chosen: NDArray[np.bool_], now: float) -> Spending:
    """Return what the selected tasks have cost.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool
        The selection.
    now : float
        Seconds since the epoch: until then cost those that run.

    Raises
    ------
    DamagedStateError
        If the state table cannot be trusted.
    """
    import pandas as pd  # noqa: PLC0415 - heavy, and only for who makes a report

    table, positions = pool.table(), known_tasks(pool)
    counting, _ = pool.counting_table()
    rows, fences, failed = list[tuple[Any, ...]](), list[int](), list[Attempt]()
    done = Cause.DONE  # naming a member of an enum is slow before Python 3.12
    for attempt in all_attempts(pool.folder):
        place = positions.get(attempt.task)
        if place is not None and chosen[place]:
            times = attempt.started, attempt.ended
            rows.append((place, attempt.worker, *times, str(attempt.cause), attempt.cores or 1))
            fences.append(attempt.fence)
            if attempt.cause is not done:
                failed.append(attempt)
    ended = _frame(rows)
    well = (ended["use"] == str(done)).to_numpy(bool)
    ended.loc[well, "use"] = np.where(_counts(counting, ended, fences)[well], USEFUL, AGAIN)
    frame = pd.concat([ended, _frame(_running(pool, table, chosen, now))], ignore_index=True)
    hours = (frame["ended"] - frame["started"]).clip(lower=0) * frame.pop("cores") / HOUR_S
    frame = frame.assign(core_hours=hours)
    frame = frame.sort_values(["ended", "place", "worker"], ignore_index=True)
    return Spending(frame=frame, failed=tuple(failed))


def _frame(rows: list[tuple[Any, ...]]) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 - heavy, and only for who makes a report

    names = ["place", "worker", "started", "ended", "use", "cores"]
    types = {"place": int, "worker": object, "started": float, "ended": float, "use": object}
    return pd.DataFrame(rows, columns=names).astype({**types, "cores": float})


def _counts(table: Table, ended: "pd.DataFrame", fences: list[int]) -> NDArray[np.bool_]:
    """Return which attempts are those that the records of their tasks name as done."""
    records = table[ended["place"].to_numpy(np.intp)]
    owners = np.array([int(worker, 16) for worker in ended["worker"]], np.uint64)
    same = (records["fence"] == np.array(fences, np.int64)) & (records["owner"] == owners)
    counts: NDArray[np.bool_] = same & (records["state"] == TaskState.DONE)
    return counts


def _running(
    pool: Pool, table: Table, chosen: NDArray[np.bool_], now: float
) -> list[tuple[Any, ...]]:
    """Return one row per task that runs: it began when its record changed last."""
    rows = []
    for place in np.flatnonzero(chosen & (table["state"] == TaskState.RUNNING)).tolist():
        worker = worker_name(int(table[place]["owner"]))
        worker_record = read_worker_record(pool.folder, worker)
        began = int(table[place]["changed_ms"]) / 1000
        rows.append(
            (
                place,
                worker,
                began,
                max(now, began),
                RUNNING,
                worker_record.cores if worker_record else 1,
            )
        )
    return rows
