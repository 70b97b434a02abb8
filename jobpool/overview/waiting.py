"""Wait until nothing of a pool is left to run, and say what became of it.

Reads the state table and modification times alone. The scheduler is asked only when no worker shows
that it lives, and never more often than the pool's workers ask it themselves.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from jobpool.disk.files import server_time
from jobpool.errors import SchedulerError, SchedulerMissingError
from jobpool.journal.jsonl import worker_files
from jobpool.liveness.judge import Life
from jobpool.overview.counts import Counts
from jobpool.overview.status import Status, read_status
from jobpool.plan.submission import queued_of
from jobpool.pool import Pool

POLL_S = 30.0


class Outcome(StrEnum):
    """Why a wait ended."""

    DONE = "done"  # all tasks that are meant
    STUCK = "stuck"  # what is not done is parked or held: a person must act
    DESERTED = "deserted"  # tasks are left, but no worker and no job in the queue
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSettings:
    """What to wait for, how long, and how often to look."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    timeout_s: float | None = None
    poll_s: float = POLL_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """What a wait ended with."""

    outcome: Outcome
    counts: Counts  # of the tasks that are meant

    @property
    def is_done(self) -> bool:
        """Say whether all tasks that are meant are done."""
        return self.outcome is Outcome.DONE

    def __str__(self) -> str:
        counts = self.counts
        said = f"{counts.done:,} of {counts.total:,} tasks done"
        match self.outcome:
            case Outcome.DONE:
                return said
            case Outcome.STUCK:
                return f"{said}; {counts.parked:,} parked, {counts.held:,} held"
            case Outcome.DESERTED:
                return f"{said}; {counts.remaining:,} left, without a worker or a job in the queue"
            case Outcome.TIMEOUT:
                return f"{said}; {counts.remaining:,} left when the time was up"


def wait_for(
    open_pool: Callable[[], Pool],
    settings: WaitSettings,
    report: Callable[[Status], None] = lambda _: None,
    *,
    count_jobs: Callable[[Pool], int] = lambda pool: queued_of(pool).total(),
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Waited:
    """Return when nothing that is meant is left to run, or nobody is left to run it.

    Parameters
    ----------
    open_pool : callable
        Opens the pool; called for each look, so that tasks that are added are seen.
    settings : WaitSettings
        What to wait for.
    report : callable
        Given what each look saw.
    count_jobs : callable
        Says how many jobs of the pool the scheduler has. `SchedulerMissingError` stands for none,
        any other `SchedulerError` for an answer that is not known.
    sleep, clock : callable
        Wait some seconds; the time in seconds, from any start.
    """
    started = clock()
    manned, asked = started, -float("inf")  # when a worker or a job was seen; the last question
    has_jobs = True  # until the scheduler says otherwise
    while True:
        pool = open_pool()
        found = read_status(pool, (), settings.only, settings.skip)
        report(found)
        now, counts = clock(), found.counts
        if counts.remaining == 0:
            outcome = Outcome.DONE if counts.done == counts.total else Outcome.STUCK
            return Waited(outcome=outcome, counts=counts)
        silent_s = 0.0 if found.workers[Life.ALIVE] else _newest_beat_s(pool)
        if silent_s <= pool.info.lost_after_s:
            manned, has_jobs = max(manned, now - silent_s), True
        elif now - asked >= max(pool.info.ask_scheduler_s, settings.poll_s):
            asked, has_jobs = now, _may_have_jobs(pool, count_jobs)
            manned = now if has_jobs else manned
        if not has_jobs and now - manned >= pool.info.lost_after_s:
            return Waited(outcome=Outcome.DESERTED, counts=counts)
        if settings.timeout_s is not None and now - started >= settings.timeout_s:
            return Waited(outcome=Outcome.TIMEOUT, counts=counts)
        rest_s = float("inf") if settings.timeout_s is None else settings.timeout_s - now + started
        sleep(max(min(settings.poll_s, rest_s), 0.05))


def _may_have_jobs(pool: Pool, count_jobs: Callable[[Pool], int]) -> bool:
    try:
        return count_jobs(pool) > 0
    except SchedulerMissingError:
        return False
    except SchedulerError:  # no answer is not "none"
        return True


def _newest_beat_s(pool: Pool) -> float:
    """Return how long ago a worker of the pool last showed that it lives, in seconds."""
    now = server_time(pool.folder / "workers")
    beats = [path.stat().st_mtime for path in worker_files(pool.folder, "workers")]
    return now - max(beats, default=-float("inf"))
