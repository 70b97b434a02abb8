"""What jobpool asks of a scheduler, in words that no scheduler owns.

`Scheduler` is the whole of it: which job this process runs in and what it has, what became of many
jobs, what the site allows, submitting, what is queued, cancelling. To add one, write a class with
these methods, name it in `jobpool.scheduler.detect.SCHEDULERS`, and run the contract test on it
(``tests/scheduler/test_contract.py``).
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jobpool.errors import SchedulerError, listing, nearest
from jobpool.scheduler.status import JobRun, JobStatus, Phase
from jobpool.units import HOUR_S, memory

if TYPE_CHECKING:  # it loads YAML, which no `jobpool status` waits for
    from jobpool.experiment.config import Pass

MARGIN_S = 120.0  # as long before the end as the batch scripts have their worker warned
POLITE = 100  # jobs that run at one time where the pass does not say
PER_CORE = "--mem-per-cpu"  # of a pass: the site wants the memory divided by the cores
_WARNING = re.compile(r"--signal=.*@(\d+)$")
_NAME = re.compile(r"[^\w.+-]")  # what job names and file names should not hold


class NoRoomError(SchedulerError):
    """The scheduler has no room for so many jobs; for fewer it may have."""


def margin_s(seconds: float) -> float:
    """Return how long before its end a worker starts nothing new and stops its task.

    The worker, its limits for tasks, and the plan of the next jobs all use this.

    Parameters
    ----------
    seconds : float
        The whole time: the margin takes a tenth of it at most.

    Examples
    --------
    >>> margin_s(3 * 3600), margin_s(600)
    (120.0, 60.0)
    """
    return min(MARGIN_S, seconds / 10)


def warning_s(one: "Pass") -> float:
    """Return how long before its end a job of a pass is warned: then its worker stops its task.

    Its own options win over `margin_s`, as on the scheduler's command line.
    """
    asked = [match[1] for text in one.sbatch if (match := _WARNING.match(text))]
    return float(asked[-1]) if asked else margin_s(one.walltime_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The job that this process runs in."""

    label: str  # as in `JobRun`
    cluster: str | None = None
    restarts: int = 0
    node: str | None = None
    name: str | None = None
    uid: int | None = None  # of its user, as the scheduler knows it


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a worker may use."""

    cores: int
    memory_mb: int | None  # None: unknown
    end: float | None  # seconds since the epoch; None: no end, or none that is known
    gpus: int = 0
    spare_cores: int = 0  # which the job has, but for which it did not ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Why a job waits for ever unless a person acts."""

    why: str
    is_size: bool = False  # each further job of its size would be stuck as well
    is_launch: bool = False  # its node could not start it


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job of this user that waits or runs."""

    label: str  # as in `JobRun`
    batch: str  # what it was submitted in, such as an array: cancelled as a whole
    name: str
    phase: Phase
    stuck: Stuck | None = None  # None: it runs, or will by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One of the queues of a cluster."""

    name: str
    is_default: bool
    is_up: bool
    state: str = "down"  # of one that is not up, as the scheduler calls it
    max_time_s: float | None  # None: no limit
    nodes: tuple[tuple[int, int], ...]  # cores and MB of each kind of node

    def refusal(self, cores: int, memory_mb: float, walltime_s: float) -> str | None:
        """Return why no job of such a size can run here, or None if it can."""
        if not self.is_up:
            return f"partition {self.name} is {self.state}"
        if self.max_time_s is not None and walltime_s > self.max_time_s:
            return f"partition {self.name} allows {self.max_time_s / HOUR_S:g} h"
        if any(cores <= has and memory_mb <= mb for has, mb in self.nodes):
            return None
        most_cores, most_mb = max(n for n, _ in self.nodes), max(mb for _, mb in self.nodes)
        return f"a node of partition {self.name} has {most_cores} cores, {memory(most_mb)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a site allows."""

    max_array_size: int  # jobs that one submission may hold
    partitions: tuple[Partition, ...]

    def of(self, one: "Pass") -> tuple[Partition, ...]:
        """Return the partitions that jobs of a pass may run in."""
        wanted = _partitions_of(one)
        if not wanted:
            return tuple(part for part in self.partitions if part.is_default)
        return tuple(part for part in self.partitions if part.name in wanted)

    def refusal(self, one: "Pass") -> str | None:
        """Return why no job of a pass can run, or None if one can, as far as is known."""
        parts = self.of(one)
        if not parts and (wanted := _partitions_of(one)):
            known = [part.name for part in self.partitions]
            return f"no partition {wanted[0]!r}; there are: {listing(known)}" + nearest(
                wanted[0], known
            )
        why = [part.refusal(one.cores, one.memory_gb * 1024, one.walltime_s) for part in parts]
        return why[0] if why and all(why) else None


def _partitions_of(one: "Pass") -> tuple[str, ...]:
    named = _last_option(one.sbatch, "-p", "--partition") or one.partition
    return tuple(named.split(",")) if named else ()


def _last_option(words: Sequence[str], short: str, long: str) -> str:
    """Return the last value of an option, in each form that a command line may have it."""
    found = ""
    for number, word in enumerate(words):
        if word in {short, long}:
            found = words[number + 1] if number + 1 < len(words) else found
        elif word.startswith((f"{long}=", f"{long} ")):
            found = word[len(long) + 1 :].strip()
        elif word.startswith(short) and not word.startswith("--"):
            found = word.removeprefix(short).strip(" =")
    return found


def for_other_memory(one: "Pass") -> "Pass":
    """Return a pass as the model of a size with other memory: its options name no amount of it."""
    words = (PER_CORE if word.startswith(PER_CORE) else word for word in one.sbatch)
    return replace(one, sbatch=tuple(word for word in words if not word.startswith("--mem=")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Jobs to submit: so many of one size, all running the same program on the same pool."""

    size: "Pass"  # resources, and the selection that the program is given
    jobs: int
    pool: Path  # absolute
    name: str  # of the jobs
    program: str  # the jobpool that runs in them
    verb: tuple[str, ...] = ("work",)
    arguments: tuple[str, ...] = ()  # after the pool, before the selection
    without_nodes: tuple[str, ...] = ()

    @property
    def selection(self) -> tuple[str, ...]:
        """Return the options that restrict the program to the selection of the size."""
        return selection_words(self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One command that submits or starts jobs; printed before it is run."""

    command: tuple[str, ...]
    log_folder: Path
    name: str  # of the jobs
    jobs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What shows, run here, whether jobs could run tasks."""

    command: tuple[str, ...]
    environment: Mapping[str, str] | None  # that of the jobs, as far as known; None: as it is here


class Scheduler(Protocol):
    """What jobpool asks of a scheduler.

    A method that asks raises `SchedulerError` if there is no answer, and `SchedulerMissingError`
    if this machine has no such scheduler.
    """

    @property
    def name(self) -> str:
        """The key in `jobpool.scheduler.detect.SCHEDULERS`, as in worker records and file names."""

    def own_job(self) -> Job | None:
        """Return the job that this process runs in, if it runs in one."""

    def capacity(self) -> Capacity:
        """Return what this process may use: of its job, or of the machine outside of one."""

    def job_end(self, timeout_s: float, /) -> float | None:
        """Ask anew when this process's job ends, as a person may have changed it; None: never."""

    def oom_kills(self) -> int | None:
        """Return how many processes of this job the kernel killed for memory; None: unknown."""

    def step_kills(self) -> int | None:
        """Return how many of these a program of the scheduler ran for this one; None: unknown."""

    def tells_of_memory(self, text: str, /) -> bool:
        """Say whether a program of the scheduler says in a log that a process lacked memory."""

    def is_available(self) -> bool:
        """Say whether this machine has the scheduler; a busy one counts."""

    def cluster(self, timeout_s: float, /) -> str | None:
        """Return the cluster whose jobs can be asked for here, if it has a name."""

    def query(self, runs: Collection[JobRun], timeout_s: float, /) -> Mapping[JobRun, JobStatus]:
        """Return the status of many runs, by one question; without runs nothing is asked.

        An unlisted run is an answer; no answer is an error.
        """

    def note(self) -> str | None:
        """Return what a person who submits jobs should know, in one line."""

    def max_array_size(self) -> int:
        """Return how many jobs one submission may hold."""

    def limits(self) -> Limits:
        """Return what the site allows."""

    def submissions(self, order: Order, max_array_size: int, /) -> tuple[Submission, ...]:
        """Return the commands that an order takes; nothing is asked or run."""

    def trial(self, order: Order, /) -> Trial | None:
        """Return what to run before an order is submitted; None if nothing can be tried."""

    def submit(self, submissions: Sequence[Submission]) -> tuple[str, ...]:
        """Submit, and return the label of each batch; an error names those submitted before."""

    def queued(self, pool: Path, prefix: str, /) -> tuple[QueuedJob, ...]:
        """Return all jobs of this user that may belong to a pool; the caller filters them.

        Parameters
        ----------
        pool : Path
            The pool's folder.
        prefix : str
            How the names of the pool's own jobs begin.
        """

    def cancel(self, batches: Collection[str]) -> None:
        """End jobs, waiting or running, by one call for all of them; ended ones are no error."""

    def submit_pair(self, side: Sequence[str], folder: Path, options: Sequence[str], /) -> str:
        """Run one command on each of two nodes, and return the label of the job.

        Parameters
        ----------
        side : sequence of str
            The command; the number of the side, 0 or 1, is appended.
        folder : Path
            Gets ``job.log``.
        options : sequence of str
            The user's own, in the scheduler's form.
        """


def selection_words(one: "Pass") -> tuple[str, ...]:
    """Return the options that restrict a program to the selection of a pass."""
    only = (word for text in one.only for word in ("--only", text))
    skip = (word for text in one.skip for word in ("--skip", text))
    return (*only, *skip)


def trial_words(order: Order) -> tuple[str, ...]:
    """Return the command that starts the program of an order without a task."""
    return (order.program, "work", str(order.pool), *order.arguments, "--max-tasks", "0")


def throttle_of(one: "Pass") -> int:
    """Return how many jobs of a pass may run at one time."""
    return one.max_running or POLITE


def job_prefix(pool: Path, name: str) -> str:
    """Return how the names of a pool's jobs begin, so that they can be counted.

    Pools of one experiment have the same name, so that a digest of the folder follows it.

    Examples
    --------
    >>> job_prefix(Path("/data/pool"), "my study")
    'my_study-c7e1-'
    """
    digest = hashlib.sha256(os.fsencode(pool.resolve())).hexdigest()[:4]
    return f"{name_in_job(name)}-{digest}-"


def job_name(prefix: str, pass_name: str) -> str:
    """Return the name of the jobs of a pass."""
    return prefix + name_in_job(pass_name)


def name_in_job(name: str) -> str:
    """Return the name of a pool or pass as it stands in the names of jobs.

    Examples
    --------
    >>> name_in_job("svm, large")
    'svm__large'
    """
    return _NAME.sub("_", name)


def fill_name(prefix: str) -> str:
    """Return the name of the jobs that fill a pool's cache: no pass can have it.

    Examples
    --------
    >>> fill_name("my_study-c7e1-")
    'my_study-c7e1.cache'
    """
    return f"{prefix.removesuffix('-')}.cache"


def count_queued(jobs: Iterable[QueuedJob], prefix: str) -> Counter[str]:
    """Return how many jobs wait or run, by the name of their pass as it stands in their own.

    Those that wait for ever do not count.

    Examples
    --------
    >>> job = QueuedJob(label="7", batch="7", name="study-c7e1-first", phase=Phase.WAITING)
    >>> count_queued([job], "study-c7e1-")
    Counter({'first': 1})
    """
    named = (one.name for one in jobs if one.phase is not Phase.ENDING and one.stuck is None)
    return Counter(name.removeprefix(prefix) for name in named if name.startswith(prefix))
