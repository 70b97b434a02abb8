"""Whole tasks and the parts that they can be split into."""

import numpy as np
import pytest

from jobpool.table.grid import Grid, full_product, split_parts
from jobpool.table.parts import Parts
from jobpool.task import ALL, Axis

PARTS = Axis(name="part", values=(ALL, 0, 1))


@pytest.fixture
def grid() -> Grid:
    """Return the task a, whole before its two parts, then the two parts of b without a whole."""
    wholes = full_product([Axis(name="letter", values=("a", "b"))])
    return split_parts(wholes, PARTS, np.array([False, True]))


@pytest.fixture
def parts(grid: Grid) -> Parts:
    return grid.parts


def test_parts_of_a_whole_task_that_is_there_are_dormant(parts: Parts) -> None:
    assert parts.is_dormant.tolist() == [False, True, True, False, False]


def test_parts_alone_are_parts_though_not_dormant(parts: Parts) -> None:
    assert parts.is_part.tolist() == [False, True, True, True, True]


def test_a_whole_task_shares_its_unit_with_its_parts_alone(parts: Parts) -> None:
    related = parts.related(np.array([False, False, True, False, False]))

    assert related.tolist() == [True, True, True, False, False]


def test_a_whole_task_is_found_from_its_parts(parts: Parts) -> None:
    assert [parts.whole_of(position) for position in range(5)] == [None, 0, 0, None, None]
    assert [parts.head_of(position) for position in range(5)] == [0, 0, 0, 3, 4]


def test_the_parts_of_a_whole_task_are_found_from_it(parts: Parts) -> None:
    assert [parts.of(position) for position in range(5)] == [[1, 2], [], [], [], []]


def test_the_dormant_parts_of_chosen_tasks_are_theirs_alone(parts: Parts) -> None:
    chosen = np.array([True, False, False, True, False])

    assert parts.dormant_of(chosen).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize(("second", "fits"), [(True, True), (False, False)])
def test_a_whole_task_fits_in_parts_if_all_of_them_fit(
    parts: Parts, second: bool, fits: bool
) -> None:
    fit = np.array([False, True, second, True, True])

    assert parts.with_all_in(fit).tolist() == [fits, False, False, False, False]


def test_a_whole_task_takes_what_its_largest_part_takes(parts: Parts) -> None:
    assert parts.most(np.array([9.0, 1.0, 3.0, 7.0, 7.0])).tolist() == [3.0, 0.0, 0.0, 0.0, 0.0]


def test_parts_become_their_whole_task(parts: Parts, grid: Grid) -> None:
    wholes = parts.as_wholes(grid.codes.astype(np.intp))

    assert wholes.tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]


def test_a_grid_without_parts_has_whole_tasks_alone() -> None:
    parts = full_product([Axis(name="letter", values=("a", "b"))]).parts

    assert not parts.is_part.any()
    assert not parts.has_dormant.any()
    assert (parts.of(0), parts.whole_of(1)) == ([], None)


@pytest.mark.parametrize(
    ("done", "expected"),
    [({0}, True), ({1, 2}, True), ({1}, False), (set[int](), False)],
    ids=["whole", "all-parts", "one-part", "nothing"],
)
def test_a_split_task_is_finished_when_all_its_parts_are_done(
    parts: Parts, done: set[int], expected: bool
) -> None:
    assert parts.is_finished(0, lambda position: position in done) is expected


def test_a_task_without_parts_is_finished_only_when_it_is_done_itself(parts: Parts) -> None:
    assert not parts.is_finished(3, lambda _: False)
