"""One state file: its damage, and its repair from its intact records and the evidence.

A repair writes in place, under the file's lock, so that a worker that waits for the lock finds the
repaired file. An interrupted repair is run again. The old content is kept in ``state/NN.damaged``.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from jobpool.checks.findings import Finding, note, problem
from jobpool.checks.rebuild import Rebuilder
from jobpool.disk.causes import storage_error
from jobpool.disk.files import create_exclusively, set_aside
from jobpool.disk.inside import make_folder
from jobpool.disk.locks import Held
from jobpool.errors import AccessError
from jobpool.table.records import RECORD, UNREAD, Record, unpack_record, with_accepted
from jobpool.table.shards import HEAD, MAGIC, Shard, is_newer, new_shard, wrong_with_head
from jobpool.task import TaskState
from jobpool.units import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A state file as it was read under its lock."""

    wrong: tuple[str, ...]  # empty: the file is whole
    records: tuple[Record | None, ...]  # None where the record is damaged
    behind: tuple[int, ...] = ()  # slots whose index byte is older than the record
    newer: bool = False  # of a format that must not be touched
    # accepted records by position, also such that no record refers to (any more)
    accepted: Mapping[int, Record] = field(default_factory=dict)


def read_locked(shard: Shard) -> bytes | None:
    """Return the content of a state file while no worker writes it; None if there is no file.

    Raises
    ------
    AccessError
        If it cannot be opened for the lock.
    """
    try:
        with shard.locked(durable=False) as held:
            return _read(held.descriptor)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        what = "cannot be locked without write permission; ask the pool's owner"
        raise AccessError(shard.path, what) from error


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def inspect(shard: Shard, content: bytes | None) -> Inspected:
    """Return the damage in the content of a state file."""
    if content is None:
        return Inspected(wrong=("missing",), records=(None,) * shard.size)
    begin = shard.record_offset(0)
    records, accepted = _unpack_all(shard, content)
    head, index = content[: HEAD.size], content[HEAD.size : HEAD.size + shard.size]
    wrong = list(_wrong_size(shard, content))
    newer = is_newer(head)
    if len(head) == HEAD.size and (what := wrong_with_head(head, shard.first, shard.size)):
        wrong.append(what)
    if not wrong and int.from_bytes(head[-8:-4], "little") != zlib.crc32(index):
        wrong.append("its index does not match its checksum")
    if any(content[HEAD.size + shard.size : begin]):
        wrong.append("there are unexpected bytes between the index and the records")
    if None in records:
        wrong.append(f"{records.count(None):,} of {shard.size:,} records are damaged")
    behind = tuple(
        slot
        for slot, (record, byte) in enumerate(zip(records, index, strict=False))
        if record is not None and record.index_byte() != byte
    )
    return Inspected(
        wrong=tuple(wrong), records=records, behind=behind, newer=newer, accepted=accepted
    )


def _unpack_all(
    shard: Shard, content: bytes
) -> tuple[tuple[Record | None, ...], dict[int, Record]]:
    """Return all records, and those of accepted results by position."""
    whole = content.ljust(shard.accepted_offset(shard.size), b"\0")
    records, accepted = list[Record | None](), dict[int, Record]()
    for slot in range(shard.size):
        position = shard.first + slot
        at, behind = shard.record_offset(slot), shard.accepted_offset(slot)
        found = unpack_record(whole[at : at + RECORD.size], position)
        packed = whole[behind : behind + RECORD.size]
        if found is not None and found.accepted is UNREAD:
            found = with_accepted(found, packed, position)
        records.append(found)
        kept = unpack_record(packed, position) if any(packed) else None
        if kept is not None and kept.state is TaskState.DONE and kept.accepted is None:
            accepted[position] = kept
    return tuple(records), accepted


def _wrong_size(shard: Shard, content: bytes) -> Iterator[str]:
    short, long = shard.record_offset(shard.size), shard.accepted_offset(shard.size)
    expected = long if content[:4] == MAGIC else short
    # longer than its head says: the process that made room for accepted records was killed
    if len(content) not in {expected, long}:
        word = "truncated" if len(content) < expected else "too long"
        yield f"{word}: {len(content):,} bytes instead of {expected:,}"
    if content and not any(content):
        yield "it contains only zeros"


def findings_of(shard: Shard, inspected: Inspected) -> Iterator[Finding]:
    """Yield the findings about a state file."""
    place = f"state/{shard.path.name}"
    if inspected.wrong:
        yield problem(place, "; ".join(inspected.wrong), repairable=not inspected.newer)
    elif inspected.behind:
        n_behind = count(len(inspected.behind), "task")
        what = f"the index is older than the records of {n_behind}: a worker was killed between "
        what += "two writes; the next worker to read them corrects it"
        yield note(place, what, repairable=True)


def rebuild_shard(shard: Shard, make_rebuilder: Callable[[], Rebuilder]) -> int:
    """Rebuild a state file, and return how many of its records were made from the evidence.

    Parameters
    ----------
    shard : Shard
        Its intact records are kept.
    make_rebuilder : callable
        Called under the file's lock, where a record is damaged: what it makes the damaged ones
        from is then no older than they are.
    """
    held: AbstractContextManager[Held | None]
    make_folder(shard.path.parent)
    held = shard.locked(durable=True) if shard.path.exists() else nullcontext()
    try:
        with held as lock:
            content = _read(lock.descriptor) if lock else None
            inspected = inspect(shard, content)
            records = _rebuilt(shard, inspected, make_rebuilder)
            _keep(shard, content)
            whole = new_shard(shard.first, records)
            if lock is None:
                create_exclusively(shard.path, whole)
            else:
                lock.written = True
                _overwrite(lock.descriptor, whole)
    except FileExistsError:  # another repair was faster
        return 0
    except OSError as error:
        raise storage_error(error, shard.path) from error
    return inspected.records.count(None)


def _rebuilt(
    shard: Shard, inspected: Inspected, make_rebuilder: Callable[[], Rebuilder]
) -> list[Record]:
    """Return all records, the damaged ones made from the evidence."""
    known = dict(enumerate(inspected.records, start=shard.first))
    intact = [record for record in inspected.records if record is not None]
    if len(intact) == len(known):
        return intact
    rebuilder, accepted = make_rebuilder(), inspected.accepted
    return [
        record or rebuilder.record_of(position, known, accepted.get(position))
        for position, record in known.items()
    ]


def _keep(shard: Shard, content: bytes | None) -> None:
    if content is not None:
        set_aside(shard.path, content)


def _overwrite(descriptor: int, content: bytes) -> None:
    view, offset = memoryview(content), 0
    while offset < len(content):
        offset += os.pwrite(descriptor, view[offset:], offset)
    os.ftruncate(descriptor, len(content))
