"""The tasks that anything can have happened to, by their ids."""

import numpy as np

from jobpool.pool import Pool
from jobpool.table.arrays import Table, is_counted, unchecked_table
from jobpool.table.grid import Grid
from jobpool.table.task_index import positions_by_id


def known_tasks(pool: Pool) -> dict[str, int]:
    """Return the position of each task that was ever offered to a worker, by its id.

    Raises
    ------
    DamagedStateError
        If a state file is not there as a whole.
    """
    tables = [unchecked_table(pool.records_of(number)) for number in range(len(pool.spans))]
    return known_in(pool.grid, np.concatenate(tables))


def known_in(grid: Grid, table: Table) -> dict[str, int]:
    """Return the position of each task that was ever offered to a worker, by its id.

    Spare parts of tasks that were never cut are left out: most tasks of a pool may be such, and
    an id costs some microseconds.

    Parameters
    ----------
    grid : Grid
        All tasks.
    table : ndarray of shape (n_tasks,), `jobpool.table.arrays.RECORD_TYPE`
        Their records.
    """
    was_claimed = (table["fence"] > 0) | is_counted(table["state"])
    return positions_by_id(grid, ~grid.parts.is_spare | was_claimed)
