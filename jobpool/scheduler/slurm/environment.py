"""What this process has: cores, memory, time, GPUs; and which SLURM job it is.

Everything is read once, when a worker starts, and nothing is kept. The environment, the root of
the file system and the function that runs programs are arguments, so that other machines can be
laid out in a folder.

SLURM limits memory by a cgroup, whose files stand in a folder for each level::

    v1  /sys/fs/cgroup/memory/slurm/uid_1000/job_12/step_batch/task_0
    v2  /sys/fs/cgroup/system.slice/slurmstepd.scope/job_12/step_batch/user/task_0

A process is in the lowest level; its limit is the smallest of all levels. What the kernel's
out-of-memory killer does to the job is counted at any level from there up to ``job_12``.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobpool.errors import SlurmError
from jobpool.scheduler.slurm.programs import RunProgram, run_program

MB = 1024 * 1024
NO_LIMIT = 1 << 60  # v1 writes "none" as the largest number of whole pages
ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a worker may use."""

    cores: int
    memory_mb: int | None  # None: cannot be told
    end: float | None  # seconds since the epoch; None: no end, or none that is known
    gpus: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The SLURM job, or task of an array, that this process runs in."""

    cluster: str | None
    job_id: str
    array_job_id: str | None
    array_task_id: str | None
    restarts: int
    node: str | None

    @property
    def label(self) -> str:
        """Name the job as squeue does: ``12``, or ``12_3`` for a task of an array."""
        if self.array_job_id is None or self.array_task_id is None:
            return self.job_id
        return f"{self.array_job_id}_{self.array_task_id}"


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
    return Job(
        cluster=environment.get("SLURM_CLUSTER_NAME"),
        job_id=job_id,
        array_job_id=environment.get("SLURM_ARRAY_JOB_ID"),
        array_task_id=environment.get("SLURM_ARRAY_TASK_ID"),
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
    limits = [_memory_of_job(environment), _memory_of_group(root), _memory_of_machine(root)]
    return Capacity(
        cores=min(cores, given or cores),
        memory_mb=min((limit for limit in limits if limit), default=None),
        end=_end_of_job(environment, run, now),
        gpus=_gpus(environment, root),
    )


def oom_kills(root: Path = ROOT) -> int | None:
    """Return how many processes of this job the kernel has killed for lack of memory.

    Outside SLURM: of this process's own cgroup. A count that grew while a task ran says why its
    process is gone.

    Returns
    -------
    int or None
        None if the kernel does not count here.
    """
    levels, unified = _memory_group(root)
    jobs = [number for number, level in enumerate(levels) if level.name.startswith("job_")]
    levels = levels[: jobs[0] + 1] if jobs else levels[:1]
    if unified:  # a level counts for all below it
        return _count(levels[-1] / "memory.events") if levels else None
    counts = [_count(level / "memory.oom_control") for level in levels]
    return sum(count or 0 for count in counts) if any(c is not None for c in counts) else None


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


def _memory_of_machine(root: Path) -> int | None:
    with suppress(OSError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) // 1024
    return None


def _memory_of_group(root: Path) -> int | None:
    """Return the smallest limit of all levels in MB."""
    levels, unified = _memory_group(root)
    limits = []
    for level in levels:
        with suppress(OSError):
            text = (level / ("memory.max" if unified else "memory.limit_in_bytes")).read_text()
            if text.strip().isdecimal() and int(text) < NO_LIMIT:
                limits.append(int(text) // MB)
    return min(limits, default=None)


def _memory_group(root: Path) -> tuple[list[Path], bool]:
    """Return the levels of this process's memory cgroup, its own first, and whether it is v2."""
    paths: dict[str, str] = {}  # controller -> path; v2 has the controller ""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(controllers.split(","), path)
    unified = "memory" not in paths
    controller = "" if unified else "memory"
    if controller not in paths:
        return [], unified
    top, seen_from = _mount(root, unified)
    within = Path(paths[controller])
    # inside a container the mount shows a part of the tree only
    own = top / (within.relative_to(seen_from) if within.is_relative_to(seen_from) else "")
    return [own, *(level for level in own.parents if level.is_relative_to(top))], unified


def _mount(root: Path, unified: bool) -> tuple[Path, str]:
    """Return where the memory cgroups are mounted, and the path inside their tree seen there."""
    with suppress(OSError):
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            place, _, kind = line.partition(" - ")
            seen_from, folder = place.split()[3:5]
            file_system, _, options = kind.split(" ", 2)
            if unified and file_system == "cgroup2":
                return root / folder.lstrip("/"), seen_from
            if not unified and file_system == "cgroup" and "memory" in options.split(","):
                return root / folder.lstrip("/"), seen_from
    return root / "sys/fs/cgroup" / ("" if unified else "memory"), "/"


def _count(file: Path) -> int | None:
    with suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


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
    with suppress(SlurmError):
        left_s = parse_time_left(run(command))
        return None if left_s is None else now() + left_s
    return None


def parse_time_left(text: str) -> float | None:
    """Return the seconds in SLURM's ``days-hours:minutes:seconds``, or None for no such time.

    Examples
    --------
    >>> parse_time_left("1-06:00:00"), parse_time_left("2:30"), parse_time_left("UNLIMITED")
    (108000.0, 150.0, None)
    """
    days, dash, clock = text.strip().rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in parts) or (dash and not days.isdecimal()):
        return None
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return seconds + 86_400 * int(days or 0)


def _gpus(environment: Mapping[str, str], root: Path) -> int:
    if read_job(environment) is not None:
        return _whole(environment, "SLURM_GPUS_ON_NODE") or 0
    with suppress(OSError):
        return len(list((root / "proc/driver/nvidia/gpus").iterdir()))
    return 0
