"""Transitions of tasks that a user asks for: retry, rerun, hold, release.

Each takes one transaction for each state file that holds such a task: workers may run meanwhile.
Interrupted, it has changed some of the tasks; the same command changes the rest.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobpool.pool import Pool
from jobpool.table.arrays import state_of
from jobpool.table.records import MOST_ATTEMPTS, WAITING_BASE, Record
from jobpool.table.selection import select
from jobpool.table.shards import Transaction
from jobpool.table.task_index import find_tasks
from jobpool.task import TaskState, next_run

# naming a member of an enum is slow before Python 3.12
_PARKED, _WAITING, _HELD = TaskState.PARKED, TaskState.WAITING, TaskState.HELD
_DONE, _SUPERSEDED = TaskState.DONE, TaskState.SUPERSEDED


def retry(
    pool: Pool,
    chosen: NDArray[np.bool_],
    *,
    failed: bool = False,
    forget_needs: bool = False,
    dry_run: bool = False,
) -> int:
    """Let parked tasks wait again, as if they had never failed.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool
        The tasks that are meant.
    failed : bool
        Also those that failed and wait already.
    forget_needs : bool
        Also forget how much memory and time was too little, of waiting tasks, too: smaller
        workers see them again.
    dry_run : bool
        Count only.

    Returns
    -------
    int
        How many tasks changed, or would.
    """

    def candidates(index: NDArray[np.uint8]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = index == _PARKED
        if forget_needs:  # a bound does not show in the index
            return found | (index >= WAITING_BASE)
        return found | has_failed(index) if failed else found

    def changed(record: Record) -> Record | None:
        bounds = record.bounds & 0xFFFF  # without the last error
        meant = record.state is _WAITING and (
            (failed and record.attempts > 0) or (forget_needs and bounds > 0)
        )
        if record.state is not _PARKED and not meant:
            return None
        bounds, cause = (0, None) if forget_needs else (bounds, record.cause)
        return record._replace(state=_WAITING, attempts=0, cause=cause, bounds=bounds, same=0)

    return _transition(pool, chosen, candidates, changed, dry_run)


def rerun(pool: Pool, chosen: NDArray[np.bool_], *, dry_run: bool = False) -> int:
    """Let tasks that are done wait to be rerun.

    The result of each counts until a new one is accepted. A part of a task that was done as a whole
    cannot be computed again by itself.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool
        The tasks that are meant.
    dry_run : bool
        Count only.

    Returns
    -------
    int
        How many tasks changed, or would.
    """
    return _change(pool, chosen, _in_state(_DONE), partial(_rerun_one, pool), dry_run)


def _rerun_one(pool: Pool, transaction: Transaction, slot: int) -> bool:
    """Let a task that is done wait again, its record of now kept as the accepted one.

    The dormant parts of a whole task go to the new run with it, as if they had never been tried:
    what was done of them before does not count for that.
    """
    record = transaction.record(slot)
    if record.state is not _DONE:
        return False
    parts = [part - transaction.first for part in pool.grid.parts.of(transaction.first + slot)]
    dormant = {
        part: found for part in parts if (found := transaction.record(part)).state is _SUPERSEDED
    }
    fence = next_run([record.fence, *(found.fence for found in dormant.values())])
    now_ms = int(pool.now() * 1000)
    for part, found in dormant.items():
        untried = found.to_run_again(fence, now_ms)._replace(state=_SUPERSEDED, accepted=None)
        transaction.put(part, untried)
    transaction.put(slot, record.to_run_again(fence, now_ms))
    return True


def hold(pool: Pool, chosen: NDArray[np.bool_], *, dry_run: bool = False) -> int:
    """Keep waiting tasks back from workers, and return how many; those that run are left alone."""
    return _transition(pool, chosen, _in_state(_WAITING), _into(_WAITING, _HELD), dry_run)


def release(pool: Pool, chosen: NDArray[np.bool_], *, dry_run: bool = False) -> int:
    """Let tasks that were held back wait for workers again, and return how many."""
    return _transition(pool, chosen, _in_state(_HELD), _into(_HELD, _WAITING), dry_run)


def has_failed(index: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which index bytes stand for a task that failed, and waits again."""
    found: NDArray[np.bool_] = (index >= WAITING_BASE) & (index & MOST_ATTEMPTS > 0)
    return found


def choose(
    pool: Pool, words: Sequence[str], only: Sequence[str], skip: Sequence[str]
) -> NDArray[np.bool_]:
    """Return the tasks that are selected and, if ids are given, have one of these.

    Parameters
    ----------
    pool : Pool
        The pool.
    words : sequence of str
        Ids, or how they begin; empty for any. A whole task stands for its parts, too.
    only, skip : sequence of str
        Conditions of a selection.

    Returns
    -------
    ndarray of shape (n_tasks,), bool

    Raises
    ------
    RequestError
        If no task has such an id, or one is empty.
    SelectionError
        If a condition does not fit the pool.
    """
    chosen = select(pool.grid, only, skip)
    if not words:
        return chosen
    has_id = np.zeros(len(chosen), bool)
    for position in find_tasks(pool.folder, pool.grid, words, pool.offered()):
        has_id[[position, *pool.grid.parts.of(position)]] = True
    return chosen & has_id


def _in_state(state: TaskState) -> Callable[[NDArray[np.uint8]], NDArray[np.bool_]]:
    return lambda index: state_of(index) == state


def _into(before: TaskState, after: TaskState) -> Callable[[Record], Record | None]:
    return lambda record: record._replace(state=after) if record.state is before else None


def _transition(
    pool: Pool,
    chosen: NDArray[np.bool_],
    candidates: Callable[[NDArray[np.uint8]], NDArray[np.bool_]],
    changed: Callable[[Record], Record | None],
    dry_run: bool,
) -> int:
    """Change the records of the chosen tasks whose index byte says so, one transaction per file."""

    def change(transaction: Transaction, slot: int) -> bool:
        after = changed(transaction.record(slot))
        if after is None:
            return False
        transaction.put(slot, after._replace(changed_ms=int(pool.now() * 1000)))
        return True

    return _change(pool, chosen, candidates, change, dry_run)


def _change(
    pool: Pool,
    chosen: NDArray[np.bool_],
    candidates: Callable[[NDArray[np.uint8]], NDArray[np.bool_]],
    change: Callable[[Transaction, int], bool],
    dry_run: bool,
) -> int:
    """Change the chosen tasks whose index byte says so, and return how many they were."""
    n_changed = 0
    for number, span in enumerate(pool.spans):
        mask = chosen[span]
        index = np.frombuffer(pool.index_of(number), np.uint8)
        n_seen = np.count_nonzero(candidates(index) & mask)
        if dry_run or not n_seen:
            n_changed += int(n_seen)
            continue
        with pool.transaction(number) as transaction:
            index = np.frombuffer(bytes(transaction.index), np.uint8)
            for slot in np.flatnonzero(candidates(index) & mask).tolist():
                n_changed += change(transaction, slot)
    return n_changed
