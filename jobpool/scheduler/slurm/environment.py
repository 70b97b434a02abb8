"""What this process has: cores, memory, time, GPUs; and which SLURM job it is.

Everything is read once, when a worker starts, and nothing is kept. The environment, the root of
the file system and the function that runs programs are arguments, so that other machines can be
laid out in a folder.

SLURM limits memory by a cgroup, with a level for the job and some below it::

    v1  /sys/fs/cgroup/memory/slurm/uid_1000/job_12/step_batch/task_0
    v2  /sys/fs/cgroup/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from jobpool.errors import SchedulerError
from jobpool.scheduler import machine
from jobpool.scheduler.base import Capacity, Job
from jobpool.scheduler.machine import ROOT
from jobpool.scheduler.slurm.programs import RunProgram, run_program
from jobpool.units import parse_clock


def _ask_briefly(command: Sequence[str]) -> str:
    return run_program(command, timeout_s=20)


def read_job(environment: Mapping[str, str] = os.environ) -> Job | None:
    """Return the SLURM job that this process runs in, or None outside SLURM.

    Examples
    --------
    >>> job = read_job({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "1"})
    >>> job.label
    '5_1'
    """
    job_id = environment.get("SLURM_JOB_ID")
    if not job_id:
        return None
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return Job(
        label=job_id if array is None or task is None else f"{array}_{task}",  # as squeue names it
        cluster=environment.get("SLURM_CLUSTER_NAME"),
        restarts=_whole(environment, "SLURM_RESTART_COUNT") or 0,
        node=environment.get("SLURMD_NODENAME"),
    )


def read_capacity(
    environment: Mapping[str, str] = os.environ,
    *,
    root: Path = ROOT,
    run: RunProgram = _ask_briefly,
    usable_cores: int | None = None,
    now: Callable[[], float] = time.time,
) -> Capacity:
    """Return what this process may use: of its SLURM job, or of the machine outside SLURM.

    Parameters
    ----------
    environment : mapping
        With SLURM's variables inside a job.
    root : Path
        Where ``proc`` and ``sys`` are.
    run : callable
        Runs squeue, once, if SLURM is too old (before 23.02) to give the job its end.
    usable_cores : int, optional
        Cores that the kernel lets this process use; by default it is asked.
    now : callable
        The clock, in seconds since the epoch.
    """
    cores = usable_cores or len(os.sched_getaffinity(0))
    given = _whole(environment, "SLURM_CPUS_PER_TASK") or _whole(environment, "SLURM_CPUS_ON_NODE")
    limits = [
        _memory_of_job(environment),
        machine.memory_of_group(root),
        machine.memory_of_machine(root),
    ]
    return Capacity(
        cores=min(cores, given or cores),
        memory_mb=min((limit for limit in limits if limit), default=None),
        end=_end_of_job(environment, run, now),
        gpus=_gpus(environment, root),
    )


def oom_kills(root: Path = ROOT) -> int | None:
    """Return how many processes of this job the kernel has killed for lack of memory.

    Outside SLURM: of this process's own cgroup; None if the kernel does not count here.
    """
    return machine.oom_kills(root, job_level="job_")


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    """Return a variable that holds a whole number above 0, else None."""
    text = environment.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _memory_of_job(environment: Mapping[str, str]) -> int | None:
    """Return MB; SLURM sets one of two variables, and neither for `--mem=0`, the whole node."""
    per_node = _whole(environment, "SLURM_MEM_PER_NODE")
    per_core = _whole(environment, "SLURM_MEM_PER_CPU")
    if per_node is None and per_core is not None:
        return per_core * (_whole(environment, "SLURM_CPUS_ON_NODE") or 1)
    return per_node


def _end_of_job(
    environment: Mapping[str, str], run: RunProgram, now: Callable[[], float]
) -> float | None:
    """Return when SLURM will end the job; None if the controller does not answer."""
    job = read_job(environment)
    if job is None:
        return None
    given = _whole(environment, "SLURM_JOB_END_TIME")
    if given is not None:
        return float(given)
    command = ["squeue", "--noheader", "--jobs", job.label, "--format=%L"]
    with suppress(SchedulerError):
        left_s = parse_clock(run(command))
        return None if left_s is None else now() + left_s
    return None


def _gpus(environment: Mapping[str, str], root: Path) -> int:
    if read_job(environment) is not None:
        return _whole(environment, "SLURM_GPUS_ON_NODE") or 0
    return machine.gpus_of_machine(root)
