"""The cells of a study that have no result, as rows without a score."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobpool.collect.frames import frame_of
from jobpool.collect.row_columns import point_columns
from jobpool.table.grid import Grid

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.collect.collect import Collected


def with_unfinished(found: "Collected", grid: Grid, asked: NDArray[np.bool_]) -> "pd.DataFrame":
    """Return the results with a row for each task asked for that has none: it lacks all scores.

    Parameters
    ----------
    found : Collected
        The results, one row per task.
    grid : Grid
        The pool's tasks.
    asked : ndarray of shape (n_tasks,), bool
        The tasks that are to have a result. The parts of a task that was cut up count as that
        task: without one of them it has none.
    """
    # without attributes, what values are like is told by results alone
    if found.frame.empty or not found.attributes:
        return found.frame
    places = np.flatnonzero(asked)
    _, first = np.unique(grid.parts.units[places], return_index=True)
    if len(first) <= len(found.frame):
        return found.frame
    codes = grid.parts.as_wholes(grid.codes[:, places[first]].astype(np.intp))
    every = frame_of(point_columns(grid, codes))
    others = [name for name in found.frame.columns if name == found.id or name not in every]
    return every.merge(found.frame[others], on=found.id, how="left", validate="1:1")
