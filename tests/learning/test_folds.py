from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobpool.brain.arrays import Array
from jobpool.learning.folds import (
    Folds,
    TooFewError,
    TooFewGroupsError,
    check_fold,
    group_ranks,
)
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.scores import METRICS
from jobpool.learning.search import FoldData
from jobpool.learning.splits import deal_groups, hold_out_groups, make_splits
from jobpool.learning.targets import Target
from tests.support.ensembles import FOLDS, GROUPS, SEED, SPLITS, TARGETS, N, a_recipe

SIZES = st.lists(st.integers(2, 6), min_size=15, max_size=25)
EVERYBODY = np.ones(N, bool)
ROWS = np.arange(float(N))[:, np.newaxis]


def some_data(pipeline: str, inner: int | None, usable: Array = EVERYBODY) -> FoldData:
    recipe = a_recipe(pipeline, Kind.REGRESSION)
    return FOLDS.data(0, ROWS[usable], TARGETS[Kind.REGRESSION], usable, recipe, inner)


def divided(sizes: list[int], seed: int, pipeline: str, inner: int | None) -> list[str]:
    """Return the groups of which some are tested, or tested in one inner fold, and some are not."""
    groups = [f"group-{number}" for number, size in enumerate(sizes) for _ in range(size)]
    n = len(groups)
    splits = make_splits([str(one) for one in range(n)], groups, 3, 3, seed)
    target = Target(name="age", column="age", kind=Kind.REGRESSION, y=np.arange(float(n)))
    recipe = a_recipe(pipeline, Kind.REGRESSION)
    data = Folds(splits, groups).data(1, np.empty((n, 0)), target, np.ones(n, bool), recipe, inner)
    parts = set(zip([groups[row] for row in data.rows], data.test, data.inner, strict=True))
    return [one for one in set(groups) if sum(group == one for group, _, _ in parts) > 1]


@pytest.mark.parametrize("pipeline", ["elastic", "lgbm"])
@pytest.mark.parametrize("inner", [None, 0, 1, 2])
@settings(max_examples=15, deadline=None)
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_no_fit_divides_a_group(
    pipeline: str, inner: int | None, sizes: list[int], seed: int
) -> None:
    assert divided(sizes, seed, pipeline, inner) == []


def test_a_fit_on_the_whole_training_part_has_the_splits_of_the_pool() -> None:
    data = some_data("elastic", None)

    np.testing.assert_array_equal(data.test, SPLITS.outer == 0)
    np.testing.assert_array_equal(data.inner, SPLITS.inner[0])


def test_a_fit_on_the_whole_training_part_has_the_holdout_of_the_pool() -> None:
    data = some_data("lgbm", None)

    np.testing.assert_array_equal(data.inner, np.where(SPLITS.holdout[0] == 1, 0, -1))


def test_a_fit_without_an_inner_fold_predicts_that_fold() -> None:
    data = some_data("elastic", 2)

    np.testing.assert_array_equal(data.rows[data.test], np.flatnonzero(SPLITS.inner[0] == 2))


@pytest.mark.parametrize("inner", range(3))
def test_the_outer_test_part_is_not_in_the_data_of_an_inner_fit(inner: int) -> None:
    data = some_data("elastic", inner)

    np.testing.assert_array_equal(data.rows, np.flatnonzero(SPLITS.outer != 0))


def test_a_fit_without_an_inner_fold_has_inner_folds_of_its_own() -> None:
    data = some_data("elastic", 1)

    groups = [GROUPS[row] for row in data.rows[~data.test]]
    expected = deal_groups(groups, 3, f"inner {SEED} 0 1")
    np.testing.assert_array_equal(data.inner[~data.test], expected)
    assert (data.inner[data.test] == -1).all()


def test_a_fit_without_an_inner_fold_has_a_holdout_of_its_own() -> None:
    data = some_data("lgbm", 1)

    groups = [GROUPS[row] for row in data.rows[~data.test]]
    expected = hold_out_groups(groups, 0.25, f"holdout {SEED} 0 1")
    np.testing.assert_array_equal(data.inner[~data.test] == 0, expected == 1)


def test_who_cannot_be_used_moves_nobody_else() -> None:
    usable = np.arange(N) % 7 != 0
    everybody, some = some_data("elastic", 1), some_data("elastic", 1, usable)

    left = np.isin(everybody.rows, some.rows)

    assert not usable[everybody.rows[~left]].any()
    np.testing.assert_array_equal(some.inner, everybody.inner[left])
    np.testing.assert_array_equal(some.rank, everybody.rank[left])
    np.testing.assert_array_equal(some.test, everybody.test[left])


@pytest.mark.parametrize("inner", [None, 0])
def test_features_belong_to_the_rows(inner: int | None) -> None:
    data = some_data("elastic", inner, np.arange(N) % 7 != 0)

    np.testing.assert_array_equal(data.X[:, 0], data.rows)
    np.testing.assert_array_equal(data.y, TARGETS[Kind.REGRESSION].y[data.rows])


def test_all_fits_of_an_outer_fold_have_names_of_their_own() -> None:
    names = [some_data("elastic", inner).name for inner in (None, 0, 1, 2)]

    assert names == ["fold 0", "fold 0 without 0", "fold 0 without 1", "fold 0 without 2"]


def test_splits_without_an_inner_fold_stay_the_same_in_every_version() -> None:
    letters, families = tuple("abcdefghijklmnopqrstuvwx"), tuple("AABCDEFGHIJKLMNOPQRSTUVW")
    target = Target(name="age", column="age", kind=Kind.REGRESSION, y=np.arange(24.0))
    folds = Folds(make_splits(letters, families, 2, 2, seed=7), families)
    recipe = a_recipe("elastic", Kind.REGRESSION)

    data = folds.data(0, np.empty((24, 0)), target, np.ones(24, bool), recipe, inner=1)

    assert data.rows.tolist() == [2, 3, 7, 9, 12, 14, 15, 17, 19, 20, 22, 23]
    assert data.inner.tolist() == [1, 0, -1, -1, -1, -1, 1, 0, -1, 0, 1, -1]


def test_a_part_that_cannot_be_learned_from_is_named() -> None:
    recipe = a_recipe("elastic", Kind.BINARY)
    part = some_data("elastic", 1)
    y = np.zeros(N)
    y[part.rows[part.test]] = np.arange(part.test.sum()) % 2
    target = Target(name="sex", column="sex", kind=Kind.BINARY, y=y)

    with pytest.raises(TooFewError, match="fold 0 without inner fold 1: a part of it has no"):
        FOLDS.data(0, ROWS, target, EVERYBODY, recipe, inner=1)


def test_too_few_groups_for_splits_without_an_inner_fold_are_an_error() -> None:
    groups = list("aabbccddeeff")
    splits = make_splits(groups, groups, 2, 3, seed=1)

    with pytest.raises(TooFewGroupsError, match="fold 0 without inner fold 0: 2 groups cannot"):
        Folds(splits, groups).check_inner()


def test_enough_groups_pass() -> None:
    FOLDS.check_inner()

    assert [FOLDS.n_outer, FOLDS.n_inner] == [5, 3]


MATTHEWS = METRICS[Kind.BINARY]["matthews"]
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


def test_a_group_has_one_rank_in_every_version() -> None:
    found = group_ranks(["a", "b", "a"], seed=1)

    np.testing.assert_allclose(
        found, [0.9876855840163, 0.9884511711241, 0.9876855840163], atol=1e-12
    )


@pytest.mark.parametrize("share", [1 / 9, 1 / 3])
def test_a_share_of_the_groups_has_its_share_of_each_class(share: float) -> None:
    groups = [str(one) for one in range(180)]
    strata = (np.arange(180) % 10 == 0).astype(np.int8)

    lowest = group_ranks(groups, 1, strata) <= share

    assert lowest[strata == 1].sum() == 18 * share
    assert lowest[strata == 0].sum() == 162 * share


def test_classes_change_no_rank_of_groups_that_are_alike() -> None:
    groups = [str(one) for one in range(20)]

    plain, even = group_ranks(groups, 1), group_ranks(groups, 1, np.zeros(20, np.int8))

    np.testing.assert_array_equal(np.argsort(even), np.argsort(plain))


def test_all_of_a_group_have_one_rank() -> None:
    groups = ["a", "a", "b", "b", "c"]

    found = group_ranks(groups, 1, np.array([0, 1, 0, 0, -1], np.int8))

    assert found[0] == found[1] != found[2] == found[3]


def test_a_whole_fold_passes() -> None:
    check_fold(FOLD, Kind.BINARY, 3, MATTHEWS)


def test_an_inner_fold_without_participants_is_an_error() -> None:
    gone = replace(FOLD, inner=np.where(FOLD.inner == 2, 1, FOLD.inner))

    with pytest.raises(TooFewError, match="outer fold 3: an inner fold has too few"):
        check_fold(gone, Kind.BINARY, 3)


def test_candidates_can_be_compared_where_one_inner_fold_has_one_class() -> None:
    y = np.where(FOLD.inner == 1, 0.0, Y)

    check_fold(replace(FOLD, y=y), Kind.BINARY, 3, MATTHEWS)


@pytest.mark.parametrize("metric", ["matthews", "roc_auc", "balanced_accuracy"])
def test_a_holdout_of_one_class_is_an_error(metric: str) -> None:
    held_out = replace(FOLD, inner=np.where(FOLD.inner == 1, 0, -1))
    y = np.where(FOLD.inner == 1, 0.0, Y)

    with pytest.raises(TooFewError, match="no part that candidates are compared on has both"):
        check_fold(replace(held_out, y=y), Kind.BINARY, 1, METRICS[Kind.BINARY][metric])


def test_numbers_that_are_all_the_same_in_every_inner_fold_are_no_error() -> None:
    check_fold(replace(FOLD, y=np.zeros(24)), Kind.REGRESSION, 3, METRICS[Kind.REGRESSION]["r2"])


def test_a_test_part_of_one_class_is_an_error() -> None:
    y = np.where(FOLD.test, 0.0, Y)

    with pytest.raises(TooFewError, match="no participant of one class"):
        check_fold(replace(FOLD, y=y), Kind.BINARY, 3)
