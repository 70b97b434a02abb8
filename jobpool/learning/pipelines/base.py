"""What a pipeline is: a space of candidates, a plain estimator, and a solver that is faster.

The estimator that `Pipeline.make` returns is the definition: what a careful user would write with
scikit-learn. The solver may share work between the candidates of a split in any way that gives the
same predictions; tests hold both side by side.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.pipelines.space import Candidate, Dimension, random_candidates


class Kind(StrEnum):
    """What a target is."""

    REGRESSION = "regression"
    BINARY = "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all candidates of an experiment share."""

    scaling: str = "robust"
    max_iterations: int = 1000
    tolerance: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """One training part and one test part of the participants, and how to learn from it."""

    X_train: FloatArray  # (n_train, n_features), not scaled
    y_train: Array  # (n_train,); 0 and 1 if binary
    X_test: FloatArray  # (n_test, n_features)
    kind: Kind
    settings: Settings
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What one candidate says about the test part of a split."""

    predicted: Array  # (n_test,): the target's own unit, or 0 and 1
    decision: FloatArray  # (n_test,): grows with the positive class; `predicted` in a regression
    converged: bool = True
    probability: FloatArray | None = None  # (n_test,): of the positive class, where it is known

    @classmethod
    def none(cls, n_test: int) -> "Predictions":
        """Return the predictions of a candidate that could not be fitted: they score NaN."""
        nothing = np.full(n_test, np.nan)
        return cls(predicted=nothing, decision=nothing, converged=False)


class Solver(Protocol):
    """Fits the candidates of a pipeline.

    What a chunk of candidates predicts depends on the split and the chunk alone, to the bit: not on
    cores, on other chunks, or on what was solved before in the same process.
    """

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        """Return which candidates (by position) are solved together; each once.

        A chunk is what one core does at a time and what a checkpoint keeps: enough of them for
        many cores, large enough for what they share.
        """
        ...

    def prepare(self, split: Split) -> Any:
        """Return what all candidates of a split share, such as scaled features.

        It is pickled to other processes, its arrays are memory-mapped there and read-only.
        """
        ...

    def solve(self, prepared: Any, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        """Yield the predictions of each candidate, in the given order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A named way to learn.

    Attributes
    ----------
    name : str
        Value of the axis.
    spaces : mapping
        Where candidates come from, for each kind of target it can learn.
    make : callable
        ``make(kind, candidate, settings, seed)`` returns the plain estimator, unfitted: a
        scikit-learn estimator or pipeline that gets scaled features if `scaled`.
    solver : Solver, optional
        Faster than one fit of the plain estimator for each candidate.
    n_candidates : int
        How many the published study tried.
    holdout : float, optional
        Compare candidates on one split with this share of the groups, instead of on inner folds.
    scaled : bool
        Whether features are scaled before; trees do not care.
    log_odds : bool
        Whether the decision of `solver` for a binary target is the logarithm of the odds.
    packages : tuple of str
        The optional ones that it needs: keys of `jobpool.installation.EXTRAS`.
    """

    name: str
    spaces: Mapping[Kind, tuple[Dimension, ...]]
    make: Callable[[Kind, Candidate, Settings, int], Any]
    solver: Solver | None = None
    n_candidates: int = 60
    holdout: float | None = None
    scaled: bool = True
    log_odds: bool = False
    packages: tuple[str, ...] = ()

    def candidates(self, kind: Kind, count: int, seed: int) -> tuple[Candidate, ...]:
        """Return random candidates: the same for the same pipeline, kind and seed."""
        return random_candidates(self.spaces[kind], count, f"{seed} {self.name} {kind}")
