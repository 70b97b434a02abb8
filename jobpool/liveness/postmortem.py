"""How the attempt of a dead worker ended: by its own record, or by the evidence.

A dead worker may have written a result or the end of the attempt: that stands. If not, the state
that the scheduler reports counts, then the memory that the worker recorded for its task.
"""

from dataclasses import dataclass
from pathlib import Path

from jobpool.journal.attempts import Attempt, attempts_of, feedback_of
from jobpool.journal.results import result_of
from jobpool.journal.workers import WorkerRecord, read_memory_mark
from jobpool.scheduler.status import JobStatus, Phase
from jobpool.task import Cause, Feedback, UnknownCause

NEARLY_ALL = 0.9  # of the memory: it is sampled, so the last moment is missed


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadClaim:
    """A claim whose worker is dead, and what is known of the worker."""

    task: str
    checkpoint: str  # the folder of the task's checkpoint
    fence: int
    claimed: float  # seconds since the epoch
    worker: str
    worker_record: WorkerRecord | None
    beaten: float  # its last heartbeat; 0 if there is none
    end_slack_s: float  # a last heartbeat this close to the end of the job counts as at the end
    seen: JobStatus | None

    @property
    def ended(self) -> float:
        """Return when the worker was last known to be alive."""
        if self.has_wrong_clock and self.beaten:
            return self.beaten
        return max(self.claimed, self.beaten)

    @property
    def has_wrong_clock(self) -> bool:
        """Say whether the worker's clock, which says when it claimed the task, was wrong."""
        return self.worker_record is not None and self.worker_record.clock_ahead_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmortem:
    """How the attempt ended, and what that says about its task."""

    cause: Cause
    feedback: Feedback
    why: str = ""  # the evidence; empty: the worker recorded the end itself
    attempt: Attempt | None = None  # to be written; None: the worker wrote it


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a worker that vanished without a final record."""

    seen: JobStatus | None = None  # what the scheduler reports, if anything
    memory_mb: float | None = None  # what the worker had
    peak_mb: float | None = None  # of its task, as far as it was recorded
    was_at_its_end: bool = False  # its last heartbeat came at the end of its job


def postmortem_of(pool: Path, claim: DeadClaim) -> Postmortem:
    """Return how the attempt of a dead worker ended, and the record of it."""
    own = [
        attempt
        for attempt in attempts_of(pool, claim.worker)
        if (attempt.task, attempt.worker, attempt.fence) == (claim.task, claim.worker, claim.fence)
    ]
    if result_of(pool, claim.task, claim.worker, claim.fence) is not None:
        attempt = None if own else _attempt(claim, Cause.DONE, None, None)
        return Postmortem(cause=Cause.DONE, feedback=Feedback(), attempt=attempt)
    if own and own[-1].cause is not Cause.DONE:
        said = own[-1].cause
        # an end that only a newer jobpool understands does not count against the task
        known = Cause.CANCELLED if isinstance(said, UnknownCause) else said
        return Postmortem(cause=known, feedback=_feedback(pool, claim, own[-1]))
    recorded_mb = _marked_mb(pool, claim)
    cause, why = cause_of_death(_evidence(claim, recorded_mb))
    peak_mb = recorded_mb
    if (
        cause is Cause.MEMORY and claim.seen is not None
    ):  # the scheduler's figure is of the whole job
        peak_mb = max(recorded_mb or 0.0, claim.seen.max_rss_mb or 0.0) or None
    attempt = _attempt(claim, cause, peak_mb, why)
    return Postmortem(
        cause=cause, feedback=_feedback(pool, claim, attempt), why=why, attempt=attempt
    )


def _feedback(pool: Path, claim: DeadClaim, attempt: Attempt) -> Feedback:
    end = claim.worker_record.end if claim.worker_record else None
    return feedback_of(pool, attempt, checkpoint=lambda: claim.checkpoint, end=end)


def _marked_mb(pool: Path, claim: DeadClaim) -> float | None:
    mark = read_memory_mark(pool, claim.worker)
    return mark.peak_memory_mb if mark is not None and mark.task == claim.task else None


def _evidence(claim: DeadClaim, recorded_mb: float | None) -> Evidence:
    worker_record = claim.worker_record
    return Evidence(
        seen=claim.seen,
        memory_mb=worker_record.memory_mb if worker_record else None,
        peak_mb=recorded_mb,
        was_at_its_end=bool(
            worker_record
            and worker_record.end
            and claim.beaten >= worker_record.end - claim.end_slack_s
        ),
    )


def _attempt(claim: DeadClaim, cause: Cause, peak_mb: float | None, why: str | None) -> Attempt:
    worker_record = claim.worker_record
    return Attempt(
        task=claim.task,
        fence=claim.fence,
        worker=claim.worker,
        cause=cause,
        started=None if claim.has_wrong_clock else claim.claimed,
        ended=claim.ended,
        cores=worker_record.cores if worker_record else None,
        memory_mb=worker_record.memory_mb if worker_record else None,
        peak_memory_mb=peak_mb,
        node=(worker_record.node or worker_record.host) if worker_record else None,
        job=worker_record.job if worker_record else None,
        error=why,
    )


def cause_of_death(evidence: Evidence) -> tuple[Cause, str]:
    """Return the cause of a death, and the evidence in words.

    Examples
    --------
    >>> said = JobStatus(job="12", phase=Phase.ENDED, cause=Cause.NODE, word="BROKEN", node="n7")
    >>> cause_of_death(Evidence(seen=said))
    (<Cause.NODE: 'node'>, 'the scheduler reports job 12 on n7 as BROKEN')
    >>> cause_of_death(Evidence())
    (<Cause.LOST: 'lost'>, 'the worker vanished without a final record')
    >>> cause_of_death(Evidence(memory_mb=4096, peak_mb=4000))[0]
    <Cause.MEMORY: 'memory'>
    """
    cause, words = _cause_by_scheduler(evidence.seen)
    if cause is not None:
        return cause, words
    peak_mb, memory_mb = _peak(evidence), evidence.memory_mb
    if peak_mb and memory_mb and peak_mb >= NEARLY_ALL * memory_mb:
        return Cause.MEMORY, f"{words}; its task used {peak_mb:.0f} of {memory_mb:.0f} MB"
    if evidence.was_at_its_end:
        return Cause.TIME, f"{words}, at the end of its job"
    return Cause.LOST, words


def _cause_by_scheduler(seen: JobStatus | None) -> tuple[Cause | None, str]:
    """Return the cause that the scheduler reports, if any, and its report in words."""
    if seen is None or seen.phase is Phase.UNLISTED:
        return None, "the worker vanished without a final record"
    where = f" on {seen.node}" if seen.node else ""
    words = f"the scheduler reports job {seen.job}{where} as {seen.word}"
    if seen.cause is None and seen.signal:
        words += f" by signal {seen.signal}"
    if seen.cause is None and seen.phase is Phase.SUSPENDED:
        return Cause.PREEMPTED, f"{words}, and the worker sends no heartbeat"
    if seen.cause is None and not seen.is_over:
        return Cause.LOST, f"{words}, but the worker hangs or is stopped"
    return seen.cause, words


def _peak(evidence: Evidence) -> float:
    rss_mb = evidence.seen.max_rss_mb if evidence.seen is not None else None
    return max(evidence.peak_mb or 0.0, rss_mb or 0.0)
