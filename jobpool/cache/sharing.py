"""Work shared by all who need it: each takes what nobody works on, and waits for the rest."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from jobpool.cache.leases import Leases
from jobpool.errors import OutOfTimeError

POLL_S, MOST_POLL_S = 0.2, 2.0  # between looks at the work of others
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[Item]):
    """One kind of work."""

    name: Callable[[Item], str]  # of its lease
    is_open: Callable[[Item], bool]  # whether it is still to be done; asks the disk
    do: Callable[[Item], None]


def share(
    items: Sequence[Item],
    kind: Kind[Item],
    leases: Leases,
    deadline: float | None,
    tell: Callable[[int], None],
) -> None:
    """Return once no item is open: do those that nobody does, and wait for the others.

    Processes that start together divide the items among them: each takes them in an order of its
    own. What a killed process held is taken over when its lease is stale.

    Parameters
    ----------
    items : sequence
        Pieces of work that do not depend on one another.
    kind : Kind
        What they are.
    leases : Leases
        Shared by all processes.
    deadline : float, optional
        Seconds since the epoch, after which no item is begun.
    tell : callable
        Called with the number of open items whenever it was counted.

    Raises
    ------
    OutOfTimeError
        If items are open at the deadline.
    """
    rng = random.SystemRandom()  # no seed: two processes must not go the same way
    wait_s = POLL_S
    while left := [item for item in items if kind.is_open(item)]:
        tell(len(left))
        rng.shuffle(left)
        worked = False
        for i, item in enumerate(left):
            if deadline is not None and time.time() > deadline:
                raise OutOfTimeError("fill the ROI cache", len(left) - i)
            done = _do(item, kind, leases)
            worked = worked or done
            if done:
                tell(len(left) - i - 1)
        wait_s = POLL_S if worked else min(wait_s * 1.5, MOST_POLL_S)
        if not worked:
            time.sleep(wait_s)
    tell(0)


def _do(item: Item, kind: Kind[Item], leases: Leases) -> bool:
    """Do an item that is open and that nobody holds; say whether it was done here."""
    if not kind.is_open(item):
        return False
    with leases.take(kind.name(item)) as mine:
        # another may have done it, and let go of the lease, since it was looked at
        if not mine or not kind.is_open(item):
            return False
        kind.do(item)
        return True
