"""Offers: which tasks a worker of some size should be given, by what they are expected to need."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jobpool.needs.estimates import Estimates

# Chances that a task ends well. What is even may be better known later, or end on a larger worker:
# simulated, likely tasks at 0.8 rather than 0.5 waste a third less, in the same time.
LIKELY, EVEN, POSSIBLE = 0.8, 0.5, 0.1
BETTER = 0.1  # by how much a worker at its start must have the better chance, to be left a task
Mask = NDArray[np.bool_]


class CapacityLike(Protocol):
    """What a worker can give to a task."""

    @property
    def cores(self) -> int:
        """Return how many it may use at a time."""
        ...

    @property
    def memory_mb(self) -> float | None:
        """Return None if not known: then all tasks fit."""
        ...

    @property
    def seconds_left(self) -> float | None:
        """Return how long until its job ends; None: no end."""
        ...

    @property
    def seconds_in_all(self) -> float | None:
        """Return how long a job of this size lasts from its start; None: no end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """Masks over all tasks, each of shape (n_tasks,); what is in none is not started."""

    likely: Mask  # ends in time and within memory, almost surely
    cut: Mask  # whole tasks too long for any worker of this size, whose parts likely fit
    possible: Mask  # may end well, and would hardly do better on a worker that has just started


def offers(estimates: Estimates, capacity: CapacityLike) -> Offers:
    """Return what a worker should be given."""
    cores, memory_mb = capacity.cores, capacity.memory_mb
    now = estimates.chance(cores, capacity.seconds_left, memory_mb)
    fresh = estimates.chance(cores, capacity.seconds_in_all, memory_mb)
    likely = now >= LIKELY
    cut = np.zeros_like(likely)
    # a whole task lies right before its parts
    cut[:-1] = estimates.grid.parts.has_spares[:-1] & (fresh[:-1] < EVEN) & likely[1:]
    possible = (now >= EVEN) | (now >= POSSIBLE) & (fresh < now + BETTER)
    return Offers(likely=likely, cut=cut, possible=possible)
