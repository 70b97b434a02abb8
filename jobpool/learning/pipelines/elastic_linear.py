"""Linear regression with an elastic net: scikit-learn's coordinate descent, on shared arrays.

The path function of scikit-learn is called on features that are centred once per split, with
their Gram matrix where that is the faster way: the same updates in the same order as those of
`ElasticNet`, so that a fit that stops early, as many do, stops at the same place. No fit starts
from that of another candidate: at the usual tolerance this moves the scores.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

from jobpool.brain.arrays import FloatArray
from jobpool.learning.pipelines.base import Predictions, Settings, Split
from jobpool.learning.pipelines.scaling import scale

_GRAM_FEATURES = 5000  # at most: 200 MB
_TRIAL = 20  # passes over the features, then the coefficients that are not 0 are counted
_GRAM_COST = 1.5  # of an update with it, per number; it is out of the processor's caches


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearSplit:
    """What all candidates of a split share; everything in float64."""

    X: FloatArray  # (n_train, n_features): scaled, centred, Fortran-ordered
    y: FloatArray  # (n_train,): centred
    gram: FloatArray | None  # (n_features, n_features)
    Xy: FloatArray  # (n_features,)
    X_test: FloatArray  # (n_test, n_features): scaled
    X_mean: FloatArray  # (n_features,): of the scaled training part
    y_mean: float
    settings: Settings


def prepare_linear(split: Split) -> LinearSplit:
    """Scale, centre, and multiply the features by themselves."""
    scaled = scale(split)
    X = np.array(scaled.X_train, dtype=np.float64, order="F")
    X_mean = X.mean(axis=0)
    X -= X_mean
    y = np.asarray(split.y_train, dtype=np.float64)
    y_mean = float(y.mean())
    y = y - y_mean
    return LinearSplit(
        X=X,
        y=y,
        gram=np.ascontiguousarray(X.T @ X) if X.shape[1] <= _GRAM_FEATURES else None,
        Xy=X.T @ y,
        X_test=np.asarray(scaled.X_test, dtype=np.float64),
        X_mean=X_mean,
        y_mean=y_mean,
        settings=split.settings,
    )


def solve_linear(split: LinearSplit, alpha: float, l1_ratio: float) -> Predictions:
    """Return what the fit with these penalties predicts."""
    if alpha * l1_ratio * len(split.y) >= np.abs(split.Xy).max(initial=0.0):
        predicted = np.full(len(split.X_test), split.y_mean)  # no feature is worth its penalty
        return Predictions(predicted=predicted, decision=predicted)
    w, converged = _fit(split, alpha, l1_ratio)
    intercept = split.y_mean - float(split.X_mean @ w)
    predicted = split.X_test @ w + intercept
    return Predictions(predicted=predicted, decision=predicted, converged=converged)


def _fit(split: LinearSplit, alpha: float, l1_ratio: float) -> tuple[FloatArray, bool]:
    n, n_features = split.X.shape
    limit = split.settings.max_iterations
    gram = split.gram is not None
    if gram and n_features > 2 * n:
        # a pass with the Gram matrix costs by the coefficients that are not 0, one without by all
        w, done = _descend(split, alpha, l1_ratio, min(limit, _TRIAL), gram=False)
        if done.n_passes < _TRIAL:
            return w, done.converged
        n_used = int(np.count_nonzero(w))
        gram = _GRAM_COST * n_used * n_features < (n_used + n_features) * n
    w, done = _descend(split, alpha, l1_ratio, limit, gram=gram)
    return w, done.converged


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    n_passes: int
    converged: bool


def _descend(
    split: LinearSplit, alpha: float, l1_ratio: float, limit: int, *, gram: bool
) -> tuple[FloatArray, _Done]:
    tolerance = split.settings.tolerance
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is told by the result
        _, found, gaps, n_passes = enet_path(
            split.X,
            split.y,
            l1_ratio=l1_ratio,
            alphas=[alpha],
            precompute=split.gram if gram else False,
            Xy=split.Xy if gram else None,
            check_input=False,
            tol=tolerance,
            max_iter=limit,
            return_n_iter=True,
        )
    # scikit-learn compares the gap of the sum of squares, and returns that of their mean
    wanted = tolerance * float(split.y @ split.y) / len(split.y)
    converged = bool(gaps[0] <= wanted * (1 + 1e-12))
    return found[:, 0], _Done(n_passes=int(n_passes[0]), converged=converged)
