"""The backlog of a pool: the tasks that wait, and what each needs at least."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.jsonl import worker_name
from jobpool.liveness.judge import Life, judge
from jobpool.needs.work import Work
from jobpool.pool import Pool
from jobpool.task import COUNTED, TaskState

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]


class Forecast(Protocol):
    """What tasks are expected to take: arrays of shape (n_tasks,)."""

    @property
    def n_attempts(self) -> int:
        """Return how many attempts it is based on; 0 for initial estimates alone."""
        ...

    def seconds(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return wall time on so many cores."""
        ...

    def memory_mb(self, cores: int, quantile: float = 0.5) -> Floats:
        """Return the highest memory on so many cores."""
        ...

    def chance(self, cores: int, seconds: float | None, memory_mb: float | None) -> Floats:
        """Return the chance that each task needs no more than that."""
        ...

    def vague(self) -> Mask:
        """Return the tasks of which so little is known that they should be tried."""
        ...

    def work(self, tasks: Mask, cores: int, most_s: float) -> Work:
        """Return how long some tasks take one after another, none of them more than `most_s`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The tasks of a pool that no worker runs, and how many are in each other state."""

    waiting: Mask  # (n_tasks,): also those that dead workers hold
    memory_code: NDArray[np.uint8]  # (n_tasks,): codes of the bounds, see `jobpool.table.records`
    time_code: NDArray[np.uint8]
    elsewhere: Mapping[TaskState, int]  # of each counted state but waiting
    n_lost: int = 0  # running with dead workers: they will wait again

    @property
    def n_waiting(self) -> int:
        """Return how many tasks wait, as `status` counts them."""
        return int(np.count_nonzero(self.waiting)) - self.n_lost


def read_backlog(pool: Pool, server_time: float) -> Backlog:
    """Return the backlog of a pool, read without a lock.

    Parameters
    ----------
    pool : Pool
        The pool.
    server_time : float
        The file server's clock, by which heartbeats are judged.

    Raises
    ------
    DamagedStateError
        If a state file is damaged.
    """
    table = pool.table()
    state = table["state"]
    running = state == TaskState.RUNNING
    owners = table["owner"]
    lives = {
        owner: judge(pool, worker_name(owner), server_time)
        for owner in np.unique(owners[running]).tolist()
    }
    dead = [owner for owner, life in lives.items() if life is Life.DEAD]
    lost = running & np.isin(owners, np.array(dead, owners.dtype))
    bounds = table["bounds"]
    others = sorted(COUNTED - {TaskState.WAITING})
    return Backlog(
        waiting=(state == TaskState.WAITING) | lost,
        memory_code=(bounds & 0xFF).astype(np.uint8),
        time_code=(bounds >> 8 & 0xFF).astype(np.uint8),
        elsewhere={one: int(np.count_nonzero(state == one)) for one in others},
        n_lost=int(np.count_nonzero(lost)),
    )
