"""The records of the state table as arrays, read without a lock."""

import zlib

import numpy as np
from numpy.typing import NDArray

from jobpool.pool import Pool
from jobpool.records import RECORD, Record, unpack_record
from jobpool.state import Shard

# the fields of `jobpool.state.RECORD`
RECORD_TYPE = np.dtype(
    [
        ("state", "u1"),
        ("attempts", "u1"),
        ("cause", "u1"),
        ("same", "u1"),
        ("fence", "<u4"),
        ("owner", "<u8"),
        ("changed_ms", "<u8"),
        ("need", "<u4"),
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


def record_in(shard: Shard, packed: bytes, slot: int) -> Record:
    """Return the record at `slot` of the packed records, read again where it is damaged.

    Raises
    ------
    DamagedStateError
        If it is damaged on disk too, so that it did not merely change while it was read.
    """
    piece = packed[slot * RECORD.size : (slot + 1) * RECORD.size]
    return unpack_record(piece, shard.first + slot) or shard.record(slot)


def read_table(pool: Pool) -> Table:
    """Return the record of every task, in the order of positions.

    Raises
    ------
    DamagedStateError
        If a state file is damaged anywhere that matters: head, index or a record.
    """
    parts = []
    for shard in pool.shards:
        shard.read_index()
        packed = bytearray(shard.read_records())
        for slot in damaged_slots(bytes(packed), shard.first):
            record = shard.record(slot).pack(shard.first + slot)
            packed[slot * RECORD.size : (slot + 1) * RECORD.size] = record
        parts.append(unchecked_table(bytes(packed)))
    return np.concatenate(parts)
