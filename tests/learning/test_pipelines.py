from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import RobustScaler, StandardScaler

from jobpool.brain.arrays import Array
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import (
    Candidate,
    Dimension,
    Kind,
    Pipeline,
    Settings,
    Split,
    n_combinations,
)
from jobpool.learning.pipelines.scaling import scale

ELASTIC = PIPELINES["elastic"]


def test_candidates_stay_the_same_in_every_version() -> None:
    candidates = ELASTIC.candidates(Kind.BINARY, 2, seed=1)

    assert [one["C"] for one in candidates] == pytest.approx([0.65910244577, 0.12823340225])
    assert [one["l1_ratio"] for one in candidates] == pytest.approx([0.68076419953, 0.38925299564])
    assert [one["class_weight"] for one in candidates] == ["balanced", "balanced"]


def test_a_longer_list_of_candidates_begins_with_the_shorter() -> None:
    short = ELASTIC.candidates(Kind.REGRESSION, 5, seed=1)

    long = ELASTIC.candidates(Kind.REGRESSION, 60, seed=1)

    assert long[:5] == short


def test_another_seed_draws_other_candidates() -> None:
    one = ELASTIC.candidates(Kind.REGRESSION, 5, seed=1)

    other = ELASTIC.candidates(Kind.REGRESSION, 5, seed=2)

    assert one != other


@pytest.mark.parametrize(
    ("kind", "name", "low", "high"),
    [
        (Kind.REGRESSION, "alpha", 1e-5, 1e5),
        (Kind.REGRESSION, "l1_ratio", 0.01, 1.0),
        (Kind.BINARY, "C", 1e-5, 1e5),
        (Kind.BINARY, "l1_ratio", 0.01, 1.0),
    ],
)
def test_candidates_fill_the_space_of_the_study(
    kind: Kind, name: str, low: float, high: float
) -> None:
    candidates = ELASTIC.candidates(kind, 1000, seed=1)

    drawn = sorted(float(str(one[name])) for one in candidates)
    assert low <= drawn[0] <= 1.2 * low
    assert high / 1.1 < drawn[-1] <= high


def test_a_log_scale_is_even_over_powers_of_ten() -> None:
    candidates = ELASTIC.candidates(Kind.REGRESSION, 1000, seed=1)

    below_one = sum(float(str(one["alpha"])) < 1 for one in candidates)
    assert 450 < below_one < 550


def test_class_weight_is_drawn_from_its_choices() -> None:
    candidates = ELASTIC.candidates(Kind.BINARY, 100, seed=1)

    assert {one["class_weight"] for one in candidates} == {None, "balanced"}


def features(n: int, seed: int) -> Array:
    """Return features of very different ranges: ties, zeros, constants and tiny ones among them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 300)) * 10.0 ** rng.integers(-20, 8, 300)
    X[:, ::7] = np.round(X[:, ::7])
    X[:, 1::7] *= rng.random((n, X[:, 1::7].shape[1])) < 0.04
    X[:, 2::50] = 3.3
    return X


def a_split(X: Array, scaling: str, ranges: str = "absolute") -> Split:
    return Split(
        X_train=X[1:],
        y_train=X[1:, 0],
        X_test=X[:1],
        kind=Kind.REGRESSION,
        settings=Settings(scaling=scaling, ranges=ranges),
        seed=0,
    )


@pytest.mark.parametrize("n", [3, 20, 21, 101])
def test_ranges_are_those_of_scikit_learn_where_features_are_of_common_size(n: int) -> None:
    X = features(n, seed=n)
    X = X[:, np.abs(X).max(axis=0) > 1e-3]
    scaler = RobustScaler(quantile_range=(5, 95)).fit(X[1:])

    scaled = scale(a_split(X, "robust", ranges="relative"))

    np.testing.assert_array_equal(scaled.X_train, scaler.transform(X[1:]))


@pytest.mark.parametrize("exponent", [-600, -66, 66, 600])
@pytest.mark.parametrize("scaling", ["robust", "standard"])
def test_the_unit_of_the_maps_does_not_decide(scaling: str, exponent: int) -> None:
    X = np.random.default_rng(1).normal(size=(40, 7)) * [1, 2, 3, 4, 5, 6, 0] + 0.5
    unit = 2.0**exponent if scaling == "robust" else 2.0 ** (exponent / 2)

    scaled = scale(a_split(X * unit, scaling, ranges="relative"))

    expected = scale(a_split(X, scaling, ranges="relative"))
    np.testing.assert_allclose(scaled.X_train[:, :6], expected.X_train[:, :6], rtol=1e-9)
    np.testing.assert_allclose(scaled.X_train[:, 6] / (unit if scaling == "robust" else 1), 0)


def test_rounding_of_a_constant_is_no_range() -> None:
    X = np.full((40, 1), 0.1)
    X[::2] = np.nextafter(0.1, 1)

    scaled = scale(a_split(X * 1e6, "robust", ranges="relative"))

    assert np.abs(scaled.X_train).max() < 1e-9


@pytest.mark.parametrize("n", [3, 4, 20, 21, 22, 101, 500])
def test_robust_scaling_gives_the_bits_of_scikit_learn(n: int) -> None:
    X = features(n, seed=n)
    scaler = RobustScaler(quantile_range=(5, 95)).fit(X[1:])

    scaled = scale(a_split(X, "robust"))

    np.testing.assert_array_equal(scaled.X_train, scaler.transform(X[1:]))
    np.testing.assert_array_equal(scaled.X_test, scaler.transform(X[:1]))


def test_standard_scaling_is_that_of_scikit_learn() -> None:
    X = features(50, seed=1)
    scaler = StandardScaler().fit(X[1:])

    scaled = scale(a_split(X, "standard"))

    np.testing.assert_array_equal(scaled.X_train, scaler.transform(X[1:]))


def test_no_scaling_leaves_features_as_they_are() -> None:
    X = features(50, seed=1)

    scaled = scale(a_split(X, "none"))

    np.testing.assert_array_equal(scaled.X_train, X[1:])


def space(*dimensions: Dimension) -> Pipeline:
    return Pipeline(name="own", spaces={Kind.BINARY: dimensions}, make=lambda *_: None)


LETTERS = Dimension(name="letter", choices=("a", "b", "c", "d"))
NUMBERS = Dimension(name="number", low=1, high=5, whole=True)
OFTEN_ZERO = Dimension(name="penalty", low=1e-3, high=1.0, log=True, zero=0.9)


def texts(candidates: Sequence[Candidate]) -> list[str]:
    return [str(dict(one)) for one in candidates]


def test_a_finite_space_is_tried_without_repeats() -> None:
    pipeline = space(LETTERS, NUMBERS)

    found = texts(pipeline.candidates(Kind.BINARY, 15, seed=1, distinct=True))

    assert len(set(found)) == len(found) == 15
    assert len(set(texts(pipeline.candidates(Kind.BINARY, 15, seed=1)))) < 15


def test_of_more_candidates_than_there_are_each_is_tried_once() -> None:
    pipeline = space(LETTERS, NUMBERS)

    found = texts(pipeline.candidates(Kind.BINARY, 60, seed=1, distinct=True))

    product = [f"{{'letter': '{one}', 'number': {two}}}" for one in "abcd" for two in range(1, 6)]
    assert sorted(found) == sorted(product)


def test_a_longer_list_of_distinct_candidates_begins_with_the_shorter() -> None:
    pipeline = space(LETTERS, NUMBERS)

    lists = [pipeline.candidates(Kind.BINARY, n, seed=3, distinct=True) for n in (7, 19, 20)]

    assert lists[2][:7] == lists[1][:7] == lists[0]
    assert lists[2][:19] == lists[1]


def test_candidates_that_chance_never_repeats_stay_the_same() -> None:
    drawn = ELASTIC.candidates(Kind.BINARY, 60, seed=1)

    assert ELASTIC.candidates(Kind.BINARY, 60, seed=1, distinct=True) == drawn


def test_a_range_that_is_mostly_zero_is_tried_without_repeats() -> None:
    pipeline = space(LETTERS, OFTEN_ZERO)

    found = texts(pipeline.candidates(Kind.BINARY, 40, seed=1, distinct=True))

    assert len(set(found)) == 40
    assert sum("'penalty': 0.0}" in one for one in found) == 4


def test_the_last_of_a_large_space_are_found() -> None:
    pipeline = space(replace(NUMBERS, high=3000))

    found = pipeline.candidates(Kind.BINARY, 3000, seed=1, distinct=True)

    assert sorted(int(str(one["number"])) for one in found) == list(range(1, 3001))


def test_a_space_without_dimensions_has_one_candidate() -> None:
    assert space().candidates(Kind.BINARY, 60, seed=1, distinct=True) == ({},)


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [
        ((LETTERS, NUMBERS), 20),
        ((LETTERS, OFTEN_ZERO), None),
        ((), 1),
        ((replace(LETTERS, choices=(1, 1, True, None)),), 3),
        ((replace(NUMBERS, high=10**12),), 10**12),
    ],
)
def test_the_combinations_of_a_space_are_counted(
    dimensions: tuple[Dimension, ...], expected: int | None
) -> None:
    assert n_combinations(dimensions) == expected
