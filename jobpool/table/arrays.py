"""The state table as arrays, read without a lock: index bytes to count, records to look into."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from jobpool.table.grid import Grid
from jobpool.table.records import RECORD, RERUN, unpack_record
from jobpool.table.shards import Shard
from jobpool.task import COUNTED, TaskState

# the fields of `jobpool.table.shards.RECORD`
RECORD_TYPE = np.dtype(
    [
        ("state", "u1"),
        ("attempts", "u1"),
        ("cause", "u1"),
        ("same", "u1"),
        ("fence", "<u4"),
        ("owner", "<u8"),
        ("changed_ms", "<u8"),
        ("bounds", "<u4"),
        ("check", "<u4"),
    ]
)
Table = NDArray[np.void]


def unchecked_table(packed: bytes) -> Table:
    """Return packed records as a table of shape (n_tasks,) and type `RECORD_TYPE`."""
    return np.frombuffer(packed, RECORD_TYPE)


def damaged_slots(packed: bytes, first: int) -> list[int]:
    """Return the slots whose record does not agree with its checksum.

    Parameters
    ----------
    packed : bytes
        Whole records, from slot 0.
    first : int
        Position in the pool of slot 0.
    """
    view, body = memoryview(packed), RECORD.size - 4
    checks = unchecked_table(packed)["check"].tolist()
    return [
        slot
        for slot, check in enumerate(checks)
        if zlib.crc32(view[slot * RECORD.size : slot * RECORD.size + body], first + slot + 1)
        != check
    ]


def read_table(shards: Sequence[Shard]) -> Table:
    """Return the record of every task, in the order of positions.

    Raises
    ------
    DamagedStateError
        If a state file is damaged anywhere that matters: head, index or a record.
    """
    parts = []
    for shard in shards:
        shard.read_index()
        packed = bytearray(shard.read_records())
        for slot in damaged_slots(bytes(packed), shard.first):
            record = shard.record(slot).pack(shard.first + slot)
            packed[slot * RECORD.size : (slot + 1) * RECORD.size] = record
        parts.append(unchecked_table(bytes(packed)))
    return np.concatenate(parts)


def read_counting(
    shards: Sequence[Shard], grid: Grid, *, fresh: bool = False
) -> tuple[Table, NDArray[np.bool_]]:
    """Return the record of every task as its results count, and which of them are to be replaced.

    A task that is rerun is done, by its earlier result, until its new one is accepted; a
    whole task that is rerun in parts, until those of all its parts are.

    Parameters
    ----------
    shards : sequence of Shard
        The state files, in the order of their tasks.
    grid : Grid
        All tasks.
    fresh : bool
        Leave earlier results out: a task that is rerun is not done.

    Returns
    -------
    table : ndarray of shape (n_tasks,), `RECORD_TYPE`
        The records, in the order of positions.
    is_earlier : ndarray of shape (n_tasks,), bool
        The tasks whose records stand there as they were when their earlier result was accepted.

    Raises
    ------
    DamagedStateError
        If a state file is damaged anywhere that matters.
    """
    table = read_table(shards)
    is_earlier: NDArray[np.bool_] = table["cause"] & RERUN > 0
    if fresh or not is_earlier.any():
        return table, np.zeros(len(table), bool)
    now = table.copy()
    for shard in shards:
        slots = np.flatnonzero(is_earlier[shard.first : shard.first + shard.size]).tolist()
        packed = shard.read_accepted() if slots else b""
        for slot in slots:
            position = shard.first + slot
            piece = packed[slot * RECORD.size : (slot + 1) * RECORD.size]
            if unpack_record(piece, position) is None:  # it may have been read while it was written
                record = shard.record(slot)
                piece = (record.accepted or record).pack(position)
            table[position] = unchecked_table(piece)[0]
    for whole in np.flatnonzero(is_earlier & (now["state"] == TaskState.SUPERSEDED)).tolist():
        parts = grid.parts.of(whole)
        if (table["state"][parts] == TaskState.DONE).all():
            table[whole], is_earlier[whole] = now[whole], False
    return table, is_earlier


def state_of(index: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the number of the state that each index byte stands for."""
    waiting = np.uint8(TaskState.WAITING)
    states: NDArray[np.uint8] = np.where(index & 0x80, waiting, index)
    return states


def is_counted(states: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which states are those of tasks that count: not those that others stand for."""
    counted = np.zeros(256, bool)
    counted[list(COUNTED)] = True
    found: NDArray[np.bool_] = counted[states]
    return found


def n_counted(counts: Mapping[TaskState, int]) -> int:
    """Return how many tasks count, of how many are in each state."""
    return sum(counts[state] for state in COUNTED)


def count_states(index: NDArray[np.uint8]) -> Mapping[TaskState, int]:
    """Return how many index bytes stand for each state."""
    counts = np.bincount(state_of(index), minlength=max(TaskState) + 1)
    return {state: int(counts[state]) for state in TaskState}
