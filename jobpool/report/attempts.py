"""All attempts of a pool as one table, for learning what tasks cost."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from jobpool.attempts import all_attempts
from jobpool.pool import Pool
from jobpool.report.collecting import Cell, Columns
from jobpool.report.names import positions_by_id


def attempt_columns(
    pool: Pool, chosen: NDArray[np.bool_] | None = None
) -> Mapping[str, Sequence[Cell]]:
    """Return one row per attempt that ended: task, axes, attributes, cause, times and use.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; None for all tasks.
    """
    grid = pool.grid
    positions = positions_by_id(pool)
    rows, keys = Columns(), list[tuple[int, ...]]()
    for attempt in all_attempts(pool.folder):
        position = positions.get(attempt.task)
        if position is None or (chosen is not None and not chosen[position]):
            continue
        codes = grid.codes[:, position].tolist()
        row: dict[str, Cell] = {"task": attempt.task, **dict(grid.point(position))}
        for attribute in grid.attributes:
            row.setdefault(
                attribute.name, attribute.values[codes[grid.names.index(attribute.axis)]]
            )
        for name, value in asdict(attempt).items():
            row.setdefault(name, str(value) if name == "cause" else value)
        rows.add(row | {"seconds": _rounded(attempt.seconds)})
        keys.append((*codes, attempt.fence))
    return rows.sorted_by(keys)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
