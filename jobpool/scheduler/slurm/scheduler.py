"""SLURM, as `jobpool.scheduler.base.Scheduler` asks it."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from jobpool.disk.inside import make_folder, opened_folder
from jobpool.errors import SchedulerError, SchedulerMissingError
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
from jobpool.scheduler.slurm import answers, environment, jobs, limits, submit
from jobpool.scheduler.slurm.own_job import asked_once
from jobpool.scheduler.slurm.programs import TIMEOUT_S, RunProgram, on_cluster, run_program
from jobpool.scheduler.slurm.submit import shares
from jobpool.scheduler.slurm.variables import (
    chosen_cluster,
    chosen_options,
    environment_of,
    note_on_options,
)
from jobpool.scheduler.status import JobRun, JobStatus

_LACKED_MEMORY = re.compile(
    r"srun: error: .*Out Of Memory|slurmstepd.*(?:oom[-_ ]?kill|exceed\w* .*memory)", re.IGNORECASE
)


class Slurm:
    """SLURM's programs, variables and cgroups.

    Parameters
    ----------
    run : callable, optional
        Runs one of SLURM's programs and returns what it prints, in whatever time it takes.
    """

    name = "slurm"

    def __init__(self, run: RunProgram | None = None) -> None:
        self._given = run
        self._ask_once = asked_once(run or partial(run_program, timeout_s=20.0))

    def own_job(self) -> Job | None:
        """Return the job that this process runs in, or None outside SLURM."""
        return environment.read_job(run=self._ask_once)

    def capacity(self) -> Capacity:
        """Return what the job may use, or the machine outside of one."""
        return environment.read_capacity(run=self._ask_once)

    def job_end(self, timeout_s: float = TIMEOUT_S) -> float | None:
        """Ask when this job ends: by its limit as it is now."""
        return environment.read_end(self._run(timeout_s))

    def oom_kills(self) -> int | None:
        """Return how many processes of this job the kernel has killed for lack of memory."""
        return environment.oom_kills()

    def step_kills(self) -> int | None:
        """Return how many of these ran in job steps that this process may have started."""
        return environment.step_kills()

    def tells_of_memory(self, text: str) -> bool:
        """Say whether srun or a step of the job says in a log that a process lacked memory."""
        return _LACKED_MEMORY.search(text) is not None

    def is_available(self) -> bool:
        """Say whether squeue is here; the controller does not hear of it."""
        try:
            self._run()(["squeue", "--version"])
        except SchedulerMissingError:
            return False
        except SchedulerError:
            pass  # it is there, but something is wrong with it
        return True

    def cluster(self, timeout_s: float = TIMEOUT_S) -> str | None:
        """Return the name of the cluster whose controller answers."""
        return limits.read_cluster(self._run(timeout_s))

    def query(
        self, runs: Collection[JobRun], timeout_s: float = TIMEOUT_S
    ) -> Mapping[JobRun, JobStatus]:
        """Return what SLURM says of many runs: one squeue, and one sacct for those that ended."""
        found = jobs.ask(runs, self._run(timeout_s))
        return {one: seen.status() for one, seen in found.items()}

    def note(self) -> str | None:
        """Return which variables of the user do not count for the jobs."""
        return note_on_options()

    def max_array_size(self) -> int:
        """Return the cluster's `MaxArraySize`."""
        return limits.read_max_array_size(self._run_where_jobs_go())

    def limits(self) -> Limits:
        """Return the array limit, and the partitions that this user may see."""
        return limits.read_limits(self._run_where_jobs_go(), os.environ.get("SBATCH_PARTITION"))

    def submissions(self, order: Order, max_array_size: int) -> tuple[Submission, ...]:
        """Return the sbatch lines of an order."""
        folder = order.pool / "logs"
        size = submit.without_nodes(order.size, order.without_nodes)
        lines = submit.sbatch_lines(
            submit.with_chosen(size, chosen_options()),
            order.jobs,
            submit.script_words(order),
            name=order.name,
            log_folder=folder,
            max_array_size=max_array_size,
        )
        sizes = shares(order.jobs, max_array_size)
        return tuple(
            Submission(command=line, log_folder=folder, name=order.name, jobs=jobs)
            for line, jobs in zip(lines, sizes, strict=True)
        )

    def trial(self, order: Order) -> Trial:
        """Return the start of a worker in the environment that sbatch hands on."""
        environment = {**environment_of("sbatch"), "JOBPOOL": order.program}
        return Trial(command=trial_words(order), environment=environment)

    def submit(self, submissions: Sequence[Submission]) -> tuple[str, ...]:
        """Run sbatch lines, and return the ids of the jobs."""
        for folder in {one.log_folder for one in submissions}:
            make_folder(folder)  # SLURM fails a job whose log it cannot open
            with opened_folder(folder):  # no link: SLURM would follow it
                pass
        return self._submit([one.command for one in submissions])

    def queued(self, _pool: Path, _prefix: str) -> tuple[QueuedJob, ...]:
        """Return the jobs of this user that wait or run."""
        return submit.read_queue(self._run_where_jobs_go())

    def cancel(self, batches: Collection[str]) -> None:
        """End jobs and whole arrays by one scancel."""
        submit.cancel(batches, self._run_where_jobs_go())

    def submit_pair(self, side: Sequence[str], folder: Path, options: Sequence[str]) -> str:
        """Submit a job of two nodes that runs a command on each, and return its id."""
        line = submit.pair_line(side, folder, (*chosen_options(), *options))
        return self._submit([line])[0]

    def _submit(self, lines: Sequence[Sequence[str]]) -> tuple[str, ...]:
        run_sbatch = self._given or partial(run_program, with_errors=True)
        return answers.submit(lines, run_sbatch, self._run_where_jobs_go())

    def _run_where_jobs_go(self) -> RunProgram:
        """Return what runs programs for the cluster to which this user's jobs go."""
        return on_cluster(self._run(), chosen_cluster())

    def _run(self, timeout_s: float = TIMEOUT_S) -> RunProgram:
        return self._given or partial(run_program, timeout_s=timeout_s)
