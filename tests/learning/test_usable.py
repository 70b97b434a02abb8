from dataclasses import replace

import numpy as np
import pytest

from jobpool.learning.pipelines.base import Kind
from jobpool.learning.search import FoldData
from jobpool.learning.targets import Target
from jobpool.learning.usable import (
    NOT_FINITE,
    TooFewError,
    check_fold,
    group_ranks,
    usable_participants,
)

Y = np.tile([0.0, 1.0], 12)
FOLD = FoldData(
    fold=3,
    X=np.zeros((24, 1)),
    y=Y,
    test=np.arange(24) < 6,
    inner=np.where(np.arange(24) < 6, -1, np.arange(24) // 2 % 3),
    rank=np.zeros(24),
    rows=np.arange(24),
)


def test_each_participant_counts_under_the_first_reason() -> None:
    y = np.array([1.0, np.nan, 3.0, 4.0, 5.0])
    target = Target(name="age", column="age", kind=Kind.REGRESSION, y=y)
    values = np.array([[1.0], [np.nan], [np.nan], [np.nan], [5.0]])

    usable, dropped = usable_participants(target, values, {1: "no map", 2: "no map"})

    assert usable.tolist() == [True, False, False, False, True]
    assert dropped == {"age is missing": 1, "no map": 1, NOT_FINITE: 1}


def test_a_group_has_one_rank_in_every_version() -> None:
    found = group_ranks(["a", "b", "a"], seed=1)

    np.testing.assert_allclose(
        found, [0.9876855840163, 0.9884511711241, 0.9876855840163], atol=1e-12
    )


def test_a_whole_fold_passes() -> None:
    check_fold(FOLD, Kind.BINARY, 3, ranked=True)


def test_an_inner_fold_without_participants_is_an_error() -> None:
    gone = replace(FOLD, inner=np.where(FOLD.inner == 2, 1, FOLD.inner))

    with pytest.raises(TooFewError, match="outer fold 3: an inner fold has too few"):
        check_fold(gone, Kind.BINARY, 3)


def test_an_inner_fold_of_one_class_is_an_error_where_ranks_are_compared() -> None:
    y = np.where(FOLD.inner == 1, 0.0, Y)

    with pytest.raises(TooFewError, match="an inner fold has too few"):
        check_fold(replace(FOLD, y=y), Kind.BINARY, 3, ranked=True)


def test_an_inner_fold_of_one_class_can_be_compared_by_classes() -> None:
    y = np.where(FOLD.inner == 1, 0.0, Y)

    check_fold(replace(FOLD, y=y), Kind.BINARY, 3)


def test_a_test_part_of_one_class_is_an_error() -> None:
    y = np.where(FOLD.test, 0.0, Y)

    with pytest.raises(TooFewError, match="a class has nobody"):
        check_fold(replace(FOLD, y=y), Kind.BINARY, 3)
