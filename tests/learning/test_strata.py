"""Whole groups dealt out with even classes, beside scikit-learn's `StratifiedGroupKFold`."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from jobpool.brain.arrays import Array
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.strata import deal_evenly, strata_of
from jobpool.learning.targets import Target

SEEDS = st.integers(0, 2**32 - 1)


def a_case(seed: int) -> tuple[list[str], Array, int]:
    """Return groups of 1 to some 20 members, two classes that cluster in them, and a number."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 200))
    group = rng.integers(0, int(rng.integers(10, n)), n)
    lean = rng.normal(size=n)[group] * rng.choice([0, 1, 3])
    y = (lean + rng.logistic(size=n) > rng.uniform(0, 3)).astype(np.int8)
    y[:2] = [0, 1]
    return [f"group {one}" for one in group], y, int(rng.integers(2, 6))


def imbalance(y: Array, part: Array, n_parts: int) -> float:
    """Return the spread over parts of the share of a class, the mean of both classes."""
    shares = [
        [((part == one) & (y == level)).sum() / (y == level).sum() for one in range(n_parts)]
        for level in (0, 1)
    ]
    return float(np.std(shares, axis=1).mean())


def of_scikit_learn(groups: list[str], y: Array, n_parts: int, seed: int) -> Array:
    part = np.empty(len(y), np.intp)
    folds = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed % 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer members than parts
        for number, (_, test) in enumerate(folds.split(y, y, groups)):
            part[test] = number
    return part


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_classes_are_at_least_as_even_as_in_scikit_learn(seed: int) -> None:
    groups, y, n_parts = a_case(seed)

    part = deal_evenly(groups, y, [1] * n_parts, str(seed))

    plain = of_scikit_learn(groups, y, n_parts, seed)
    assert imbalance(y, part, n_parts) <= imbalance(y, plain, n_parts) + 1e-12


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_no_group_is_divided(seed: int) -> None:
    groups, y, n_parts = a_case(seed)

    part = deal_evenly(groups, y, [1] * n_parts, str(seed))

    assert len(set(zip(groups, part.tolist(), strict=True))) == len(set(groups))
    assert set(part.tolist()) == set(range(n_parts))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_the_order_of_rows_moves_nobody(seed: int) -> None:
    groups, y, _ = a_case(seed)
    order = np.random.default_rng(seed).permutation(len(y))
    straight = deal_evenly(groups, y, [3, 1], "seed")

    shuffled = deal_evenly([groups[one] for one in order], y[order], [3, 1], "seed")

    np.testing.assert_array_equal(shuffled, straight[order])


@pytest.mark.parametrize(("n_cases", "n"), [(40, 120), (20, 136), (7, 23), (5, 300)])
def test_cases_of_people_without_families_differ_by_one_at_most(n_cases: int, n: int) -> None:
    y = (np.arange(n) < n_cases).astype(np.int8)

    part = deal_evenly([str(one) for one in range(n)], y, [1] * 5, "seed")

    assert np.ptp(np.bincount(part[y == 1], minlength=5)) <= 1
    assert np.ptp(np.bincount(part, minlength=5)) <= 1


def test_every_part_gets_a_case_where_groups_allow_it() -> None:
    groups = [f"paper {one}" for one in range(12) for _ in range(10)]
    y = np.zeros(120, np.int8)
    y[[0, 1, 2, 3, 4, 5, 10, 20]] = 1  # six in one paper, and one in each of two

    part = deal_evenly(groups, y, [1, 1, 1], "seed")

    assert sorted(np.bincount(part[y == 1]).tolist()) == [1, 1, 6]


def test_another_seed_deals_other_groups() -> None:
    groups, y, _ = a_case(5)

    one = deal_evenly(groups, y, [1, 1], "1")

    assert (one != deal_evenly(groups, y, [1, 1], "2")).any()


def test_fewer_groups_than_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="2 groups cannot be dealt out to 3 parts"):
        deal_evenly(["a", "a", "b"], np.array([0, 1, 0]), [1, 1, 1], "seed")


def numbers(y: list[float]) -> Target:
    return Target(name="age", column="age", kind=Kind.REGRESSION, y=np.array(y))


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2]),
        ([0, 0, 0, 0, 0, 7], [0, 0, 0, 0, 0, 1]),
        ([0, 5, 5, 5, 5, 5], [0, 0, 0, 0, 0, 0]),
        ([3, np.nan, 1, 2], [2, -1, 0, 1]),
    ],
)
def test_thirds_hold_equal_values_together(y: list[float], expected: list[int]) -> None:
    assert strata_of(numbers(y), thirds=True).tolist() == expected


def test_a_continuous_target_is_one_class_without_thirds() -> None:
    assert strata_of(numbers([3, np.nan, 1, 2])).tolist() == [0, -1, 0, 0]
