"""Work shared by the processes that need it: each takes what is free, and waits for the rest."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from jobpool.errors import OutOfTimeError

POLL_S, MOST_POLL_S = 0.2, 2.0  # between two checks of what others have done
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[Item]):
    """One kind of work."""

    work: str  # what there is no time left to do, for an error
    name: Callable[[Item], str]  # of its lease
    is_open: Callable[[Item], bool]  # whether it is still to be done; asks the disk
    do: Callable[[Item], None]


class Taking(Protocol):
    """Hands out leases."""

    def take(self, name: str) -> AbstractContextManager[bool]:
        """Hold the lease `name` inside the ``with`` block; yields False if that cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What one process did of shared work."""

    done: int
    waited_s: float


def share(
    items: Sequence[Item],
    kind: Kind[Item],
    leases: Taking,
    deadline: float | None,
    on_progress: Callable[[int], None],
) -> Shared:
    """Return once no item is open: do the free ones, and wait for those of other processes.

    Processes that start together divide the items: each goes through them in its own random
    order. What a killed process held is taken over once its lease is stale.

    Parameters
    ----------
    items : sequence
        Pieces of work that do not depend on one another.
    kind : Kind
        What they are.
    leases : Taking
        Shared by all processes.
    deadline : float, optional
        Seconds since the epoch, after which no item is started or waited for.
    on_progress : callable
        Called with the number of open items each time it is counted.

    Returns
    -------
    Shared
        How many items were done here, and how long this process waited for others.

    Raises
    ------
    OutOfTimeError
        If items are open at the deadline.
    """
    rng = random.SystemRandom()  # no seed: two processes must not take the same order
    wait_s, waited_s, n_done = POLL_S, 0.0, 0
    while left := [item for item in items if kind.is_open(item)]:
        on_progress(len(left))
        rng.shuffle(left)
        worked = False
        for i, item in enumerate(left):
            if deadline is not None and time.time() > deadline:
                raise OutOfTimeError(kind.work, len(left) - i)
            if _do(item, kind, leases):
                worked = True
                n_done += 1
                on_progress(len(left) - i - 1)
        wait_s = POLL_S if worked else min(wait_s * 1.5, MOST_POLL_S)
        if not worked:
            waited_s += _wait(wait_s, deadline)
    on_progress(0)
    return Shared(done=n_done, waited_s=waited_s)


def _wait(wait_s: float, deadline: float | None) -> float:
    """Wait, not much longer than until the deadline; return how long it took."""
    begun = time.monotonic()
    left_s = wait_s if deadline is None else deadline - time.time()
    time.sleep(min(wait_s, max(left_s, 0.0) + 0.01))
    return time.monotonic() - begun


def _do(item: Item, kind: Kind[Item], leases: Taking) -> bool:
    """Do an item that is open and free; say whether it was done here."""
    if not kind.is_open(item):
        return False
    with leases.take(kind.name(item)) as mine:
        # another process may have done it, and released the lease, in between
        if not mine or not kind.is_open(item):
            return False
        kind.do(item)
        return True
