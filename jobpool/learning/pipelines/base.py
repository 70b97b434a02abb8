"""What a pipeline is: a space of candidates, a plain estimator, and a solver that is faster.

The estimator that `Pipeline.make` returns is the definition: what a careful user would write with
scikit-learn. The solver may share work between the candidates of a split in any way that gives the
same predictions; tests hold both side by side.

Random candidates come from a seed by Python's `random`, whose sequence of `random()` is promised
to stay the same in every version. Each dimension uses one number of it, so that the first
candidates of a longer list are those of a shorter one. In a pool where they are distinct none is
drawn twice: of a finite space there are at most as many as it has combinations.
"""

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.conventions import ABSOLUTE, NONE
from jobpool.learning.pipelines.sources import Code

Parameter = float | str | None  # an int is a float here, a bool an int
Candidate = Mapping[str, Parameter]
_PATIENCE = 1000  # draws of candidates that are known, one after the other


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
    # as published; not in `repr`, by which pools made before know their fits
    target_scaling: str = field(default=NONE, repr=False)
    ranges: str = field(default=ABSOLUTE, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One parameter: a range of numbers, or a list of choices.

    Attributes
    ----------
    name : str
        Of the estimator's parameter.
    low, high : float
        The range, in the parameter's own unit. Whole numbers include both.
    log : bool
        Even on a logarithmic scale.
    whole : bool
        Whole numbers only.
    zero : float
        The share of candidates for which the parameter is 0, from 0 to 1.
    choices : tuple
        If given, these instead of a range, each as likely as the other.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    zero: float = 0.0
    choices: tuple[Parameter, ...] = ()

    def at(self, position: float) -> Parameter:
        """Return the value at a position from 0 to below 1.

        Examples
        --------
        >>> Dimension(name="C", low=1e-2, high=1e2, log=True).at(0.5)
        1.0
        >>> Dimension(name="n_estimators", low=3, high=500, whole=True).at(0.9999)
        500
        >>> Dimension(name="reg_alpha", low=1e-5, high=1, log=True, zero=0.5).at(0.3)
        0.0
        """
        if self.choices:
            return self.choices[int(position * len(self.choices))]
        if position < self.zero:
            return 0.0
        share = (position - self.zero) / (1.0 - self.zero)
        if self.whole:
            return int(self.low + math.floor(share * (self.high - self.low + 1)))
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return float(10.0 ** (low + (high - low) * share))
        return self.low + (self.high - self.low) * share

    @property
    def values(self) -> Sequence[Parameter] | None:
        """Return all values that it can have, or None if they are too many to tell.

        Examples
        --------
        >>> Dimension(name="max_depth", low=1, high=4, whole=True).values
        range(1, 5)
        >>> Dimension(name="C", low=1e-2, high=1e2, log=True).values is None
        True
        """
        if self.choices:
            return list({json.dumps(one): one for one in self.choices}.values())
        if self.zero >= 1.0 or self.low == self.high:
            return [self.at(0.0)]
        if not self.whole:
            return None
        whole = range(int(self.low), int(self.high) + 1)
        return whole if self.zero == 0.0 else [0.0, *whole]


def n_combinations(space: Sequence[Dimension]) -> int | None:
    """Return how many different candidates a space has, or None if there is no end of them."""
    values = [one.values for one in space]
    return None if None in values else math.prod(len(one) for one in values if one is not None)


def distinct_candidates(space: Sequence[Dimension], count: int, seed: str) -> tuple[Candidate, ...]:
    """Return `count` different random candidates, or all there are if these are fewer.

    They are those of `random_candidates` without those that came before.
    """
    rng = random.Random(seed)
    possible = n_combinations(space)
    wanted = count if possible is None else min(count, possible)
    found: dict[str, Candidate] = {}
    n_in_vain = 0
    while len(found) < wanted and n_in_vain < _PATIENCE:
        before = len(found)
        one = {dimension.name: dimension.at(rng.random()) for dimension in space}
        found.setdefault(json.dumps(one), one)
        n_in_vain = n_in_vain + 1 if len(found) == before else 0
    if possible is not None:  # few are left: in their order
        names = [one.name for one in space]
        left = product(*(one.values or () for one in space))
        while len(found) < wanted:
            one = dict(zip(names, next(left), strict=True))
            found.setdefault(json.dumps(one), one)
    return tuple(found.values())


def random_candidates(space: tuple[Dimension, ...], count: int, seed: str) -> tuple[Candidate, ...]:
    """Return `count` random candidates, the same ones for the same seed; some may be equal."""
    rng = random.Random(seed)
    return tuple({one.name: one.at(rng.random()) for one in space} for _ in range(count))


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
    error: str = ""  # why there are none

    @classmethod
    def none(cls, n_test: int, error: str = "") -> "Predictions":
        """Return the predictions of a candidate that could not be fitted: they score NaN."""
        nothing = np.full(n_test, np.nan)
        return cls(predicted=nothing, decision=nothing, converged=False, error=error)

    @property
    def failure(self) -> str:
        """Return why the candidate has no score; empty if all it says is finite."""
        if self.error:
            return self.error
        finite = np.isfinite(self.predicted).all() and np.isfinite(self.decision).all()
        return "" if finite else "what it predicts is not finite"


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


@runtime_checkable
class SupportsApart(Protocol):
    """Makes estimators that are not jobpool's own."""

    def apart(self, seed: int) -> AbstractContextManager[None]:
        """Return a context for all calls of their code: see `jobpool.learning.pipelines.apart`."""
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
        Faster than the plain estimator, fitted for each candidate.
    n_candidates : int
        How many the published study tried.
    holdout : float, optional
        Compare candidates on one split with this share of the groups, instead of on inner folds.
    scaled : bool
        Whether features are scaled before; trees do not care.
    log_odds : bool
        Whether the decision of `solver` for a binary target is the logarithm of the odds.
    has_unit : bool
        Whether parameters are in the unit of the target in a regression: a penalty, a tolerance.
    packages : tuple of str
        The optional ones that it needs: keys of `jobpool.installation.EXTRAS`.
    sized : callable, optional
        ``sized(kind, n_train)`` returns a space for so few participants; `spaces` if they are many.
    constant : callable, optional
        ``constant(kind, candidate, n_train)`` says whether a candidate surely predicts a constant
        when it learns from so many participants.
    cautions : tuple of str
        What a user should know of it before it is used.
    code : Code, optional
        What a pipeline from outside is made of.
    """

    name: str
    spaces: Mapping[Kind, tuple[Dimension, ...]]
    make: Callable[[Kind, Candidate, Settings, int], Any]
    solver: Solver | None = None
    n_candidates: int = 60
    holdout: float | None = None
    scaled: bool = True
    log_odds: bool = False
    has_unit: bool = False
    packages: tuple[str, ...] = ()
    sized: Callable[[Kind, int], tuple[Dimension, ...]] | None = None
    constant: Callable[[Kind, Candidate, int], bool] | None = None
    cautions: tuple[str, ...] = ()
    code: Code | None = None

    def candidates(
        self, kind: Kind, count: int, seed: int, *, distinct: bool = False
    ) -> tuple[Candidate, ...]:
        """Return random candidates: the same for the same pipeline, kind and seed.

        Parameters
        ----------
        kind : Kind
            Of the target.
        count : int
            How many; fewer if they are distinct and the space has fewer.
        seed : int
            Another seed draws others.
        distinct : bool
            Draw none twice. The publication did.
        """
        draw = distinct_candidates if distinct else random_candidates
        return draw(self.spaces[kind], count, f"{seed} {self.name} {kind}")

    def apart(self, seed: int) -> AbstractContextManager[None]:
        """Return a context in which its estimators are made and called."""
        return self.make.apart(seed) if isinstance(self.make, SupportsApart) else nullcontext()
