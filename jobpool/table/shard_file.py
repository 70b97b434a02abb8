"""The bytes of a state file, a shard of the state table.

    head | index: one byte a task | zeros up to a multiple of 64 | records: 32 bytes a task
    | accepted records: 32 bytes a task, once one of them is computed again

The head carries a checksum over the index and one over itself, every record one over itself and its
position in the pool. Sizes divide 64, so that no record crosses a page.
"""

import struct
import zlib
from collections.abc import Iterable

from jobpool.disk.files import newer_format
from jobpool.table.records import RECORD, Record

FORMAT = 2
MAGIC = b"JP%02d" % FORMAT
PLAIN = b"JP01"  # without accepted records: what a file is until a task of it is computed again
MAGICS = frozenset({PLAIN, MAGIC})

# magic, tasks, position of the first, visits, last writer, checksum of the index, of the head
HEAD = struct.Struct("<4sIQQQII")


def pack_head(
    first: int, index: bytes | bytearray, visits: int, writer: int, magic: bytes = PLAIN
) -> bytes:
    """Return the head of a shard, with its two checksums."""
    packed = HEAD.pack(magic, len(index), first, visits, writer, zlib.crc32(index), 0)
    return packed[:-4] + zlib.crc32(packed[:-4]).to_bytes(4, "little")


def raised_head(head: bytes) -> bytes:
    """Return a head that says that there are accepted records, and the same of all else."""
    packed = MAGIC + head[4:-4]
    return packed + zlib.crc32(packed).to_bytes(4, "little")


def is_head(head: bytes) -> bool:
    """Say whether a head fits its checksum."""
    return len(head) == HEAD.size and head[-4:] == zlib.crc32(head[:-4]).to_bytes(4, "little")


def is_newer(head: bytes) -> bool:
    """Say whether a head is that of a newer jobpool's file, which must not be touched."""
    return is_head(head) and head[:4] not in MAGICS and head[:2] == MAGIC[:2]


def wrong_with_head(head: bytes, first: int, size: int) -> str | None:
    """Return what is wrong with the head of a shard of `size` tasks from `first` on, or None."""
    if len(head) < HEAD.size:
        return "truncated"
    if head[-4:] != zlib.crc32(head[:-4]).to_bytes(4, "little"):
        return "its head is damaged"
    magic = head[:4]
    if magic not in MAGICS:
        return newer_format(magic.decode(errors="replace"), MAGIC.decode())
    if HEAD.unpack(head)[1:3] != (size, first):
        return "it belongs to another place in the pool"
    return None


def records_at(size: int) -> int:
    """Return where the records of `size` tasks begin."""
    return (HEAD.size + size + 63) // 64 * 64


def new_shard(first: int, records: Iterable[Record]) -> bytes:
    """Return the content of a new state file; its first task is at `first` in the pool."""
    packed, accepted, index = bytearray(), bytearray(), bytearray()
    for slot, record in enumerate(records):
        packed += record.pack(first + slot)
        index.append(record.index_byte())
        if record.accepted is not None:
            accepted = accepted.ljust(RECORD.size * slot, b"\0")
            accepted += record.accepted.pack(first + slot)
    magic = PLAIN
    if accepted:
        magic, accepted = MAGIC, accepted.ljust(len(packed), b"\0")
    head_and_index = pack_head(first, index, 0, 0, magic) + index
    return head_and_index.ljust(records_at(len(index)), b"\0") + packed + accepted
