"""Scores: what candidates are compared by, and what is reported of the chosen one."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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

from jobpool.brain.arrays import Array
from jobpool.learning.pipelines.base import Kind, Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """How well predictions fit the target of the test part."""

    of: Callable[[Array, Array], float]
    ranks: bool = False  # takes the decision instead of the predicted class
    lower_is_better: bool = False

    @property
    def best(self) -> float:
        """Return the best value that `search_score` can have: no error, or a perfect fit."""
        return 0.0 if self.lower_is_better else 1.0


def _pearson(y: Array, predicted: Array) -> float:
    return _correlation(pearsonr, y, predicted)


def _spearman(y: Array, predicted: Array) -> float:
    return _correlation(spearmanr, y, predicted)


def _correlation(of: Callable[[Array, Array], tuple[float, float]], y: Array, x: Array) -> float:
    """Return a correlation; NaN where the predictions are all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(of(y, x)[0])


def _specificity(y: Array, predicted: Array) -> float:
    return float(recall_score(y, predicted, pos_label=0.0))


METRICS: Mapping[Kind, Mapping[str, Metric]] = {
    Kind.REGRESSION: {
        "r2": Metric(of=r2_score),
        "explained_variance": Metric(of=explained_variance_score),
        "mse": Metric(of=mean_squared_error, lower_is_better=True),
        "rmse": Metric(of=root_mean_squared_error, lower_is_better=True),
        "mae": Metric(of=mean_absolute_error, lower_is_better=True),
        "median_absolute_error": Metric(of=median_absolute_error, lower_is_better=True),
        "pearson": Metric(of=_pearson),
        "spearman": Metric(of=_spearman),
    },
    Kind.BINARY: {
        # of the distance from the decision boundary: probabilities that round to 1 would tie
        "roc_auc": Metric(of=roc_auc_score, ranks=True),
        "average_precision": Metric(of=average_precision_score, ranks=True),
        "balanced_accuracy": Metric(of=balanced_accuracy_score),
        "matthews": Metric(of=matthews_corrcoef),
        "accuracy": Metric(of=accuracy_score),
        "f1": Metric(of=f1_score),
        "sensitivity": Metric(of=recall_score),
        "specificity": Metric(of=_specificity),
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
    """Return a score in the metric's own unit; NaN for a candidate without finite predictions."""
    values = predictions.decision if metric.ranks else predictions.predicted
    if predictions.failure:
        return float("nan")
    return float(metric.of(y, values))


def search_score(kind: Kind, name: str, y: Array, predictions: Predictions) -> float:
    """Return the score by which candidates are compared: higher is better, errors are negated."""
    metric = METRICS[kind][name]
    value = score(metric, y, predictions)
    return -value if metric.lower_is_better else value


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
