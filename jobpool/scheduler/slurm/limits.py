"""What this cluster allows: the size of an array, and of a job in each partition.

Two questions to the controller: ``scontrol show config`` and ``sinfo``. Nothing is kept.
"""

from collections.abc import Sequence
from dataclasses import replace

from jobpool.errors import SchedulerError
from jobpool.scheduler.base import Limits, Partition
from jobpool.scheduler.slurm.programs import RunProgram, run_program
from jobpool.units import parse_clock

# name, * behind it for the default; up or not; longest time; cores and MB of a node
# hidden ones, too: whoever knows their name may use them
_SINFO = ("sinfo", "--noheader", "--all", "--exact", "--format=%P|%a|%l|%c|%m")


def read_limits(run: RunProgram = run_program, usual: str | None = None) -> Limits:
    """Return what this cluster allows.

    Parameters
    ----------
    run : callable
        Runs a program and returns what it prints.
    usual : str, optional
        The user's own choice of partitions for jobs that name none, instead of the cluster's.

    Raises
    ------
    SchedulerError
        If the controller does not say, or the cluster has no job arrays.
    """
    most, partitions = read_max_array_size(run), read_partitions(run)
    if usual:
        chosen = usual.split(",")
        partitions = tuple(replace(one, is_default=one.name in chosen) for one in partitions)
    return Limits(max_array_size=most, partitions=partitions)


def read_cluster(run: RunProgram = run_program) -> str | None:
    """Return the name of the cluster whose controller answers.

    Raises
    ------
    SchedulerError
        If none does.
    """
    for line in run(["scontrol", "show", "config"]).splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "ClusterName":
            return value.strip()
    return None


def read_max_array_size(run: RunProgram = run_program) -> int:
    """Return how many tasks an array may have here, asked from the controller.

    Raises
    ------
    SchedulerError
        If the controller does not say, or the cluster has no job arrays.
    """
    for line in run(["scontrol", "show", "config"]).splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdecimal():
            size = int(value)
            if size > 1:
                return size
            advice = "submit in a loop instead: sbatch sbatch/first_pass.sbatch POOL"
            raise SchedulerError(
                f"this cluster has no job arrays (MaxArraySize is {size}); {advice}"
            )
    raise SchedulerError("scontrol show config names no MaxArraySize; is it SLURM's scontrol?")


def read_partitions(run: RunProgram = run_program) -> tuple[Partition, ...]:
    """Return the partitions that this user may see, in the order of `sinfo`.

    Raises
    ------
    SchedulerError
        If sinfo does not answer, or cannot be understood.
    """
    rows: dict[str, list[list[str]]] = {}
    for line in run(_SINFO).splitlines():
        words = [word.strip() for word in line.split("|")]
        if len(words) == 5:
            rows.setdefault(words[0], []).append(words)
    if not rows:
        raise SchedulerError(
            "sinfo names no partition that you may use; ask your cluster's help desk"
        )
    return tuple(_partition(found) for found in rows.values())


_STATES = {"drain": "drained", "inact": "inactive"}  # of partitions


def _partition(rows: Sequence[Sequence[str]]) -> Partition:
    name, up, limit, _, _ = rows[0]
    return Partition(
        name=name.removesuffix("*"),
        is_default=name.endswith("*"),
        is_up=up == "up",
        state=_STATES.get(up, up),
        max_time_s=parse_clock(limit),
        nodes=tuple((_whole(cores), _whole(memory)) for _, _, _, cores, memory in rows),
    )


def _whole(text: str) -> int:
    digits = text.rstrip("+")  # "16+" where nodes differ after all
    return int(digits) if digits.isdecimal() else 0
