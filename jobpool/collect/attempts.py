"""All attempts of a pool as one table: what tasks cost, and how each ended."""

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.collect.accepted import known_tasks
from jobpool.collect.frames import frame_of
from jobpool.collect.row_columns import Rows, joined, nothing, point_columns, texts, times
from jobpool.journal.attempts import Attempt, attempt_records
from jobpool.pool import Pool
from jobpool.table.columns import ID, OF_ATTEMPTS, OURS, listed, set_apart

_FIELDS = tuple(field.name for field in fields(Attempt) if field.name != ID)
_TEXTS = {"worker", "cause", "error", "traceback", "node", "job", "found_by"}
_WHOLE = {"fence", "cores", "memory_mb"}


def attempts_frame(pool: Pool, chosen: NDArray[np.bool_] | None = None) -> pd.DataFrame:
    """Return one row per attempt that ended: task, axes, attributes, cause, times and use.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; None for all tasks.
    """
    positions, rows, places = known_tasks(pool), Rows(), list[int]()
    for record in attempt_records(pool.folder):
        place = positions.get(record[ID])
        if place is not None and (chosen is None or chosen[place]):
            places.append(place)
            rows.add({name: record.get(name) for name in _FIELDS})
    given = rows.columns(np.arange(rows.n_rows)) or dict.fromkeys(_FIELDS, nothing(0))
    columns = {name: _as_known(name, column) for name, column in given.items()}
    codes = pool.grid.codes[:, places].astype(np.intp)
    order = np.lexsort((np.asarray(columns["fence"], np.int64), *codes[::-1]))
    points = point_columns(pool.grid, codes[:, order])
    columns["seconds"] = _seconds(columns["started"], columns["ended"])
    columns |= {name: times(np.asarray(columns[name], float)) for name in ("started", "ended")}
    shown = set_apart(OF_ATTEMPTS, points, OURS)
    own = {shown[name]: one for name, one in listed(OF_ATTEMPTS, columns).items()}
    return frame_of(points | {name: one.take(order) for name, one in own.items()})


def _as_known(name: str, column: Any) -> Any:
    """Return a column of the type that it has in every pool, also where all of it is missing."""
    if name in _TEXTS:
        return joined([column, texts([])])
    if name in _WHOLE:
        return joined([column, np.zeros(0, np.int64)])
    return joined([column, np.zeros(0)])


def _seconds(started: Any, ended: Any) -> Any:
    return np.round(ended - started, 3)
