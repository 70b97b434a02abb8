"""What the searches are timed on: real lesion maps if they are there, and generated features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# 1,449 maps of stroke lesions at 4 mm, of the Stroke Outcome Optimization Project
LESIONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "soop-lesions"
VOXEL_PARTS = 64  # a 4 mm voxel counts the lesioned ones of 64 voxels of 1 mm
_TARGETS = {"regression": "log1p_nihss", "binary": "mrs_gt2"}
Loaded = tuple[Any, Any]  # X (n, n_features) float64, y (n,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Features and a target, made when asked for."""

    name: str
    kind: str  # regression or binary
    load: Callable[[], Loaded]
    needs: Path | None = None  # a folder without which it is left out


def lesions(parcellation: str, kind: str) -> Loaded:
    """Return the lesioned share of every parcel, and the target of those who have it."""
    table = pd.read_csv(LESIONS / "participants.tsv", sep="\t", na_values="n/a")
    y = table[_TARGETS[kind]].to_numpy(np.float64)
    known = np.isfinite(y)
    with np.load(LESIONS / "parcellations_4mm.npz", allow_pickle=False) as archive:
        labels = archive[parcellation]
    with np.load(LESIONS / "lesions_4mm.npz", allow_pickle=False) as archive:
        maps = archive["X"][known]
    parcels = np.unique(labels[labels > 0])
    X = np.empty((len(maps), len(parcels)))
    for column, parcel in enumerate(parcels):
        X[:, column] = maps[:, labels == parcel].mean(axis=1) / VOXEL_PARTS
    return X, y[known] if kind == "regression" else y[known].astype(np.int64)


def generated(n: int, n_features: int, kind: str) -> Loaded:
    """Return features that are correlated like those of a brain, and a target of some of them."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((n, 40)) @ rng.standard_normal((40, n_features)) / 40**0.5
    X = sources + rng.standard_normal((n, n_features))
    weights = rng.standard_normal(n_features) * (rng.random(n_features) < 0.05)
    signal = X @ weights
    y = signal / signal.std() + 1.5 * rng.standard_normal(n)
    return X, y if kind == "regression" else (y > 0).astype(np.int64)


def _of_lesions(parcellation: str, kind: str) -> Problem:
    name = f"lesions {parcellation}"
    return Problem(name=name, kind=kind, load=lambda: lesions(parcellation, kind), needs=LESIONS)


def _generated(n: int, n_features: int, kind: str) -> Problem:
    name = f"generated {n} x {n_features}"
    return Problem(name=name, kind=kind, load=lambda: generated(n, n_features, kind))


PROBLEMS: Mapping[str, tuple[Problem, ...]] = {
    kind: (
        _of_lesions("schaefer100", kind),
        _of_lesions("schaefer1000", kind),
        _generated(2_000, 1_600, kind),
    )
    for kind in _TARGETS
}
