"""Scalers: learned on the training part of a split, once for all of its candidates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler

from jobpool.brain.arrays import FloatArray
from jobpool.learning.pipelines.base import Split


def _robust() -> Any:
    return RobustScaler(quantile_range=(5.0, 95.0))


def _standard() -> Any:
    return StandardScaler()


def _none() -> Any:
    return FunctionTransformer()


SCALERS: Mapping[str, Callable[[], Any]] = {
    "robust": _robust,
    "standard": _standard,
    "none": _none,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaled:
    """The features of a split, scaled by its training part."""

    X_train: FloatArray
    X_test: FloatArray


def scale(split: Split) -> Scaled:
    """Return the features of a split, scaled as its settings say by its training part."""
    scaler = SCALERS[split.settings.scaling]()
    return Scaled(
        X_train=scaler.fit_transform(split.X_train), X_test=scaler.transform(split.X_test)
    )
