"""Scores: what candidates are compared by, and what is reported of the chosen one.

A score that is not defined is NaN, where scikit-learn gives 1.0 or 0.0: nothing is explained of a
target that has one value only, and one class cannot be told from another that is not there. So is a
score that is not finite, or of predictions that are not. Constant predictions of a target that
varies have scores, as in scikit-learn (Matthews 0, balanced accuracy a half), but no correlation.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    explained_variance_score,
    f1_score,
    matthews_corrcoef,
    mean_absolute_error,
    mean_squared_error,
    median_absolute_error,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Kind, Predictions

_ROUNDING = 1e-12  # of numbers in double precision, after some thousand additions
_SINGLE = 1e-7  # LightGBM computes in single precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """How well predictions fit the target of the test part."""

    of: Callable[[Array, Array], float]
    needs: Callable[[Array], bool] | None = None  # of a target, if not every one has a score
    ranks: bool = False  # takes the decision instead of the predicted class
    lower_is_better: bool = False

    @property
    def best(self) -> float:
        """Return the best value that `search_score` can have: no error, or a perfect fit."""
        return 0.0 if self.lower_is_better else 1.0

    def defined(self, y: Array) -> bool:
        """Say whether predictions of the target `y` have a score, shape (n,)."""
        return len(y) > 0 and (self.needs is None or self.needs(y))


def _varies(y: Array) -> bool:
    return bool(np.min(y) < np.max(y))


def _has_positives(y: Array) -> bool:
    return bool((y == 1).any())


def _has_negatives(y: Array) -> bool:
    return bool((y == 0).any())


def _pearson(y: Array, predicted: Array) -> float:
    return _correlation(pearsonr, y, predicted)


def _spearman(y: Array, predicted: Array) -> float:
    return _correlation(spearmanr, y, predicted)


def _correlation(of: Callable[[Array, Array], tuple[float, float]], y: Array, x: Array) -> float:
    """Return a correlation; NaN where the predictions are all the same, but for rounding."""
    if np.ptp(x) <= _ROUNDING * np.abs(x).max():
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(of(y, x)[0])


def _specificity(y: Array, predicted: Array) -> float:
    return float(recall_score(y, predicted, pos_label=0.0))


METRICS: Mapping[Kind, Mapping[str, Metric]] = {
    Kind.REGRESSION: {
        "r2": Metric(of=r2_score, needs=_varies),
        "explained_variance": Metric(of=explained_variance_score, needs=_varies),
        "mse": Metric(of=mean_squared_error, lower_is_better=True),
        "rmse": Metric(of=root_mean_squared_error, lower_is_better=True),
        "mae": Metric(of=mean_absolute_error, lower_is_better=True),
        "median_absolute_error": Metric(of=median_absolute_error, lower_is_better=True),
        "pearson": Metric(of=_pearson, needs=_varies),
        "spearman": Metric(of=_spearman, needs=_varies),
    },
    Kind.BINARY: {
        # of the distance from the decision boundary: probabilities that round to 1 would tie
        "roc_auc": Metric(of=roc_auc_score, needs=_varies, ranks=True),
        "average_precision": Metric(of=average_precision_score, needs=_varies, ranks=True),
        "balanced_accuracy": Metric(of=balanced_accuracy_score, needs=_varies),
        "matthews": Metric(of=matthews_corrcoef, needs=_varies),
        "accuracy": Metric(of=accuracy_score),
        "f1": Metric(of=f1_score, needs=_has_positives),
        "sensitivity": Metric(of=recall_score, needs=_has_positives),
        "specificity": Metric(of=_specificity, needs=_has_negatives),
    },
}
SEARCH_METRIC: Mapping[Kind, str] = {
    Kind.REGRESSION: "explained_variance",
    Kind.BINARY: "matthews",
}
REPORTED: Mapping[Kind, tuple[str, ...]] = {
    Kind.REGRESSION: ("r2", "explained_variance", "mse", "mae"),
    Kind.BINARY: ("roc_auc", "average_precision", "balanced_accuracy", "matthews"),
}


def score(metric: Metric, y: Array, predictions: Predictions) -> float:
    """Return a score in the metric's own unit; NaN if it is not defined, or not finite."""
    values = predictions.decision if metric.ranks else predictions.predicted
    if predictions.failure or not metric.defined(y):
        return float("nan")
    with np.errstate(over="ignore", invalid="ignore"):  # errors that have no square
        found = float(metric.of(y, values))
    return found if math.isfinite(found) else float("nan")


def search_score(kind: Kind, name: str, y: Array, predictions: Predictions) -> float:
    """Return the score by which candidates are compared: higher is better, errors are negated."""
    metric = METRICS[kind][name]
    value = score(metric, y, predictions)
    return -value if metric.lower_is_better else value


def tied(means: FloatArray, *, in_unit: bool = False) -> Array:
    """Return which scores are the highest, a mask of the same shape; all, if none is known.

    Scores that differ by less than the computation is exact are equal. Those in the unit of the
    target, which are errors, are exact to a share of themselves, others to a share of 1.

    Examples
    --------
    >>> tied(np.array([0.2, 0.3 + 1e-9, 0.3, np.nan])).tolist()
    [False, True, True, False]
    """
    if np.isnan(means).all():
        return np.ones(means.shape, bool)
    highest = float(np.nanmax(means))
    found: Array = means >= highest - _SINGLE * max(0.0 if in_unit else 1.0, abs(highest))
    return found


def reported_scores(
    kind: Kind, names: Sequence[str], y: Array, predictions: Predictions
) -> dict[str, float]:
    """Return the scores of a chosen candidate.

    Parameters
    ----------
    kind : Kind
        Of the target.
    names : sequence of str
        Keys of `METRICS`.
    y : ndarray of shape (n,)
        The target, 0 and 1 if binary; otherwise in its own unit, which is that of ``mae``,
        ``rmse`` and ``median_absolute_error`` (``mse`` has its square; all else has none).
    predictions : Predictions
        Of the same participants.
    """
    return {name: score(METRICS[kind][name], y, predictions) for name in names}
