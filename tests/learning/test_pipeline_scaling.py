import numpy as np
import pytest
from sklearn.preprocessing import RobustScaler, StandardScaler

from jobpool.brain.arrays import Array
from jobpool.learning.pipelines.base import Kind, Settings, Split
from jobpool.learning.pipelines.scaling import scale


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
