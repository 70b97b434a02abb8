"""Jobs that were sent and never came as far as the pool: their scheduler ended them before that.

A log that cannot be opened, a folder that is not there: no line of the batch script runs, so that
the job itself can tell nothing. Whoever submits next asks the scheduler, and tells the pool.
"""

from collections.abc import Collection

from jobpool.errors import SchedulerError
from jobpool.journal.starts import (
    SAME_WORDS,
    SOON_S,
    FailedStart,
    SentBatch,
    end_sent,
    read_starts,
    sent_batches,
)
from jobpool.pool import Pool
from jobpool.scheduler.base import QueuedJob
from jobpool.scheduler.detect import submitting_scheduler
from jobpool.scheduler.status import JobRun, JobStatus, Phase
from jobpool.units import DAY_S

ASK_S = 20.0  # for the scheduler's answer
_SIGNALS = 32  # a program ends with a code, or by a signal below this


def note_unstarted(pool: Pool, queue: Collection[QueuedJob], clock: float) -> None:
    """Tell the pool which jobs that were sent before never started; at most one question.

    Parameters
    ----------
    pool : Pool
        The pool.
    queue : collection of QueuedJob
        The pool's jobs that wait or run: nothing is said of their batches yet.
    clock : float
        The file server's time, in seconds since the epoch.
    """
    there = {one.batch for one in queue}
    silent = [
        one
        for one in sent_batches(pool.folder)
        if one.batch not in there and clock - one.at > SOON_S
    ]
    if not silent:
        return
    good = read_starts(pool.folder, clock).good  # what came after such a failure: it is mended
    try:
        known = submitting_scheduler().query([run for one in silent for run in _runs(one)], ASK_S)
    except SchedulerError:  # next time, then
        return
    for one in silent:
        found = [known[run] for run in _runs(one)]
        is_over = all(status.phase is Phase.ENDED for status in found)
        if is_over or clock - one.at > DAY_S:
            is_mended = good.get(one.name, 0.0) > one.at
            failed = [_failed(one, s) for s in found if _never_began(s) and not is_mended]
            end_sent(pool.folder, one, failed)


def _runs(one: SentBatch) -> list[JobRun]:
    """Return the first jobs of a batch: as many as say enough about the others."""
    return [JobRun(f"{one.batch}_{number}", 0) for number in range(min(one.jobs, SAME_WORDS))]


def _never_began(status: JobStatus) -> bool:
    # the code beside it is one thing in the queue and another in accounting
    is_over = status.phase is Phase.ENDED and status.cause is None
    return is_over and status.signal >= _SIGNALS


def _failed(one: SentBatch, status: JobStatus) -> FailedStart:
    what = f"ended before its script ran: {status.word}, signal {status.signal}"
    advice = "see the options of its pass, such as an --output in a folder that is not there"
    return FailedStart(
        job=status.job,
        name=one.name,
        node=status.node,
        said=f"{what}; {advice}",
    )
