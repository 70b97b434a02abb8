"""The elastic net: linear, or logistic for a binary target.

A regression is fitted by the path function of scikit-learn, called on features that are centred
once per split, with their Gram matrix where that is the faster way: the same updates in the same
order as those of `ElasticNet`, so that a model that stops early, as many do, stops at the same
place, and its numbers are those of `ElasticNet` to rounding. No model starts from the coefficients
of another candidate: at the usual tolerance this moves the scores.

The plain estimator for a binary target, saga, stops where its last pass moved little, far from the
optimum where features differ in range. Here the same objective is minimised until the duality gap
is at most a ten-thousandth of the setting `tolerance`, of the objective itself (see
`jobpool.learning.pipelines.logistic`). The decision values then are those of saga after as many
passes as it likes.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression, enet_path

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import (
    Candidate,
    Dimension,
    Kind,
    Pipeline,
    Predictions,
    Settings,
    Split,
)
from jobpool.learning.pipelines.logistic import Logistic, solve_logistic
from jobpool.learning.pipelines.scaling import scale

_CHUNK = 5
_GAP = 1e-4  # of the tolerance
_GRAM_FEATURES = 5000  # at most: 200 MB
_TRIAL = 20  # passes over the features, then the coefficients that are not 0 are counted
_GRAM_COST = 1.5  # of an update with it, per number; it is out of the processor's caches
_L1_RATIO = Dimension(name="l1_ratio", low=0.01, high=1.0)


def make_elastic(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
    """Return the plain estimator."""
    shared = {"max_iter": settings.max_iterations, "tol": settings.tolerance}
    if kind is Kind.REGRESSION:
        return ElasticNet(**candidate, **shared)
    return LogisticRegression(solver="saga", random_state=seed % 2**32, **candidate, **shared)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearSplit:
    """What all candidates of a split share in a regression; everything in float64."""

    X: FloatArray  # (n_train, n_features): scaled, centred, Fortran-ordered
    y: FloatArray  # (n_train,): centred
    gram: FloatArray | None  # (n_features, n_features)
    Xy: FloatArray  # (n_features,)
    X_test: FloatArray  # (n_test, n_features): scaled
    X_mean: FloatArray  # (n_features,): of the scaled training part
    y_mean: float
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinarySplit:
    """What all candidates of a split share if the target is binary."""

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
    """Return what the model with these penalties predicts."""
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
        warnings.simplefilter("ignore", ConvergenceWarning)  # the result says so
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


ELASTIC = Pipeline(
    name="elastic",
    spaces={
        Kind.REGRESSION: (
            Dimension(name="alpha", low=1e-5, high=1e5, log=True),
            _L1_RATIO,
        ),
        Kind.BINARY: (
            Dimension(name="C", low=1e-5, high=1e5, log=True),
            _L1_RATIO,
            Dimension(name="class_weight", choices=(None, "balanced")),
        ),
    },
    make=make_elastic,
    solver=ElasticSolver(),
    has_unit=True,  # `alpha`
    log_odds=True,
)
