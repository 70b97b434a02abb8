"""How tasks lie in a pool's state files: in random order, a whole task and its parts together.

    state/NN    some thousand tasks each

Every state file is a fair sample of the tasks. A whole task and the parts that may stand for it
lie in one file, next to one another, so that one visit can exchange them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.files import replace_whole
from jobpool.table.grid import Grid
from jobpool.table.records import Record
from jobpool.table.shards import new_shard
from jobpool.task import TaskState

TASKS_PER_SHARD = 4096  # an index of one page: small enough to read and check at every visit
MOST_SHARDS = 256


def in_random_order(grid: Grid, rng: np.random.Generator) -> Grid:
    """Return the tasks in random order, and how many of them each state file gets.

    A whole task is followed by its parts. The order depends on the tasks and `rng` alone.
    """
    _, unit = np.unique(grid.parts.units, return_inverse=True)
    n_units = int(unit.max(initial=-1)) + 1
    part = np.zeros(len(grid), np.intp)
    if grid.part_axis is not None:
        part = grid.column(grid.part_axis).astype(np.intp)
    rank = rng.permutation(n_units)[unit]
    order = np.lexsort([part, rank])
    return replace(grid.take(order), shard_sizes=shard_sizes(rank[order]))


def shard_sizes(units: NDArray[np.intp]) -> tuple[int, ...]:
    """Return how many tasks each state file gets, so that none divides a unit.

    Parameters
    ----------
    units : ndarray of shape (n_tasks,), int
        A number for each task; those with the same number lie together.

    Examples
    --------
    >>> shard_sizes(np.arange(10_000))
    (3334, 3333, 3333)
    >>> shard_sizes(np.repeat([7, 8], 3000))
    (3000, 3000)
    """
    n_tasks = len(units)
    n_shards = min(MOST_SHARDS, -(-n_tasks // TASKS_PER_SHARD))
    wanted = np.cumsum([len(part) for part in np.array_split(units, max(n_shards, 1))])
    starts = np.flatnonzero(np.r_[True, units[1:] != units[:-1], True])
    ends = np.unique(starts[np.searchsorted(starts, wanted)])
    return tuple(np.diff(np.r_[0, ends[ends > 0]]).tolist())


def write_shards(pool: Path, grid: Grid, first_number: int, first: int) -> None:
    """Write the state files of new tasks: all wait but the spare parts, which are set aside.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    grid : Grid
        The new tasks, laid out by `in_random_order`.
    first_number, first : int
        State files and tasks that the pool has already.
    """
    fresh = (Record(), Record(state=TaskState.ASIDE))
    begin = 0
    for number, size in enumerate(grid.shard_sizes, start=first_number):
        aside = grid.parts.is_spare[begin : begin + size].tolist()
        content = new_shard(first + begin, [fresh[spare] for spare in aside])
        replace_whole(pool / "state" / f"{number:02d}", content)
        begin += size
