"""One shard of the state table: the state of some thousand tasks in one file, under one lock.

    state/NN    head | index: one byte a task | records: 32 bytes a task

The head carries a checksum over the index, every record one over itself and its position in the
pool, so that a truncated, zeroed or flipped file is noticed by the next process that looks.

The index is for finding and counting: one byte holds the state and, for a waiting task, how often
it failed, so that a random pick is one search in some thousand bytes. The record is the truth
about one task: who holds it, under which number, and how it last ended. Records are written
before the index. A process killed in between leaves an index that is behind its records; whoever
comes upon such a task follows the record and mends the index.

Nothing is written outside `Shard.visit`, which holds the lock; each write is checked against what
was read, and read back.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobpool.errors import BrokenLockError, DamagedStateError
from jobpool.files import newer_format, storage_error
from jobpool.lock import Lock, file_system
from jobpool.task import CAUSE_CODES, CAUSE_OF_CODE, Cause, TaskState

FORMAT = 1
MAGIC = b"JP%02d" % FORMAT

# magic, tasks, position of the first, visits, last writer, checksum of the index, of the head
HEAD = struct.Struct("<4sIQQQII")
# state, attempts, cause, spare, fence, owner, changed (ms since the epoch), need, checksum
RECORD = struct.Struct("<BBBBIQQII")

WAITING_BASE = 0x80  # index bytes 0x80 to 0x8f: waiting after 0 to 15 failed attempts
MOST_ATTEMPTS = 15
WAITING_BYTES = tuple(bytes([WAITING_BASE + n]) for n in range(MOST_ATTEMPTS + 1))


@dataclass(frozen=True, slots=True)
class Record:
    """What the pool knows of one task."""

    state: TaskState = TaskState.WAITING
    attempts: int = 0  # attempts that failed and count
    cause: Cause | None = None  # how the last attempt ended
    fence: int = 0  # number of the last claim
    owner: int = 0  # worker of the last claim
    changed_ms: int = 0
    need: int = 0

    def index_byte(self) -> int:
        """Return the byte that stands for this record in the index."""
        if self.state is TaskState.WAITING:
            return WAITING_BASE + min(self.attempts, MOST_ATTEMPTS)
        return int(self.state)

    def pack(self, position: int) -> bytes:
        """Return the record of the task at `position` as it stands on disk."""
        cause = CAUSE_CODES[self.cause] if self.cause else 0
        packed = RECORD.pack(
            self.state,
            min(self.attempts, 255),
            cause,
            0,
            self.fence,
            self.owner,
            self.changed_ms,
            self.need,
            0,
        )
        return packed[:-4] + zlib.crc32(packed[:-4], position + 1).to_bytes(4, "little")


def unpack_record(packed: bytes, position: int) -> Record | None:
    """Return the record of the task at `position`, or None if it is damaged."""
    if len(packed) != RECORD.size:
        return None
    state, attempts, cause, _, fence, owner, changed, need, check = RECORD.unpack(packed)
    if check != zlib.crc32(packed[:-4], position + 1):
        return None
    return Record(TaskState(state), attempts, CAUSE_OF_CODE.get(cause), fence, owner, changed, need)


def pack_head(first: int, index: bytes | bytearray, visits: int, writer: int) -> bytes:
    """Return the head of a shard, with its two checksums."""
    packed = HEAD.pack(MAGIC, len(index), first, visits, writer, zlib.crc32(index), 0)
    return packed[:-4] + zlib.crc32(packed[:-4]).to_bytes(4, "little")


@dataclass(slots=True)
class Visit:
    """What one holder of the lock reads and changes; written when the visit ends."""

    shard: "Shard"
    descriptor: int
    head: bytes
    index: bytearray
    visits: int
    changes: dict[int, Record] = field(default_factory=dict)
    index_changed: bool = False

    def record(self, slot: int) -> Record:
        """Return the record of the task at `slot`, and mend the index where it is behind."""
        if slot in self.changes:
            return self.changes[slot]
        offset = self.shard.record_offset(slot)
        packed = os.pread(self.descriptor, RECORD.size, offset)
        found = unpack_record(packed, self.shard.first + slot)
        if found is None:
            raise self.shard.damaged(f"the record of task {self.shard.first + slot} is damaged")
        self._set_byte(slot, found)
        return found

    def put(self, slot: int, record: Record) -> None:
        """Change the record of the task at `slot` when the visit ends."""
        self.changes[slot] = record
        self._set_byte(slot, record)

    def _set_byte(self, slot: int, record: Record) -> None:
        byte = record.index_byte()
        if self.index[slot] != byte:
            self.index[slot] = byte
            self.index_changed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One state file; knows its place in the pool, holds nothing open between visits."""

    path: Path
    first: int  # position of its first task in the pool
    size: int  # number of its tasks
    lock: Lock
    durable: bool = True  # fsync after each visit
    writer: int = 0

    def record_offset(self, slot: int) -> int:
        """Return where in the file the record of `slot` begins."""
        return _records_at(self.size) + RECORD.size * slot

    def damaged(self, what: str) -> DamagedStateError:
        """Return the error for a state file that does not hold what was last written."""
        return DamagedStateError(self.path.parent.parent, f"state/{self.path.name}", what)

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """Hold the lock, hand over what the file says, write the changes, let go.

        Raises
        ------
        DamagedStateError
            If the file does not hold what was last written to it.
        BrokenLockError
            If somebody else wrote while the lock was held.
        StorageError
            If the disk refuses the write.
        """
        try:
            with self.lock(self.path, self.durable) as held:
                visit = self._begin(held.descriptor)
                yield visit
                if visit.changes or visit.index_changed:
                    held.written = True
                    self._write(visit)
        except FileNotFoundError as error:
            raise self.damaged("missing") from error
        except OSError as error:
            raise storage_error(error, self.path) from error

    def read_index(self) -> bytes:
        """Return the index without taking the lock, as it was at one moment."""
        with self._opened() as descriptor:
            for attempt in range(5):  # a read may fall into a write
                head, index = self._read_head(descriptor)
                if self._wrong_with(head) is None and _index_check(head) == zlib.crc32(index):
                    return index
                time.sleep(0.002 * attempt)
            return bytes(self._begin(descriptor).index)

    def read_records(self) -> bytes:
        """Return the packed records of all tasks, unchecked, without taking the lock."""
        with self._opened() as descriptor:
            data = os.pread(descriptor, RECORD.size * self.size, self.record_offset(0))
        if len(data) < RECORD.size * self.size:
            raise self.damaged("truncated")
        return data

    def record(self, slot: int) -> Record:
        """Return the record of one task without taking the lock."""
        with self._opened() as descriptor:
            for attempt in range(5):
                packed = os.pread(descriptor, RECORD.size, self.record_offset(slot))
                if found := unpack_record(packed, self.first + slot):
                    return found
                time.sleep(0.002 * attempt)
        raise self.damaged(f"the record of task {self.first + slot} is damaged")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise self.damaged("missing") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _read_head(self, descriptor: int) -> tuple[bytes, bytes]:
        data = os.pread(descriptor, HEAD.size + self.size, 0)
        return data[: HEAD.size], data[HEAD.size :]

    def _wrong_with(self, head: bytes) -> str | None:
        if len(head) < HEAD.size:
            return "truncated"
        magic, size, first, *_ = HEAD.unpack(head)
        if head[-4:] != zlib.crc32(head[:-4]).to_bytes(4, "little"):
            return "its head is damaged"
        if magic != MAGIC:
            return newer_format(magic.decode(errors="replace"), MAGIC.decode())
        if (size, first) != (self.size, self.first):
            return "it belongs to another place in the pool"
        return None

    def _begin(self, descriptor: int) -> Visit:
        head, index = self._read_head(descriptor)
        if wrong := self._wrong_with(head):
            raise self.damaged(wrong)
        visit = Visit(self, descriptor, head, bytearray(index), HEAD.unpack(head)[3])
        if _index_check(head) != zlib.crc32(index):
            # a process killed while it wrote the index, or a damaged byte: the records,
            # each with a checksum of its own, say what the index must be
            visit.index = bytearray(self.size)
            visit.index_changed = True
            for slot in range(self.size):
                visit.record(slot)
        return visit

    def _write(self, visit: Visit) -> None:
        descriptor = visit.descriptor
        if os.pread(descriptor, HEAD.size, 0) != visit.head:
            raise self._broken()
        packed = [
            (self.record_offset(slot), record.pack(self.first + slot))
            for slot, record in visit.changes.items()
        ]
        for offset, data in packed:
            os.pwrite(descriptor, data, offset)
        head = pack_head(self.first, visit.index, visit.visits + 1, self.writer)
        os.pwrite(descriptor, head + visit.index, 0)
        if os.pread(descriptor, HEAD.size, 0) != head:
            raise self._broken()
        for offset, data in packed:
            if os.pread(descriptor, RECORD.size, offset) != data:
                raise self._broken()

    def _broken(self) -> BrokenLockError:
        pool = self.path.parent.parent
        return BrokenLockError(pool, f"state/{self.path.name}", file_system(self.path))


def _index_check(head: bytes) -> int:
    return int.from_bytes(head[-8:-4], "little")


def _records_at(size: int) -> int:
    """Return where the records begin: on a multiple of 64, so that none crosses a page."""
    return (HEAD.size + size + 63) // 64 * 64


def new_shard(first: int, records: Iterable[Record]) -> bytes:
    """Return the content of a new state file.

    Parameters
    ----------
    first : int
        Position in the pool of its first task.
    records : iterable of Record
        One per task.
    """
    packed, index = bytearray(), bytearray()
    for slot, record in enumerate(records):
        packed += record.pack(first + slot)
        index.append(record.index_byte())
    padding = bytes(_records_at(len(index)) - HEAD.size - len(index))
    return pack_head(first, index, 0, 0) + index + padding + packed
