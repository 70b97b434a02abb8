"""Ensembles whose members search for themselves, written with scikit-learn's classes alone.

The first column of X is the position of a participant in the table. By these a member knows how it
has to split the training part that it is given, which scikit-learn cuts out for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectPercentile, VarianceThreshold, f_classif
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.svm import SVC

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Kind

SCORING = {Kind.REGRESSION: "explained_variance", Kind.BINARY: "matthews_corrcoef"}
STRENGTHS = np.logspace(5, -5, 11)
Steps = list[tuple[str, Any]]


def steps_of(pipeline: str, kind: Kind, seed: int) -> Steps:
    """Return the last steps of a member, by the names that its candidates use."""
    if pipeline == "svm":
        best = SelectPercentile(f_classif)
        return [("variance", VarianceThreshold()), ("best", best), ("model", SVC())]
    if kind is Kind.REGRESSION:
        return [("model", ElasticNet(tol=1e-3))]
    saga = LogisticRegression(solver="saga", tol=1e-3, max_iter=1000, random_state=seed)
    return [("model", saga)]


def single_points(candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, list[Any]]]:
    steps = {"percentile": "best"}
    return [
        {f"{steps.get(name, 'model')}__{name}": [value] for name, value in one.items()}
        for one in candidates
    ]


class Searching(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Takes its own columns, and searches on the splits that belong to a training part."""

    def __init__(
        self,
        columns: list[int],
        steps: Steps,
        candidates: Sequence[Mapping[str, Any]],
        folds_of: Mapping[bytes, Array],
    ) -> None:
        self.columns, self.steps = columns, steps
        self.candidates, self.folds_of = candidates, folds_of

    def search(self, X: FloatArray, y: Array, scoring: str) -> GridSearchCV:
        model = Pipeline([("scaler", RobustScaler(quantile_range=(5, 95))), *self.steps])
        self.cv_ = PredefinedSplit(self.folds_of[X[:, 0].astype(np.int64).tobytes()])
        points = single_points(self.candidates)
        self.search_ = GridSearchCV(model, points, scoring=scoring, cv=self.cv_)
        self.search_.fit(X[:, self.columns], y)
        return self.search_

    def predict(self, X: FloatArray) -> Array:
        return self.search_.predict(X[:, self.columns])  # type: ignore[no-any-return]


class SearchingRegressor(RegressorMixin, Searching):  # type: ignore[misc] # as above
    def fit(self, X: FloatArray, y: Array) -> Self:
        self.search(X, y, SCORING[Kind.REGRESSION])
        return self


class SearchingClassifier(ClassifierMixin, Searching):  # type: ignore[misc] # as above
    def fit(self, X: FloatArray, y: Array) -> Self:
        chosen = self.search(X, y, SCORING[Kind.BINARY]).best_estimator_
        self.classes_ = chosen.classes_
        self.told_ = chosen
        if not hasattr(chosen, "predict_proba"):
            sigmoid = CalibratedClassifierCV(chosen, method="sigmoid", ensemble=False, cv=self.cv_)
            self.told_ = sigmoid.fit(X[:, self.columns], y)
        return self

    def predict_proba(self, X: FloatArray) -> FloatArray:
        return self.told_.predict_proba(X[:, self.columns])  # type: ignore[no-any-return]


def ridge(kind: Kind, cv: PredefinedSplit) -> GridSearchCV:
    if kind is Kind.REGRESSION:
        model = make_pipeline(StandardScaler(), Ridge())
        points = {"ridge__alpha": STRENGTHS}
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        points = {"logisticregression__C": 1 / STRENGTHS}
    return GridSearchCV(model, points, scoring=SCORING[kind], cv=cv)


def ensemble(strategy: str, kind: Kind, members: Sequence[Searching], folds: Array) -> Any:
    """Return an unfitted ensemble; `folds` are the inner folds of what it will be fitted on."""
    cv = PredefinedSplit(folds)
    named = [(f"member {number}", one) for number, one in enumerate(members)]
    match strategy, kind:
        case "voted", Kind.REGRESSION:
            return VotingRegressor(named)
        case "voted", _:
            return VotingClassifier(named, voting="soft")
        case "stacked", Kind.REGRESSION:
            return StackingRegressor(named, ridge(kind, cv), cv=cv)
        case "stacked", _:
            return StackingClassifier(named, ridge(kind, cv), cv=cv, stack_method="predict_proba")
    points = {"member": list(members)}
    return GridSearchCV(Pipeline([("member", members[0])]), points, scoring=SCORING[kind], cv=cv)
