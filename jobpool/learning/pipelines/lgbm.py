"""LightGBM: trees that are grown one after the other, each on what the others left over.

All is as LightGBM has it by default, but for what would make a result depend on the machine: it
runs on one thread, adds up in one order and has a seed. ``subsample`` is dead in LightGBM unless
``subsample_freq`` switches bagging on, so that is 1 for ``gbdt`` and ``dart``. ``goss`` chooses
rows by itself and refuses bagging, so there ``subsample`` has no effect.

With ``dart`` the mean of a regression's target is taken off before and added again: LightGBM keeps
it in the first tree, which dart drops and shrinks like any other, so that ages around 50 would be
predicted around 20. Explained variance, which the search maximises, would not see it.

`LgbmSolver` works on features that are binned once for many candidates. What it shares or leaves
out changes no tree:

- LightGBM drops features that cannot be split by ``min_child_samples``, before it bins the others.
  Candidates that drop the same ones share the binned features. Those that surely go are not even
  handed over, as looking for their bins costs half the time of a small model.
- A split needs ``min_child_samples`` rows and a sum of second derivatives of ``min_child_weight``
  on both sides. If no threshold of any feature leaves that much, every iteration fails like the
  first one, at the full price of looking for a split: the model stays the constant that it starts
  from. `surely_constant` says so where it is certain; else LightGBM finds out by itself.
- Models are trained and asked without the checks of the scikit-learn interface.

LightGBM itself is loaded when the first model is made.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

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

_CHUNK = 12  # candidates: 180 keep 15 cores busy; a smaller chunk bins the features for fewer
_OBJECTIVE = {Kind.REGRESSION: "regression", Kind.BINARY: "binary"}
_ELSEWHERE = {"n_estimators", "class_weight", "boosting_type", "subsample"}
_COLUMNS = 256  # sorted together: bounds the memory for a copy of them
_DEVIATIONS = 8.0  # of the number of rows that bagging draws: beyond, 1 of 10^15 draws
_ROUNDING = 1e-6  # LightGBM adds up single precision
_STEEPEST = {Kind.REGRESSION: 1.0, Kind.BINARY: 0.25}  # second derivative of a row's loss, at most


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


def native(candidate: Candidate, seed: int) -> dict[str, Any]:
    """Return the parameters for LightGBM, for its estimators or direct use."""
    given: dict[str, Any] = {name: one for name, one in candidate.items() if name not in _ELSEWHERE}
    if candidate["boosting_type"] == "goss":
        given |= {"boosting_type": "gbdt", "data_sample_strategy": "goss"}
    else:
        given |= {"boosting_type": candidate["boosting_type"]}
        given |= {"subsample": candidate["subsample"], "subsample_freq": 1}
    return given | {
        "random_state": seed % 2**31,
        "n_jobs": 1,
        "deterministic": True,
        "force_col_wise": True,  # otherwise it times two ways, which may add up differently
        "verbosity": -1,
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """A split, and how evenly each feature can divide its training part."""

    split: Split
    reach: Array  # (n_features,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Binned:
    """Features as LightGBM wants them, for all candidates that keep the same ones."""

    dataset: Any
    columns: Array  # positions of the features that were handed over
    smallest: int  # the `min_child_samples` that LightGBM dropped features by
    whole: bool  # none was dropped

    def serves(self, columns: Array, smallest: int) -> bool:
        """Return whether LightGBM would bin the same features for `smallest`."""
        if smallest == self.smallest:
            return True
        kept = self.whole and smallest < self.smallest
        return kept and np.array_equal(columns, self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class LgbmSolver:
    """Grows the same trees as the estimators of LightGBM."""

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        """Return chunks of equal work, measured by the number of trees.

        Within a chunk those with large leaves come first: what is binned for them serves others.
        """
        count = -(-len(candidates) // _CHUNK)
        work = sorted(
            range(len(candidates)), key=lambda one: number(candidates[one], "n_estimators")
        )
        chunks = (work[first::count] for first in range(count))
        return [sorted(chunk, key=lambda one: -_smallest(candidates[one])) for chunk in chunks]

    def prepare(self, split: Split) -> Measured:
        """Return the split; binned features cannot be sent to another process."""
        return Measured(split=split, reach=reaches(split.X_train))

    def solve(self, prepared: Measured, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        """Yield the predictions of each candidate."""
        split, reach = prepared.split, prepared.reach
        binned: Binned | None = None
        for candidate in candidates:
            if surely_constant(split.kind, candidate, reach, len(split.y_train)):
                alone = _bin(split, np.zeros(1, np.int64), candidate)
                yield _grow(split, alone, candidate, 1)
                continue
            columns = np.flatnonzero(reach >= _smallest(candidate))
            if binned is None or not binned.serves(columns, _smallest(candidate)):
                binned = _bin(split, columns, candidate)
            yield _grow(split, binned, candidate, int(number(candidate, "n_estimators")))


def _smallest(candidate: Candidate) -> int:
    return int(number(candidate, "min_child_samples"))


def _bin(split: Split, columns: Array, candidate: Candidate) -> Binned:
    from lightgbm import Dataset  # noqa: PLC0415 (0.5 s, for those who use it)

    whole = len(columns) == split.X_train.shape[1]
    features = split.X_train if whole else split.X_train[:, columns]
    given = native(candidate, split.seed)
    dataset = Dataset(features, split.y_train, params=given).construct()
    kept = all(dataset.feature_num_bin(column) > 1 for column in range(len(columns)))
    return Binned(dataset=dataset, columns=columns, smallest=_smallest(candidate), whole=kept)


def _mean_apart(split: Split, candidate: Candidate) -> float:
    """Return what is taken off the target: its mean, where dart would shrink it."""
    if split.kind is Kind.REGRESSION and candidate["boosting_type"] == "dart":
        # as the plain estimator does it: another way to add up differs in the last bit
        return float(StandardScaler(with_std=False).fit(split.y_train[:, None]).mean_[0])
    return 0.0


def _grow(split: Split, binned: Binned, candidate: Candidate, n_trees: int) -> Predictions:
    from lightgbm import Booster  # noqa: PLC0415 (as above)

    binned.dataset.set_field("weight", None)  # `set_weight` would leave those of the last candidate
    mean = _mean_apart(split, candidate)
    binned.dataset.set_field("label", (split.y_train - mean).astype(np.float32))
    if candidate.get("class_weight") is not None:
        binned.dataset.set_weight(compute_sample_weight(candidate["class_weight"], split.y_train))
    given = native(candidate, split.seed) | {"objective": _OBJECTIVE[split.kind]}
    booster = Booster(given, binned.dataset)
    for _ in range(n_trees):
        booster.update()  # goes on after a tree without a split: another draw may have one
    whole = len(binned.columns) == split.X_test.shape[1]
    features = split.X_test if whole else split.X_test[:, binned.columns]
    raw: FloatArray = np.asarray(booster.predict(features, raw_score=True, num_threads=1))
    decision = raw + mean
    predicted: Array = decision
    if split.kind is Kind.BINARY:
        share = 1.0 / (1.0 + np.exp(-decision))
        # the first class where both are equal, as its estimator has it
        predicted = np.unique(split.y_train)[(share > 1.0 - share).astype(np.intp)]
    return Predictions(predicted=predicted, decision=decision)


def reaches(X: FloatArray) -> Array:
    """Return how many rows each feature can leave on the smaller side of a split, at most.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float64
        Features.

    Returns
    -------
    ndarray of shape (n_features,), int64
        From 0 for a constant to ``n // 2`` for different values.

    Examples
    --------
    >>> reaches(np.array([[1.0, 0.0, 7.0], [2.0, 0.0, 7.0], [3.0, 0.0, 7.0], [4.0, 5.0, 7.0]]))
    array([2, 1, 0])
    """
    n_rows = len(X)
    result = np.zeros(X.shape[1], np.int64)
    for start in range(0, X.shape[1], _COLUMNS):
        part = X[:, start : start + _COLUMNS]
        median = np.partition(part, n_rows // 2, axis=0)[n_rows // 2]
        # the best threshold lies just below the median value or just above it
        sides = [(part < median).sum(axis=0), (part <= median).sum(axis=0)]
        result[start : start + _COLUMNS] = np.max(
            [np.minimum(side, n_rows - side) for side in sides], axis=0
        )
    return result


def surely_constant(kind: Kind, candidate: Candidate, reach: Array, n_rows: int) -> bool:
    """Return whether no tree can have a split, whatever is drawn.

    Parameters
    ----------
    kind : Kind
        Of the target.
    candidate : mapping
        Parameters of LightGBM.
    reach : ndarray of shape (n_features,), int64
        Made by `reaches`.
    n_rows : int
        Participants of the training part.
    """
    rows, weight = number(candidate, "min_child_samples"), number(candidate, "min_child_weight")
    best = int(reach.max(initial=0))
    half = _most_drawn(candidate, n_rows) / 2.0
    steepest = _STEEPEST[kind]
    if candidate.get("class_weight") is not None:
        # rows count by their weight, which sums to n_rows: no feature's own reach holds
        return rows > half or rows > best or weight > steepest * n_rows / 2.0 * (1 + _ROUNDING)
    return max(rows, weight / steepest) > min(best, half) * (1 + _ROUNDING)


def never_splits(kind: Kind, candidate: Candidate, n_rows: int) -> bool:
    """Return whether no tree can have a split, whatever the features are.

    Examples
    --------
    >>> few = {"boosting_type": "goss", "min_child_samples": 40, "min_child_weight": 1e-5}
    >>> never_splits(Kind.REGRESSION, few, 79), never_splits(Kind.REGRESSION, few, 80)
    (True, False)
    """
    return surely_constant(kind, candidate, np.array([n_rows // 2]), n_rows)


def _most_drawn(candidate: Candidate, n_rows: int) -> float:
    """Return how many rows a tree sees at most; `goss` draws none before the first good tree."""
    if candidate["boosting_type"] == "goss":
        return n_rows
    share = number(candidate, "subsample")
    spread = math.sqrt(n_rows * share * (1.0 - share))
    return min(n_rows, n_rows * share + _DEVIATIONS * spread)


def number(candidate: Candidate, name: str) -> float:
    """Return a parameter that is a number in every candidate."""
    return float(candidate[name])  # type: ignore[arg-type]  # texts and None are of other names


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
_SPACES = {
    Kind.REGRESSION: _RANGES,
    Kind.BINARY: (*_RANGES, Dimension(name="class_weight", choices=(None, "balanced"))),
}


def sized_space(kind: Kind, n_train: int) -> tuple[Dimension, ...]:
    """Return the space with leaves that a tree of so few participants can have.

    A leaf holds at most an eighth of them, as a tree may be grown on 3 of 10; its least number is
    the published 10, or a fiftieth of few. The sum of second derivatives is bounded likewise.

    Examples
    --------
    >>> {one.name: (one.low, one.high) for one in sized_space(Kind.REGRESSION, 80)[3:5]}
    {'min_child_samples': (1, 10), 'min_child_weight': (1e-05, 10.0)}
    """
    fewest = min(10, max(1, n_train // 50))
    most = min(500, max(fewest, n_train // 8))
    steepest = most * _STEEPEST[kind]
    bounds = {"min_child_samples": (fewest, most), "min_child_weight": (1e-5, steepest)}
    return tuple(
        replace(one, low=bounds[one.name][0], high=min(one.high, bounds[one.name][1]))
        if one.name in bounds
        else one
        for one in _SPACES[kind]
    )


LGBM = Pipeline(
    name="lgbm",
    spaces=_SPACES,
    make=make_lgbm,
    solver=LgbmSolver(),
    has_unit=True,  # `reg_alpha`, and single precision
    n_candidates=180,
    holdout=0.25,
    scaled=False,
    log_odds=True,
    sized=sized_space,
    constant=never_splits,
    packages=("lightgbm",),
)
