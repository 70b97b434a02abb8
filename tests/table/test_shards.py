"""The state table: damage is noticed, a lock that does not lock is noticed, a kill is mended."""

import errno
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobpool.disk.locks import LOCKS, Held, best_lock, holds
from jobpool.errors import BrokenLockError, DamagedStateError
from jobpool.execution.claiming import Puller
from jobpool.pool import Ending, Pool
from jobpool.table import shards
from jobpool.table.records import RECORD, Record, unpack_record
from jobpool.table.settings import WorkerSettings
from jobpool.table.shards import HEAD, Shard
from jobpool.task import Cause, Claim, TaskState
from tests.support.builders import a_pool, shard_files

N_TASKS = 20


@pytest.fixture
def pool(tmp_path: Path, pool_template: Path) -> Path:
    """Return a pool of 20 tasks of which 7 are done."""
    return Path(shutil.copytree(pool_template, tmp_path / "pool"))


@pytest.fixture(scope="module")
def pool_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = a_pool(tmp_path_factory.mktemp("template"), N_TASKS)
    opened = Pool(folder, worker=1)
    puller = Puller(opened, random.Random(1))
    turn = puller.next()
    for _ in range(7):
        assert turn.claim is not None
        turn = puller.next(Ending(claim=turn.claim, cause=Cause.DONE))
    assert turn.claim is not None
    opened.end(Ending(claim=turn.claim, cause=Cause.CANCELLED))
    return folder


def file_size() -> int:
    return (HEAD.size + N_TASKS + 63) // 64 * 64 + N_TASKS * RECORD.size


def right_or_refused(folder: Path) -> bool:
    """Say whether counting gives the truth or a named refusal, never a wrong number."""
    try:
        counts = Pool(folder).counts()
    except DamagedStateError as error:
        return "state/00" in str(error) and "doctor" in str(error)
    return (counts[TaskState.DONE], counts[TaskState.WAITING]) == (7, N_TASKS - 7)


def all_records_right(folder: Path) -> bool:
    """Say whether every record is either the truth or refused."""
    pool = Pool(folder)
    try:
        done = sum(pool.record(i).state is TaskState.DONE for i in range(N_TASKS))
    except DamagedStateError:
        return True
    return done == 7


@pytest.mark.parametrize("offset", range(0, file_size(), 3))
def test_a_flipped_byte_never_gives_a_wrong_count(pool: Path, offset: int) -> None:
    (path,) = shard_files(pool)
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)

    assert right_or_refused(pool)
    assert all_records_right(pool)


@pytest.mark.parametrize("length", [0, 10, HEAD.size, HEAD.size + 5, 200, file_size() - 1])
def test_a_truncated_file_never_gives_a_wrong_count(pool: Path, length: int) -> None:
    (path,) = shard_files(pool)
    os.truncate(path, length)

    assert right_or_refused(pool)
    assert all_records_right(pool)


def test_a_zeroed_file_is_refused(pool: Path) -> None:
    (path,) = shard_files(pool)
    path.write_bytes(bytes(path.stat().st_size))

    with pytest.raises(DamagedStateError, match=r"state/00: .*jobpool doctor"):
        Pool(pool).counts()


def test_a_missing_file_is_refused(pool: Path) -> None:
    (path,) = shard_files(pool)
    path.unlink()

    with pytest.raises(DamagedStateError, match="missing"):
        Pool(pool).counts()


def test_a_file_of_another_place_is_refused(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 8_000)
    first, second = shard_files(folder)
    first.write_bytes(second.read_bytes())

    with pytest.raises(DamagedStateError, match="belongs to another place"):
        Pool(folder).counts()


def test_a_worker_refuses_a_damaged_record(pool: Path) -> None:
    shard = Pool(pool).shards[0]
    data = bytearray(shard.path.read_bytes())
    data[shard.record_offset(0) :] = bytes(N_TASKS * RECORD.size)
    shard.path.write_bytes(data)

    with pytest.raises(DamagedStateError, match="the record of task"):
        Puller(Pool(pool, worker=2), random.Random(1)).next()


def test_an_index_behind_its_records_is_mended_by_the_next_transaction(pool: Path) -> None:
    (path,) = shard_files(pool)
    before = path.read_bytes()
    worker = Pool(pool, worker=2)
    claim = Puller(worker, random.Random(1)).next().claim
    assert claim is not None
    after = path.read_bytes()
    records = worker.shards[0].record_offset(0)
    path.write_bytes(before[:records] + after[records:])  # killed after the records

    claimed = [c.position for c in iter(lambda: next_claim(pool), None) if c is not None]

    assert claim.position not in claimed
    assert len(claimed) == N_TASKS - 7 - 1


def next_claim(pool: Path) -> Claim | None:
    return Puller(Pool(pool, worker=3), random.Random()).next().claim


def test_a_torn_index_is_rebuilt_from_the_records(pool: Path) -> None:
    (path,) = shard_files(pool)
    data = bytearray(path.read_bytes())
    data[HEAD.size : HEAD.size + N_TASKS] = bytes(N_TASKS)
    path.write_bytes(data)

    counts = Pool(pool).counts()

    assert (counts[TaskState.DONE], counts[TaskState.WAITING]) == (7, N_TASKS - 7)


def test_a_record_moved_to_another_task_is_noticed() -> None:
    packed = Record(fence=3).pack(position=5)

    assert unpack_record(packed, 6) is None


@contextmanager
def no_lock(path: Path, durable: bool) -> Iterator[Held]:
    """Pretend to lock, as some network file systems do."""
    descriptor = os.open(path, os.O_RDWR)
    yield Held(descriptor)
    os.close(descriptor)


def test_a_lock_that_does_not_lock_is_noticed(pool: Path) -> None:
    shard = replace(Pool(pool, worker=2).shards[0], lock=no_lock)
    other = replace(Pool(pool, worker=3).shards[0], lock=no_lock)

    with pytest.raises(BrokenLockError, match=r"locks do not hold on this \w+ file system"):
        write_while_another_writes(shard, other)


def write_while_another_writes(shard: Shard, other: Shard) -> None:
    with shard.transaction() as mine:
        mine.put(0, Record(fence=1))
        with other.transaction() as theirs:
            theirs.put(1, Record(fence=1))


@pytest.mark.parametrize("kind", sorted(LOCKS))
def test_every_kind_of_lock_holds_on_a_local_disk(tmp_path: Path, kind: str) -> None:
    assert holds(kind, tmp_path)


def test_the_kernels_lock_is_preferred(tmp_path: Path) -> None:
    assert best_lock(tmp_path) == "flock"


@pytest.mark.parametrize("kind", sorted(LOCKS))
def test_a_blip_of_the_disk_is_outlasted_with_every_lock(
    fast_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(a_pool(fast_path, 1, settings=WorkerSettings(lock=kind)))
    blips, whole = [OSError(errno.ESTALE, "Stale file handle")], shards.Transaction

    def begun(*given: Any) -> Any:
        if blips:
            raise blips.pop()
        return whole(*given)

    monkeypatch.setattr(shards, "Transaction", begun)

    with pool.shards[0].transaction():
        assert not blips
