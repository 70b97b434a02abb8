"""LightGBM on features that are binned once for many candidates.

What is shared or left out changes no tree:

- LightGBM drops features that cannot be split by ``min_child_samples``, before it bins the others.
  Candidates that drop the same ones share the binned features. Those that surely go are not even
  handed over, as looking for their bins costs half the time of a short fit.
- A candidate that can grow no tree at all is one constant (`surely_constant`).
- Models are trained and asked without the checks of the scikit-learn interface.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind, Predictions, Split
from jobpool.learning.pipelines.lgbm_growth import number, reaches, surely_constant

_CHUNK = 12  # candidates: 180 keep 15 cores busy; a smaller chunk bins the features for fewer
_OBJECTIVE = {Kind.REGRESSION: "regression", Kind.BINARY: "binary"}
_ELSEWHERE = {"n_estimators", "class_weight", "boosting_type", "subsample"}


def native(candidate: Candidate, seed: int) -> dict[str, Any]:
    """Return what LightGBM is told, by its estimators or directly."""
    told: dict[str, Any] = {name: one for name, one in candidate.items() if name not in _ELSEWHERE}
    if candidate["boosting_type"] == "goss":
        told |= {"boosting_type": "gbdt", "data_sample_strategy": "goss"}
    else:
        told |= {"boosting_type": candidate["boosting_type"]}
        told |= {"subsample": candidate["subsample"], "subsample_freq": 1}
    return told | {
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
        """Return chunks of equal work, as far as the number of trees tells.

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
    told = native(candidate, split.seed)
    dataset = Dataset(features, split.y_train, params=told).construct()
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
    told = native(candidate, split.seed) | {"objective": _OBJECTIVE[split.kind]}
    booster = Booster(told, binned.dataset)
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
