"""How a worker ends one task and claims the next, in one transaction.

A claim is random among the tasks that are waiting, selected and fit the worker: first those for
which a smaller worker had too little memory or time, then those that failed least often. A worker
stays in one state file for some tasks, because ending one task and claiming the next in the same
file is a single transaction under one lock, then searches all of them.

In a pool that says which tasks have common inputs, a worker mostly continues with those of the task
that it ended; its other choices stay random, so that no task waits forever.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jobpool.execution.matching import Affinity
from jobpool.pool import Ending, Pool
from jobpool.table.records import (
    EVERYTHING,
    MOST_ATTEMPTS,
    SHORT_BASE,
    WAITING_BASE,
    WorkerLimits,
    fits,
)
from jobpool.table.shards import Transaction
from jobpool.task import Claim

STAY = 64  # claims in one state file before looking around: evens out crowded files
# the index bytes of waiting tasks, in the order in which they are claimed
LEVELS = tuple(
    bytes([base + n]) for base in (SHORT_BASE, WAITING_BASE) for n in range(MOST_ATTEMPTS + 1)
)
FRESH = LEVELS.index(bytes([WAITING_BASE]))  # the level of tasks that were never tried
FRESH_ONLY = LEVELS[FRESH : FRESH + 1]  # while a worker stays in one file
SHORT = FRESH - 1  # the last level of tasks that were too large for a smaller worker
LONG_S = 1.0  # for shorter tasks, looking for another with the same inputs does not pay
SHORT_EVERY_S = 10.0  # searching all state files for these after every task would slow fast tasks

Mask = NDArray[np.uint8]
Chosen = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """The outcome of ending a task and claiming another."""

    claim: Claim | None  # None: no waiting task is selected and fits
    accepted: bool | None  # whether the pool took the ending; None if there was none


class Preferences(Protocol):
    """How well the tasks fit a worker, each of shape (n_tasks,), bool.

    They are tried in this order; a task in none of them is not claimed.
    """

    @property
    def likely(self) -> Chosen:
        """Return the tasks that will probably be completed here."""
        ...

    @property
    def split(self) -> Chosen:
        """Return what is too long here as a whole, but not in parts."""
        ...

    @property
    def possible(self) -> Chosen:
        """Return the tasks that may be completed here."""
        ...


class Puller:
    """Claims tasks of a pool for one worker.

    Parameters
    ----------
    pool : Pool
        Opened with the worker's number.
    rng : random.Random
        The same seed and the same pool give the same claims.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The worker's selection; None for the whole pool.
    limits : callable
        Returns what the worker can give to a task now.
    """

    def __init__(
        self,
        pool: Pool,
        rng: random.Random,
        chosen: Chosen | None = None,
        limits: Callable[[], WorkerLimits] = lambda: EVERYTHING,
    ) -> None:
        self._pool, self._rng, self._limits = pool, rng, limits
        self._chosen = np.ones(len(pool.grid), bool) if chosen is None else chosen.copy()
        self._whole = bool(self._chosen.all())
        self._masks: list[Mask | None] = []
        self._splitting: int | None = None  # which of the masks holds tasks that are to be split
        self._at = 0  # the mask in use
        self._looked = -SHORT_EVERY_S  # when all state files held no short task
        self._level = 0  # no state file held a task of a lower level
        self._stay = 0
        self._claimed = 0.0  # when the last task was claimed
        self._near: Affinity | None = None
        if pool.grid.inputs is not None and pool.info.same_inputs > 0:
            self._near = Affinity(pool, rng)
        self.restrict(None)

    def restrict(self, preferences: Preferences | None) -> None:
        """Prefer some tasks from now on, and exclude the rest; None for no preference."""
        self._at = self._stay = 0
        if preferences is None:
            self._masks, self._splitting = [self._mask(None)], None
            return
        ranked = (preferences.likely, preferences.split, preferences.possible)
        self._masks, self._splitting = [self._mask(one) for one in ranked], 1

    def _mask(self, preferred: Chosen | None) -> Mask | None:
        if preferred is None:
            if self._whole:
                return None
            preferred = self._chosen
        return np.where(preferred & self._chosen, np.uint8(0xFF), np.uint8(0))

    def leave_out(self, position: int) -> None:
        """Never claim the task at `position` again."""
        self._whole = False
        self._chosen[position] = False
        self._masks = [self._chosen * np.uint8(0xFF) if m is None else m for m in self._masks]
        for mask in self._masks:
            if mask is not None:
                mask[position] = 0

    def next(self, ending: Ending | None = None) -> ClaimResult:
        """End a task, if one is given, and claim another.

        Raises
        ------
        DamagedStateError, BrokenLockError, StorageError
            If the state table cannot be trusted or written.
        """
        claim, accepted = None, None
        if ending is not None:
            number = self._pool.shard_number(ending.claim.position)
            near = self._near if self._goes_on() else None
            stays = self._stay > 0 and self._at == 0 and self._level <= FRESH and near is None
            claim, accepted = self._claim_in(number, FRESH_ONLY if stays else (), ending)
            self._stay -= 1
            if near is not None:
                claim = self._claim_near(near, ending.claim.position)
        claim = claim or self._look_around()
        if self._near is not None:
            self._claimed = self._pool.now()
        return ClaimResult(claim=claim, accepted=accepted)

    def _goes_on(self) -> bool:
        """Say whether to search first for a task with the inputs of the one that ended."""
        # at another level or mask, other tasks come before fresh ones, or there are none
        if self._near is None or self._at or self._level != FRESH:
            return False
        is_short = abs(self._pool.now() - self._claimed) < LONG_S
        return not is_short and self._rng.random() < self._pool.info.same_inputs

    def _claim_near(self, near: Affinity, position: int) -> Claim | None:
        """Claim a task near the one at `position`, if one is waiting."""
        for found in near.near(position, self._masks[self._at]):
            with self._pool.transaction(self._pool.shard_number(found)) as transaction:
                slot = found - transaction.first
                claim = self._pool.claim_in(transaction, slot, self._limits())
                if claim is not None:
                    return claim
                self._pass_over(transaction, slot)
        return None

    def _claim_in(
        self, number: int, levels: tuple[bytes, ...], ending: Ending | None = None
    ) -> tuple[Claim | None, bool | None]:
        """Claim a task of one of these levels in one shard, and end another there first."""
        claim, accepted, limits = None, None, self._limits()
        with self._pool.transaction(number) as transaction:
            if ending is not None:
                accepted = self._pool.end_in(transaction, ending)
            while claim is None and levels:
                start = int(self._rng.random() * len(transaction.index))
                slot = pick(transaction.index, self._mask_of(number), start, levels)
                if slot is None:
                    break
                if self._at == self._splitting:
                    claim = self._split(transaction, slot, limits)
                else:
                    claim = self._pool.claim_in(transaction, slot, limits)
                if claim is None:  # it is not free, or it needs more: the index does not show that
                    self._pass_over(transaction, slot)
        return claim, accepted

    def _pass_over(self, transaction: Transaction, slot: int) -> None:
        """Look no more at a task that does not fit, or is not to be split by this worker."""
        mask = self._masks[self._at]
        if self._at == self._splitting and mask is not None:
            mask[transaction.first + slot] = 0
        elif bytes([transaction.index[slot]]) in LEVELS:
            self.leave_out(transaction.first + slot)

    def _split(self, transaction: Transaction, slot: int, limits: WorkerLimits) -> Claim | None:
        """Cut a task that is too long here, and claim one of its parts."""
        whole = transaction.first + slot
        chosen = [part for part in self._pool.grid.parts.of(whole) if self._chosen[part]]
        # a worker that may take none of the parts leaves the whole; parts need as much memory
        if not chosen or not fits(transaction.record(slot).bounds & 0xFF, limits):
            return None
        if not self._pool.split_in(transaction, slot):
            return None
        self._rng.shuffle(chosen)
        claims = (
            self._pool.claim_in(transaction, part - transaction.first, limits) for part in chosen
        )
        return next((claim for claim in claims if claim is not None), None)

    def _look_around(self) -> Claim | None:
        """Claim a task in any shard; shards that hold none are passed without their lock."""
        now = self._pool.now()
        first = SHORT if abs(now - self._looked) >= SHORT_EVERY_S else FRESH
        for number in range(len(self._masks)):
            self._at = number
            claim = self._search(first)
            if claim is not None:
                if self._level > SHORT >= first:
                    self._looked = now
                return claim
        return None

    def _search(self, first: int) -> Claim | None:
        self._level, self._stay = first, 0 if first == SHORT else STAY
        while True:
            lowest: int | None = None
            order = list(range(len(self._pool.spans)))
            self._rng.shuffle(order)
            for number in order:
                level = self._lowest_level(number)
                if level is None:
                    continue
                if level <= self._level:
                    claim, _ = self._claim_in(number, LEVELS[: self._level + 1])
                    if claim is not None:
                        return claim
                    level = self._lowest_level(number)
                    if level is None:
                        continue
                lowest = level if lowest is None else min(lowest, level)
            if lowest is None:
                return None
            self._level, self._stay = lowest, STAY

    def _lowest_level(self, number: int) -> int | None:
        index = _masked(self._pool.index_of(number), self._mask_of(number))
        return next((n for n, byte in enumerate(LEVELS) if byte in index), None)

    def _mask_of(self, number: int) -> Mask | None:
        mask = self._masks[self._at]
        return None if mask is None else mask[self._pool.spans[number]]


def _masked(index: bytes | bytearray, mask: Mask | None) -> bytes | bytearray:
    return index if mask is None else (np.frombuffer(index, np.uint8) & mask).tobytes()


def pick(
    index: bytes | bytearray, mask: Mask | None, start: int, levels: tuple[bytes, ...]
) -> int | None:
    """Return the first slot at or after `start`, going round, of a task that may be claimed.

    Parameters
    ----------
    index : bytes
        One byte a task.
    mask : ndarray of shape (n_tasks,), uint8, optional
        0xFF for the tasks that are selected, else 0.
    start : int
        Where to begin: a random slot makes a random pick.
    levels : tuple of bytes
        Of `LEVELS`, those that the task may be of; the first are preferred.

    Examples
    --------
    >>> pick(bytes([0x80, 2, 0x80]), None, start=1, levels=LEVELS)
    2
    >>> pick(bytes([0x81, 2, 2]), None, start=1, levels=FRESH_ONLY) is None
    True
    >>> pick(bytes([0x80, 2, 0x91]), None, start=0, levels=LEVELS)
    2
    """
    seen = _masked(index, mask)
    for byte in levels:
        slot = seen.find(byte, start)
        if slot < 0:
            slot = seen.find(byte, 0, start)
        if slot >= 0:
            return slot
    return None
