"""A scheduler in memory, for tests of all that is not about one scheduler.

Jobs wait until `start` is called, and end by `end` or `cancel`; nothing is run. Set `answers` to
False, and every question goes unanswered, as when a controller is away; set `is_here` to False, and
this machine has no scheduler.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from jobpool.errors import SchedulerError, SchedulerMissingError
from jobpool.scheduler.base import Capacity, Job, Limits, Order, Partition, QueuedJob, Submission
from jobpool.scheduler.status import JobRun, JobStatus, Phase
from jobpool.task import Cause

HERE = Partition(
    name="all", is_default=True, is_up=True, max_time_s=None, nodes=((64, 1024 * 1024),)
)


class SimulatedScheduler:
    """Keeps jobs in memory.

    Parameters
    ----------
    name : str
        As of the scheduler that it stands for.
    cluster : str, optional
        The cluster whose jobs can be asked for.
    job : Job, optional
        The job that this process seems to run in.
    """

    def __init__(
        self, name: str = "simulated", cluster: str | None = "hpc", job: Job | None = None
    ) -> None:
        self.name, self.job, self._cluster = name, job, cluster
        self.answers, self.is_here = True, True
        self.n_asked = 0  # questions about jobs
        self.cancelled: list[tuple[str, ...]] = []  # one entry for each call
        self.jobs: dict[str, JobStatus] = {}
        self._queued: dict[str, QueuedJob] = {}
        self._n_batches = 0

    def say(
        self, job: str, phase: Phase, cause: Cause | None = None, word: str = "", restarts: int = 0
    ) -> None:
        """Set the status of a job for all later answers."""
        self.jobs[job] = JobStatus(
            job=job,
            phase=phase,
            cause=cause,
            word=word or phase.upper(),
            restarts=restarts,
            node="n1",
        )

    def start(self, batch: str) -> None:
        """Let the jobs of a batch run."""
        for label, one in self._queued.items():
            if one.batch == batch:
                self.say(label, Phase.RUNNING)
                self._queued[label] = replace(one, phase=Phase.RUNNING)

    def end(self, label: str, cause: Cause | None = None) -> None:
        """End a job."""
        self.say(label, Phase.ENDED, cause)
        self._queued.pop(label, None)

    def own_job(self) -> Job | None:
        """Return the job that was given."""
        return self.job

    def capacity(self) -> Capacity:
        """Return a small job's."""
        return Capacity(cores=1, memory_mb=1024, end=None)

    def job_end(self, _timeout_s: float = 0.0) -> float | None:
        """Return None: the job has no limit."""
        return None

    def oom_kills(self) -> int | None:
        """Return None: nothing is counted."""
        return None

    def step_kills(self) -> int | None:
        """Return None: nothing is counted."""
        return None

    def tells_of_memory(self, _text: str) -> bool:
        """Return False: nothing is said."""
        return False

    def is_available(self) -> bool:
        """Say whether this machine has the scheduler."""
        return self.is_here

    def cluster(self, _timeout_s: float = 0.0) -> str | None:
        """Return the cluster that was given."""
        self._answer()
        return self._cluster

    def query(
        self,
        runs: Collection[JobRun],
        _timeout_s: float = 0.0,
    ) -> Mapping[JobRun, JobStatus]:
        """Return what is known of each run."""
        if not runs:
            return {}
        self._answer()
        self.n_asked += 1
        return {one: self._status(one) for one in runs}

    def note(self) -> str | None:
        """Return None: there is nothing to say."""
        return None

    def max_array_size(self) -> int:
        """Return a small one."""
        self._answer()
        return 10

    def limits(self) -> Limits:
        """Return those of one large partition."""
        return Limits(max_array_size=self.max_array_size(), partitions=(HERE,))

    def submissions(self, order: Order, max_array_size: int) -> tuple[Submission, ...]:
        """Return one submission for each array."""
        full, rest = divmod(order.jobs, max_array_size)
        sizes = [max_array_size] * full + ([rest] if rest else [])
        words = (order.program, *order.verb, str(order.pool), *order.arguments, *order.selection)
        return tuple(
            Submission(
                command=("submit", str(size), *words),
                log_folder=order.pool / "logs",
                name=order.name,
                jobs=size,
            )
            for size in sizes
        )

    def trial(self, _order: Order) -> None:
        """Return nothing to run."""

    def submit(self, submissions: Sequence[Submission]) -> tuple[str, ...]:
        """Let the jobs wait."""
        self._answer()
        batches: list[str] = []
        for one in submissions:
            self._n_batches += 1
            batches.append(str(self._n_batches))
            for number in range(int(one.command[1])):
                self._add(f"{batches[-1]}_{number}", batches[-1], one.name)
        return tuple(batches)

    def queued(self, _pool: Path, _prefix: str) -> tuple[QueuedJob, ...]:
        """Return all jobs that wait or run."""
        self._answer()
        return tuple(self._queued.values())

    def cancel(self, batches: Collection[str]) -> None:
        """End jobs."""
        self._answer()
        self.cancelled.append(tuple(sorted(batches)))
        for one in list(self._queued.values()):
            if one.batch in batches:
                self.end(one.label, Cause.CANCELLED)

    def submit_pair(self, _side: Sequence[str], _folder: Path, _options: Sequence[str]) -> str:
        """Let a job wait."""
        self._answer()
        self._n_batches += 1
        label = str(self._n_batches)
        self._add(label, label, "pair")
        return label

    def _add(self, label: str, batch: str, name: str) -> None:
        self.say(label, Phase.WAITING)
        self._queued[label] = QueuedJob(label=label, batch=batch, name=name, phase=Phase.WAITING)

    def _answer(self) -> None:
        if not self.is_here:
            raise SchedulerMissingError("there is no scheduler on this machine")
        if not self.answers:
            raise SchedulerError("the scheduler did not answer")

    def _status(self, one: JobRun) -> JobStatus:
        known = self.jobs.get(one.job)
        if known is None or known.restarts < one.restarts:
            return JobStatus(job=one.job, restarts=one.restarts)
        if known.restarts > one.restarts:
            return replace(
                known,
                phase=Phase.ENDED,
                cause=Cause.PREEMPTED,
                word="RESTARTED",
                restarts=one.restarts,
            )
        return known
