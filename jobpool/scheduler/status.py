"""Where a run of a job stands, in words that no scheduler owns.

What only looks at a pool loads this and nothing else of a scheduler.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from jobpool.task import Cause

USUAL = "slurm"  # of workers whose record names none: they are from before there was another


class Phase(StrEnum):
    """Where a run of a job stands."""

    WAITING = "waiting"  # in the queue: an earlier run of it, if there was one, is over
    RUNNING = "running"
    SUSPENDED = "suspended"
    ENDING = "ending"  # being stopped: nothing new begins in it
    ENDED = "ended"
    UNLISTED = "unlisted"  # the scheduler answers, but knows no such run


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenInside:
    """What a worker knew of the job that it ran in.

    Numbers of jobs begin anew at some sites, and a scheduler remembers old jobs for long: what it
    says is of another job if this does not fit.
    """

    began: float  # when the worker started, in seconds since the epoch
    uid: int | None = None
    name: str | None = None  # of the job


@dataclass(frozen=True, slots=True, order=True)
class JobRun:
    """One run of a job: a job that is started again keeps its name."""

    job: str  # as the scheduler names it, such as ``12``, or ``12_3`` in an array
    restarts: int  # how often it had been started before
    inside: SeenInside | None = field(default=None, compare=False)  # None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """What a scheduler says of one run of a job."""

    job: str
    phase: Phase = Phase.UNLISTED
    cause: Cause | None = None  # why it ended or is being stopped, if the scheduler names a cause
    word: str = ""  # the scheduler's own word, for people
    restarts: int = 0  # of the run
    exit_code: int = 0
    signal: int = 0
    node: str = ""
    max_rss_mb: float | None = None  # as the scheduler measured it, of all tasks of the run

    @property
    def is_over(self) -> bool:
        """Whether the run of a worker goes on no more, or is being killed."""
        return self.phase in {Phase.WAITING, Phase.ENDING, Phase.ENDED}
