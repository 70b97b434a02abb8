"""Submit workers: the exact ``sbatch`` lines of a pass, and running them.

SLURM is treated politely: one array for all jobs (several where the cluster's `MaxArraySize` is
smaller), with a throttle, never a loop of single submissions.
"""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from jobpool.errors import SlurmError
from jobpool.experiment import Pass
from jobpool.scheduler.slurm.programs import RunProgram, run_program

POLITE = 100  # jobs that run at one time where the pass does not say
_NAME = re.compile(r"[^\w.+-]")  # what squeue and file names should not hold


def throttle_of(one: Pass) -> int:
    """Return how many jobs of a pass may run at one time."""
    return one.max_running or POLITE


def job_prefix(pool: Path, name: str) -> str:
    """Return how the names of a pool's jobs begin, so that they can be counted.

    Pools of one experiment have the same name, so that a digest of the folder follows it.

    Examples
    --------
    >>> job_prefix(Path("/data/pool"), "my study")
    'my_study-c7e1-'
    """
    digest = hashlib.sha256(os.fsencode(pool.resolve())).hexdigest()[:4]
    return f"{_NAME.sub('_', name)}-{digest}-"


def job_name(prefix: str, one: Pass) -> str:
    """Return the name of the jobs of a pass."""
    return prefix + _NAME.sub("_", one.name)


def count_queued(prefix: str, run: RunProgram = run_program) -> Counter[str]:
    """Return how many of this user's jobs wait or run, by what follows `prefix` in their name.

    Raises
    ------
    SlurmError
        If squeue does not answer.
    """
    counts: Counter[str] = Counter()
    for line in run(["squeue", "--me", "--noheader", "--array", "--format=%T %j"]).splitlines():
        state, _, name = line.strip().partition(" ")
        if name.startswith(prefix) and state != "COMPLETING":
            counts[name.removeprefix(prefix)] += 1
    return counts


def without_nodes(one: Pass, nodes: Iterable[str]) -> Pass:
    """Return a pass whose jobs leave some nodes alone."""
    names = ",".join(sorted(nodes))
    return replace(one, sbatch=(f"--exclude={names}", *one.sbatch)) if names else one


def sbatch_lines(
    one: Pass, jobs: int, worker: Sequence[str], *, name: str, log_folder: Path, max_array_size: int
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
    selection = [word for text in one.only for word in ("--only", text)]
    selection += [word for text in one.skip for word in ("--skip", text)]
    n_arrays = math.ceil(jobs / max_array_size)
    throttle = one.max_running or (POLITE if jobs > POLITE else None)
    return tuple(
        (
            "sbatch",
            "--parsable",
            f"--job-name={name}",
            f"--array={_array(_share(jobs, n_arrays, i), throttle, n_arrays, i)}",
            *_resources(one),
            f"--output={log_folder / '%x-%j.log'}",
            *one.sbatch,  # last, so that the user's word counts
            *worker,
            *selection,
        )
        for i in range(n_arrays)
    )


def submit(lines: Sequence[Sequence[str]], run: RunProgram = run_program) -> tuple[str, ...]:
    """Run sbatch lines, and return the ids of the jobs.

    Raises
    ------
    SlurmError
        If a line is refused; it names the jobs that were submitted before.
    """
    job_ids: list[str] = []
    for line in lines:
        try:
            said = run(line)
        except SlurmError as error:
            before = f"\nsubmitted before that: {' '.join(job_ids)}" if job_ids else ""
            raise SlurmError(f"{error}{before}") from error
        job_ids.append(said.strip().splitlines()[-1].partition(";")[0])  # "12;cluster"
    return tuple(job_ids)


def slurm_time(seconds: float) -> str:
    """Return a time limit as ``days-hours:minutes:seconds``.

    Examples
    --------
    >>> slurm_time(3 * 3600), slurm_time(30 * 3600)
    ('0-03:00:00', '1-06:00:00')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02d}:{minutes:02d}:{rest:02d}"


def _resources(one: Pass) -> list[str]:
    options = [
        f"--cpus-per-task={one.cores}",
        f"--mem={math.ceil(one.memory_gb * 1024)}M",
        f"--time={slurm_time(one.walltime_s)}",
    ]
    if one.partition is not None:
        options.append(f"--partition={one.partition}")
    if one.account is not None:
        options.append(f"--account={one.account}")
    return options


def _array(jobs: int, throttle: int | None, n_arrays: int, i: int) -> str:
    at_once = "" if throttle is None else f"%{max(1, _share(throttle, n_arrays, i))}"
    return f"0-{jobs - 1}{at_once}"


def _share(total: int, n_parts: int, i: int) -> int:
    """Return part `i` of `total` divided into parts that differ by 1 at most."""
    return total // n_parts + (i < total % n_parts)
