"""Nodes on which many different tasks fail are named and left."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.execution.health import (
    BadNode,
    forget_node,
    read_bad_nodes,
    suspect_nodes,
    write_bad_node,
)
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.pool import Pool
from jobpool.task import Cause
from tests.conftest import Jobpool
from tests.support.builders import a_pool

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


def names(found: Sequence[BadNode]) -> list[str]:
    return [one.node for one in found]


def write_all(folder: Path, written: Sequence[Attempt]) -> None:
    for attempt in written:
        write_attempt(folder, attempt)


GOOD = attempts("good", *[Cause.DONE] * 10, *[Cause.ERROR] * 2)


def test_a_node_where_different_tasks_fail_is_named() -> None:
    found = suspect_nodes([*GOOD, *attempts("bad", *[Cause.ERROR] * 3, *[Cause.LOST] * 3)])

    assert names(found) == ["bad"]
    assert found[0].since == NOW + 5
    assert "6 of 6 attempts failed there, of 6 different tasks" in found[0].why


def test_one_task_that_fails_often_blames_no_node() -> None:
    assert suspect_nodes([*GOOD, *attempts("bad", *[Cause.ERROR] * 9, task="poison")]) == ()


def test_few_failures_blame_no_node() -> None:
    assert suspect_nodes([*GOOD, *attempts("bad", *[Cause.ERROR] * 4)]) == ()


def test_a_node_where_enough_is_done_is_good() -> None:
    mixed = attempts("mixed", *[Cause.ERROR] * 7, *[Cause.DONE] * 2)

    assert suspect_nodes([*GOOD, *mixed]) == ()


def test_tasks_that_fail_everywhere_blame_no_node() -> None:
    everywhere = [*attempts("a", *[Cause.ERROR] * 9), *attempts("b", *[Cause.ERROR] * 9)]

    assert suspect_nodes(everywhere) == ()


def test_the_only_node_there_is_cannot_be_told_from_its_tasks() -> None:
    assert suspect_nodes(attempts("only", *[Cause.ERROR] * 9)) == ()


@pytest.mark.parametrize(
    "cause", [Cause.MEMORY, Cause.TIME, Cause.PREEMPTED, Cause.CANCELLED, Cause.STORAGE]
)
def test_causes_that_are_no_fault_of_a_node_do_not_blame_it(cause: Cause) -> None:
    assert suspect_nodes([*GOOD, *attempts("bad", *[cause] * 9)]) == ()


def test_attempts_on_unknown_nodes_blame_none() -> None:
    assert suspect_nodes([*GOOD, *attempts(None, *[Cause.LOST] * 9)]) == ()


def test_a_node_is_left_for_a_day(tmp_path: Path) -> None:
    bad = BadNode(node="rack/3:n17", since=NOW, why="everything fails")

    write_bad_node(tmp_path, bad)

    assert read_bad_nodes(tmp_path, NOW + 60) == {bad.node: bad}
    assert read_bad_nodes(tmp_path, NOW + DAY_S + 1) == {}


def test_a_node_that_is_forgotten_is_used_again(tmp_path: Path) -> None:
    write_bad_node(tmp_path, BadNode(node="n17", since=NOW, why=""))

    assert forget_node(tmp_path, "n17")
    assert not forget_node(tmp_path, "n17")
    assert read_bad_nodes(tmp_path, NOW) == {}


def test_a_damaged_note_of_a_node_is_passed_over(tmp_path: Path) -> None:
    write_bad_node(tmp_path, BadNode(node="n17", since=NOW, why=""))
    (tmp_path / "bad-nodes" / "n17.json").write_bytes(b"{}")

    assert read_bad_nodes(tmp_path, NOW) == {}


def test_a_pool_without_bad_nodes_has_no_folder_for_them(tmp_path: Path) -> None:
    assert read_bad_nodes(tmp_path, NOW) == {}


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
    write_bad_node(folder, BadNode(node="n17", since=4e9, why="everything fails"))

    first = jobpool("release", folder, "--node", "n17")
    again = jobpool("release", folder, "--node", "n17")

    assert first.stdout == "workers run on n17 again\n"
    assert again.stdout == "workers do not leave n17; they leave: no node\n"
