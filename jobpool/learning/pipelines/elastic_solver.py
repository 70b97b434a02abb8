"""The solver of the elastic net: regression as scikit-learn does it, binary to the optimum.

Regression gives the numbers of `ElasticNet` to rounding. The plain estimator for a binary target,
saga, stops where its last pass moved little, far from the optimum where features differ in range;
here the same objective is minimised until the duality gap is at most a ten-thousandth of the
setting `tolerance`, of the objective itself. The decision values then are those of saga after as
many passes as it likes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind, Predictions, Settings, Split
from jobpool.learning.pipelines.elastic_linear import LinearSplit, prepare_linear, solve_linear
from jobpool.learning.pipelines.elastic_logistic import Logistic, solve_logistic
from jobpool.learning.pipelines.scaling import scale

_CHUNK = 5
_GAP = 1e-4  # of the tolerance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinarySplit:
    """What all candidates of a split share."""

    X: FloatArray  # (n_train, n_features): scaled, float64, Fortran-ordered
    y: FloatArray  # (n_train,): 0 and 1
    X_test: FloatArray  # (n_test, n_features): scaled
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticSolver:
    """Fits each candidate by itself, on arrays that all share."""

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        """Return chunks of about equal cost: each has weak penalties, which cost, and strong."""
        order = sorted(range(len(candidates)), key=lambda one: (_penalty(candidates[one]), one))
        n_chunks = -(-len(candidates) // _CHUNK)
        return [sorted(order[start::n_chunks]) for start in range(n_chunks)]

    def prepare(self, split: Split) -> LinearSplit | BinarySplit:
        """Return scaled features, and all that is made of them alone."""
        if split.kind is Kind.REGRESSION:
            return prepare_linear(split)
        scaled = scale(split)
        return BinarySplit(
            X=np.asfortranarray(scaled.X_train, dtype=np.float64),
            y=np.asarray(split.y_train, dtype=np.float64),
            X_test=np.asarray(scaled.X_test, dtype=np.float64),
            settings=split.settings,
        )

    def solve(
        self, prepared: LinearSplit | BinarySplit, candidates: Sequence[Candidate]
    ) -> Iterator[Predictions]:
        """Yield the predictions of each candidate."""
        for one in candidates:
            if isinstance(prepared, LinearSplit):
                yield solve_linear(prepared, _number(one, "alpha"), _number(one, "l1_ratio"))
            else:
                yield _solve_binary(prepared, one)


def _solve_binary(split: BinarySplit, candidate: Candidate) -> Predictions:
    strength, l1_ratio = _number(candidate, "C"), _number(candidate, "l1_ratio")
    problem = Logistic(
        X=split.X,
        y=split.y,
        weights=_weights(split.y, balanced=candidate["class_weight"] == "balanced"),
        l1=l1_ratio / strength,
        l2=(1.0 - l1_ratio) / strength,
    )
    settings = split.settings
    found = solve_logistic(problem, _GAP * settings.tolerance, settings.max_iterations)
    decision = split.X_test @ found.coefficients + found.intercept
    predicted = (decision > 0).astype(np.int64)
    return Predictions(predicted=predicted, decision=decision, converged=found.converged)


def _weights(y: FloatArray, *, balanced: bool) -> FloatArray:
    if not balanced:
        return np.ones(len(y))
    n_positive = float(y.sum())
    found: Array = np.where(y == 1, n_positive, len(y) - n_positive)
    return len(y) / (2.0 * found)


def _number(candidate: Candidate, name: str) -> float:
    return float(candidate[name] or 0.0)


def _penalty(candidate: Candidate) -> float:
    return _number(candidate, "alpha") if "alpha" in candidate else 1 / _number(candidate, "C")
