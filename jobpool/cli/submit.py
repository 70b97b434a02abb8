"""``jobpool submit``: SLURM jobs with the resources of a pass, or as `jobpool plan` says."""

import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, Trust

if TYPE_CHECKING:
    from jobpool.experiment import Pass
    from jobpool.pool import Pool
    from jobpool.scheduler.base import Order

USUAL_MAX_ARRAY_SIZE = 1001  # SLURM's default


def submit(
    pool: PoolArgument,
    pass_name: Annotated[
        str | None, typer.Option("--pass", metavar="NAME", help="A pass of the experiment file.")
    ] = None,
    keep_full: Annotated[
        bool,
        typer.Option(
            "--keep-full", help="Top the queue up with what is left, by needed size; see plan."
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Workers to submit, 1 if not given; with --keep-full: jobs of this pool in the "
            "queue at one time, 200 if not given.",
        ),
    ] = None,
    only: Only = None,
    skip: Skip = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the sbatch lines, submit nothing.")
    ] = False,
    trust: Trust = None,
) -> None:
    """Submit workers to SLURM as throttled job arrays.

    The exact sbatch lines are printed.
    With --pass, cores, memory, time and selection come from the pass; --only and --skip narrow it
    further. With --keep-full, they come from jobpool plan; that command may be run from cron: it
    counts this pool's jobs, and submits what is missing. The workers run the jobpool that
    submits, or the one that the variable JOBPOOL names.

    \b
    jobpool submit POOL --pass first --jobs 200 --dry-run
    jobpool submit POOL --pass first --jobs 200
    jobpool submit POOL --pass second --jobs 10 --only pipeline=svm
    jobpool submit POOL --keep-full --jobs 300
    """
    from jobpool.pool import Pool

    opened = Pool(pool)
    if keep_full:
        if pass_name or only or skip:
            what = "--keep-full takes passes and selections from the experiment"
            raise typer.BadParameter(f"{what}: leave out --pass, --only and --skip")
        _top_up(opened, jobs, trust, dry_run=dry_run)
        return
    if pass_name is None:
        raise typer.BadParameter("give --pass NAME, or --keep-full")
    one = _narrowed(find_pass(opened, pass_name), only, skip)
    n_jobs = jobs or 1
    n_jobs = min(n_jobs, _count_free(opened, one, n_jobs))
    send_lines(opened, one, n_jobs, max_array_size_here(dry_run), trust, dry_run=dry_run)


def _top_up(pool: "Pool", jobs: int | None, trust: list[str] | None, *, dry_run: bool) -> None:
    """Submit so many jobs that this pool has `jobs` in the queue, as far as there is work."""
    from jobpool.cli.plan import alone, look_around, make, queued_of, send
    from jobpool.plan.arrays import USUAL_JOBS
    from jobpool.task import REMAINING, STUCK

    most, counts = jobs or USUAL_JOBS, pool.counts()
    if not sum(counts[state] for state in REMAINING):
        kept = [f"{counts[state]:,} {state.word}" for state in sorted(STUCK)]
        n_kept = sum(counts[state] for state in STUCK)
        what = f"nothing waits; {' and '.join(kept)}: see jobpool status {pool.folder}"
        left = what if n_kept else "nothing is left to do"
        print(f"{pool.folder}: {left}", file=sys.stderr)
        return
    with alone(pool):
        queued = None if dry_run else queued_of(pool)
        if queued and queued.total() >= most:
            print(f"{pool.folder}: {queued.total()} jobs in the queue are enough", file=sys.stderr)
            return
        around = look_around(pool, must=not dry_run, queued=queued)
        if around.unknown:
            print(f"jobs in the queue are not counted: {around.unknown}", file=sys.stderr)
        made = make(pool, around, most, keep_full=True)
        if not made.n_jobs:
            what = f"nothing to submit: {made.n_queued} jobs in the queue"
            print(f"{pool.folder}: {what}, {made.left.n_waiting} tasks wait", file=sys.stderr)
        send(pool, made, around, trust, dry_run=dry_run)


def send_lines(
    pool: "Pool",
    one: "Pass",
    jobs: int,
    max_array_size: int,
    trust: list[str] | None,
    *,
    dry_run: bool,
) -> None:
    """Print the sbatch lines of a size, and run them."""
    from jobpool.nodes import read_bad_nodes
    from jobpool.poolinfo import check_owner
    from jobpool.scheduler.base import Order, job_name, job_prefix

    folder = pool.folder.resolve()
    check_owner(folder, trust or ())  # a pass may hold any option of sbatch
    order = Order(
        size=one,
        jobs=jobs,
        pool=folder,
        name=job_name(job_prefix(folder, pool.info.name), one),
        program=worker_program(),
        arguments=tuple(word for user in trust or () for word in ("--trust", user)),
        without_nodes=tuple(read_bad_nodes(folder, time.time())),
    )
    send_order(pool, order, max_array_size, dry_run=dry_run)


def send_order(pool: "Pool", order: "Order", max_array_size: int, *, dry_run: bool) -> None:
    """Print the commands of an order, and run them."""
    from jobpool.poolinfo import set_umask
    from jobpool.scheduler.detect import submitting_scheduler

    scheduler = submitting_scheduler()
    submissions = scheduler.submissions(order, max_array_size)
    for one in submissions:
        print(shlex.join(one.command))
    if not dry_run:
        set_umask(pool.info.shared)  # sbatch hands it on to the job
        for job_id in scheduler.submit(submissions):
            print(f"submitted job {job_id}", file=sys.stderr)


def find_pass(pool: "Pool", name: str) -> "Pass":
    """Return a pass of the pool's experiment; one that is not there is an error."""
    from jobpool.errors import RequestError, listing, nearest

    passes = {one.name: one for one in pool.experiment().passes}
    if name not in passes:
        known = listing(passes) if passes else "none; add some to its experiment.yaml under passes"
        what = f"its experiment has no pass {name!r}; passes: {known}{nearest(name, passes)}"
        raise RequestError(pool.folder, what)
    return passes[name]


def _narrowed(one: "Pass", only: list[str] | None, skip: list[str] | None) -> "Pass":
    return replace(one, only=(*one.only, *(only or ())), skip=(*one.skip, *(skip or ())))


def _count_free(pool: "Pool", one: "Pass", jobs: int) -> int:
    """Return how many tasks wait for such workers; more workers would leave at once."""
    from jobpool.errors import RequestError
    from jobpool.files import server_time
    from jobpool.plan.left import read_left
    from jobpool.plan.sizes import within_bounds
    from jobpool.selection import select
    from jobpool.units import count

    left = read_left(pool, server_time(pool.folder / "workers"))
    waiting = left.waiting & select(pool.grid, one.only, one.skip)
    free = int((waiting & within_bounds(left, one)).sum())
    if free == 0:
        what = f"no task waits for workers of pass {one.name!r}; nothing was submitted"
        if n_larger := int(waiting.sum()):
            what += f": {count(n_larger, 'task')} had too little with as much as it has"
            raise RequestError(pool.folder, f"{what}; larger jobs: jobpool plan {pool.folder}")
        raise RequestError(pool.folder, f"{what}; see: jobpool status {pool.folder}")
    if free < jobs:
        n_larger = int(waiting.sum()) - free
        more = f" ({n_larger} more need more than it has)" if n_larger else ""
        what = f"only {free} tasks wait{more}: {free} jobs instead of {jobs}"
        print(what, file=sys.stderr)
    return free


def worker_program() -> str:
    """Return the path of the jobpool that runs in the jobs."""
    return os.environ.get("JOBPOOL") or str(Path(sys.executable).with_name("jobpool"))


def max_array_size_here(dry_run: bool) -> int:
    """Ask the controller once; what is only shown can be shown without SLURM."""
    from jobpool.errors import SchedulerError
    from jobpool.scheduler.detect import submitting_scheduler

    try:
        return submitting_scheduler().max_array_size()
    except SchedulerError as error:
        if not dry_run:
            raise
        why = " ".join(str(error).splitlines()[:2])  # what was run, and what it said
        print(f"arrays of at most {USUAL_MAX_ARRAY_SIZE} jobs assumed: {why}", file=sys.stderr)
        return USUAL_MAX_ARRAY_SIZE
