"""Scaling: learned on the training part of a split, once for all of its candidates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Split

_BLOCK = 256  # features sorted together: they go into the processor's cache
_LOW, _HIGH = 0.05, 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaled:
    """The features of a split, scaled by its training part."""

    X_train: FloatArray
    X_test: FloatArray


def _robust(X_train: FloatArray, X_test: FloatArray) -> Scaled:
    center, spread = robust_range(X_train)
    return Scaled(X_train=(X_train - center) / spread, X_test=(X_test - center) / spread)


def _standard(X_train: FloatArray, X_test: FloatArray) -> Scaled:
    scaler = StandardScaler()
    return Scaled(X_train=scaler.fit_transform(X_train), X_test=scaler.transform(X_test))


def _none(X_train: FloatArray, X_test: FloatArray) -> Scaled:
    return Scaled(X_train=X_train, X_test=X_test)


SCALERS: Mapping[str, Callable[[FloatArray, FloatArray], Scaled]] = {
    "robust": _robust,
    "standard": _standard,
    "none": _none,
}


def scale(split: Split) -> Scaled:
    """Return the features of a split, scaled as its settings say by its training part."""
    return SCALERS[split.settings.scaling](split.X_train, split.X_test)


def robust_range(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the median of each feature, and the range from the 5th to the 95th percentile.

    The same numbers as those of scikit-learn's `RobustScaler`, to the bit, in a tenth of the time:
    it looks for values that are not finite, feature by feature; there are none here.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float64
        Finite.

    Returns
    -------
    tuple of two ndarrays of shape (n_features,), float64
        The range is 1 where it is 0, or as good as 0.

    Examples
    --------
    >>> robust_range(np.arange(21.0)[:, None] * [1.0, 0.0])
    (array([10.,  0.]), array([18.,  1.]))
    """
    n_rows, n_features = X.shape
    center, spread = np.empty(n_features), np.empty(n_features)
    for start in range(0, n_features, _BLOCK):
        part = slice(start, start + _BLOCK)
        ordered = np.sort(X[:, part].T, axis=1)
        center[part] = (ordered[:, (n_rows - 1) // 2] + ordered[:, n_rows // 2]) / 2
        spread[part] = _quantile(ordered, _HIGH) - _quantile(ordered, _LOW)
    spread[spread < 10 * np.finfo(np.float64).eps] = 1.0
    return center, spread


def _quantile(ordered: Array, share: float) -> Array:
    """Return a quantile of each row, interpolated from the nearer side as NumPy does."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    rest = place - below
    first, second = ordered[:, below], ordered[:, min(below + 1, ordered.shape[1] - 1)]
    step = second - first
    found: Array = first + step * rest if rest < 0.5 else second - step * (1 - rest)
    return found
