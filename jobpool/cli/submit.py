"""``jobpool submit``: SLURM jobs with the resources of one of the experiment's passes."""

import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jobpool.experiment import Pass
    from jobpool.pool import Pool


def submit(
    pool: PoolArgument,
    pass_name: Annotated[
        str, typer.Option("--pass", metavar="NAME", help="A pass of the experiment file.")
    ],
    jobs: Annotated[int, typer.Option(min=1, help="Workers to submit.")] = 1,
    only: Only = None,
    skip: Skip = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the sbatch lines, submit nothing.")
    ] = False,
) -> None:
    """Submit workers to SLURM as throttled job arrays.

    The exact sbatch lines are printed.
    Cores, memory, time and selection come from the pass; --only and --skip narrow it further. The
    workers run the jobpool that submits, or the one that the variable JOBPOOL names.

    \b
    jobpool submit POOL --pass first --jobs 200 --dry-run
    jobpool submit POOL --pass first --jobs 200
    jobpool submit POOL --pass second --jobs 10 --only pipeline=svm
    """
    from jobpool.pool import Pool
    from jobpool.slurm.submit import sbatch_lines
    from jobpool.slurm.submit import submit as submit_lines

    opened = Pool(pool)
    one = _narrowed(find_pass(opened, pass_name), only, skip)
    lines = sbatch_lines(
        one,
        min(jobs, _count_free(opened, one, jobs)),
        worker_program(pool.resolve()),
        name=re.sub(r"[^\w.+-]", "_", f"{opened.info.name}-{one.name}"),
        log_folder=pool.resolve() / "logs",
        max_array_size=max_array_size_here(dry_run),
    )
    for line in lines:
        print(shlex.join(line))
    if not dry_run:
        (pool / "logs").mkdir(exist_ok=True)  # SLURM fails a job whose log it cannot open
        for job_id in submit_lines(lines):
            print(f"submitted job {job_id}", file=sys.stderr)


def find_pass(pool: "Pool", name: str) -> "Pass":
    """Return a pass of the pool's experiment; one that is not there is an error."""
    from jobpool.errors import PoolError, listing, nearest

    passes = {one.name: one for one in pool.experiment().passes}
    if name not in passes:
        known = listing(passes) if passes else "none; add some to its experiment.yaml under passes"
        what = f"its experiment has no pass {name!r}; passes: {known}{nearest(name, passes)}"
        raise PoolError(pool.folder, what)
    return passes[name]


def _narrowed(one: "Pass", only: list[str] | None, skip: list[str] | None) -> "Pass":
    return replace(one, only=(*one.only, *(only or ())), skip=(*one.skip, *(skip or ())))


def _count_free(pool: "Pool", one: "Pass", jobs: int) -> int:
    """Return how many tasks wait for such workers; more workers would leave at once."""
    from jobpool.errors import PoolError
    from jobpool.pool import count_states
    from jobpool.selection import select
    from jobpool.task import TaskState

    chosen = select(pool.grid, one.only, one.skip)
    free = count_states(pool.index()[chosen])[TaskState.WAITING] + _count_lost(pool, chosen)
    if free == 0:
        what = f"no task waits for workers of pass {one.name!r}; nothing was submitted"
        raise PoolError(pool.folder, f"{what}; see: jobpool status {pool.folder}")
    if free < jobs:
        print(f"only {free} tasks wait: {free} jobs instead of {jobs}", file=sys.stderr)
    return free


def _count_lost(pool: "Pool", chosen: "NDArray[np.bool_]") -> int:
    """Return how many tasks dead workers hold: the first worker to start takes them back."""
    from jobpool.files import server_time
    from jobpool.liveness import Life, judge
    from jobpool.task import TaskState
    from jobpool.workerfiles import worker_name

    owners = [
        record.owner
        for position, record in pool.running()
        if chosen[position] and record.state is TaskState.RUNNING
    ]
    clock = server_time(pool.folder / "workers")
    dead = {one for one in set(owners) if judge(pool, worker_name(one), clock) is Life.DEAD}
    return sum(owner in dead for owner in owners)


def worker_program(pool: Path) -> tuple[str, ...]:
    """Return the environment, script and pool that sbatch is given."""
    from jobpool.assets import asset

    program = os.environ.get("JOBPOOL") or str(Path(sys.executable).with_name("jobpool"))
    return f"--export=ALL,JOBPOOL={program}", str(asset("sbatch/worker.sbatch")), str(pool)


def max_array_size_here(dry_run: bool) -> int:
    """Ask the controller once; what is only shown can be shown without SLURM."""
    from jobpool.errors import SlurmError
    from jobpool.slurm.submit import USUAL_MAX_ARRAY_SIZE, read_max_array_size

    try:
        return read_max_array_size()
    except SlurmError as error:
        if not dry_run:
            raise
        why = " ".join(str(error).splitlines()[:2])  # what was run, and what it said
        print(f"arrays of at most {USUAL_MAX_ARRAY_SIZE} jobs assumed: {why}", file=sys.stderr)
        return USUAL_MAX_ARRAY_SIZE
