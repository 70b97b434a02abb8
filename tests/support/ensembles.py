"""A small study with three parcellations, of participants in families, in memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.fits import Fitted, fit
from jobpool.learning.folds import Folds
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import Dimension, Kind, Pipeline, Settings
from jobpool.learning.search import FoldData, Recipe
from jobpool.learning.splits import make_splits
from jobpool.learning.strategies import FoldMembers
from jobpool.learning.targets import Target

N, SEED, N_CANDIDATES = 90, 9, 3
RNG = np.random.default_rng(3)
FAMILY = RNG.permutation(N) // 3
GROUPS = tuple(f"family {one}" for one in FAMILY)
COLUMNS = ([1, 2, 3], [4, 5, 6, 7], [2, 5, 8, 9, 10])  # of each member; the first is the position
LATENT = RNG.normal(size=(N, 2)) + 0.5 * RNG.normal(size=(30, 2))[FAMILY]
VALUES = LATENT @ RNG.normal(size=(2, 10)) + RNG.normal(size=(N, 10)) * RNG.uniform(0.5, 2, 10)
X = np.column_stack([np.arange(N), VALUES])
AGE = 50 + 8 * LATENT[:, 0] + 3 * RNG.normal(size=N)
SEX = np.greater(LATENT[:, 1] + 0.7 * RNG.normal(size=N), 0).astype(float)
TARGETS = {
    Kind.REGRESSION: Target(name="age", column="age", kind=Kind.REGRESSION, y=AGE),
    Kind.BINARY: Target(name="sex", column="sex", kind=Kind.BINARY, y=SEX, classes=("f", "m")),
}
SPLITS = make_splits([str(one) for one in range(N)], GROUPS, 5, 3, SEED)
FOLDS = Folds(SPLITS, GROUPS)
NARROW = {
    # under a strong penalty saga stops before its intercept has arrived
    "C": Dimension(name="C", low=0.1, high=100, log=True),
    # the participants are too few for more
    "min_child_samples": Dimension(name="min_child_samples", low=3, high=10, whole=True),
}


def narrow(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that has candidates which learn something from few participants."""
    spaces = {
        kind: tuple(NARROW.get(one.name, one) for one in space)
        for kind, space in pipeline.spaces.items()
    }
    return replace(pipeline, spaces=spaces)


MEMBERS = {name: narrow(PIPELINES[name]) for name in ("elastic", "lgbm")} | {
    "svm": PIPELINES["svm"]
}


def a_recipe(pipeline: str, kind: Kind, **changes: Any) -> Recipe:
    return Recipe(
        pipeline=MEMBERS[pipeline],
        kind=kind,
        settings=changes.pop("settings", Settings()),
        seed=SEED,
        n_candidates=N_CANDIDATES,
        **changes,
    )


def fold_data(recipe: Recipe, member: int, inner: int | None = None) -> FoldData:
    """Return what a member learns from in the first outer fold."""
    features, everybody = X[:, COLUMNS[member]], np.ones(N, bool)
    return FOLDS.data(0, features, TARGETS[recipe.kind], everybody, recipe, inner)


def fitted(recipe: Recipe, member: int, inner: int | None) -> Fitted:
    """Return a fit of a member in the first outer fold."""
    return fit(recipe, fold_data(recipe, member, inner), 1, Checkpoint(Path("none"), {}))


def fitted_members(recipe: Recipe) -> FoldMembers:
    """Return all fits of the three members in the first outer fold."""
    return FoldMembers(
        fold=0,
        kind=recipe.kind,
        metric=recipe.search_metric,
        y=TARGETS[recipe.kind].y,
        names=tuple(f"member {one}" for one in range(3)),
        wholes=tuple(fitted(recipe, one, None) for one in range(3)),
        inners=tuple(tuple(fitted(recipe, one, inner) for inner in range(3)) for one in range(3)),
    )
