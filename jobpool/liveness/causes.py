"""From what is known of a worker's end to the cause of the attempt that ended with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobpool.scheduler.slurm.jobs import REQUEUED, JobSeen
from jobpool.task import Cause

NEARLY_ALL = 0.9  # of the memory: SLURM and the notes look now and then, and miss the last moment

_CAUSE_OF_STATE: Mapping[str, Cause] = {
    "OUT_OF_MEMORY": Cause.MEMORY,
    "TIMEOUT": Cause.TIME,
    "DEADLINE": Cause.TIME,
    "PREEMPTED": Cause.PREEMPTED,
    REQUEUED: Cause.PREEMPTED,
    "NODE_FAIL": Cause.NODE,
    "BOOT_FAIL": Cause.NODE,
    "CANCELLED": Cause.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a worker that died without a word."""

    seen: JobSeen | None = None  # SLURM's word, if there is one
    memory_mb: float | None = None  # what the worker had
    peak_mb: float | None = None  # what its task took, as far as was noted
    was_at_its_end: bool = False  # its last heartbeat came when its time was up


def cause_of_stop(seen: JobSeen) -> Cause | None:
    """Return why SLURM stops a job that still runs, or None if it does not say.

    Examples
    --------
    >>> cause_of_stop(JobSeen(job="12", state="TIMEOUT"))
    <Cause.TIME: 'time'>
    """
    if seen.is_preempted:
        return Cause.PREEMPTED
    return _CAUSE_OF_STATE.get(seen.state)


def cause_of_death(evidence: Evidence) -> tuple[Cause, str]:
    """Return the cause of a death, and the evidence for it in words.

    Examples
    --------
    >>> cause_of_death(Evidence(seen=JobSeen(job="12", state="NODE_FAIL", node="n7")))
    (<Cause.NODE: 'node'>, 'SLURM says of job 12 on n7: NODE_FAIL')
    >>> cause_of_death(Evidence(memory_mb=4096, peak_mb=4000))
    (<Cause.MEMORY: 'memory'>, 'the worker died without a word; its task took 4000 of 4096 MB')
    """
    cause, words = _word_of_slurm(evidence.seen)
    if cause is not None:
        return cause, words
    peak_mb, memory_mb = _peak(evidence), evidence.memory_mb
    if peak_mb and memory_mb and peak_mb >= NEARLY_ALL * memory_mb:
        return Cause.MEMORY, f"{words}; its task took {peak_mb:.0f} of {memory_mb:.0f} MB"
    if evidence.was_at_its_end:
        return Cause.TIME, f"{words}, when its time was up"
    return Cause.LOST, words


def _word_of_slurm(seen: JobSeen | None) -> tuple[Cause | None, str]:
    """Return the cause that SLURM names, if it does, and what it says."""
    if seen is None or not seen.state:
        return None, "the worker died without a word"
    where = f" on {seen.node}" if seen.node else ""
    words = f"SLURM says of job {seen.job}{where}: {seen.state}"
    cause = cause_of_stop(seen)
    if cause is None and seen.signal:
        words += f" by signal {seen.signal}"
    if cause is None and seen.state == "SUSPENDED":
        return Cause.PREEMPTED, f"{words}, and the worker is silent"
    if cause is None and not seen.has_ended:
        return Cause.LOST, f"{words}, but the worker hangs or is stopped"
    return cause, words


def _peak(evidence: Evidence) -> float:
    rss_mb = evidence.seen.max_rss_mb if evidence.seen is not None else None
    return max(evidence.peak_mb or 0.0, rss_mb or 0.0)
