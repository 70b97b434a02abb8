"""What a pool holds as tables and records: results, attempts, kinds of failure, tasks."""

import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.api.given import Selection, conditions
from jobpool.collect.attempts import attempts_frame
from jobpool.collect.collect import collect_pool, what_is_gone
from jobpool.collect.frames import KEY, provenance
from jobpool.collect.predictions import Wanted, predictions_frame
from jobpool.collect.row_columns import times
from jobpool.journal.jsonl import worker_name
from jobpool.overview.failures import FailureGroup, find_failures
from jobpool.pool import Pool
from jobpool.runners import make_results, runner_of
from jobpool.table.records import RERUN
from jobpool.table.selection import select
from jobpool.task import CAUSE_OF_CODE, COUNTED, TaskState, Value
from jobpool.units import count

_CALLER = 4  # frames up, past the pool's method and `own_errors`: the line that called the method
_OF_FAILURES = (
    "cause",
    "error",
    "n_attempts",
    "n_tasks",
    "n_parked",
    "ended",
    "worker",
    "node",
    "job",
    "tasks",
    "traceback",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of a pool, in the state that it had when it was read."""

    id: str
    point: Mapping[str, Value] = field(hash=False)  # its value on each axis
    state: str  # waiting, running, done, parked or held
    n_failed: int  # attempts that failed since it was last retried
    cause: str | None  # how its last attempt ended; None if it has had none
    worker: str | None  # of its last claim; None if it has had none


def tasks_of(pool: Pool) -> Iterator[Task]:
    """Yield every task that counts as it stands now, in the order of the axes."""
    table, ids = pool.table(), pool.grid.ids()
    counted = np.isin(table["state"], list(COUNTED))
    for position in np.lexsort(pool.grid.codes[::-1]).tolist():
        if not counted[position]:
            continue
        record = table[position]
        cause = CAUSE_OF_CODE.get(int(record["cause"]) & ~RERUN)
        yield Task(
            id=ids[position],
            point=dict(pool.grid.point(position)),
            state=TaskState(int(record["state"])).word,
            n_failed=int(record["attempts"]),
            cause=None if cause is None else str(cause),
            worker=worker_name(int(record["owner"])) if record["owner"] else None,
        )


def results_table(
    pool: Pool, by: str, only: Selection, skip: Selection, *, long: bool, fresh: bool
) -> pd.DataFrame:
    """Return what ``jobpool collect`` writes, and warn of results that are gone."""
    found = collect_pool(pool, _chosen(pool, only, skip), by, fresh=fresh)
    for line in what_is_gone(pool.folder, found.lost, found.damaged, found.unreadable):
        warnings.warn(line, stacklevel=_CALLER)
    frame = found.long() if long else found.frame
    about = _about(pool, only, skip) | ({"fresh": True} if fresh else {})
    frame.attrs[KEY] = {**about, "by": by, "long": long}
    return frame


def predictions_table(
    pool: Pool, only: Selection, skip: Selection, trust: Collection[str], *, fresh: bool
) -> pd.DataFrame:
    """Return what ``jobpool collect --predictions`` writes, and warn of what is not there."""
    runner = runner_of(pool, trust)
    wanted = Wanted(chosen=_chosen(pool, only, skip), fresh=fresh)
    frame, found = predictions_frame(pool, runner, make_results(pool.info.runner), wanted)
    lines = what_is_gone(pool.folder, found.lost, found.damaged)
    if found.n_without:
        lines.append(f"{count(found.n_without, 'part')} of tasks have no predictions any more")
    for line in lines:
        warnings.warn(line, stacklevel=_CALLER)
    about = _about(pool, only, skip) | ({"fresh": True} if fresh else {})
    frame.attrs[KEY] = {**about, "by": "prediction"}
    return frame


def attempts_table(pool: Pool, only: Selection, skip: Selection) -> pd.DataFrame:
    """Return what ``jobpool collect --attempts`` writes."""
    frame = attempts_frame(pool, _chosen(pool, only, skip))
    frame.attrs[KEY] = {**_about(pool, only, skip), "by": "attempt"}
    return frame


def failures_table(
    pool: Pool, only: Selection, skip: Selection, causes: Collection[str] | None
) -> pd.DataFrame:
    """Return one row for each kind of failure that ``jobpool errors`` shows."""
    rows = [_failure(one) for one in find_failures(pool, _chosen(pool, only, skip), causes).groups]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _OF_FAILURES}
    return pd.DataFrame({**columns, "ended": times(np.array(columns["ended"], float))})


def _failure(group: FailureGroup) -> dict[str, Any]:
    newest = group.newest
    return {
        "cause": str(group.cause),
        "error": newest.error,
        "n_attempts": group.n_attempts,
        "n_tasks": len(group.tasks),
        "n_parked": group.n_parked,
        "ended": newest.ended,
        "worker": newest.worker,
        "node": newest.node,
        "job": newest.job,
        "tasks": group.tasks,
        "traceback": newest.traceback,
    }


def _chosen(pool: Pool, only: Selection, skip: Selection) -> NDArray[np.bool_] | None:
    """Return the selected tasks; None for all."""
    selection = conditions(only), conditions(skip)
    return select(pool.grid, *selection) if any(selection) else None


def _about(pool: Pool, only: Selection, skip: Selection) -> dict[str, Any]:
    return provenance(pool, only=list(conditions(only)), skip=list(conditions(skip)))
