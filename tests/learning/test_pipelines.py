import numpy as np
import pytest
from sklearn.preprocessing import RobustScaler, StandardScaler

from jobpool.brain.arrays import Array
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import Kind, Settings, Split
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


def a_split(X: Array, scaling: str) -> Split:
    return Split(
        X_train=X[1:],
        y_train=X[1:, 0],
        X_test=X[:1],
        kind=Kind.REGRESSION,
        settings=Settings(scaling=scaling),
        seed=0,
    )


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
