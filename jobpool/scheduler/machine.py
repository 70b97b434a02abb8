"""What this machine has, as its kernel tells: memory, GPUs, and the cgroups of this process.

Nothing is kept. The root of the file system is an argument, so that other machines can be laid out
in a folder. Memory may be limited at each level of a cgroup::

    v1  /sys/fs/cgroup/memory/LEVEL/LEVEL/LEVEL
    v2  /sys/fs/cgroup/LEVEL/LEVEL/LEVEL

A process is in the lowest level; its limit is the smallest of all levels. What the kernel's
out-of-memory killer does to a job is counted at any level from there up to the job's own.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from jobpool.units import MB

NO_LIMIT = 1 << 60  # v1 writes "none" as the largest number of whole pages
ROOT = Path("/")


def oom_kills(root: Path = ROOT, job_level: str | None = None) -> int | None:
    """Return how many processes of this job the kernel has killed for lack of memory.

    A count that grew while a task ran says why its process is gone.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    job_level : str, optional
        How the name of the level begins that holds the job; without such a level, or without a
        job, the count is that of this process's own cgroup.

    Returns
    -------
    int or None
        None if the kernel does not count here.
    """
    levels, unified = _memory_group(root)
    jobs = [i for i, level in enumerate(levels) if job_level and level.name.startswith(job_level)]
    levels = levels[: jobs[0] + 1] if jobs else levels[:1]
    if unified:  # a level counts for all below it
        return _count(levels[-1] / "memory.events") if levels else None
    counts = [_count(level / "memory.oom_control") for level in levels]
    return sum(count or 0 for count in counts) if any(c is not None for c in counts) else None


def oom_kills_beside(root: Path, job_level: str, own_levels: Sequence[str]) -> int | None:
    """Return how many processes of this job the kernel killed outside of this process's level.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    job_level : str
        How the name of the level begins that holds the job.
    own_levels : sequence of str
        Names of the levels below it that count as this process's own.

    Returns
    -------
    int or None
        None if the kernel does not count here, or this process is in another level.
    """
    levels, unified = _memory_group(root)
    file = "memory.events" if unified else "memory.oom_control"
    own = [level for level in levels if level.name in own_levels]
    job = [level for level in levels if level.name.startswith(job_level)]
    if not own or not job:
        return None
    all_kills, own_kills = _count(job[0] / file), _count(own[0] / file)
    return None if all_kills is None or own_kills is None else max(0, all_kills - own_kills)


def memory_of_machine(root: Path = ROOT) -> int | None:
    """Return MB, or None if the machine does not tell."""
    with suppress(OSError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) // 1024
    return None


def memory_of_group(root: Path = ROOT) -> int | None:
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


def gpus_of_machine(root: Path = ROOT) -> int:
    """Return how many GPUs the machine's driver shows."""
    with suppress(OSError):
        return len(list((root / "proc/driver/nvidia/gpus").iterdir()))
    return 0
