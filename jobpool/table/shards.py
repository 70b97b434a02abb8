"""One shard of the state table: the state of some thousand tasks in one file, under one lock.

    state/NN    head | index: one byte a task | zeros up to a multiple of 64
                | records: 32 bytes a task
                | accepted records: 32 bytes a task, once one of them is rerun

The head carries a checksum over the index and one over itself, every record one over itself and its
position in the pool. Sizes divide 64, so that no record crosses a page.

The index is for finding and counting: one byte holds the state and, for a waiting task, how often
it failed, so that a random pick is one search in some thousand bytes. The record is the truth
about one task: who holds it, under which number, and how it last ended. Records are written
before the index. A process killed in between leaves an index that is behind its records; the next
transaction that reads such a record mends the index.

A task that is rerun keeps the record of its accepted result. That is written before the
record that refers to it, and once, before all, a head of the newer format.

Nothing is written outside `Shard.transaction`, which holds the lock; each write is checked against
what was read, and read back.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from jobpool.disk.causes import outlast_blip, storage_error
from jobpool.disk.files import newer_format, replace_whole
from jobpool.disk.inside import is_gone, reading
from jobpool.disk.locks import Held, Lock, file_system
from jobpool.disk.waiting import Waiting
from jobpool.errors import (
    BrokenLockError,
    DamagedStateError,
    IllegalTransitionError,
    PoolError,
    PoolGoneError,
)
from jobpool.table.grid import Grid
from jobpool.table.records import (
    BECOMES,
    RECORD,
    STATE_OF_BYTE,
    UNREAD,
    Record,
    unpack_record,
    with_accepted,
)
from jobpool.task import RESTORED, TaskState

FORMAT = 2
MAGIC = b"JP%02d" % FORMAT
PLAIN = b"JP01"  # without accepted records: what a file is until a task of it is rerun
MAGICS = frozenset({PLAIN, MAGIC})

# magic, tasks, position of the first, transactions, last writer, checksum of the index, of the head
HEAD = struct.Struct("<4sIQQQII")


class Transaction:
    """What one holder of the lock reads and changes; written when the transaction ends."""

    __slots__ = ("_descriptor", "_head", "_shard", "changes", "first", "index", "mended")

    def __init__(self, shard: "Shard", descriptor: int) -> None:
        self._shard, self._descriptor = shard, descriptor
        self.first = shard.first  # position in the pool of the task at slot 0
        self.changes: dict[int, Record] = {}
        self._head, self.index, whole = shard.read_head(descriptor)
        if wrong := wrong_with_head(self._head, shard.first, shard.size):
            raise shard.damaged(wrong)
        self.mended = False
        if not whole:
            # a process killed while it wrote the index, or a damaged byte: the records,
            # each with a checksum of its own, say what the index must be
            self.index = bytearray(shard.size)
            self._mend()
            if 0 in self.index:  # no state has that number
                raise shard.damaged(
                    f"the record of task {self.first + self.index.index(0)} is damaged"
                )

    def record(self, slot: int) -> Record:
        """Return the record of the task at `slot`, and mend the index where it is behind."""
        if slot in self.changes:
            return self.changes[slot]
        found = self._shard.read_record(self._descriptor, slot)
        if found is None:
            raise self._shard.damaged(f"the record of task {self.first + slot} is damaged")
        if self.index[slot] != found.index_byte() and not self.mended:
            self._mend()
        return found

    def _mend(self) -> None:
        """Make the index from the records: the killed process may have changed several of them."""
        self.mended = True
        size = RECORD.size * self._shard.size
        packed = os.pread(self._descriptor, size, self._shard.records_at)
        for slot in range(self._shard.size):
            at = RECORD.size * slot
            found = unpack_record(packed[at : at + RECORD.size], self.first + slot)
            if found is not None and slot not in self.changes:
                self.index[slot] = found.index_byte()

    def put(self, slot: int, record: Record) -> None:
        """Change the record of the task at `slot` when the transaction ends.

        Every change of state by workers and people goes through here. The task was read with
        `record` before: its index byte then agrees with its record.

        Raises
        ------
        IllegalTransitionError
            If the task may not go from its state to that of `record`; nothing is written then.
        """
        if record.state not in BECOMES[self.index[slot]]:
            self._refuse(slot, record)
        self.changes[slot] = record
        self.index[slot] = record.index_byte()

    def restore(self, slot: int, record: Record) -> None:
        """Change the record of the task at `slot` to what results and attempts on disk say.

        For repairs. No file shows that a worker holds a task, or that a person keeps it back.

        Raises
        ------
        IllegalTransitionError
            If `record` changes the state to one that files cannot show.
        """
        if record.state not in RESTORED and STATE_OF_BYTE[self.index[slot]] is not record.state:
            self._refuse(slot, record)
        self.changes[slot] = record
        self.index[slot] = record.index_byte()

    def _refuse(self, slot: int, record: Record) -> NoReturn:
        before = STATE_OF_BYTE[self.index[slot]].word
        raise IllegalTransitionError(f"at place {self.first + slot}", before, record.state.word)

    def write(self) -> None:
        """Write the records, then the index; each is checked before and read back after."""
        shard, descriptor, head, index = self._shard, self._descriptor, self._head, self.index
        if os.pread(descriptor, HEAD.size, 0) != head:
            raise shard.broken()
        written: dict[int, bytes] = {}
        accepted: dict[int, bytes] = {}
        for slot, record in self.changes.items():
            written[shard.records_at + RECORD.size * slot] = record.pack(self.first + slot)
            if record.accepted is not None:
                accepted[shard.accepted_offset(slot)] = record.accepted.pack(self.first + slot)
        if accepted:
            head = self._make_room() if head[:4] == PLAIN else head
            written = accepted | written  # before the records that refer to them
        for offset, packed in written.items():
            os.pwrite(descriptor, packed, offset)
        n_transactions = int.from_bytes(head[16:24], "little")
        head = pack_head(self.first, index, n_transactions + 1, shard.writer, head[:4])
        os.pwritev(descriptor, (head, index), 0)
        written[0] = head
        for offset, packed in written.items():
            if os.pread(descriptor, len(packed), offset) != packed:
                raise shard.broken()

    def _make_room(self) -> bytes:
        """Make room for accepted records, and return the head that says so."""
        head = raised_head(self._head)
        os.ftruncate(self._descriptor, self._shard.accepted_offset(self._shard.size))
        os.pwrite(self._descriptor, head, 0)
        return head


class _Open:  # a class: a generator makes a transaction 4 us of 60 slower
    __slots__ = ("_held", "_lock", "_shard", "_transaction")

    def __init__(self, shard: "Shard") -> None:
        self._shard = shard

    def __enter__(self) -> Transaction:
        try:
            return outlast_blip(self._enter)
        except OSError as error:
            raise self._shard.error_for(error) from error

    def _enter(self) -> Transaction:
        shard = self._shard
        self._lock = shard.lock(shard.path, shard.durable)  # a new one each time: some serve once
        shard.waiting.since = shard.path, time.monotonic()
        try:
            self._held = self._lock.__enter__()
        finally:
            shard.waiting.since = None
        try:
            self._transaction = Transaction(shard, self._held.descriptor)
        except BaseException as error:
            self._lock.__exit__(type(error), error, error.__traceback__)
            raise
        return self._transaction

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            try:
                if error is None and (self._transaction.changes or self._transaction.mended):
                    self._held.written = True
                    self._transaction.write()
            except BaseException as failed:
                self._lock.__exit__(type(failed), failed, failed.__traceback__)
                raise
            self._lock.__exit__(kind, error, trace)
            if isinstance(error, OSError):
                raise error
        except OSError as failed:
            raise self._shard.error_for(failed) from failed


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One state file; knows its place in the pool, holds nothing open between transactions."""

    path: Path
    first: int  # position of its first task in the pool
    size: int  # number of its tasks
    lock: Lock
    durable: bool = True  # fsync after each transaction
    writer: int = 0
    waiting: Waiting = field(default_factory=Waiting, compare=False)

    @cached_property
    def records_at(self) -> int:
        """Return where in the file the records begin."""
        return records_at(self.size)

    def record_offset(self, slot: int) -> int:
        """Return where in the file the record of `slot` begins."""
        return self.records_at + RECORD.size * slot

    def accepted_offset(self, slot: int) -> int:
        """Return where in the file the accepted record of `slot` is, if it has one."""
        return self.record_offset(self.size + slot)

    def read_record(self, descriptor: int, slot: int) -> Record | None:
        """Return the record of `slot`, with the accepted one if it has one; None if damaged."""
        position = self.first + slot
        offset = self.records_at + RECORD.size * slot
        found = unpack_record(os.pread(descriptor, RECORD.size, offset), position)
        if found is not None and found.accepted is UNREAD:
            packed = os.pread(descriptor, RECORD.size, self.accepted_offset(slot))
            found = with_accepted(found, packed, position)
        return found

    def damaged(self, what: str) -> DamagedStateError:
        """Return the error for a state file that does not hold what was last written."""
        return DamagedStateError(self.path.parent.parent, f"state/{self.path.name}", what)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Hold the lock, hand over what the file says, write the changes, let go.

        Raises
        ------
        DamagedStateError, BrokenLockError, StorageError
            If the file does not hold what was last written to it, another process wrote while the
            lock was held, or the disk refuses the write.
        """
        return _Open(self)

    def locked(self, *, durable: bool) -> AbstractContextManager[Held]:
        """Hold the lock alone, for a file whose content need not be right."""
        return self.waiting.taking(self.path, self.lock(self.path, durable))

    def error_for(self, error: OSError) -> Exception:
        """Return what to raise when the file system refuses something."""
        missing = isinstance(error, FileNotFoundError)
        return self._missing() if missing else storage_error(error, self.path)

    def _missing(self) -> PoolError:
        pool = self.path.parent.parent
        return PoolGoneError(pool) if is_gone(pool) else self.damaged("missing")

    def read_index(self) -> bytes:
        """Return the index without taking the lock, as it was at one moment."""
        with self._opened() as descriptor:
            for attempt in range(5):  # a read may fall into a write
                head, index, whole = self.read_head(descriptor)
                if whole and not wrong_with_head(head, self.first, self.size):
                    return bytes(index)
                time.sleep(0.002 * attempt)
            return bytes(Transaction(self, descriptor).index)

    def read_records(self) -> bytes:
        """Return the packed records of all tasks, unchecked, without taking the lock."""
        with self._opened() as descriptor:
            data = os.pread(descriptor, RECORD.size * self.size, self.records_at)
        if len(data) == RECORD.size * self.size:
            return data
        raise self.damaged("truncated")

    def read_accepted(self) -> bytes:
        """Return the packed accepted records, unchecked; empty where no task ever had one."""
        with self._opened() as descriptor:
            return os.pread(descriptor, RECORD.size * self.size, self.accepted_offset(0))

    def has_room_for_accepted(self) -> bool:
        """Say whether a task was ever rerun, by the size of the file."""
        try:
            return self.path.stat().st_size > self.accepted_offset(0)
        except OSError as error:
            raise self.error_for(error) from error

    def record(self, slot: int) -> Record:
        """Return the record of one task without taking the lock."""
        with self._opened() as descriptor:
            for attempt in range(5):
                if found := self.read_record(descriptor, slot):
                    return found
                time.sleep(0.002 * attempt)
        raise self.damaged(f"the record of task {self.first + slot} is damaged")

    def record_among(self, packed: bytes, slot: int) -> Record:
        """Return the record at `slot` of all packed records, read again where it is damaged.

        Raises
        ------
        DamagedStateError
            If it is damaged on disk too, so that it did not merely change while it was read.
        """
        piece = packed[slot * RECORD.size : (slot + 1) * RECORD.size]
        found = unpack_record(piece, self.first + slot)
        return self.record(slot) if found is None or found.accepted is UNREAD else found

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            with reading(self.path, 0) as stream:
                yield stream.fileno()
        except FileNotFoundError as error:
            raise self._missing() from error

    def read_head(self, descriptor: int) -> tuple[bytes, bytearray, bool]:
        """Return head and index as they stand in the file, and whether they agree."""
        data = os.pread(descriptor, HEAD.size + self.size, 0)
        head, index = data[: HEAD.size], bytearray(data[HEAD.size :])
        return head, index, head[-8:-4] == zlib.crc32(index).to_bytes(4, "little")

    def broken(self) -> BrokenLockError:
        """Return the error for a file that another process wrote while the lock was held."""
        pool = self.path.parent.parent
        return BrokenLockError(pool, f"state/{self.path.name}", file_system(self.path))


def pack_head(
    first: int, index: bytes | bytearray, n_transactions: int, writer: int, magic: bytes = PLAIN
) -> bytes:
    """Return the head of a shard, with its two checksums."""
    packed = HEAD.pack(magic, len(index), first, n_transactions, writer, zlib.crc32(index), 0)
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


def write_shards(pool: Path, grid: Grid, first_number: int, first: int) -> None:
    """Write the state files of new tasks: all wait but the dormant parts, which are superseded.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    grid : Grid
        The new tasks, laid out by `in_random_order`.
    first_number, first : int
        State files and tasks that the pool has already.
    """
    fresh = (Record(), Record(state=TaskState.SUPERSEDED))
    begin = 0
    for number, size in enumerate(grid.shard_sizes, start=first_number):
        superseded = grid.parts.is_dormant[begin : begin + size].tolist()
        content = new_shard(first + begin, [fresh[dormant] for dormant in superseded])
        replace_whole(pool / "state" / f"{number:02d}", content)
        begin += size
