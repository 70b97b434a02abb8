"""Workers that fail at everything, and nodes on which everything fails."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.execution.health import (
    ExcludedNode,
    FailureMonitor,
    exclude_node,
    excluded_nodes,
    nodes_to_exclude,
    readmit_node,
)
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.pool import Ending, Pool
from jobpool.task import Cause, Claim, Feedback, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import BEGAN, SimulatedWorker


def a_claim(number: int, attempts: int = 0) -> Claim:
    return Claim(position=number, point=(("number", number),), fence=1, attempts=attempts)


def note(
    monitor: FailureMonitor, n_tasks: int, cause: Cause = Cause.ERROR, attempts: int = 0
) -> None:
    for number in range(n_tasks):
        ending = Ending(claim=a_claim(number, attempts), cause=cause, feedback=Feedback(error=5))
        monitor.note(ending.claim, ending)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_pool(tmp_path, 40)


def test_a_worker_that_ends_tasks_goes_on(folder: Path) -> None:
    monitor = FailureMonitor(folder, "node1")
    note(monitor, 12)

    note(monitor, 1, Cause.DONE)

    assert monitor.why_leave() == ""


def test_the_same_error_of_ten_tasks_in_a_row_makes_a_worker_leave(folder: Path) -> None:
    monitor = FailureMonitor(folder, "node1")

    note(monitor, 10)

    assert monitor.why_leave().startswith("10 tasks in a row failed with the same error; see: ")


def test_different_errors_do_not_make_a_worker_leave(folder: Path) -> None:
    monitor = FailureMonitor(folder, "node1")
    note(monitor, 11)

    monitor.note(
        a_claim(20), Ending(claim=a_claim(20), cause=Cause.ERROR, feedback=Feedback(error=6))
    )

    assert monitor.why_leave() == ""


def test_tasks_that_failed_elsewhere_say_nothing_about_a_worker(folder: Path) -> None:
    monitor = FailureMonitor(folder, "node1")

    note(monitor, 10, attempts=1)

    assert monitor.why_leave() == ""


def test_a_node_on_which_tasks_fail_that_elsewhere_end_is_named(folder: Path) -> None:
    SimulatedWorker(folder, 8, node="node2").do(*range(20))
    bad = SimulatedWorker(folder, 9, node="node1")
    for number in range(20, 25):
        bad.fail(number)
    monitor = FailureMonitor(folder, "node1", now=lambda: BEGAN)
    note(monitor, 5)

    why = monitor.why_leave()

    assert why.startswith("tasks fail on this node, node1, and not on others: 5 of 5 attempts")
    assert set(excluded_nodes(folder, BEGAN)) == {"node1"}


def test_a_node_is_not_to_blame_where_tasks_fail_everywhere(folder: Path) -> None:
    good, bad = SimulatedWorker(folder, 8, node="node2"), SimulatedWorker(folder, 9, node="node1")
    for number in range(5):
        good.fail(number)
        bad.fail(number + 5)
    monitor = FailureMonitor(folder, "node1")
    note(monitor, 5)

    assert monitor.why_leave() == ""


def test_a_worker_leaves_a_named_node_before_it_takes_a_task(
    folder: Path, jobpool: Jobpool
) -> None:
    here = socket.gethostname()
    now = Pool(folder).now()
    exclude_node(folder, ExcludedNode(node=here, since=now, why="its disk is full"))

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
    monitor = FailureMonitor(folder, "node1")
    odd = Ending(claim=a_claim(20), cause=Cause.ERROR, feedback=Feedback(error=6))
    monitor.note(odd.claim, odd)

    note(monitor, 10)

    assert monitor.why_leave().startswith("10 tasks in a row failed with the same error")


def test_a_node_is_judged_again_after_a_task_that_was_done(folder: Path) -> None:
    SimulatedWorker(folder, 8, node="node2").do(*range(20))
    monitor = FailureMonitor(folder, "node1", now=lambda: BEGAN)
    note(monitor, 5)
    at_first = monitor.why_leave()
    note(monitor, 1, Cause.DONE)
    bad = SimulatedWorker(folder, 9, node="node1")
    for number in range(20, 25):
        bad.fail(number)

    note(monitor, 5)

    assert (at_first, "node1" in monitor.why_leave()) == ("", True)


NOW = 1_700_000_000.0
DAY_S = 86400.0


def attempts(node: str | None, *causes: Cause, task: str = "") -> list[Attempt]:
    """Return attempts on a node, each of a task of its own unless one is given."""
    return [
        Attempt(
            task=task or f"task{number}",
            fence=number,
            worker="00000000000a",
            cause=cause,
            started=NOW,
            ended=NOW + number,
            node=node,
        )
        for number, cause in enumerate(causes)
    ]


def names(found: Sequence[ExcludedNode]) -> list[str]:
    return [one.node for one in found]


def write_all(folder: Path, written: Sequence[Attempt]) -> None:
    for attempt in written:
        write_attempt(folder, attempt)


GOOD = attempts("good", *[Cause.DONE] * 10, *[Cause.ERROR] * 2)


def test_a_node_where_different_tasks_fail_is_named() -> None:
    found = nodes_to_exclude([*GOOD, *attempts("bad", *[Cause.ERROR] * 3, *[Cause.LOST] * 3)])

    assert names(found) == ["bad"]
    assert found[0].since == NOW + 5
    assert "6 of 6 attempts failed there, of 6 different tasks" in found[0].why


def test_one_task_that_fails_often_blames_no_node() -> None:
    assert nodes_to_exclude([*GOOD, *attempts("bad", *[Cause.ERROR] * 9, task="poison")]) == ()


def test_few_failures_blame_no_node() -> None:
    assert nodes_to_exclude([*GOOD, *attempts("bad", *[Cause.ERROR] * 4)]) == ()


def test_a_node_where_enough_is_done_is_good() -> None:
    mixed = attempts("mixed", *[Cause.ERROR] * 7, *[Cause.DONE] * 2)

    assert nodes_to_exclude([*GOOD, *mixed]) == ()


def test_tasks_that_fail_everywhere_blame_no_node() -> None:
    everywhere = [*attempts("a", *[Cause.ERROR] * 9), *attempts("b", *[Cause.ERROR] * 9)]

    assert nodes_to_exclude(everywhere) == ()


def test_the_only_node_there_is_cannot_be_told_from_its_tasks() -> None:
    assert nodes_to_exclude(attempts("only", *[Cause.ERROR] * 9)) == ()


@pytest.mark.parametrize(
    "cause", [Cause.MEMORY, Cause.TIME, Cause.PREEMPTED, Cause.CANCELLED, Cause.STORAGE]
)
def test_causes_that_are_no_fault_of_a_node_do_not_blame_it(cause: Cause) -> None:
    assert nodes_to_exclude([*GOOD, *attempts("bad", *[cause] * 9)]) == ()


def test_attempts_on_unknown_nodes_blame_none() -> None:
    assert nodes_to_exclude([*GOOD, *attempts(None, *[Cause.LOST] * 9)]) == ()


def test_a_node_is_left_for_a_day(tmp_path: Path) -> None:
    bad = ExcludedNode(node="rack/3:n17", since=NOW, why="everything fails")

    exclude_node(tmp_path, bad)

    assert excluded_nodes(tmp_path, NOW + 60) == {bad.node: bad}
    assert excluded_nodes(tmp_path, NOW + DAY_S + 1) == {}


def test_a_node_that_is_forgotten_is_used_again(tmp_path: Path) -> None:
    exclude_node(tmp_path, ExcludedNode(node="n17", since=NOW, why=""))

    assert readmit_node(tmp_path, "n17")
    assert not readmit_node(tmp_path, "n17")
    assert excluded_nodes(tmp_path, NOW) == {}


def test_a_damaged_note_of_a_node_is_passed_over(tmp_path: Path) -> None:
    exclude_node(tmp_path, ExcludedNode(node="n17", since=NOW, why=""))
    (tmp_path / "bad-nodes" / "n17.json").write_bytes(b"{}")

    assert excluded_nodes(tmp_path, NOW) == {}


def test_a_pool_without_bad_nodes_has_no_folder_for_them(tmp_path: Path) -> None:
    assert excluded_nodes(tmp_path, NOW) == {}


def test_errors_names_a_node_that_looks_bad(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_pool(fast_path, 10)
    ids = Pool(folder).grid.ids()
    write_all(folder, [replace(one, task=ids[one.fence % 10]) for one in GOOD])
    bad = attempts("n17", *[Cause.ERROR] * 6)
    write_all(folder, [replace(one, task=ids[one.fence]) for one in bad])

    shown = jobpool("errors", folder).stdout

    assert "node n17 looks bad, the last time " in shown


def test_a_node_is_released_by_a_command(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_pool(fast_path, 3)
    exclude_node(folder, ExcludedNode(node="n17", since=4e9, why="everything fails"))

    first = jobpool("release", folder, "--node", "n17")
    again = jobpool("release", folder, "--node", "n17")

    assert first.stdout == "node n17 is no longer excluded\n"
    assert again.stdout == "n17 is not excluded; excluded nodes: none\n"
