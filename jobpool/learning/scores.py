"""Scores: what candidates are compared by, and what is reported of the chosen one."""

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    explained_variance_score,
    matthews_corrcoef,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines import Kind

Metric = Callable[[Array, Array], float]

SEARCH_METRIC: Mapping[Kind, str] = {
    Kind.REGRESSION: "explained_variance",
    Kind.BINARY: "matthews",
}

_OF_PREDICTION: Mapping[Kind, Mapping[str, Metric]] = {
    Kind.REGRESSION: {
        "r2": r2_score,
        "explained_variance": explained_variance_score,
        "mse": mean_squared_error,
        "mae": mean_absolute_error,
    },
    Kind.BINARY: {"balanced_accuracy": balanced_accuracy_score, "matthews": matthews_corrcoef},
}
# of the distance from the decision boundary: probabilities that round to 1 would tie
_OF_DECISION: Mapping[str, Metric] = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
}


def search_score(kind: Kind, y: Array, predicted: Array) -> float:
    """Return the score by which candidates are compared; higher is better."""
    return float(_OF_PREDICTION[kind][SEARCH_METRIC[kind]](y, predicted))


def reported_scores(kind: Kind, model: Any, X: FloatArray, y: Array) -> dict[str, float]:
    """Return every reported score of a fitted model.

    Parameters
    ----------
    kind : Kind
        Of the target.
    model : estimator
        Fitted.
    X : ndarray of shape (n, n_features), float64
        Scaled features of the test part.
    y : ndarray of shape (n,)
        The target, 0 and 1 if binary; otherwise in its own unit, which is that of ``mae`` (``mse``
        has its square; all else has none).
    """
    scores: dict[str, float] = {}
    if kind is Kind.BINARY:
        decision = model.decision_function(X)
        scores = {name: float(metric(y, decision)) for name, metric in _OF_DECISION.items()}
    predicted = model.predict(X)
    scores |= {name: float(metric(y, predicted)) for name, metric in _OF_PREDICTION[kind].items()}
    return scores
