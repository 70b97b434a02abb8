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
from pathlib import Path

from jobpool.errors import SchedulerError
from jobpool.scheduler import machine
from jobpool.scheduler.base import Capacity, Job
from jobpool.scheduler.machine import ROOT
from jobpool.scheduler.slurm.own_job import Told, ask_about, find_own_job, number_seen
from jobpool.scheduler.slurm.programs import RunProgram, run_program

_SCRIPTS = ("step_batch", "step_interactive")  # the levels of cgroups of what starts the steps


def _ask_briefly(command: Sequence[str]) -> str:
    return run_program(command, timeout_s=20)


def read_job(
    environment: Mapping[str, str] = os.environ,
    *,
    root: Path = ROOT,
    run: RunProgram = _ask_briefly,
) -> Job | None:
    """Return the SLURM job that this process runs in, or None outside SLURM."""
    own = find_own_job(environment, root, run)
    if own is None:
        return None
    uid = own.variables.get("SLURM_JOB_UID", "")
    return Job(
        label=own.label,
        cluster=environment.get("SLURM_CLUSTER_NAME"),
        restarts=own.restarts,
        node=own.variables.get("SLURMD_NODENAME"),
        name=own.variables.get("SLURM_JOB_NAME"),
        uid=int(uid) if uid.isdecimal() else None,
    )


def read_capacity(
    environment: Mapping[str, str] = os.environ,
    *,
    root: Path = ROOT,
    run: RunProgram = _ask_briefly,
    usable_cores: int | None = None,
    now: Callable[[], float] = time.time,
) -> Capacity:
    """Return what this process may use: its share of its SLURM job, or the machine outside SLURM.

    Processes that one `srun` started on a node share the job's cores and memory there equally.

    Parameters
    ----------
    environment : mapping
        With SLURM's variables inside a job.
    root : Path
        Where ``proc`` and ``sys`` are.
    run : callable
        Runs squeue, once at most: if SLURM is too old (before 23.02) to give the job its end, or
        if a variable may be that of another job.
    usable_cores : int, optional
        Cores that the kernel lets this process use; by default it is asked.
    now : callable
        The clock, in seconds since the epoch.
    """
    cores = usable_cores or len(os.sched_getaffinity(0))
    of_group, of_machine = machine.memory_of_group(root), machine.memory_of_machine(root)
    own = find_own_job(environment, root, run)
    if own is None:
        memory_mb = _least(of_group, of_machine)
        return Capacity(
            cores=cores, memory_mb=memory_mb, end=None, gpus=machine.gpus_of_machine(root)
        )
    told = own.told
    if told is None and _must_ask(own.variables):
        told = ask_about(own.number, run)
    n_here = _tasks_here(own.variables)
    given = _whole(own.variables, "SLURM_CPUS_ON_NODE") or (told.number("cpu") if told else 0)
    share = max(1, min(cores, (given or cores) // n_here))
    used = min(share, _whole(own.variables, "SLURM_CPUS_PER_TASK") or share)
    memory_mb = _least(_memory_of_job(own.variables, told), of_group, of_machine)
    return Capacity(
        cores=used,
        memory_mb=memory_mb and max(1, memory_mb // n_here),
        end=_end_of_job(own.variables, told, now),
        gpus=told.number("gres/gpu") if told else _whole(own.variables, "SLURM_GPUS_ON_NODE") or 0,
        spare_cores=share - used,
    )


def read_end(
    run: RunProgram,
    environment: Mapping[str, str] = os.environ,
    *,
    root: Path = ROOT,
    now: Callable[[], float] = time.time,
) -> float | None:
    """Return when SLURM will end this job, by its limit as it is now; None if it never does.

    Raises
    ------
    SchedulerError
        If there is no answer.
    """
    number = number_seen(root) or environment.get("SLURM_JOB_ID", "")
    told = ask_about(number, run) if number else None
    if told is None or not told.is_running:
        raise SchedulerError(f"SLURM does not say when job {number} ends")
    return None if told.left_s is None else now() + told.left_s


def oom_kills(root: Path = ROOT) -> int | None:
    """Return how many processes of this job the kernel has killed for lack of memory.

    Outside SLURM: of this process's own cgroup; None if the kernel does not count here.
    """
    return machine.oom_kills(root, job_level="job_")


def step_kills(root: Path = ROOT) -> int | None:
    """Return how many processes the kernel killed for memory in job steps beside this batch script.

    None if the kernel does not count here, or this process is in such a step itself: then the
    others are not its own.
    """
    return machine.oom_kills_beside(root, job_level="job_", own_levels=_SCRIPTS)


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    """Return a variable that holds a whole number above 0, else None."""
    text = environment.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit), default=None)


def _must_ask(variables: Mapping[str, str]) -> bool:
    """Say whether the variables leave open what the job has: some may be of a job around it."""
    of_memory = [_whole(variables, f"SLURM_MEM_PER_{one}") for one in ("NODE", "CPU", "GPU")]
    return "SLURM_JOB_END_TIME" not in variables or sum(map(bool, of_memory)) > 1


def _tasks_here(variables: Mapping[str, str]) -> int:
    """Return how many processes of this job step run on this node; 1 in a batch script."""
    return len(variables.get("SLURM_GTIDS", "0").split(","))


def _memory_of_job(variables: Mapping[str, str], told: Told | None) -> int | None:
    """Return MB on this node, of a job step only its part by cores.

    SLURM sets one of three variables, and none for `--mem=0`, the whole node; where there are more,
    all but one are left from a job around this one, and the least does no harm.
    """
    on_node = _whole(variables, "SLURM_CPUS_ON_NODE") or 1
    gpus = _whole(variables, "SLURM_GPUS_ON_NODE") or 1
    per_node = told.memory_mb if told else _whole(variables, "SLURM_MEM_PER_NODE")
    if per_node is not None:
        of_job = variables.get("SLURM_JOB_CPUS_PER_NODE", "").partition("(")[0]
        all_cores = int(of_job) if of_job.isdecimal() else on_node  # "16", or "16(x2)"
        per_node = per_node * min(on_node, all_cores) // max(1, all_cores)
    per_core, per_gpu = (_whole(variables, f"SLURM_MEM_PER_{one}") for one in ("CPU", "GPU"))
    if told and told.memory_mb:
        return per_node
    return _least(per_node, per_core and per_core * on_node, per_gpu and per_gpu * gpus)


def _end_of_job(
    variables: Mapping[str, str], told: Told | None, now: Callable[[], float]
) -> float | None:
    """Return when SLURM will end the job; None if it never does, or the controller is silent."""
    given = _whole(variables, "SLURM_JOB_END_TIME")
    if given is not None:
        return float(given)
    return None if told is None or told.left_s is None else now() + told.left_s
