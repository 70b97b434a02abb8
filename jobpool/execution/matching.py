"""What one worker can give at this moment, and which tasks fit that.

Bounds of failed attempts are hard and are checked at every claim. Estimates from attempts that
ended well are learned by one worker for the whole pool, once in a while, and looked up by all.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from numpy.linalg import LinAlgError

from jobpool.disk.election import take_turn
from jobpool.errors import StorageError
from jobpool.journal.workers import WorkerCard
from jobpool.needs.estimates import Latest
from jobpool.needs.learning import learn
from jobpool.needs.offers import Offers, offers
from jobpool.pool import Pool
from jobpool.scheduler.base import margin_s
from jobpool.table.records import Offer, offer_of

REFRESH_S = 30.0  # between two looks at the estimates and at the time that is left
LEARN_EVERY_S = 60.0  # between two times that somebody reads new attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a worker has left for a task."""

    cores: int
    memory_mb: float | None
    seconds_left: float | None
    seconds_in_all: float | None  # of a job of this size, from its start


class Fitting:
    """Keeps a worker's puller to the tasks that fit.

    Parameters
    ----------
    pool : Pool
        The pool, and its clock.
    card : WorkerCard
        What the worker has.
    """

    def __init__(self, pool: Pool, card: WorkerCard) -> None:
        self._pool, self._card = pool, card
        self._latest = Latest(pool)
        self._refreshed: float | None = None
        self._in_all: float | None = None  # seconds that it had at first: as any of its size

    def offer(self) -> Offer:
        """Return what the worker can give a task that it claims now."""
        left = self._seconds_left()
        return offer_of(self._card.memory_mb, None if left is None else left * self._card.cores)

    def time_is_up(self) -> bool:
        """Say whether no task should be begun, so that the worker is gone before its job is."""
        left = self._seconds_left()
        return left is not None and left <= 0

    def forget(self) -> None:
        """Look anew at the next refresh: the puller is another."""
        self._refreshed = None

    def refresh(self, restrict: Callable[[Offers | None], None], server_time: float) -> None:
        """Learn if it is this worker's turn, and say which tasks fit; seldom does anything.

        Parameters
        ----------
        restrict : callable
            Of the worker's puller; given what fits, or None if nothing is known yet.
        server_time : float
            The file server's clock.
        """
        now = self._pool.now()
        if self._refreshed is not None and abs(now - self._refreshed) < REFRESH_S:
            return
        self._refreshed = now
        if self._in_all is None:
            self._in_all = self._seconds_left()
        if take_turn(self._pool.folder, "needs", LEARN_EVERY_S, server_time):
            # what is not learned now is learned by the next: no reason to lose a worker
            with suppress(StorageError, OSError, LinAlgError):
                learn(self._pool, server_time)
        estimates = self._latest.estimates()
        if estimates is None:
            restrict(None)
            return
        room = Room(
            cores=self._card.cores,
            memory_mb=self._card.memory_mb,
            seconds_left=self._seconds_left(),
            seconds_in_all=self._in_all,
        )
        restrict(offers(estimates, room))

    def _seconds_left(self) -> float | None:
        end = self._card.end
        if end is None:
            return None
        return end - self._pool.now() - margin_s(end - self._card.started)
