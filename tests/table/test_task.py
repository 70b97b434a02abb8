"""Tasks: ids, causes."""

import pickle
from pathlib import Path

import pytest

from jobpool.errors import ConfigError, Problem
from jobpool.task import CAUSE_CODES, Cause, task_id


def test_a_task_id_never_changes() -> None:
    point = (("parcellation", "schaefer400"), ("pipeline", "elastic"), ("seed", 3))

    assert task_id(point) == "aptyreroisdf"


def test_a_task_id_does_not_depend_on_the_order_of_the_axes() -> None:
    assert task_id((("a", 1), ("b", "x"))) == task_id((("b", "x"), ("a", 1)))


def test_a_number_differs_from_the_same_digits_as_text() -> None:
    assert task_id((("a", 1),)) != task_id((("a", "1"),))


def test_the_codes_of_causes_on_disk_never_change() -> None:
    assert {cause.value: code for cause, code in CAUSE_CODES.items()} == {
        "done": 1,
        "error": 2,
        "memory": 3,
        "time": 4,
        "preempted": 5,
        "cancelled": 6,
        "node": 7,
        "lost": 8,
        "storage": 9,
    }


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.PREEMPTED, Cause.STORAGE, Cause.NODE])
def test_what_is_not_the_tasks_fault_does_not_count_against_it(cause: Cause) -> None:
    assert not cause.counts


def test_a_config_error_survives_pickling_unchanged() -> None:
    raised = ConfigError((Problem(Path("age.yaml"), "axes.model", "rigde", "write ridge"),))

    returned = pickle.loads(pickle.dumps(raised))

    assert str(returned) == "age.yaml: axes.model = 'rigde': write ridge"
