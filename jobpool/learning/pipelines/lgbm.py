"""LightGBM: trees that are grown one after the other, each on what the others left over.

All is as LightGBM has it by default, but for what would make a result depend on the machine: it
runs on one thread, adds up in one order and has a seed. ``subsample`` is dead in LightGBM unless
``subsample_freq`` switches bagging on, so that is 1 for ``gbdt`` and ``dart``. ``goss`` chooses
rows by itself and refuses bagging, so there ``subsample`` has no effect.

With ``dart`` the mean of a regression's target is taken off before and added again: LightGBM keeps
it in the first tree, which dart drops and shrinks like any other, so that ages around 50 would be
predicted around 20. Explained variance, which the search maximises, would not see it.

LightGBM itself is loaded when the first model is made.
"""

from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

from jobpool.learning.pipelines.base import Candidate, Dimension, Kind, Pipeline, Settings
from jobpool.learning.pipelines.lgbm_solver import LgbmSolver, native


def make_lgbm(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:  # noqa: ARG001 (all have it)
    """Return the plain estimator."""
    from lightgbm import LGBMClassifier, LGBMRegressor  # noqa: PLC0415 (0.5 s, for those who use it)

    given = native(candidate, seed) | {"n_estimators": candidate["n_estimators"]}
    if kind is Kind.REGRESSION:
        model = LGBMRegressor(**given)
        if candidate["boosting_type"] != "dart":
            return model
        return TransformedTargetRegressor(model, transformer=StandardScaler(with_std=False))
    return LGBMClassifier(**given, class_weight=candidate["class_weight"])  # type: ignore[arg-type]


_RANGES = (
    Dimension(name="boosting_type", choices=("gbdt", "dart", "goss")),
    Dimension(name="n_estimators", low=3, high=500, whole=True),
    Dimension(name="num_leaves", low=6, high=80, whole=True),
    Dimension(name="min_child_samples", low=10, high=500, whole=True),
    Dimension(name="min_child_weight", low=1e-5, high=1e4, log=True),
    Dimension(name="subsample", low=0.3, high=0.95),
    Dimension(name="colsample_bytree", low=0.3, high=0.95),
    Dimension(name="reg_alpha", low=1e-5, high=1.0, log=True, zero=0.5),
    Dimension(name="reg_lambda", low=1e-5, high=1.0, log=True, zero=0.5),
)

LGBM = Pipeline(
    name="lgbm",
    spaces={
        Kind.REGRESSION: _RANGES,
        Kind.BINARY: (*_RANGES, Dimension(name="class_weight", choices=(None, "balanced"))),
    },
    make=make_lgbm,
    solver=LgbmSolver(),
    n_candidates=180,
    holdout=0.25,
    scaled=False,
    log_odds=True,
    packages=("lightgbm",),
)
