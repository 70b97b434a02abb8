"""``jobpool retry``, ``hold`` and ``release``: what a person does with tasks."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.admin.transitions import choose, hold, release, retry
from jobpool.errors import RequestError
from jobpool.journal.fingerprints import short_fingerprint
from jobpool.pool import Ending, Pool
from jobpool.task import Cause, Feedback, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.parts import a_split_pool, position_of, states_of
from tests.support.simulated import SimulatedWorker

ERROR = Feedback(error=short_fingerprint("ValueError: no luck"))


def everything(pool: Pool) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(pool.grid), bool)


def fail(
    folder: Path, position: int, cause: Cause = Cause.ERROR, feedback: Feedback = ERROR
) -> None:
    worker = SimulatedWorker(folder)
    claim = worker.claim(position)
    worker.write_end(claim, cause, "ValueError: no luck")
    worker.pool.end(Ending(claim=claim, cause=cause, feedback=feedback))


def park(folder: Path, position: int) -> None:
    fail(folder, position)
    fail(folder, position)
    fail(folder, position)


def state_of(folder: Path, position: int) -> TaskState:
    return Pool(folder).record(position).state


@pytest.fixture
def folder(fast_path: Path) -> Path:
    """Return a pool of ten tasks: 3 and 4 are parked, 5 failed once, 6 is done, 7 runs."""
    pool = a_pool(fast_path)
    park(pool, 3)
    park(pool, 4)
    fail(pool, 5)
    worker = SimulatedWorker(pool)
    worker.do(6)
    worker.claim(7)
    return pool


def test_parked_tasks_wait_again_as_if_they_had_never_failed(folder: Path) -> None:
    pool = Pool(folder)

    n_changed = retry(pool, everything(pool))

    record = pool.record(3)
    assert n_changed == 2
    assert (record.state, record.attempts, record.same) == (TaskState.WAITING, 0, 0)
    assert pool.record(5).attempts == 1


def test_a_task_that_is_retried_is_parked_after_as_many_errors_again(folder: Path) -> None:
    retry(Pool(folder), everything(Pool(folder)))

    fail(folder, 3)
    fail(folder, 3)
    before = state_of(folder, 3)
    fail(folder, 3)

    assert (before, state_of(folder, 3)) == (TaskState.WAITING, TaskState.PARKED)


def test_failures_of_waiting_tasks_are_forgotten_if_asked(folder: Path) -> None:
    pool = Pool(folder)

    n_changed = retry(pool, everything(pool), failed=True)

    assert n_changed == 3
    assert pool.record(5).attempts == 0


@pytest.mark.parametrize(("forget", "left"), [(False, 4096), (True, None)])
def test_bounds_are_kept_unless_they_are_to_be_forgotten(
    fast_path: Path, forget: bool, left: float | None
) -> None:
    pool = Pool(a_pool(fast_path))
    fail(pool.folder, 1, Cause.MEMORY, Feedback(memory_mb=4096))

    retry(pool, everything(pool), failed=True, forget_needs=forget)

    assert pool.record(1).memory_mb == left


def test_only_waiting_tasks_are_held(folder: Path) -> None:
    pool = Pool(folder)

    n_changed = hold(pool, everything(pool))

    assert n_changed == 6
    assert pool.counts()[TaskState.HELD] == 6
    assert state_of(folder, 7) is TaskState.RUNNING


def test_held_tasks_that_are_released_keep_their_failures(folder: Path) -> None:
    pool = Pool(folder)
    before = pool.record(5)
    hold(pool, everything(pool))

    n_changed = release(pool, everything(pool))

    assert n_changed == 6
    assert pool.record(5)._replace(changed_ms=0) == before._replace(changed_ms=0)


def test_a_dry_run_counts_without_a_change(folder: Path) -> None:
    pool = Pool(folder)
    before = pool.counts()

    n_retried = retry(pool, everything(pool), dry_run=True)
    n_held = hold(pool, everything(pool), dry_run=True)

    assert (n_retried, n_held) == (2, 6)
    assert pool.counts() == before


def test_tasks_outside_the_selection_are_left_alone(folder: Path) -> None:
    pool = Pool(folder)
    chosen = np.arange(len(pool.grid)) == 4

    assert retry(pool, chosen) == 1
    assert state_of(folder, 3) is TaskState.PARKED


def test_dormant_parts_are_not_held_with_their_whole_task(fast_path: Path) -> None:
    folder = a_split_pool(fast_path)
    pool = Pool(folder)

    n_changed = hold(pool, everything(pool))

    assert n_changed == 5
    assert states_of(folder, "south") == (TaskState.HELD, *[TaskState.SUPERSEDED] * 3)


def test_the_id_of_a_split_task_stands_for_its_parts(fast_path: Path) -> None:
    folder = a_split_pool(fast_path)
    whole = position_of(folder, "south")
    SimulatedWorker(folder).fail(whole, Cause.TIME)
    pool = Pool(folder)

    hold(pool, choose(pool, [pool.grid.id(whole)], (), ()))

    assert states_of(folder, "south") == (TaskState.SUPERSEDED, *[TaskState.HELD] * 3)


def test_tasks_are_chosen_by_the_beginning_of_their_ids(folder: Path) -> None:
    pool = Pool(folder)

    chosen = choose(pool, [pool.grid.id(3)[:6], pool.grid.id(8)], (), ())

    assert chosen.nonzero()[0].tolist() == [3, 8]


def test_ids_are_narrowed_by_a_selection(folder: Path) -> None:
    pool = Pool(folder)
    number = dict(pool.grid.point(3))["number"]

    chosen = choose(pool, [pool.grid.id(3), pool.grid.id(8)], (), (f"number={number}",))

    assert chosen.nonzero()[0].tolist() == [8]


def test_an_id_of_no_task_is_an_error(folder: Path) -> None:
    with pytest.raises(RequestError, match="no task whose id begins with 'none'"):
        choose(Pool(folder), ["none"], (), ())


def test_an_empty_id_stands_for_no_task(folder: Path, jobpool: Jobpool) -> None:
    shown = jobpool("hold", folder, "")

    assert shown.returncode == 1
    assert "the id of a task is empty; give the id, or how it begins" in shown.stderr
    assert Pool(folder).counts()[TaskState.HELD] == 0


def test_the_command_says_how_many_wait_again(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("retry", folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2 tasks wait again; what remains: jobpool status {folder}\n"
    assert state_of(folder, 3) is TaskState.WAITING


def test_nothing_to_retry_is_a_clear_line(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("retry", folder, Pool(folder).grid.id(5))

    assert done.returncode == 0
    assert done.stdout.startswith("nothing to retry: no selected task is parked\n1 task failed")


def test_holding_needs_a_selection(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("hold", folder)

    assert done.returncode == 2
    assert "say which tasks" in done.stderr
    assert Pool(folder).counts()[TaskState.HELD] == 0


def test_holding_everything_leaves_what_runs(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("hold", folder, "--all")

    assert done.stdout.splitlines() == [
        f"6 tasks held; release them with: jobpool release {folder}",
        "1 task is running and was left alone",
    ]


def test_nothing_to_release_is_a_clear_line(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("release", folder)

    assert (done.returncode, done.stdout) == (
        0,
        "nothing to release: no selected task is held\n",
    )


def test_a_dry_command_changes_nothing(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("hold", folder, "--only", "number>=0", "--dry-run")

    assert "6 tasks would be held" in done.stdout
    assert Pool(folder).counts()[TaskState.HELD] == 0


def test_bounds_of_waiting_tasks_can_be_forgotten(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 3)
    fail(folder, 1, Cause.MEMORY, Feedback(memory_mb=4096))
    pool = Pool(folder)
    retry(pool, everything(pool), failed=True)  # its failures are forgotten, not its bound

    n_changed = retry(pool, everything(pool), forget_needs=True)

    assert (n_changed, pool.record(1).memory_mb) == (1, None)
