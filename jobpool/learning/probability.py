"""The probability of the positive class, for each way in which a pipeline can give it.

An estimator with ``predict_proba`` gives it. A decision that is the logarithm of the odds becomes a
probability by the logistic function. Any other decision, such as the distance from the border of
support vectors, goes through Platt's sigmoid [1]_, fitted on out-of-fold decisions: those of the
search's own splits.

References
----------
.. [1] Platt, "Probabilistic outputs for support vector machines", in Advances in Large Margin
   Classifiers, 1999.
"""

from dataclasses import replace

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind, Predictions, Solver
from jobpool.learning.pipelines.plain import PlainSolver
from jobpool.learning.search import Recipe, TrainingData


class _DecisionOnly(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A classifier whose only feature is its decision."""

    def fit(self, _X: FloatArray, y: Array) -> "_DecisionOnly":
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: FloatArray) -> Array:
        found: Array = self.classes_[(X[:, 0] > 0).astype(np.intp)]
        return found

    def decision_function(self, X: FloatArray) -> FloatArray:
        return X[:, 0]


def solver_for_probability(recipe: Recipe) -> Solver:
    """Return the solver of a recipe, which also gives probabilities if the estimator can."""
    solver = recipe.solver
    return replace(solver, probabilities=True) if isinstance(solver, PlainSolver) else solver


def with_probability(
    recipe: Recipe, training: TrainingData, candidate: Candidate, predictions: Predictions
) -> Predictions:
    """Return the predictions of a candidate with the probability of the positive class.

    Parameters
    ----------
    recipe : Recipe
        For a regression there is no probability.
    training : TrainingData
        What the candidate was fitted on, and how it is split: Platt's sigmoid takes the decisions
        for the test parts of these splits, inner folds or a holdout, of models fitted on the rest.
    candidate : Candidate
        The chosen one.
    predictions : Predictions
        Of `solver_for_probability`.
    """
    if recipe.kind is not Kind.BINARY or predictions.probability is not None:
        return predictions
    decision = predictions.decision
    if np.isnan(decision).any():  # the last model overflowed
        probability = np.full(len(decision), np.nan)
    elif recipe.pipeline.log_odds and not isinstance(recipe.solver, PlainSolver):
        probability = expit(decision)
    else:
        out_of_fold, y = _out_of_fold(recipe, training, candidate)
        probability = platt(out_of_fold, y, decision)
    return replace(predictions, probability=probability)


def platt(decision: FloatArray, y: Array, asked: FloatArray) -> FloatArray:
    """Return the probability of the positive class by Platt's sigmoid.

    Parameters
    ----------
    decision : ndarray of shape (n,), float64
        Out-of-fold: of participants that the models which decided were not trained on.
    y : ndarray of shape (n,)
        Their classes: 0 and 1.
    asked : ndarray of shape (m,), float64
        Decisions to be turned into probabilities.

    Returns
    -------
    ndarray of shape (m,), float64

    Examples
    --------
    >>> platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 1, 0, 1]), np.array([0.0])).round(3)
    array([0.5])
    """
    everyone = np.arange(len(y))
    sigmoid = CalibratedClassifierCV(_DecisionOnly(), ensemble=False, cv=[(everyone, everyone)])
    sigmoid.fit(decision[:, np.newaxis], y)
    found: FloatArray = sigmoid.predict_proba(asked[:, np.newaxis])[:, 1]
    return found


def _out_of_fold(
    recipe: Recipe, training: TrainingData, candidate: Candidate
) -> tuple[FloatArray, Array]:
    """Return out-of-fold decisions, from the search's splits, in the order of `training`."""
    decision = np.full(len(training.y), np.nan)
    for test in training.tests:
        split = recipe.split(training.X, training.y, training.train(test, 1.0), test)
        found = next(iter(recipe.solver.solve(recipe.solver.prepare(split), [candidate])))
        decision[test] = found.decision
    known = np.isfinite(decision)
    return decision[known], training.y[known]
