"""One state file: what is wrong with it, and its repair from its intact records and the evidence.

A repair happens under the file's lock and in place, so that a worker that waits for the lock
finds the repaired file; cut short, it is simply begun again. What was there before is kept in
``state/NN.damaged``.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from jobpool.checks.findings import Finding, note, problem
from jobpool.checks.remaking import Remaker
from jobpool.errors import AccessError
from jobpool.files import create_exclusively, newer_format, replace_whole, storage_error
from jobpool.lock import Held
from jobpool.records import RECORD, Record, unpack_record
from jobpool.state import HEAD, MAGIC, Shard, new_shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A state file as it was read under its lock."""

    wrong: tuple[str, ...]  # empty: the file is whole
    records: tuple[Record | None, ...]  # None where the record is damaged
    behind: tuple[int, ...] = ()  # slots whose index byte is older than the record
    newer: bool = False  # of a format that must not be touched


def read_locked(shard: Shard) -> bytes | None:
    """Return the content of a state file while nobody writes it; None if there is no file.

    Raises
    ------
    AccessError
        If it cannot be opened for the lock.
    """
    try:
        with shard.lock(shard.path, False) as held:
            return _read(held.descriptor)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        what = "cannot be locked without the permission to write; ask the pool's owner"
        raise AccessError(shard.path, what) from error


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def inspect(shard: Shard, content: bytes | None) -> Inspected:
    """Return what is wrong with the content of a state file."""
    if content is None:
        return Inspected(wrong=("missing",), records=(None,) * shard.size)
    begin = shard.record_offset(0)
    packed = content[begin : begin + RECORD.size * shard.size]
    whole = packed.ljust(RECORD.size * shard.size, b"\0")
    records = tuple(
        unpack_record(whole[RECORD.size * slot : RECORD.size * (slot + 1)], shard.first + slot)
        for slot in range(shard.size)
    )
    head, index = content[: HEAD.size], content[HEAD.size : HEAD.size + shard.size]
    wrong = [*_wrong_size(shard, content), *_wrong_head(shard, head)]
    newer = bool(wrong) and _is_newer(head)
    if not wrong and int.from_bytes(head[-8:-4], "little") != zlib.crc32(index):
        wrong.append("its index does not fit its checksum")
    if any(content[HEAD.size + shard.size : begin]):
        wrong.append("there is something between the index and the records")
    if None in records:
        wrong.append(f"{records.count(None):,} of {shard.size:,} records are damaged")
    behind = tuple(
        slot
        for slot, (record, byte) in enumerate(zip(records, index, strict=False))
        if record is not None and record.index_byte() != byte
    )
    return Inspected(wrong=tuple(wrong), records=records, behind=behind, newer=newer)


def _wrong_size(shard: Shard, content: bytes) -> Iterator[str]:
    expected = shard.record_offset(shard.size)
    if len(content) != expected:
        word = "truncated" if len(content) < expected else "too long"
        yield f"{word}: {len(content):,} bytes instead of {expected:,}"
    if content and not any(content):
        yield "it holds nothing but zeros"


def _wrong_head(shard: Shard, head: bytes) -> Iterator[str]:
    if len(head) < HEAD.size:
        return
    if head[-4:] != zlib.crc32(head[:-4]).to_bytes(4, "little"):
        yield "its head is damaged"
        return
    magic, size, first, *_ = HEAD.unpack(head)
    if magic != MAGIC:
        yield newer_format(magic.decode(errors="replace"), MAGIC.decode())
    elif (size, first) != (shard.size, shard.first):
        yield "it belongs to another place in the pool"


def _is_newer(head: bytes) -> bool:
    fits = len(head) == HEAD.size and head[-4:] == zlib.crc32(head[:-4]).to_bytes(4, "little")
    return fits and head[:4] != MAGIC and head[:2] == MAGIC[:2]


def findings_of(shard: Shard, inspected: Inspected) -> Iterator[Finding]:
    """Yield what to tell about a state file."""
    place = f"state/{shard.path.name}"
    if inspected.wrong:
        yield problem(place, "; ".join(inspected.wrong), repairable=not inspected.newer)
    elif inspected.behind:
        what = f"the index is behind the record for {len(inspected.behind):,} of the tasks: a "
        what += "worker was killed between two writes; the next that comes upon them mends it"
        yield note(place, what, repairable=True)


def rebuild(shard: Shard, remaker: Remaker) -> int:
    """Write a state file anew, and return how many records were made from the evidence.

    Parameters
    ----------
    shard : Shard
        Its intact records are kept.
    remaker : Remaker
        Makes the damaged ones.
    """
    held: AbstractContextManager[Held | None]
    shard.path.parent.mkdir(exist_ok=True)
    held = shard.lock(shard.path, True) if shard.path.exists() else nullcontext()
    try:
        with held as lock:
            content = _read(lock.descriptor) if lock else None
            inspected = inspect(shard, content)
            known = dict(enumerate(inspected.records, start=shard.first))
            records = [
                record or remaker.remake(position, known) for position, record in known.items()
            ]
            _keep(shard, content)
            whole = new_shard(shard.first, records)
            if lock is None:
                create_exclusively(shard.path, whole)
            else:
                lock.written = True
                _overwrite(lock.descriptor, whole)
    except OSError as error:
        raise storage_error(error, shard.path) from error
    return inspected.records.count(None)


def _keep(shard: Shard, content: bytes | None) -> None:
    if content is not None:
        replace_whole(shard.path.with_name(f"{shard.path.name}.damaged"), content)


def _overwrite(descriptor: int, content: bytes) -> None:
    view, offset = memoryview(content), 0
    while offset < len(content):
        offset += os.pwrite(descriptor, view[offset:], offset)
    os.ftruncate(descriptor, len(content))
