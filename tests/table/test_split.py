"""Tasks that are too long as a whole are split into parts."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from jobpool.admin.create import create_pool
from jobpool.execution.claiming import Preferences, Puller
from jobpool.pool import Ending, Pool
from jobpool.table.grid import Grid, full_product, split_parts
from jobpool.table.records import limits_of
from jobpool.task import ALL, Axis, Cause, Claim, Feedback, TaskState
from tests.support.builders import an_experiment

NUMBERS = Axis(name="number", values=tuple(range(2000)))
PARTS = Axis(name="part", values=(ALL, 0, 1, 2))
SMALL = limits_of(4096, 3600)


class Wishes:
    """Preferences of a worker for which every whole task is too long."""

    def __init__(self, grid: Grid) -> None:
        whole = grid.parts.column == 0
        self.likely, self.split, self.possible = ~whole, whole, whole


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a pool of 2,000 tasks of three parts; the first ten are split from the start."""
    grid = split_parts(full_product([NUMBERS]), PARTS, np.arange(2000) < 10)
    experiment = an_experiment(tmp_path / "study", NUMBERS)
    pool = tmp_path / "pool"
    create_pool(pool, experiment, grid, lambda _: None, now=time.time())
    return pool


def a_claim(pool: Pool, position: int) -> Claim:
    shard, slot = pool.locate(position)
    with shard.transaction() as transaction:
        claim = pool.claim_in(transaction, slot)
    assert claim is not None
    return claim


def a_whole(pool: Pool) -> int:
    return int(np.flatnonzero(pool.grid.parts.column == 0)[5])


def states(pool: Pool, positions: list[int]) -> list[TaskState]:
    return [pool.record(position).state for position in positions]


def test_dormant_parts_are_superseded_at_first(folder: Path) -> None:
    counts = Pool(folder).counts()

    assert counts[TaskState.WAITING] == 1990 + 30
    assert counts[TaskState.SUPERSEDED] == 3 * 1990


def test_a_whole_task_lies_before_its_parts_in_one_file(folder: Path) -> None:
    pool = Pool(folder)
    wholes = np.flatnonzero(pool.grid.parts.column == 0).tolist()

    found = {
        tuple(pool.grid.parts.of(whole)) == (whole + 1, whole + 2, whole + 3) for whole in wholes
    }
    files = {pool.shard_number(whole) == pool.shard_number(whole + 3) for whole in wholes}

    assert (found, files) == ({True}, {True})


def test_a_part_knows_its_whole(folder: Path) -> None:
    pool = Pool(folder)
    whole = a_whole(pool)

    assert [pool.grid.parts.whole_of(whole + i) for i in range(4)] == [None, whole, whole, whole]


def test_a_part_that_was_split_from_the_start_has_no_whole(folder: Path) -> None:
    grid = Pool(folder).grid
    (alone,) = np.flatnonzero((grid.column("number") == 3) & (grid.column("part") == 1))

    assert grid.parts.whole_of(int(alone)) is None


def test_a_whole_task_that_ran_out_of_time_is_offered_in_parts(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    claim = a_claim(pool, a_whole(pool))

    pool.end(Ending(claim=claim, cause=Cause.TIME, feedback=Feedback(core_s=3600)))

    parts = pool.grid.parts.of(claim.position)
    assert pool.record(claim.position).state is TaskState.SUPERSEDED
    assert states(pool, parts) == [TaskState.WAITING] * 3


def test_parts_of_a_dead_workers_task_are_offered_likewise(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    claim = a_claim(pool, a_whole(pool))

    pool.take_back(claim.position, claim.fence, Cause.TIME)

    assert states(pool, pool.grid.parts.of(claim.position)) == [TaskState.WAITING] * 3


def test_a_part_that_ran_out_of_time_waits_for_more(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    whole = a_claim(pool, a_whole(pool))
    pool.end(Ending(claim=whole, cause=Cause.TIME))

    part = a_claim(pool, whole.position + 1)
    pool.end(Ending(claim=part, cause=Cause.TIME, feedback=Feedback(core_s=3600)))

    record = pool.record(part.position)
    assert record.state is TaskState.WAITING
    assert record.core_s == pytest.approx(3600, rel=0.05)


def test_a_whole_task_that_failed_otherwise_stays_whole(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    claim = a_claim(pool, a_whole(pool))

    pool.end(Ending(claim=claim, cause=Cause.MEMORY, feedback=Feedback(memory_mb=100)))

    assert pool.record(claim.position).state is TaskState.WAITING
    assert states(pool, pool.grid.parts.of(claim.position)) == [TaskState.SUPERSEDED] * 3


def test_the_late_result_of_a_task_that_was_split_changes_nothing(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    claim = a_claim(pool, a_whole(pool))
    pool.take_back(claim.position, claim.fence, Cause.TIME)

    accepted = pool.end(Ending(claim=claim, cause=Cause.DONE))

    assert not accepted
    assert pool.record(claim.position).state is TaskState.SUPERSEDED


def test_a_worker_splits_what_is_too_long_for_it(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    puller = Puller(pool, random.Random(1), limits=lambda: SMALL)
    puller.restrict(only_uncut(pool.grid))

    claim = puller.next().claim

    assert claim is not None
    whole = pool.grid.parts.whole_of(claim.position)
    assert whole is not None
    assert pool.record(whole).state is TaskState.SUPERSEDED
    assert sorted(states(pool, pool.grid.parts.of(whole))) == [
        *(TaskState.WAITING, TaskState.WAITING),
        TaskState.RUNNING,
    ]


def only_uncut(grid: Grid) -> Preferences:
    wishes = Wishes(grid)
    wishes.likely = wishes.likely & grid.parts.is_dormant
    return wishes


def test_a_worker_prefers_parts_that_fit_to_splitting_more(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    puller = Puller(pool, random.Random(1))
    puller.restrict(Wishes(pool.grid))

    claim = puller.next().claim

    assert claim is not None
    assert pool.grid.parts.whole_of(claim.position) is None
    assert pool.counts()[TaskState.SUPERSEDED] == 3 * 1990


def test_what_fits_in_no_way_is_left(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    nothing = np.zeros(len(pool.grid), bool)
    wishes = Wishes(pool.grid)
    wishes.likely = wishes.split = wishes.possible = nothing
    puller = Puller(pool, random.Random(1))

    puller.restrict(wishes)

    assert puller.next().claim is None


def test_the_ids_of_all_tasks_are_those_of_each(folder: Path) -> None:
    grid = Pool(folder).grid

    assert grid.ids() == [grid.id(position) for position in range(len(grid))]


def test_a_split_that_a_kill_left_half_done_is_ended_by_the_next_end(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    claim = a_claim(pool, a_whole(pool))
    shard, slot = pool.locate(claim.position)
    with shard.transaction() as transaction:  # the parts are written before the whole
        pool.activate_parts(transaction, slot, transaction.record(slot))

    pool.take_back(claim.position, claim.fence, Cause.LOST)

    assert pool.record(claim.position).state is TaskState.SUPERSEDED
    assert states(pool, pool.grid.parts.of(claim.position)) == [TaskState.WAITING] * 3


def test_parts_of_a_task_that_ends_for_memory_need_as_much(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    claim = a_claim(pool, a_whole(pool))
    first, second, _ = pool.grid.parts.of(claim.position)
    shard, slot = pool.locate(first)
    with shard.transaction() as transaction:  # a kill left the split half done
        transaction.restore(slot, transaction.record(slot)._replace(state=TaskState.WAITING))

    pool.take_back(claim.position, claim.fence, Cause.MEMORY, feedback=Feedback(memory_mb=1000.0))

    needed = pool.record(claim.position).memory_mb
    assert needed is not None
    assert pool.record(second).memory_mb == needed


def test_a_worker_that_may_take_no_part_leaves_the_whole_to_others(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    whole = pool.grid.parts.column == 0
    puller = Puller(pool, random.Random(1), whole)
    puller.restrict(only_uncut(pool.grid))

    claim = puller.next().claim

    assert claim is not None  # what may end well here
    assert whole[claim.position]
    assert pool.counts()[TaskState.SUPERSEDED] == 3 * 1990


def test_a_worker_with_too_little_memory_for_a_whole_does_not_split_it(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    claim = a_claim(pool, a_whole(pool))
    pool.end(Ending(claim=claim, cause=Cause.MEMORY, feedback=Feedback(memory_mb=4096)))
    only = np.arange(len(pool.grid)) == claim.position
    only[pool.grid.parts.of(claim.position)] = True
    puller = Puller(pool, random.Random(1), only, lambda: SMALL)
    puller.restrict(only_uncut(pool.grid))

    assert puller.next().claim is None
    assert pool.record(claim.position).state is TaskState.WAITING


def test_parts_need_as_much_memory_as_their_whole(folder: Path) -> None:
    pool = Pool(folder, worker=7)
    first = a_claim(pool, a_whole(pool))
    pool.end(Ending(claim=first, cause=Cause.MEMORY, feedback=Feedback(memory_mb=4096)))
    again = a_claim(pool, first.position)

    pool.end(Ending(claim=again, cause=Cause.TIME, feedback=Feedback(core_s=100)))

    part = pool.record(first.position + 1)
    assert (part.memory_mb, part.core_s) == (4096, None)
