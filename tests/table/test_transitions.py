"""What states mean, and that every kind of write keeps to the allowed transitions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jobpool.admin.transitions import hold, release, rerun, retry
from jobpool.checks.consistency import Consistency, Right
from jobpool.checks.evidence import EvidenceReader
from jobpool.checks.findings import problem
from jobpool.errors import IllegalTransitionError
from jobpool.pool import Ending, Pool
from jobpool.table import shards as state
from jobpool.task import REMAINING, SHOWN, STATES, Cause, TaskState
from tests.support.builders import a_pool
from tests.support.parts import a_split_pool, position_of, put
from tests.support.simulated import SimulatedWorker

WAITING, RUNNING, DONE, PARKED, HELD, SUPERSEDED = TaskState


def write(folder: Path, after: TaskState, *, repair: bool = False) -> None:
    """Change the state of the first task in a transaction."""
    shard, slot = Pool(folder, durable=False).locate(0)
    with shard.transaction() as transaction:
        changed = transaction.record(slot)._replace(state=after)
        (transaction.restore if repair else transaction.put)(slot, changed)


@pytest.mark.parametrize(
    ("before", "after"),
    [(one, other) for one in TaskState for other in TaskState if other not in STATES[one].becomes],
)
def test_a_transition_that_the_table_lacks_is_refused(
    fast_path: Path, before: TaskState, after: TaskState
) -> None:
    pool = a_pool(fast_path, 3)
    put(pool, 0, state=before)

    with pytest.raises(IllegalTransitionError, match=f"from {before.word} to {after.word}"):
        write(pool, after)
    assert Pool(pool).record(0).state is before


@pytest.mark.parametrize(
    ("before", "after"), [(one, other) for one in TaskState for other in STATES[one].becomes]
)
def test_a_transition_of_the_table_is_written(
    fast_path: Path, before: TaskState, after: TaskState
) -> None:
    pool = a_pool(fast_path, 3)
    put(pool, 0, state=before)

    write(pool, after)

    assert Pool(pool).record(0).state is after


@pytest.mark.parametrize("after", [RUNNING, PARKED, HELD])
def test_a_repair_makes_up_neither_a_claim_nor_the_will_of_a_person(
    fast_path: Path, after: TaskState
) -> None:
    pool = a_pool(fast_path, 3)

    with pytest.raises(IllegalTransitionError, match=f"from waiting to {after.word}"):
        write(pool, after, repair=True)


@pytest.mark.parametrize("before", TaskState)
def test_a_repair_may_mend_the_numbers_of_a_task_in_any_state(
    fast_path: Path, before: TaskState
) -> None:
    pool = a_pool(fast_path, 3)
    put(pool, 0, state=before)

    write(pool, before, repair=True)

    assert Pool(pool).record(0).state is before


def everything(pool: Pool) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(pool.grid), bool)


def claim(folder: Path) -> None:
    SimulatedWorker(folder).claim(position_of(folder, "west", 1))


def end(folder: Path) -> None:
    position = position_of(folder, "west", 2)
    worker = SimulatedWorker(folder)
    with pytest.MonkeyPatch.context() as allowed:
        allowed.setattr(state, "BECOMES", dict.fromkeys(range(256), frozenset(TaskState)))
        held = worker.claim(position)
    worker.pool.end(Ending(claim=held, cause=Cause.ERROR))


def take_back(folder: Path) -> None:
    position = position_of(folder, "west", 2)
    put(folder, position, state=RUNNING, fence=1, owner=7)
    Pool(folder, durable=False).take_back(position, 1, Cause.LOST)


def split(folder: Path) -> None:
    pool = Pool(folder, durable=False)
    shard, slot = pool.locate(position_of(folder, "north"))
    with shard.transaction() as transaction:
        pool.split_in(transaction, slot)


def hold_all(folder: Path) -> None:
    pool = Pool(folder, durable=False)
    hold(pool, everything(pool))


def release_all(folder: Path) -> None:
    put(folder, 0, state=HELD)
    pool = Pool(folder, durable=False)
    release(pool, everything(pool))


def retry_all(folder: Path) -> None:
    put(folder, 0, state=PARKED)
    pool = Pool(folder, durable=False)
    retry(pool, everything(pool))


def rerun_all(folder: Path) -> None:
    put(folder, 0, state=DONE)
    pool = Pool(folder, durable=False)
    rerun(pool, everything(pool))


@pytest.mark.parametrize(
    "writer",
    [claim, end, take_back, split, hold_all, release_all, retry_all, rerun_all],
    ids=lambda f: f.__name__,
)
def test_every_kind_of_write_asks_the_table(
    fast_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Callable[[Path], None]
) -> None:
    folder = a_split_pool(fast_path)
    monkeypatch.setattr(state, "BECOMES", dict.fromkeys(range(256), frozenset()))

    with pytest.raises(IllegalTransitionError):
        writer(folder)


def test_the_repair_of_a_contradiction_asks_the_table(fast_path: Path) -> None:
    pool = Pool(a_pool(fast_path, 3), durable=False)
    consistency = Consistency(
        pool=pool, reader=EvidenceReader(pool), is_alive=lambda _: False, now=0.0
    )
    held = {0: pool.record(0)._replace(state=HELD)}

    with pytest.raises(IllegalTransitionError, match="from waiting to held"):
        list(consistency.repair([0], lambda *_: Right(finding=problem("", ""), states=held)))


def test_a_state_is_shown_by_its_place_in_the_life_of_a_task() -> None:
    assert SHOWN == (DONE, RUNNING, WAITING, PARKED, HELD)


def test_what_waits_for_a_person_does_not_remain_for_workers() -> None:
    assert sorted(REMAINING) == [WAITING, RUNNING]
