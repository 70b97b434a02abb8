"""The space in which a pipeline's parameters are searched.

Random candidates come from a seed by Python's `random`, whose sequence of `random()` is promised
to stay the same in every version. Each dimension uses one number of it, so that the first
candidates of a longer list are those of a shorter one.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

Parameter = float | str | None  # an int is a float here, a bool an int
Candidate = Mapping[str, Parameter]


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


def random_candidates(space: tuple[Dimension, ...], count: int, seed: str) -> tuple[Candidate, ...]:
    """Return `count` random candidates, the same ones for the same seed."""
    rng = random.Random(seed)
    return tuple({one.name: one.at(rng.random()) for one in space} for _ in range(count))
