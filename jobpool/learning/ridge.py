"""The ridge that stacking ends in, logistic if the target is binary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind, Pipeline, Predictions, Settings, Split
from jobpool.learning.pipelines.plain import PlainSolver

_MAX_ITERATIONS = 1000  # of lbfgs: the weakest penalties take more than its usual 100
_POWERS = range(-5, 6)
# the strongest first: it is chosen among equals
STRENGTHS: Mapping[Kind, tuple[Candidate, ...]] = {
    Kind.REGRESSION: tuple({"alpha": 10.0**-power} for power in _POWERS),
    Kind.BINARY: tuple({"C": 10.0**power} for power in _POWERS),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meta:
    """What the members say about a training part and a test part."""

    kind: Kind
    X: FloatArray  # (n_train, n_members)
    y: Array  # (n_train,)
    asked: FloatArray  # (n_test, n_members)


def solve_ridge(meta: Meta, strengths: Sequence[Candidate]) -> list[Predictions]:
    """Return what a ridge of each strength, on standardised features, predicts."""
    split = Split(
        X_train=meta.X,
        y_train=meta.y,
        X_test=meta.asked,
        kind=meta.kind,
        settings=Settings(scaling="standard"),
        seed=0,
    )
    return list(_RIDGE.solve(_RIDGE.prepare(split), strengths))


def _make_ridge(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:  # noqa: ARG001 (as any `make`)
    if kind is Kind.REGRESSION:
        return Ridge(**candidate)
    return LogisticRegression(max_iter=_MAX_ITERATIONS, **candidate)


_RIDGE = PlainSolver(
    pipeline=Pipeline(name="ridge", spaces={}, make=_make_ridge), probabilities=True
)
