"""What this cluster allows: the size of an array, and of a job in each partition.

Two questions to the controller: ``scontrol show config`` and ``sinfo``. Nothing is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobpool.errors import SlurmError, listing, nearest
from jobpool.experiment import Pass
from jobpool.scheduler.slurm.programs import RunProgram, run_program

USUAL_MAX_ARRAY_SIZE = 1001  # SLURM's default
# name, * behind it for the default; up or not; longest time; cores and MB of a node
_SINFO = ("sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%c|%m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One of the queues of the cluster."""

    name: str
    is_default: bool
    is_up: bool
    max_time_s: float | None  # None: no limit
    nodes: tuple[tuple[int, int], ...]  # cores and MB of each kind of node

    def refusal(self, cores: int, memory_mb: float, walltime_s: float) -> str | None:
        """Return why no job of such a size can run here, or None if it can."""
        if not self.is_up:
            return f"partition {self.name} is down"
        if self.max_time_s is not None and walltime_s > self.max_time_s:
            return f"partition {self.name} allows {self.max_time_s / 3600:g} h"
        if any(cores <= has and memory_mb <= mb for has, mb in self.nodes):
            return None
        most_cores, most_mb = max(n for n, _ in self.nodes), max(mb for _, mb in self.nodes)
        return f"a node of partition {self.name} has {most_cores} cores, {most_mb / 1024:.3g} GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the controller said."""

    max_array_size: int
    partitions: tuple[Partition, ...]

    def of(self, one: Pass) -> tuple[Partition, ...]:
        """Return the partitions that jobs of a pass may run in."""
        wanted = _partitions_of(one)
        if not wanted:
            return tuple(part for part in self.partitions if part.is_default)
        return tuple(part for part in self.partitions if part.name in wanted)

    def refusal(self, one: Pass) -> str | None:
        """Return why no job of a pass can run, or None if one can, as far as is known."""
        parts = self.of(one)
        if not parts and (wanted := _partitions_of(one)):
            known = [part.name for part in self.partitions]
            return f"no partition {wanted[0]!r}; there are: {listing(known)}" + nearest(
                wanted[0], known
            )
        why = [part.refusal(one.cores, one.memory_gb * 1024, one.walltime_s) for part in parts]
        return why[0] if why and all(why) else None


def _partitions_of(one: Pass) -> tuple[str, ...]:
    words = [text.partition("=")[2] for text in one.sbatch if text.startswith("--partition=")]
    named = words[-1] if words else one.partition
    return tuple(named.split(",")) if named else ()


def read_site(run: RunProgram = run_program) -> Site:
    """Return what this cluster allows.

    Raises
    ------
    SlurmError
        If the controller does not say, or the cluster has no job arrays.
    """
    return Site(max_array_size=read_max_array_size(run), partitions=read_partitions(run))


def read_max_array_size(run: RunProgram = run_program) -> int:
    """Return how many tasks an array may have here, asked from the controller.

    Raises
    ------
    SlurmError
        If the controller does not say, or the cluster has no job arrays.
    """
    for line in run(["scontrol", "show", "config"]).splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdecimal():
            size = int(value)
            if size > 1:
                return size
            advice = "submit in a loop instead: sbatch sbatch/first_pass.sbatch POOL"
            raise SlurmError(f"this cluster has no job arrays (MaxArraySize is {size}); {advice}")
    raise SlurmError("scontrol show config names no MaxArraySize; is it SLURM's scontrol?")


def read_partitions(run: RunProgram = run_program) -> tuple[Partition, ...]:
    """Return the partitions that this user may see, in the order of `sinfo`.

    Raises
    ------
    SlurmError
        If sinfo does not answer, or cannot be understood.
    """
    rows: dict[str, list[list[str]]] = {}
    for line in run(_SINFO).splitlines():
        words = [word.strip() for word in line.split("|")]
        if len(words) == 5:
            rows.setdefault(words[0], []).append(words)
    if not rows:
        raise SlurmError("sinfo names no partition that you may use; ask your cluster's help desk")
    return tuple(_partition(found) for found in rows.values())


def _partition(rows: Sequence[Sequence[str]]) -> Partition:
    name, up, limit, _, _ = rows[0]
    return Partition(
        name=name.removesuffix("*"),
        is_default=name.endswith("*"),
        is_up=up == "up",
        max_time_s=parse_slurm_time(limit),
        nodes=tuple((_whole(cores), _whole(memory)) for _, _, _, cores, memory in rows),
    )


def _whole(text: str) -> int:
    digits = text.rstrip("+")  # "16+" where nodes differ after all
    return int(digits) if digits.isdecimal() else 0


def parse_slurm_time(text: str) -> float | None:
    """Return a limit that SLURM prints in seconds; None for no limit.

    Examples
    --------
    >>> parse_slurm_time("1-06:00:00"), parse_slurm_time("30:00"), parse_slurm_time("infinite")
    (108000.0, 1800.0, None)
    """
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in parts) or (days and not days.isdecimal()):
        return None
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return float(86400 * int(days or 0) + seconds)
