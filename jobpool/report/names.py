"""The tasks that anything can have happened to, by their ids."""

import numpy as np

from jobpool.checks.table import unchecked_table
from jobpool.pool import Pool
from jobpool.task import TaskState


def positions_by_id(pool: Pool) -> dict[str, int]:
    """Return the position of each task that was ever offered to a worker, by its id.

    Spare parts of tasks that were never cut are left out: most tasks of a pool may be such, and
    an id costs some microseconds.

    Raises
    ------
    DamagedStateError
        If a state file is not there as a whole.
    """
    used = ~pool.grid.starts_aside
    for shard in pool.shards if not used.all() else ():
        table = unchecked_table(shard.read_records())
        was_claimed = (table["fence"] > 0) | (table["state"] != TaskState.ASIDE)
        used[shard.first : shard.first + shard.size] |= was_claimed
    return {pool.grid.id(position): position for position in np.flatnonzero(used).tolist()}
