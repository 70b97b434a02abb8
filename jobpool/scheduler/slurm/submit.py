"""Submit workers: the exact ``sbatch`` lines of a pass, the queue, and scancel.

SLURM is treated politely: one array for all jobs (several where the cluster's `MaxArraySize` is
smaller), with a throttle, never a loop of single submissions.
"""

import math
import os
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobpool.errors import SchedulerError
from jobpool.installation import asset
from jobpool.scheduler.base import PER_CORE, POLITE, Order, QueuedJob, margin_s, selection_words
from jobpool.scheduler.slurm.programs import RunProgram, run_program
from jobpool.scheduler.slurm.stuck import HELD_STATES, stuck_by
from jobpool.scheduler.status import Phase
from jobpool.units import clock_duration

if TYPE_CHECKING:
    from jobpool.experiment.config import Pass

SCRIPTS = {("work",): "worker", ("cache", "fill"): "cache_fill"}
# on the command line, where neither a variable nor a file of defaults wins over them
MUST_HOLD = ("--requeue", "--open-mode=append")
_PHASES = {
    **dict.fromkeys(("PENDING", *HELD_STATES), Phase.WAITING),
    "SUSPENDED": Phase.SUSPENDED,
    "COMPLETING": Phase.ENDING,
}


def read_queue(run: RunProgram = run_program) -> tuple[QueuedJob, ...]:
    """Return the jobs of this user that wait or run, each task of an array by itself.

    Raises
    ------
    SchedulerError
        If squeue does not answer.
    """
    shape = "--format=%i|%F|%T|%r|%j"  # the name last: it may hold anything
    lines = run(["squeue", "--me", "--noheader", "--all", "--array", shape]).splitlines()
    rows = [line.split("|", 4) for line in lines]
    if any(lines) and not any(len(row) == 5 for row in rows) and "error" in " ".join(lines).lower():
        raise SchedulerError(f"squeue printed no queue: {lines[0]!r}; try again when it answers")
    return tuple(
        QueuedJob(
            label=label,
            batch=batch,
            name=name,
            phase=_PHASES.get(state, Phase.RUNNING),
            stuck=stuck_by(state, reason),
        )
        for label, batch, state, reason, name in (row for row in rows if len(row) == 5)
    )


def cancel(batches: Collection[str], run: RunProgram = run_program) -> None:
    """End jobs and whole arrays by one call; those that have ended are no error.

    Raises
    ------
    SchedulerError
        If scancel refuses one.
    """
    if batches:
        run(["scancel", "--quiet", *sorted(batches)])


def without_nodes(one: "Pass", nodes: Iterable[str]) -> "Pass":
    """Return a pass whose jobs exclude some nodes."""
    names = ",".join(sorted(nodes))
    return replace(one, sbatch=(f"--exclude={names}", *one.sbatch)) if names else one


def with_chosen(one: "Pass", chosen: Iterable[str]) -> "Pass":
    """Return a pass whose jobs have options that the user chose for all; its own win."""
    own = {"--partition": one.partition, "--account": one.account}
    added = tuple(option for option in chosen if own.get(option.partition("=")[0]) is None)
    return replace(one, sbatch=(*added, *one.sbatch))


def script_words(order: Order) -> tuple[str, ...]:
    """Return the options that name the program, the batch script, and its first arguments.

    The script is the installed one.

    Raises
    ------
    SchedulerError
        If the program has a path that sbatch cannot hand on.
    """
    script = asset(f"sbatch/{SCRIPTS[order.verb]}.sbatch")
    program = f"JOBPOOL={order.program}"
    if "," in program:  # it stands between variables, unless they are quoted
        if "'" in program:
            what = "sbatch cannot hand on a path with a comma and a quote"
            raise SchedulerError(f"{order.program}: {what}; let JOBPOOL name the program otherwise")
        program = f"'{program}'"
    program = f"--export=ALL,{program}"
    return program, str(script), str(order.pool), *order.arguments


def sbatch_lines(
    one: "Pass",
    jobs: int,
    worker: Sequence[str],
    *,
    name: str,
    log_folder: Path,
    max_array_size: int,
) -> tuple[tuple[str, ...], ...]:
    """Return the argument lists that submit `jobs` workers with the resources of a pass.

    Parameters
    ----------
    one : Pass
        Resources, and the selection that the workers are given.
    jobs : int
        Workers; each is a task of an array.
    worker : sequence of str
        The batch script, and its arguments before the selection.
    name : str
        What squeue shows.
    log_folder : Path
        Where SLURM starts the logs; the script moves each to its place in there.
    max_array_size : int
        Tasks that an array may have.

    Returns
    -------
    tuple of tuple of str
        One argument list for each array; the throttle is divided among them.

    Raises
    ------
    ValueError
        If `jobs` is not positive.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be 1 or more, not {jobs}")
    sizes = shares(jobs, max_array_size)
    n_arrays = len(sizes)
    throttle = one.max_running or (POLITE if jobs > POLITE else None)
    return tuple(
        (
            "sbatch",
            "--parsable",
            f"--job-name={name}",
            f"--array={_array(size, throttle, n_arrays, i)}",
            *_resources(one),
            *("--nodes=1", "--ntasks=1", f"--signal=B:USR1@{_warning_s(one)}"),
            *MUST_HOLD,
            f"--output={output_pattern(log_folder, '%x-%A_%a.log')}",
            *(o for o in one.sbatch if o != PER_CORE),  # last, so that the user's options win
            *worker,
            *selection_words(one),
        )
        for i, size in enumerate(sizes)
    )


def _warning_s(one: "Pass") -> int:
    """Return when the worker is warned: the scripts' own time is long for a short job."""
    return math.ceil(margin_s(one.walltime_s))


def shares(jobs: int, max_array_size: int) -> tuple[int, ...]:
    """Return how many jobs each array of a submission has.

    Examples
    --------
    >>> shares(2500, 1001)
    (834, 833, 833)
    """
    n_arrays = math.ceil(jobs / max_array_size)
    return tuple(_share(jobs, n_arrays, i) for i in range(n_arrays))


def output_pattern(folder: Path, name: str) -> str:
    """Return the option's value for a log in a folder; only `name` may hold SLURM's patterns.

    A backslash turns all patterns off, so that jobs would write to one file. Those of a folder with
    one in its path have no log until the script makes it.

    Examples
    --------
    >>> output_pattern(Path("/data/100%/logs"), "%x-%j.log")
    '/data/100%%/logs/%x-%j.log'
    """
    if "\\" in str(folder):
        return os.devnull
    return f"{str(folder).replace('%', '%%')}/{name}"


def pair_line(side: Sequence[str], folder: Path, options: Sequence[str]) -> tuple[str, ...]:
    """Return the sbatch line that runs a command on each of two nodes, their numbers behind it.

    Examples
    --------
    >>> line = pair_line(["probe"], Path("/data/pool/probe-1"), ["--partition=short"])
    >>> line[:4]
    ('sbatch', '--parsable', '--nodes=2', '--ntasks-per-node=1')
    >>> line[-2]
    '--partition=short'
    """
    script = (
        f"srun --kill-on-bad-exit=0 sh -c {shlex.quote(f'exec {shlex.join(side)} $SLURM_PROCID')}"
    )
    return (
        *("sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--time=15"),
        *("--job-name=jobpool-doctor", f"--output={output_pattern(folder, 'job.log')}"),
        *options,  # last, so that the user's options win
        f"--wrap={script}",
    )


def _resources(one: "Pass") -> list[str]:
    options = [
        f"--cpus-per-task={one.cores}",
        *_memory(one),
        f"--time={clock_duration(one.walltime_s)}",
    ]
    if one.partition is not None:
        options.append(f"--partition={one.partition}")
    if one.account is not None:
        options.append(f"--account={one.account}")
    return options


def _memory(one: "Pass") -> list[str]:
    """Return the option for the memory; sbatch takes one kind of it only."""
    memory_mb = one.memory_gb * 1024
    if any(option.startswith("--mem-per-gpu") for option in one.sbatch):
        return []
    if any(option.startswith(PER_CORE) for option in one.sbatch):
        return [f"{PER_CORE}={math.ceil(memory_mb / one.cores)}M"]
    return [f"--mem={math.ceil(memory_mb)}M"]


def _array(jobs: int, throttle: int | None, n_arrays: int, i: int) -> str:
    at_once = "" if throttle is None else f"%{max(1, _share(throttle, n_arrays, i))}"
    return f"0-{jobs - 1}{at_once}"


def _share(total: int, n_parts: int, i: int) -> int:
    """Return part `i` of `total` divided into parts that differ by 1 at most."""
    return total // n_parts + (i < total % n_parts)
