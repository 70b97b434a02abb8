"""Pipelines: a scaler, an estimator, and the space in which its parameters are searched.

The spaces are those of the published study. Candidates come from a seed by Python's `random`,
whose sequence of `random()` is promised to stay the same in every version.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.preprocessing import RobustScaler, StandardScaler

Parameter = float | str | None
Candidate = Mapping[str, Parameter]


class Kind(StrEnum):
    """What a target is."""

    REGRESSION = "regression"
    BINARY = "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One parameter: a range of numbers, even on a linear or a log scale, or a list of choices."""

    name: str
    low: float = 0.0
    high: float = 1.0
    log10: bool = False  # `low` and `high` are exponents of 10
    choices: tuple[Parameter, ...] = ()

    def draw(self, rng: random.Random) -> Parameter:
        """Return one value, using one number of `rng`."""
        position = rng.random()
        if self.choices:
            return self.choices[int(position * len(self.choices))]
        value = self.low + (self.high - self.low) * position
        return 10.0**value if self.log10 else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all candidates of an experiment share."""

    scaling: str = "robust"
    max_iterations: int = 1000
    tolerance: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """How to make an estimator from a candidate, and where candidates come from."""

    name: str
    spaces: Mapping[Kind, tuple[Dimension, ...]]
    make: Callable[[Kind, Candidate, Settings, int], Any]

    def candidates(self, kind: Kind, count: int, seed: int) -> tuple[Candidate, ...]:
        """Return random candidates: the same for the same pipeline, kind and seed.

        The first ones of a longer list are those of a shorter one.
        """
        rng = random.Random(f"{seed} {self.name} {kind}")
        space = self.spaces[kind]
        return tuple({one.name: one.draw(rng) for one in space} for _ in range(count))


def make_scaler(settings: Settings) -> Any:
    """Return the scaler: by the range from the 5th to the 95th percentile, or by the SD."""
    return SCALERS[settings.scaling]()


def _robust() -> Any:
    return RobustScaler(quantile_range=(5.0, 95.0))


def _standard() -> Any:
    return StandardScaler()


SCALERS: Mapping[str, Callable[[], Any]] = {"robust": _robust, "standard": _standard}


def _elastic(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
    shared = {"max_iter": settings.max_iterations, "tol": settings.tolerance}
    if kind is Kind.REGRESSION:
        return ElasticNet(**candidate, **shared)
    return LogisticRegression(solver="saga", random_state=seed % 2**32, **candidate, **shared)


_L1_RATIO = Dimension(name="l1_ratio", low=0.01, high=1.0)

PIPELINES: Mapping[str, Pipeline] = {
    "elastic": Pipeline(
        name="elastic",
        spaces={
            Kind.REGRESSION: (Dimension(name="alpha", low=-5, high=5, log10=True), _L1_RATIO),
            Kind.BINARY: (
                Dimension(name="C", low=-5, high=5, log10=True),
                _L1_RATIO,
                Dimension(name="class_weight", choices=(None, "balanced")),
            ),
        },
        make=_elastic,
    ),
}
