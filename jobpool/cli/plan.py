"""``jobpool plan``: what is left by size, and the arrays to submit next."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import PoolArgument, Trust

if TYPE_CHECKING:
    from jobpool.experiment import Pass
    from jobpool.needs.estimates import Estimates
    from jobpool.plan.arrays import Plan
    from jobpool.pool import Pool
    from jobpool.scheduler.base import Limits


def plan(
    pool: PoolArgument,
    jobs: Annotated[
        int, typer.Option(min=1, help="Jobs in the queue at one time, of all sizes.")
    ] = 200,
    submit: Annotated[bool, typer.Option("--submit", help="Submit them.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust: Trust = None,
) -> None:
    """Say what is left by needed size, and which arrays to submit next.

    Each waiting task goes to the cheapest pass in which it probably (80 %) ends, by what is
    learned from others. For what fits no pass a larger size is proposed.

    \b
    jobpool plan POOL
    jobpool plan POOL --jobs 500 --submit
    jobpool plan POOL --json
    """
    from jobpool.cli.plan_text import json_text, plan_text
    from jobpool.pool import Pool
    from jobpool.task import TaskState

    opened = Pool(pool)
    with alone(opened) if submit else _nobody():
        if opened.counts()[TaskState.WAITING]:
            around = look_around(opened, must=submit)
        else:  # nothing to submit: the scheduler need not be asked
            around = Around(limits=None, queued=Counter())
        made = make(opened, around, jobs)
        print(json_text(opened, made, around.limits) if json else plan_text(opened, made, around))
        if submit:
            send(opened, made, around, trust)


@dataclass(frozen=True, kw_only=True)
class Around:
    """What SLURM says of the cluster, and of this pool's jobs."""

    limits: "Limits | None"
    queued: Counter[str]
    unknown: str = ""  # why SLURM said nothing


@contextmanager
def _nobody() -> Iterator[None]:
    yield


@contextmanager
def alone(pool: "Pool") -> Iterator[None]:
    """Let one process at a time count this pool's jobs and submit more."""
    from jobpool.lock import LOCKS
    from jobpool.poolinfo import set_umask
    from jobpool.turns import FOLDER

    set_umask(pool.info.shared)
    path = pool.folder / FOLDER / "submit"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with LOCKS[pool.info.lock](path, False):
        yield


def look_around(pool: "Pool", *, must: bool, queued: Counter[str] | None = None) -> Around:
    """Ask SLURM what it allows, and what of ours it has unless that is known.

    Where it must be there and does not answer, an error is raised.
    """
    from jobpool.errors import SchedulerError
    from jobpool.scheduler.detect import submitting_scheduler

    try:
        counted = queued_of(pool) if queued is None else queued
        return Around(queued=counted, limits=submitting_scheduler().limits())
    except SchedulerError as error:
        if must:
            what = "nothing was submitted; run this where SLURM's commands work"
            raise SchedulerError(f"{error}\n{what}") from error
        why = " ".join(str(error).splitlines()[:2])  # what was run, and what it said
        return Around(queued=Counter(), limits=None, unknown=why)


def queued_of(pool: "Pool") -> Counter[str]:
    """Return how many jobs of this pool wait or run, by the name of their size."""
    from jobpool.scheduler.base import count_queued, job_prefix
    from jobpool.scheduler.detect import submitting_scheduler

    prefix = job_prefix(pool.folder, pool.info.name)
    return count_queued(submitting_scheduler().queued(pool.folder, prefix), prefix)


def forecast_of(pool: "Pool", server_time: float) -> "Estimates | None":
    """Return what tasks are expected to take, learned from the newest attempts where one may."""
    from jobpool.errors import StorageError
    from jobpool.needs.estimates import load_estimates
    from jobpool.needs.learning import learn
    from jobpool.poolinfo import set_umask

    set_umask(pool.info.shared)
    with suppress(OSError, StorageError):  # who may not write here sees what the workers learned
        learn(pool, server_time)
    return load_estimates(pool)


def make(pool: "Pool", around: Around, jobs: int, *, keep_full: bool = False) -> "Plan":
    """Return what to submit next."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start
    from jobpool.files import server_time
    from jobpool.plan.arrays import Wanted, make_plan
    from jobpool.plan.left import read_left

    clock, experiment = server_time(pool.folder / "workers"), pool.experiment()

    def refusal(one: "Pass") -> str | None:
        return around.limits.refusal(one) if around.limits else None

    return make_plan(
        pool.grid,
        read_left(pool, clock),
        forecast_of(pool, clock),
        experiment.passes,
        refusal,
        Wanted(most=jobs, queued=around.queued, keep_full=keep_full),
    )


def send(
    pool: "Pool", made: "Plan", around: Around, trust: list[str] | None, *, dry_run: bool = False
) -> None:
    """Submit the arrays of a plan, and print their sbatch lines."""
    from jobpool.cli.submit import USUAL_MAX_ARRAY_SIZE, send_lines

    most = around.limits.max_array_size if around.limits else USUAL_MAX_ARRAY_SIZE
    for array in made.arrays:
        if array.jobs:
            send_lines(pool, array.size, array.jobs, most, trust, dry_run=dry_run)
