"""The plain solver: scikit-learn's own estimators, one model for each candidate."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind, Pipeline, Predictions, Split
from jobpool.learning.pipelines.scaling import scale


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSolver:
    """Fits the estimator that the pipeline makes, for each candidate."""

    pipeline: Pipeline
    probabilities: bool = False  # asked for as well, where the estimator has them

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        """Return every candidate alone."""
        return [[position] for position in range(len(candidates))]

    def prepare(self, split: Split) -> Split:
        """Return the split with scaled features: the scaler does not depend on the candidate."""
        if not self.pipeline.scaled:
            return split
        scaled = scale(split)
        return replace(split, X_train=scaled.X_train, X_test=scaled.X_test)

    def solve(self, prepared: Split, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        """Yield the predictions of each candidate."""
        for candidate in candidates:
            model = self.pipeline.make(prepared.kind, candidate, prepared.settings, prepared.seed)
            yield _predictions(model, prepared, probabilities=self.probabilities)


def fit_model(model: Any, X: FloatArray, y: Array) -> bool:
    """Fit `model`, and return whether it converged.

    A solver that stops early still gives a model. Their number is part of the result, which is
    easier to read than hundreds of printed warnings.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
    others = [one for one in caught if not issubclass(one.category, ConvergenceWarning)]
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return len(others) == len(caught)


def _predictions(model: Any, split: Split, *, probabilities: bool) -> Predictions:
    try:
        converged = fit_model(model, split.X_train, split.y_train)
    except ValueError as error:
        if "overflow" not in str(error):  # saga on features of very unequal range
            raise
        return Predictions.none(len(split.X_test))
    predicted = np.asarray(model.predict(split.X_test))
    probability = None
    if probabilities and split.kind is Kind.BINARY and hasattr(model, "predict_proba"):
        probability = _positive(model, split)
    return Predictions(
        predicted=predicted,
        decision=_decision(model, split, predicted),
        converged=converged,
        probability=probability,
    )


def _decision(model: Any, split: Split, predicted: Array) -> FloatArray:
    """Return what ranks the test part: a distance, as probabilities that round to 1 would tie."""
    if split.kind is Kind.REGRESSION:
        return np.asarray(predicted, dtype=np.float64)
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(split.X_test), dtype=np.float64)
    return _positive(model, split)


def _positive(model: Any, split: Split) -> FloatArray:
    found: FloatArray = np.asarray(model.predict_proba(split.X_test), dtype=np.float64)[:, 1]
    return found
