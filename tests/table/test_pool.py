"""Claims: random, fewest failures first, selected, fenced."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jobpool.disk.files import write_json
from jobpool.errors import PoolError, RequestError
from jobpool.execution.claiming import Puller
from jobpool.pool import Ending, Pool
from jobpool.table.selection import select
from jobpool.task import Cause, Claim, TaskState
from tests.support.builders import a_pool


def claim_all(folder: Path, seed: int, worker: int = 1) -> list[int]:
    pool = Pool(folder, worker=worker)
    puller = Puller(pool, random.Random(seed))
    claims = iter(lambda: puller.next().claim, None)
    return [claim.position for claim in claims if claim is not None]


def first_claim(pool: Pool, seed: int = 1) -> Claim:
    claim = Puller(pool, random.Random(seed)).next().claim
    assert claim is not None
    return claim


def test_every_task_is_claimed_once(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 200)

    positions = claim_all(folder, seed=1)

    assert sorted(positions) == list(range(200))


def test_the_same_seed_gives_the_same_claims(tmp_path: Path) -> None:
    one, other = a_pool(tmp_path / "a", 200), a_pool(tmp_path / "b", 200)

    assert claim_all(one, seed=5) == claim_all(other, seed=5)


def test_another_seed_gives_other_claims(tmp_path: Path) -> None:
    one, other = a_pool(tmp_path / "a", 200), a_pool(tmp_path / "b", 200)

    assert claim_all(one, seed=5) != claim_all(other, seed=6)


def test_tasks_that_failed_least_come_first(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path, 100), worker=1)
    failed = first_claim(pool)
    pool.end(Ending(claim=failed, cause=Cause.ERROR))

    positions = claim_all(pool.folder, seed=1)

    assert positions[-1] == failed.position


def test_tasks_of_all_shards_that_failed_least_come_first(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 9_000)  # three state files
    pool = Pool(folder, worker=1, durable=False)
    last = pool.shards[-1]
    puller = Puller(pool, random.Random(1), np.arange(9_000) < last.first)
    claims = [puller.next().claim for _ in range(last.first)]
    for claim in filter(None, claims):
        pool.end(Ending(claim=claim, cause=Cause.ERROR))

    first = first_claim(Pool(folder, worker=2), seed=9)

    assert first.position >= last.first


def test_a_cancelled_task_does_not_go_to_the_end_of_the_queue(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path, 5), worker=1)
    cancelled = first_claim(pool)

    pool.end(Ending(claim=cancelled, cause=Cause.CANCELLED))

    assert pool.record(cancelled.position).attempts == 0


def test_a_claim_is_within_the_selection(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path, 50), worker=1)
    puller = Puller(pool, random.Random(1), select(pool.grid, ["number>=40"]))

    claims = list(iter(lambda: puller.next().claim, None))

    numbers = [claim.point[0][1] for claim in claims if claim is not None]
    assert sorted(numbers) == list(range(40, 50))


def n_transactions(pool: Pool) -> int:
    return int.from_bytes(pool.shards[0].path.read_bytes()[16:24], "little")


def test_ending_one_task_claims_the_next_in_one_visit(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path, 50), worker=1)
    puller = Puller(pool, random.Random(1))
    first = puller.next().claim
    assert first is not None
    before = n_transactions(pool)

    turn = puller.next(Ending(claim=first, cause=Cause.DONE))

    assert turn.accepted is True
    assert turn.claim is not None
    assert n_transactions(pool) == before + 1


def test_each_claim_on_a_task_has_a_higher_number(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path, 1), worker=1)
    fences = []

    for _ in range(3):
        claim = first_claim(pool)
        fences.append(claim.fence)
        pool.end(Ending(claim=claim, cause=Cause.ERROR))

    assert fences == [1, 2, 3]


def test_the_end_of_a_claim_that_was_given_to_another_changes_nothing(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    slow, quick = Pool(folder, worker=1), Pool(folder, worker=2)
    old = first_claim(slow)
    quick.take_back(old.position, old.fence, Cause.LOST)
    new = first_claim(quick)

    accepted = slow.end(Ending(claim=old, cause=Cause.DONE))

    assert accepted is False
    assert slow.record(0).owner == 2
    assert quick.end(Ending(claim=new, cause=Cause.DONE)) is True


def test_a_late_result_counts_if_nobody_has_begun_the_task_again(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    slow = Pool(folder, worker=1)
    claim = first_claim(slow)
    Pool(folder, worker=2).take_back(claim.position, claim.fence, Cause.LOST)

    accepted = slow.end(Ending(claim=claim, cause=Cause.DONE))

    assert accepted is True
    assert slow.counts()[TaskState.DONE] == 1


def test_a_late_result_counts_though_another_worker_failed_meanwhile(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    slow, other = Pool(folder, worker=1), Pool(folder, worker=2)
    claim = first_claim(slow)
    other.take_back(claim.position, claim.fence, Cause.LOST)
    other.end(Ending(claim=first_claim(other), cause=Cause.ERROR))

    accepted = slow.end(Ending(claim=claim, cause=Cause.DONE))

    record = slow.record(0)
    assert accepted is True
    assert (record.state, record.fence, record.owner) == (TaskState.DONE, 1, 1)


def test_a_claim_that_has_ended_cannot_be_taken_back(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path, 1), worker=1)
    claim = first_claim(pool)
    pool.end(Ending(claim=claim, cause=Cause.DONE))

    assert pool.take_back(claim.position, claim.fence, Cause.LOST) is False


def test_claims_spread_over_the_whole_pool(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 400)

    firsts = Counter(first_claim(Pool(folder, worker=n), seed=n).position // 100 for n in range(80))

    assert len(firsts) == 4


def test_a_folder_that_is_no_pool_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="not a pool; make one with: jobpool init"):
        Pool(tmp_path)


def test_a_pool_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such folder"):
        Pool(tmp_path / "none")


def test_a_pool_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    write_json(folder / "pool.json", {"format": 99})

    with pytest.raises(PoolError, match="format 99, but this jobpool knows formats up to 2"):
        Pool(folder)


def test_a_damaged_pool_file_is_named(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    (folder / "pool.json").write_bytes(b"{}")

    with pytest.raises(PoolError, match=r"pool\.json is damaged"):
        Pool(folder)


def test_a_damaged_grid_is_named(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 10)
    data = bytearray((folder / "tasks.npz").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "tasks.npz").write_bytes(data)

    with pytest.raises(PoolError, match=r"tasks\.npz: damaged"):
        _ = Pool(folder).grid
