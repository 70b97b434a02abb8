"""One shard of the state table: the state of some thousand tasks in one file, under one lock.

    state/NN    head, index, records, accepted records (`jobpool.table.shard_file`)

The index is for finding and counting: one byte holds the state and, for a waiting task, how often
it failed, so that a random pick is one search in some thousand bytes. The record is the truth
about one task: who holds it, under which number, and how it last ended. Records are written
before the index. A process killed in between leaves an index that is behind its records; whoever
comes upon such a task follows the record and mends the index.

A task that is computed again keeps the record of its accepted result. That is written before the
record that refers to it, and once, before all, a head of the newer format.

Nothing is written outside `Shard.visit`, which holds the lock; each write is checked against what
was read, and read back.
"""

import os
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from jobpool.disk.files import storage_error
from jobpool.disk.locks import Lock, file_system
from jobpool.errors import BrokenLockError, DamagedStateError, IllegalMoveError
from jobpool.table.records import (
    BECOMES,
    RECORD,
    STATE_OF_BYTE,
    UNREAD,
    Record,
    unpack_record,
    with_accepted,
)
from jobpool.table.shard_file import (
    HEAD,
    PLAIN,
    pack_head,
    raised_head,
    records_at,
    wrong_with_head,
)
from jobpool.task import RESTORED


class Visit:
    """What one holder of the lock reads and changes; written when the visit ends."""

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
        """Make the index anew: who was killed before it followed may have changed more records."""
        self.mended = True
        size = RECORD.size * self._shard.size
        packed = os.pread(self._descriptor, size, self._shard.records_at)
        for slot in range(self._shard.size):
            at = RECORD.size * slot
            found = unpack_record(packed[at : at + RECORD.size], self.first + slot)
            if found is not None and slot not in self.changes:
                self.index[slot] = found.index_byte()

    def put(self, slot: int, record: Record) -> None:
        """Change the record of the task at `slot` when the visit ends.

        Every change of state by workers and people goes through here. The task was read with
        `record` before: its index byte then agrees with its record.

        Raises
        ------
        IllegalMoveError
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
        IllegalMoveError
            If `record` changes the state to one that files cannot show.
        """
        if record.state not in RESTORED and STATE_OF_BYTE[self.index[slot]] is not record.state:
            self._refuse(slot, record)
        self.changes[slot] = record
        self.index[slot] = record.index_byte()

    def _refuse(self, slot: int, record: Record) -> NoReturn:
        before = STATE_OF_BYTE[self.index[slot]].word
        raise IllegalMoveError(f"at place {self.first + slot}", before, record.state.word)

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
        visits = int.from_bytes(head[16:24], "little")
        head = pack_head(self.first, index, visits + 1, shard.writer, head[:4])
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


class _Visiting:  # a class: a generator makes a visit 4 us of 60 slower
    __slots__ = ("_held", "_lock", "_shard", "_visit")

    def __init__(self, shard: "Shard") -> None:
        self._shard, self._lock = shard, shard.lock(shard.path, shard.durable)

    def __enter__(self) -> Visit:
        try:
            self._held = self._lock.__enter__()
            try:
                self._visit = Visit(self._shard, self._held.descriptor)
            except BaseException as error:
                self._lock.__exit__(type(error), error, error.__traceback__)
                raise
        except OSError as error:
            raise self._shard.error_for(error) from error
        return self._visit

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            try:
                if error is None and (self._visit.changes or self._visit.mended):
                    self._held.written = True
                    self._visit.write()
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
    """One state file; knows its place in the pool, holds nothing open between visits."""

    path: Path
    first: int  # position of its first task in the pool
    size: int  # number of its tasks
    lock: Lock
    durable: bool = True  # fsync after each visit
    writer: int = 0

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

    def visit(self) -> AbstractContextManager[Visit]:
        """Hold the lock, hand over what the file says, write the changes, let go.

        Raises
        ------
        DamagedStateError, BrokenLockError, StorageError
            If the file does not hold what was last written to it, somebody else wrote while the
            lock was held, or the disk refuses the write.
        """
        return _Visiting(self)

    def error_for(self, error: OSError) -> Exception:
        """Return what to raise when the file system refuses something."""
        missing = isinstance(error, FileNotFoundError)
        return self.damaged("missing") if missing else storage_error(error, self.path)

    def read_index(self) -> bytes:
        """Return the index without taking the lock, as it was at one moment."""
        with self._opened() as descriptor:
            for attempt in range(5):  # a read may fall into a write
                head, index, whole = self.read_head(descriptor)
                if whole and not wrong_with_head(head, self.first, self.size):
                    return bytes(index)
                time.sleep(0.002 * attempt)
            return bytes(Visit(self, descriptor).index)

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

    def record(self, slot: int) -> Record:
        """Return the record of one task without taking the lock."""
        with self._opened() as descriptor:
            for attempt in range(5):
                if found := self.read_record(descriptor, slot):
                    return found
                time.sleep(0.002 * attempt)
        raise self.damaged(f"the record of task {self.first + slot} is damaged")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            with self.path.open("rb", buffering=0) as stream:
                yield stream.fileno()
        except FileNotFoundError as error:
            raise self.damaged("missing") from error

    def read_head(self, descriptor: int) -> tuple[bytes, bytearray, bool]:
        """Return head and index as they stand in the file, and whether they agree."""
        data = os.pread(descriptor, HEAD.size + self.size, 0)
        head, index = data[: HEAD.size], bytearray(data[HEAD.size :])
        return head, index, head[-8:-4] == zlib.crc32(index).to_bytes(4, "little")

    def broken(self) -> BrokenLockError:
        """Return the error for a file that somebody else wrote while the lock was held."""
        pool = self.path.parent.parent
        return BrokenLockError(pool, f"state/{self.path.name}", file_system(self.path))
