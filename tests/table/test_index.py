"""Where the task with a given id, or one that begins so, stands in the grid."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.errors import RequestError
from jobpool.table.grid import full_product
from jobpool.table.task_index import find_task, find_tasks, positions_by_id, positions_of
from jobpool.task import Axis

POOL = Path("pool")
GRID = full_product(
    [Axis(name="letter", values=("ü", "\udc80")), Axis(name="number", values=tuple(range(20)))]
)


def test_every_id_leads_to_its_task() -> None:
    ids = [GRID.id(position) for position in range(40)]

    assert positions_of(GRID, ids) == {task: position for position, task in enumerate(ids)}


@pytest.mark.parametrize("strange", ["aaaaaaaaaaaa", "", "no id", "1" * 12, "l5ci"])
def test_what_is_no_id_of_a_task_has_no_position(strange: str) -> None:
    assert positions_of(GRID, [strange, GRID.id(7)]) == {GRID.id(7): 7}


def test_ids_are_made_for_chosen_tasks_alone() -> None:
    chosen = np.arange(40) % 10 == 3

    assert positions_by_id(GRID, chosen) == {
        GRID.id(position): position for position in (3, 13, 23, 33)
    }


def test_the_beginning_of_an_id_is_enough_in_any_case() -> None:
    assert find_task(POOL, GRID, GRID.id(5)[:8].upper()) == 5


def test_several_words_name_the_tasks_of_each() -> None:
    assert find_tasks(POOL, GRID, [GRID.id(5), GRID.id(2)]) == [5, 2]


def test_an_id_of_no_task_names_the_nearest() -> None:
    task = GRID.id(5)

    with pytest.raises(RequestError, match=f"no task whose id begins with .*nearest: {task}"):
        find_tasks(POOL, GRID, [f"{task[:-1]}0"])


def test_an_id_of_several_tasks_lists_them() -> None:
    with pytest.raises(RequestError, match="has 4 tasks whose id begins with '5'; give more"):
        find_task(POOL, GRID, "5")


def test_an_empty_id_does_not_stand_for_all_tasks() -> None:
    with pytest.raises(RequestError, match="the id of a task is empty"):
        find_tasks(POOL, GRID, [GRID.id(5), ""])


def test_all_ids_at_once_are_those_of_each_task() -> None:
    assert GRID.ids() == [GRID.id(position) for position in range(40)]


def test_another_task_is_found_only_if_no_likely_one_is() -> None:
    likely = np.arange(40) < 20
    first = GRID.id(5)[0]
    alike = [position for position in range(20) if GRID.id(position)[0] == first]

    assert find_tasks(POOL, GRID, [first], likely) == alike
    assert find_task(POOL, GRID, GRID.id(33), likely) == 33


def test_ids_of_all_tasks_are_found_whichever_are_likely() -> None:
    likely = np.arange(40) == 7

    assert positions_of(GRID, GRID.ids(), likely) == {GRID.id(i): i for i in range(40)}
