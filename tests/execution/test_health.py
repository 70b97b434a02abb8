"""Workers that fail at everything, and nodes on which everything fails."""

import socket
from pathlib import Path

import pytest

from jobpool.execution.health import BadNode, Doubts, read_bad_nodes, write_bad_node
from jobpool.pool import Ending, Pool
from jobpool.task import Cause, Claim, Lesson, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import BEGAN, SimulatedWorker


def a_claim(number: int, attempts: int = 0) -> Claim:
    return Claim(position=number, point=(("number", number),), fence=1, attempts=attempts)


def note(doubts: Doubts, n_tasks: int, cause: Cause = Cause.ERROR, attempts: int = 0) -> None:
    for number in range(n_tasks):
        ending = Ending(claim=a_claim(number, attempts), cause=cause, lesson=Lesson(error=5))
        doubts.note(ending.claim, ending)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_pool(tmp_path, 40)


def test_a_worker_that_ends_tasks_goes_on(folder: Path) -> None:
    doubts = Doubts(folder, "node1")
    note(doubts, 12)

    note(doubts, 1, Cause.DONE)

    assert doubts.why_leave() == ""


def test_the_same_error_of_ten_tasks_in_a_row_makes_a_worker_leave(folder: Path) -> None:
    doubts = Doubts(folder, "node1")

    note(doubts, 10)

    assert doubts.why_leave().startswith("10 tasks in a row failed with the same error; see: ")


def test_different_errors_do_not_make_a_worker_leave(folder: Path) -> None:
    doubts = Doubts(folder, "node1")
    note(doubts, 11)

    doubts.note(a_claim(20), Ending(claim=a_claim(20), cause=Cause.ERROR, lesson=Lesson(error=6)))

    assert doubts.why_leave() == ""


def test_tasks_that_failed_elsewhere_say_nothing_about_a_worker(folder: Path) -> None:
    doubts = Doubts(folder, "node1")

    note(doubts, 10, attempts=1)

    assert doubts.why_leave() == ""


def test_a_node_on_which_tasks_fail_that_elsewhere_end_is_named(folder: Path) -> None:
    SimulatedWorker(folder, 8, node="node2").do(*range(20))
    bad = SimulatedWorker(folder, 9, node="node1")
    for number in range(20, 25):
        bad.fail(number)
    doubts = Doubts(folder, "node1", now=lambda: BEGAN)
    note(doubts, 5)

    why = doubts.why_leave()

    assert why.startswith("tasks fail on this node, node1, and not on others: 5 of 5 attempts")
    assert set(read_bad_nodes(folder, BEGAN)) == {"node1"}


def test_a_node_is_not_to_blame_where_tasks_fail_everywhere(folder: Path) -> None:
    good, bad = SimulatedWorker(folder, 8, node="node2"), SimulatedWorker(folder, 9, node="node1")
    for number in range(5):
        good.fail(number)
        bad.fail(number + 5)
    doubts = Doubts(folder, "node1")
    note(doubts, 5)

    assert doubts.why_leave() == ""


def test_a_worker_leaves_a_named_node_before_it_takes_a_task(
    folder: Path, jobpool: Jobpool
) -> None:
    here = socket.gethostname()
    now = Pool(folder).now()
    write_bad_node(folder, BadNode(node=here, since=now, why="its disk is full"))

    done = jobpool("work", folder)

    assert f"left: tasks fail on this node, {here}: its disk is full (no task)" in done.stderr
    assert Pool(folder).counts()[TaskState.WAITING] == 40


def test_a_study_that_cannot_succeed_costs_a_worker_ten_tasks(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path / "broken", 40, call="tests.support.tasks:fails")

    done = jobpool("work", pool)

    assert "left: 10 tasks in a row failed with the same error" in done.stderr
    assert "(10 error)" in done.stderr


def test_one_odd_error_before_does_not_hide_a_study_that_cannot_succeed(folder: Path) -> None:
    doubts = Doubts(folder, "node1")
    odd = Ending(claim=a_claim(20), cause=Cause.ERROR, lesson=Lesson(error=6))
    doubts.note(odd.claim, odd)

    note(doubts, 10)

    assert doubts.why_leave().startswith("10 tasks in a row failed with the same error")


def test_a_node_is_judged_again_after_a_task_that_was_done(folder: Path) -> None:
    SimulatedWorker(folder, 8, node="node2").do(*range(20))
    doubts = Doubts(folder, "node1", now=lambda: BEGAN)
    note(doubts, 5)
    at_first = doubts.why_leave()
    note(doubts, 1, Cause.DONE)
    bad = SimulatedWorker(folder, 9, node="node1")
    for number in range(20, 25):
        bad.fail(number)

    note(doubts, 5)

    assert (at_first, "node1" in doubts.why_leave()) == ("", True)
