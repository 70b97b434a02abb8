"""No scheduler: workers are processes of this machine.

A worker's record says which process it is, so nothing is kept. A job is named after its process,
``PID.TICKS`` with the time of its start in clock ticks, so that no later process of the same number
is taken for it. Only processes of this user, on this machine, are ever seen or ended.
"""

import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from jobpool.disk.inside import make_folder, open_inside
from jobpool.errors import SchedulerError, quoted
from jobpool.journal.jsonl import worker_files
from jobpool.journal.workers import WorkerRecord, process_space, read_worker_record, start_ticks
from jobpool.scheduler import machine
from jobpool.scheduler.base import (
    Capacity,
    Job,
    Limits,
    Order,
    QueuedJob,
    Submission,
    Trial,
    trial_words,
)
from jobpool.scheduler.status import JobRun, JobStatus, Phase
from jobpool.units import memory

LOGS = "logs/local"


def process_label(record: WorkerRecord) -> str:
    """Return the name that a worker's process has as a job."""
    return f"{record.pid}.{record.start_ticks or 0}"


def _start(one: Submission, before: Sequence[str]) -> "subprocess.Popen[bytes]":
    make_folder(one.log_folder)
    file = open_inside(one.log_folder / f"{one.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with os.fdopen(file, "ab") as log:
        try:
            return subprocess.Popen(
                one.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            what = f"{one.command[0]} cannot be run: {error.strerror}"
            advice = "let JOBPOOL name a jobpool that runs here"
            started = f"\nstarted before that: {' '.join(before)}" if before else ""
            raise SchedulerError(f"{what}; {advice}{started}") from error


class ThisMachine:
    """Has processes of this machine as workers."""

    name = "none"

    def __init__(self) -> None:
        # of this process: `poll` frees their numbers
        self._started: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}

    def own_job(self) -> Job | None:
        """Return None: what a worker is, its record says by the number of its process."""
        return None

    def capacity(self) -> Capacity:
        """Return the cores and memory that this process may use."""
        limits = (machine.memory_of_group(), machine.memory_of_machine())
        return Capacity(
            cores=len(os.sched_getaffinity(0)),
            memory_mb=min((limit for limit in limits if limit), default=None),
            end=None,
            gpus=machine.gpus_of_machine(),
        )

    def job_end(self, _timeout_s: float = 0.0) -> float | None:
        """Return None: nobody ends a process of this machine by the clock."""
        return None

    def oom_kills(self) -> int | None:
        """Return how many processes of this one's cgroup were killed for lack of memory."""
        return machine.oom_kills()

    def step_kills(self) -> int | None:
        """Return None: nothing runs a process for this one elsewhere."""
        return None

    def tells_of_memory(self, _text: str) -> bool:
        """Return False: there is none."""
        return False

    def is_available(self) -> bool:
        """Return True: processes can always be looked at."""
        return True

    def cluster(self, _timeout_s: float = 0.0) -> str | None:
        """Return None: one machine has no name that others would know."""
        return None

    def query(
        self,
        runs: Collection[JobRun],
        _timeout_s: float = 0.0,
    ) -> Mapping[JobRun, JobStatus]:
        """Return which processes run."""
        for _, process in self._started.values():
            process.poll()
        return {
            one: JobStatus(
                job=one.job,
                restarts=one.restarts,
                phase=Phase.RUNNING if self._is_running(one) else Phase.UNLISTED,
                word="RUNNING" if self._is_running(one) else "",
            )
            for one in runs
        }

    def note(self) -> str | None:
        """Return None: there is nothing to say."""
        return None

    def max_array_size(self) -> int:
        """Return 1: each worker is started by itself."""
        return 1

    def limits(self) -> Limits:
        """Return no partitions: whether workers fit is checked when they are ordered."""
        return Limits(max_array_size=1, partitions=())

    def submissions(self, order: Order, _max_array_size: int) -> tuple[Submission, ...]:
        """Return one command for each worker.

        Raises
        ------
        SchedulerError
            If so many do not fit on this machine at the same time.
        """
        has, size = self.capacity(), order.size
        memory_mb = int(size.memory_gb * 1024)
        most = has.cores // size.cores
        if has.memory_mb is not None:
            most = min(most, has.memory_mb // max(memory_mb, 1))
        if order.jobs > most:
            what = f"this machine has {has.cores} cores and {memory(has.memory_mb or 0)}: room for "
            each = f"{size.cores} cores and {memory(memory_mb)}"
            what += f"{most} workers of {each}, not {order.jobs}"
            raise SchedulerError(
                f"{what}; start fewer, or smaller ones: jobpool run {quoted(order.pool)}"
            )
        given = ("--cores", str(size.cores), "--memory-mb", str(memory_mb))
        words = (str(order.pool), *order.arguments, *(given if order.verb == ("work",) else ()))
        command = (order.program, *order.verb, *words, *order.selection)
        one = Submission(command=command, log_folder=order.pool / LOGS, name=order.name)
        return (one,) * order.jobs

    def trial(self, order: Order) -> Trial:
        """Return the start of a worker as this process would start it."""
        return Trial(command=trial_words(order), environment=None)

    def submit(self, submissions: Sequence[Submission]) -> tuple[str, ...]:
        """Start the workers, which live on when this process ends."""
        labels: list[str] = []
        for one in submissions:
            process = _start(one, labels)
            labels.append(f"{process.pid}.{start_ticks(process.pid) or 0}")
            self._started[labels[-1]] = one.name, process
        return tuple(labels)

    def queued(self, pool: Path, prefix: str) -> tuple[QueuedJob, ...]:
        """Return the workers of a pool that are processes of this user on this machine."""
        names = dict.fromkeys(self._workers_of(pool), f"{prefix}local")
        names |= {label: name for label, (name, _) in self._started.items()}
        listed = self.query([JobRun(label, 0) for label in names])
        return tuple(
            QueuedJob(label=one.job, batch=one.job, name=names[one.job], phase=status.phase)
            for one, status in listed.items()
            if status.phase is Phase.RUNNING
        )

    def cancel(self, batches: Collection[str]) -> None:
        """Ask processes to stop: a worker then returns its task, and leaves."""
        for label in batches:
            if self._is_running(JobRun(label, 0)):
                with suppress(ProcessLookupError):
                    os.kill(int(label.partition(".")[0]), signal.SIGTERM)

    def submit_pair(self, _side: Sequence[str], folder: Path, _options: Sequence[str]) -> str:
        """Refuse: there is one machine only."""
        what = "this machine has no scheduler that could start a job on two nodes"
        raise SchedulerError(f"{what}; probe from this one: jobpool doctor {quoted(folder.parent)}")

    def _workers_of(self, pool: Path) -> list[str]:
        space = process_space()
        records = (
            read_worker_record(pool, path.stem, own=True) for path in worker_files(pool, "workers")
        )
        here = (
            record for record in records if record is not None and record.space == space and space
        )
        return [process_label(record) for record in here if record.job is None]

    def _is_running(self, one: JobRun) -> bool:
        """Say whether the very process lives, is this user's, and is not a zombie."""
        pid, _, ticks = one.job.partition(".")
        if not (pid.isdecimal() and ticks.isdecimal()) or start_ticks(int(pid)) != int(ticks):
            return False
        with suppress(OSError):
            folder = Path("/proc", pid)
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            is_zombie = stat.rpartition(")")[2].split()[0] in {"Z", "X"}
            return not is_zombie and folder.stat().st_uid == os.geteuid()
        return False
