"""``jobpool doctor`` and tasks that can be split: either the whole or its parts are offered."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.checks.findings import Finding
from jobpool.disk.coordination import win_election
from jobpool.execution.health import ExcludedNode, exclude_node
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.fingerprints import short_fingerprint
from jobpool.pool import Ending, Pool
from jobpool.table.records import code_of
from jobpool.task import Cause, Feedback, TaskState
from tests.support.builders import a_pool
from tests.support.parts import (
    a_split_pool,
    all_positions,
    damage_records,
    position_of,
    put,
    states_of,
)
from tests.support.simulated import SimulatedWorker

NOW = 1_700_001_000.0
WAITING, RUNNING, DONE = TaskState.WAITING, TaskState.RUNNING, TaskState.DONE
PARKED, SUPERSEDED = TaskState.PARKED, TaskState.SUPERSEDED
WHOLE = (WAITING, SUPERSEDED, SUPERSEDED, SUPERSEDED)
SPLIT = (SUPERSEDED, WAITING, WAITING, WAITING)


@pytest.fixture
def folder(fast_path: Path) -> Path:
    return a_split_pool(fast_path)


def check(folder: Path, *, repair: bool = False, alive: bool = False) -> list[Finding]:
    context = RepairContext(is_alive=lambda _: alive, server_time=NOW, repair=repair)
    return check_pool(Pool(folder), context)


def run_out_of_time(folder: Path, site: str) -> SimulatedWorker:
    worker = SimulatedWorker(folder)
    worker.fail(position_of(folder, site), Cause.TIME)
    return worker


def assert_repaired_to(folder: Path, *states: TaskState) -> None:
    """Assert that the south is found wrong, and then as it must be."""
    found = [str(finding) for finding in check(folder) if finding.is_open]
    check(folder, repair=True)

    assert found != []
    assert states_of(folder, "south") == states
    assert [str(finding) for finding in check(folder) if finding.is_open] == []


def test_a_pool_with_parts_in_order_has_no_findings(folder: Path) -> None:
    run_out_of_time(folder, "north")

    assert check(folder) == []


def test_parts_of_a_split_task_that_nobody_is_offered_are_activated(folder: Path) -> None:
    put(folder, position_of(folder, "south"), state=SUPERSEDED)

    assert_repaired_to(folder, *SPLIT)


def test_parts_that_wait_beside_their_whole_are_superseded(folder: Path) -> None:
    put(folder, position_of(folder, "south", 2), state=WAITING)

    assert_repaired_to(folder, *WHOLE)


def test_a_whole_task_that_waits_beside_a_part_that_was_run_is_superseded(folder: Path) -> None:
    run_out_of_time(folder, "south")
    SimulatedWorker(folder).do(position_of(folder, "south", 2))
    put(folder, position_of(folder, "south"), state=WAITING)

    assert_repaired_to(folder, SUPERSEDED, WAITING, DONE, WAITING)


def test_a_worker_killed_while_it_split_a_task_leaves_it_split(folder: Path) -> None:
    SimulatedWorker(folder, 9).claim(position_of(folder, "south"))
    put(folder, position_of(folder, "south", 1), state=WAITING)

    assert_repaired_to(folder, *SPLIT)


def test_a_task_that_a_living_worker_splits_is_left_alone(folder: Path) -> None:
    SimulatedWorker(folder, 9).claim(position_of(folder, "south"))
    put(folder, position_of(folder, "south", 1), state=WAITING)

    assert check(folder, alive=True) == []


def test_parts_of_a_task_that_is_done_are_superseded(folder: Path) -> None:
    SimulatedWorker(folder).do(position_of(folder, "south"))
    put(folder, position_of(folder, "south", 3), state=WAITING)

    assert_repaired_to(folder, DONE, SUPERSEDED, SUPERSEDED, SUPERSEDED)


def test_a_task_superseded_by_no_other_waits_again(fast_path: Path) -> None:
    folder = a_pool(fast_path, 3)
    put(folder, 1, state=SUPERSEDED)

    check(folder, repair=True)

    assert Pool(folder).record(1).state is WAITING


def test_the_late_result_of_a_split_task_saves_its_parts(folder: Path) -> None:
    worker = SimulatedWorker(folder)
    claim = worker.claim(position_of(folder, "south"))
    worker.pool.take_back(claim.position, claim.fence, Cause.TIME)
    worker.finish(claim)

    found = check(folder)
    check(folder, repair=True)

    assert [finding.is_open for finding in found] == [False] * 4
    assert states_of(folder, "south") == (DONE, SUPERSEDED, SUPERSEDED, SUPERSEDED)


@pytest.mark.parametrize("phase", ["all", 1, 3])
def test_a_damaged_record_of_a_whole_task_stays_whole(folder: Path, phase: str | int) -> None:
    damage_records(folder, position_of(folder, "south", phase))

    assert_repaired_to(folder, *WHOLE)


@pytest.mark.parametrize("phase", ["all", 1, 3])
def test_a_damaged_record_of_a_split_task_stays_split(folder: Path, phase: str | int) -> None:
    pool = Pool(folder)
    shard, slot = pool.locate(position_of(folder, "south"))
    with shard.transaction() as transaction:
        pool.split_in(transaction, slot)
    damage_records(folder, position_of(folder, "south", phase))

    assert_repaired_to(folder, *SPLIT)


def test_a_split_is_told_from_the_attempts_where_all_records_are_gone(folder: Path) -> None:
    run_out_of_time(folder, "south")
    run_out_of_time(folder, "north").do(position_of(folder, "north", 2))
    SimulatedWorker(folder).do(position_of(folder, "west", 1))
    damage_records(folder, *all_positions(folder))

    assert_repaired_to(folder, *SPLIT)
    assert states_of(folder, "north") == (SUPERSEDED, WAITING, DONE, WAITING)
    assert Pool(folder).record(position_of(folder, "west", 1)).state is DONE


def test_an_unsplit_task_is_whole_where_all_records_are_gone(folder: Path) -> None:
    SimulatedWorker(folder).fail(position_of(folder, "south"), Cause.MEMORY)
    damage_records(folder, *all_positions(folder))

    assert_repaired_to(folder, *WHOLE)


def an_end(folder: Path, position: int, fence: int, cause: Cause, error: str | None) -> None:
    """Claim a task and end it, as a worker of 2 cores and 4 GB does after 100 s."""
    worker = SimulatedWorker(folder)
    claim = worker.claim(position)
    feedback_of_cause = {
        Cause.MEMORY: Feedback(memory_mb=4096),
        Cause.TIME: Feedback(core_s=200),
        Cause.ERROR: Feedback(error=short_fingerprint(error)),
    }
    worker.pool.end(Ending(claim=claim, cause=cause, feedback=feedback_of_cause[cause]))
    attempt = Attempt(
        task=claim.id,
        fence=fence,
        worker=worker.name,
        cause=cause,
        started=NOW - 100 + fence,
        ended=NOW + fence,
        cores=2,
        memory_mb=4096,
        error=error,
    )
    write_attempt(folder, attempt)


def test_a_record_made_anew_knows_what_attempts_taught(fast_path: Path) -> None:
    folder = a_pool(fast_path, 3)
    an_end(folder, 1, 1, Cause.MEMORY, "killed")
    an_end(folder, 1, 2, Cause.TIME, None)
    an_end(folder, 1, 3, Cause.ERROR, "ValueError: 3")
    an_end(folder, 1, 4, Cause.ERROR, "ValueError: 4")
    before = Pool(folder).record(1)
    damage_records(folder, 1)

    check(folder, repair=True)

    after = Pool(folder).record(1)
    assert (after.bounds, after.same, after.attempts) == (before.bounds, 2, 4)
    assert after.index_byte() == before.index_byte()


def test_a_parked_task_made_anew_is_parked(fast_path: Path) -> None:
    folder = a_pool(fast_path, 3)
    an_end(folder, 1, 1, Cause.ERROR, "ValueError: 3")
    an_end(folder, 1, 2, Cause.ERROR, "ValueError: 4")
    an_end(folder, 1, 3, Cause.ERROR, "ValueError: 5")
    damage_records(folder, 1)

    check(folder, repair=True)

    assert Pool(folder).record(1).state is PARKED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"same": 3}, "3 equal errors in 0 failed attempts"),
        ({"bounds": 250}, "needs more memory than any machine has"),
    ],
)
def test_numbers_that_cannot_be_true_are_mended(
    fast_path: Path, changes: dict[str, int], said: str
) -> None:
    folder = a_pool(fast_path, 3)
    put(folder, 1, **changes)

    found = [str(finding) for finding in check(folder)]
    check(folder, repair=True)

    assert said in found[0]
    assert check(folder) == []


def test_a_bound_is_kept_by_a_repair_of_equal_errors(fast_path: Path) -> None:
    folder = a_pool(fast_path, 3)
    put(folder, 1, same=3, bounds=code_of(4096))

    check(folder, repair=True)

    assert Pool(folder).record(1).memory_mb == 4096


def a_checkpoint(folder: Path, site: str) -> Path:
    path = folder / "checkpoints" / Pool(folder).grid.id(position_of(folder, site))
    path.mkdir()
    return path


def test_the_checkpoint_of_a_split_task_is_kept_until_its_parts_are_done(folder: Path) -> None:
    path = a_checkpoint(folder, "south")
    worker = run_out_of_time(folder, "south")
    worker.do(position_of(folder, "south", 1), position_of(folder, "south", 2))

    early = check(folder)
    worker.do(position_of(folder, "south", 3))
    late = check(folder)
    check(folder, repair=True)

    assert early == []
    assert "its task is done" in str(late[0])
    assert not path.exists()


def test_a_node_that_workers_leave_is_noted(folder: Path) -> None:
    exclude_node(
        folder, ExcludedNode(node="n17", since=NOW - 60, why="9 of 9 attempts failed there")
    )

    found = check(folder)

    assert "node n17: excluded for a day" in str(found[0])
    assert not found[0].is_open


def test_marks_of_old_turns_are_removed_by_a_repair(folder: Path) -> None:
    win_election(folder, "needs", 60, NOW - 2 * 86400)
    win_election(folder, "slurm", 60, NOW)
    old, new = sorted((folder / "turns").iterdir())
    os.utime(old, (NOW - 2 * 86400, NOW - 2 * 86400))
    os.utime(new, (NOW, NOW))

    check(folder, repair=True)

    assert list((folder / "turns").iterdir()) == [new]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool in which the whole task of the south, and its first part, have results."""
    folder = a_split_pool(tmp_path_factory.mktemp("tried"))
    worker = SimulatedWorker(folder)
    worker.do(position_of(folder, "south"))
    put(folder, position_of(folder, "south", 1), state=WAITING)
    worker.do(position_of(folder, "south", 1))
    return folder


def put_states(folder: Path, site: str, states: tuple[TaskState, ...]) -> None:
    """Write states as nobody would; each task as if claim 1 of worker 1 had been the last."""
    whole = position_of(folder, site)
    for position, state in enumerate(states, start=whole):
        owner = 1 if state in {RUNNING, DONE} else 0
        put(folder, position, state=state, fence=1, owner=owner, cause=None)


def is_offered_once(states: tuple[TaskState, ...]) -> bool:
    """Say whether either a whole task or its parts are there for workers."""
    whole, *parts = states
    if whole is SUPERSEDED:
        return SUPERSEDED not in parts
    return set(parts) <= ({SUPERSEDED, RUNNING} if whole is DONE else {SUPERSEDED})


FAMILY = st.tuples(*[st.sampled_from(TaskState)] * 4)


@settings(max_examples=25, deadline=None)
@given(north=FAMILY, south=FAMILY)
def test_one_repair_mends_any_states_of_a_task_with_parts(
    tried: Path, north: tuple[TaskState, ...], south: tuple[TaskState, ...]
) -> None:
    put_states(tried, "north", north)
    put_states(tried, "south", south)

    check(tried, repair=True)

    assert [str(finding) for finding in check(tried) if finding.is_open] == []
    assert is_offered_once(states_of(tried, "north"))
    assert is_offered_once(states_of(tried, "south"))
