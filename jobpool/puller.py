"""One worker's way through the pool: end one task and claim the next in one visit.

A claim is random among the tasks that are waiting and selected, those that failed least often
first. A worker stays in one state file for some tasks, because ending one task and claiming the
next in the same file is a single visit under one lock, then looks around in all of them.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobpool.pool import Ending, Mask, Pool
from jobpool.state import WAITING_BYTES
from jobpool.task import Claim

STAY = 64  # claims in one state file before looking around: evens out crowded files


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one visit to the pool gave."""

    claim: Claim | None  # None: nothing that is waiting is selected
    accepted: bool | None  # whether the pool took the ending; None if there was none


class Puller:
    """Claims tasks of a pool for one worker.

    Parameters
    ----------
    pool : Pool
        Opened with the worker's number.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The worker's selection; None for the whole pool.
    rng : random.Random
        The same seed and the same pool give the same claims.
    """

    def __init__(
        self, pool: Pool, rng: random.Random, chosen: NDArray[np.bool_] | None = None
    ) -> None:
        self._pool, self._rng = pool, rng
        self._mask: Mask | None = None
        if chosen is not None and not chosen.all():
            self._mask = np.where(chosen, np.uint8(0xFF), np.uint8(0))
        self._level = 0  # tasks that failed less often than this were nowhere to be seen
        self._stay = 0

    def leave_out(self, position: int) -> None:
        """Claim the task at `position` no more."""
        if self._mask is None:
            self._mask = np.full(len(self._pool.grid), 0xFF, np.uint8)
        self._mask[position] = 0

    def next(self, ending: Ending | None = None) -> Turn:
        """End a task, if one is given, and claim another.

        Raises
        ------
        DamagedStateError, BrokenLockError, StorageError
            If the state table cannot be trusted or written.
        """
        claim, accepted = None, None
        if ending is not None:
            number = self._pool.shard_number(ending.claim.position)
            stays = self._stay > 0 and self._level == 0
            claim, accepted = self._visit(number, 0 if stays else -1, ending)
            self._stay -= 1
        return Turn(claim=claim or self._look_around(), accepted=accepted)

    def _visit(
        self, number: int, most: int, ending: Ending | None = None
    ) -> tuple[Claim | None, bool | None]:
        """Visit one shard, and claim a task there that failed at most `most` times."""
        shard = self._pool.shards[number]
        claim, accepted = None, None
        with shard.visit() as visit:
            if ending is not None:
                accepted = self._pool.end_in(visit, ending)
            while claim is None:
                start = int(self._rng.random() * shard.size)
                slot = pick(visit.index, self._mask_of(number), start, most)
                if slot is None:
                    break
                claim = self._pool.claim_in(visit, slot)
        return claim, accepted

    def _look_around(self) -> Claim | None:
        """Claim a task in any shard; shards that hold none are passed without their lock."""
        self._level, self._stay = 0, STAY
        while True:
            lowest: int | None = None
            order = list(range(len(self._pool.shards)))
            self._rng.shuffle(order)
            for number in order:
                level = self._lowest_level(number)
                if level is None:
                    continue
                if level <= self._level:
                    claim, _ = self._visit(number, self._level)
                    if claim is not None:
                        return claim
                lowest = level if lowest is None else min(lowest, level)
            if lowest is None:
                return None
            self._level = lowest

    def _lowest_level(self, number: int) -> int | None:
        index = _masked(self._pool.shards[number].read_index(), self._mask_of(number))
        return next((n for n, byte in enumerate(WAITING_BYTES) if byte in index), None)

    def _mask_of(self, number: int) -> Mask | None:
        if self._mask is None:
            return None
        shard = self._pool.shards[number]
        return self._mask[shard.first : shard.first + shard.size]


def _masked(index: bytes | bytearray, mask: Mask | None) -> bytes | bytearray:
    return index if mask is None else (np.frombuffer(index, np.uint8) & mask).tobytes()


def pick(index: bytes | bytearray, mask: Mask | None, start: int, most: int) -> int | None:
    """Return the first slot at or after `start`, going round, of a task that may be claimed.

    Parameters
    ----------
    index : bytes
        One byte a task.
    mask : ndarray of shape (n_tasks,), uint8, optional
        0xFF for the tasks that are selected, else 0.
    start : int
        Where to begin: a random slot makes a random pick.
    most : int
        How often the task may have failed; those that failed least are preferred.

    Examples
    --------
    >>> pick(bytes([0x80, 2, 0x80]), None, start=1, most=0)
    2
    >>> pick(bytes([0x81, 2, 2]), None, start=1, most=0) is None
    True
    """
    seen = _masked(index, mask)
    for byte in WAITING_BYTES[: most + 1]:
        slot = seen.find(byte, start)
        if slot < 0:
            slot = seen.find(byte, 0, start)
        if slot >= 0:
            return slot
    return None
