"""The elastic net: linear, or logistic for a binary target."""

from typing import Any

from sklearn.linear_model import ElasticNet, LogisticRegression

from jobpool.learning.pipelines.base import Candidate, Dimension, Kind, Pipeline, Settings
from jobpool.learning.pipelines.elastic_solver import ElasticSolver

_L1_RATIO = Dimension(name="l1_ratio", low=0.01, high=1.0)


def make_elastic(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
    """Return the plain estimator."""
    shared = {"max_iter": settings.max_iterations, "tol": settings.tolerance}
    if kind is Kind.REGRESSION:
        return ElasticNet(**candidate, **shared)
    return LogisticRegression(solver="saga", random_state=seed % 2**32, **candidate, **shared)


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
    log_odds=True,
)
