"""Factories as users write them: estimators that write, that answer oddly, that fail.

Estimators keep what they see in the lists of this module, as a careless one would.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jobpool.brain.arrays import Array, FloatArray

ALPHA = {"alpha": ("log", 1e-3, 1e3)}
C = {"C": ("log", 1e-3, 1e3)}
SEEN: list[Array] = []
SHARED = SGDRegressor(warm_start=True, random_state=0, max_iter=5, tol=None)


def ridge(kind: str, _seed: int) -> Any:
    return (Ridge() if kind == "regression" else RidgeClassifier()), ALPHA


def logistic(kind: str, _seed: int) -> Any:
    return None if kind == "regression" else (LogisticRegression(), C)


def _after_scaling(kind: str, *, copy: bool) -> Any:
    model = Ridge() if kind == "regression" else RidgeClassifier()
    name = type(model).__name__.lower()
    return make_pipeline(StandardScaler(copy=copy), model), {f"{name}__alpha": ALPHA["alpha"]}


def in_place(kind: str, _seed: int) -> Any:
    return _after_scaling(kind, copy=False)


def copying(kind: str, _seed: int) -> Any:
    return _after_scaling(kind, copy=True)


class Overwrites(Ridge):  # type: ignore[misc] # scikit-learn has no types
    """Writes into all that it is given, and into what it was given before."""

    def fit(self, X: FloatArray, y: Array) -> Self:
        super().fit(X.copy(), y.copy())
        for one in (*SEEN, X, y):
            one[:] = 0.0
        SEEN.extend([X, y])
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        found = super().predict(X.copy())
        X[:] = 0.0
        return found  # type: ignore[no-any-return]


def overwrites(kind: str, _seed: int) -> Any:
    return (Overwrites(), ALPHA) if kind == "regression" else None


class ForgetsFeatures(LogisticRegression):  # type: ignore[misc] # as above
    def predict(self, X: FloatArray) -> Array:
        found = super().predict(X.copy())
        X[:] = 0.0
        return found  # type: ignore[no-any-return]


def forgets_features(kind: str, _seed: int) -> Any:
    return None if kind == "regression" else (ForgetsFeatures(), C)


class InfiniteClass(LogisticRegression):  # type: ignore[misc] # as above
    """Diverges where its penalty is strong, as a solver with a bad step does."""

    def predict(self, X: FloatArray) -> Array:
        found: Array = super().predict(X)
        return np.full(len(X), np.inf) if self.C < 1 else found

    def predict_proba(self, X: FloatArray) -> Array:
        found: Array = super().predict_proba(X)
        return found * (-np.inf if self.C < 1 else 1)


def infinite_class(kind: str, _seed: int) -> Any:
    return (InfiniteClass(), {"C": [0.01, 0.1, 1, 10]}) if kind == "binary" else None


class OneBuffer(Ridge):  # type: ignore[misc] # as above
    """Answers with the same array each time."""

    buffer = np.zeros(1000)

    def predict(self, X: FloatArray) -> FloatArray:
        self.buffer[: len(X)] = super().predict(X)
        return self.buffer[: len(X)]


def one_buffer(kind: str, _seed: int) -> Any:
    return (OneBuffer(), ALPHA) if kind == "regression" else None


def shared(kind: str, _seed: int) -> Any:
    return (SHARED, {"alpha": ("log", 1e-3, 1e3)}) if kind == "regression" else None


def fresh_each_time(kind: str, _seed: int) -> Any:
    made = SGDRegressor(warm_start=True, random_state=0, max_iter=5, tol=None)
    return (made, {"alpha": ("log", 1e-3, 1e3)}) if kind == "regression" else None


class Answering(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # as above
    """Answers as `LogisticRegression` does, in another form."""

    def __init__(self, C: float = 1.0, form: str = "") -> None:
        self.C, self.form = C, form

    def fit(self, X: FloatArray, y: Array) -> Self:
        self.model_ = LogisticRegression(C=self.C).fit(X, y)
        classes = {
            "swapped": [1.0, 0.0],
            "swapped decision": [1.0, 0.0],
            "minus": [-1, 1],
            "texts": ["0", "1"],
            "bools": [False, True],
            "names": ["ill", "well"],
        }
        if self.form != "nameless":
            self.classes_ = np.array(classes.get(self.form, [0.0, 1.0]))
        return self

    def predict(self, X: FloatArray) -> Any:
        found = self.model_.predict(X)
        answers: dict[str, Callable[[], Any]] = {
            "minus": lambda: np.where(found == 1, 1, -1),
            "texts": lambda: [str(int(one)) for one in found],
            "bools": lambda: found == 1,
            "names": lambda: np.where(found == 1, "well", "ill"),
            "column": lambda: found[:, None],
            "shares": lambda: self.model_.predict_proba(X)[:, 1],
            "rows": lambda: found[None, :],
            "short": lambda: found[:-1],
        }
        return answers.get(self.form, lambda: found)()

    def decision_function(self, X: FloatArray) -> Any:
        found = self.model_.decision_function(X)
        match self.form:
            case "swapped decision" | "turned":
                return -found
            case "column":
                return found[:, None]
        return found


class Telling(Answering):
    """Has probabilities, and no decision."""

    def __getattribute__(self, name: str) -> Any:
        if name == "decision_function":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def predict_proba(self, X: FloatArray) -> Any:
        found = self.model_.predict_proba(X)
        match self.form:
            case "swapped":
                return found[:, ::-1]
            case "column":
                return found[:, 1:]
            case "logs":
                return np.log(found)
            case "three":
                return np.column_stack([found, found[:, 0] * 0])
        return found


def answering(form: str) -> Any:
    def made(kind: str, _seed: int) -> Any:
        return None if kind == "regression" else (Answering(form=form), C)

    return made


def telling(form: str) -> Any:
    def made(kind: str, _seed: int) -> Any:
        return None if kind == "regression" else (Telling(form=form), C)

    return made


swapped_decision, minus = answering("swapped decision"), answering("minus")
texts, bools, names, column = map(answering, ("texts", "bools", "names", "column"))
shares, rows, short, turned = map(answering, ("shares", "rows", "short", "turned"))
nameless = answering("nameless")
told, swapped, told_column = map(telling, ("", "swapped", "column"))
logs, three = map(telling, ("logs", "three"))


class Column(RegressorMixin, BaseEstimator):  # type: ignore[misc] # as above
    """A ridge that answers a column, as Keras does, or something odd."""

    def __init__(self, alpha: float = 1.0, form: str = "column") -> None:
        self.alpha, self.form = alpha, form

    def fit(self, X: FloatArray, y: Array) -> Self:
        self.model_ = Ridge(alpha=self.alpha).fit(X, y)
        return self

    def predict(self, X: FloatArray) -> Any:
        found = self.model_.predict(X)
        first, weak = np.arange(len(X)) == 0, self.alpha <= 1
        answers: dict[str, Callable[[], Any]] = {
            "column": lambda: found[:, None],
            "texts": lambda: [str(one) for one in found],
            "words": lambda: ["high" if one > 0 else "low" for one in found],
            "twice": lambda: np.column_stack([found, found]),
            "dates": lambda: np.array(["2020-01-01"] * len(X), "M8[D]"),
            "infinite": lambda: np.where(first & weak, np.inf, found),
            "masked": lambda: np.ma.masked_array(found, mask=first & weak),
        }
        return answers[self.form]()


def regressor(form: str) -> Any:
    def made(kind: str, _seed: int) -> Any:
        return (Column(form=form), ALPHA) if kind == "regression" else None

    return made


column_of_numbers, texts_of_numbers, words, twice, dates, infinite, masked = map(
    regressor, ("column", "texts", "words", "twice", "dates", "infinite", "masked")
)


def components(kind: str, _seed: int) -> Any:
    model = make_pipeline(PCA(svd_solver="full"), Ridge())
    return (model, {"pca__n_components": [2, 20]}) if kind == "regression" else None


def too_many_components(kind: str, _seed: int) -> Any:
    model = make_pipeline(PCA(svd_solver="full"), Ridge())
    return (model, {"pca__n_components": [20, 30]}) if kind == "regression" else None


class FailsOnMany(Ridge):  # type: ignore[misc] # as above
    """Fails with weak penalties on the whole training part, not on a part of it."""

    def fit(self, X: FloatArray, y: Array) -> Self:
        if self.alpha < 10 and len(X) > 60:
            raise RuntimeError("too many")
        return super().fit(X, y)  # type: ignore[no-any-return]


def fails_on_many(kind: str, _seed: int) -> Any:
    return (FailsOnMany(), ALPHA) if kind == "regression" else None


def forest(kind: str, _seed: int) -> Any:
    model = RandomForestRegressor(5) if kind == "regression" else RandomForestClassifier(5)
    return model, {"min_samples_leaf": ("int", 1, 9)}


class Strict(Ridge):  # type: ignore[misc] # as above
    """Refuses weak penalties when they are set."""

    def set_params(self, **params: Any) -> Self:
        if params.get("alpha", 1) < 1:
            raise ValueError("alpha must not be below 1")
        return super().set_params(**params)  # type: ignore[no-any-return]


def strict(kind: str, _seed: int) -> Any:
    return (Strict(), ALPHA) if kind == "regression" else None
