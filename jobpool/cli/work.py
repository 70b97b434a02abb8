"""``jobpool work``: what a SLURM job runs."""

import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, Trust, duration, told_start
from jobpool.cli.streams import harmless
from jobpool.errors import quoted
from jobpool.units import count, local_time

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jobpool.execution.supervisor import StopSignals, Supervisor
    from jobpool.journal.workers import WorkerRecord
    from jobpool.pool import Pool
    from jobpool.table.settings import PoolInfo
    from jobpool.worker import Summary, Worker


def work(
    pool: PoolArgument,
    only: Only = None,
    skip: Skip = None,
    max_tasks: Annotated[
        int | None,
        typer.Option(
            min=0, help="Exit after so many tasks; 0: only try whether tasks can run here."
        ),
    ] = None,
    stop_after: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="TIME", help="Start no new task after this time, such as 2h."
        ),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores per task; by default all this job has.")
    ] = None,
    memory_mb: Annotated[
        int | None,
        typer.Option(min=1, help="Memory per task in MB; by default all this job has."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draw tasks in a repeatable order; by default random.")
    ] = None,
    trust: Trust = None,
) -> None:
    """Pull tasks from a pool and run them until none fits.

    On TERM, USR1 and Ctrl-C the worker requeues its task and exits.

    \b
    jobpool work POOL
    jobpool work POOL --only pipeline=elastic --max-tasks 10
    jobpool work POOL --only 'parcels>=400' --skip target=age --stop-after 2h
    """
    pool = pool.absolute()  # code of tasks may change the current folder
    with told_start(pool) as start:
        from jobpool.journal.workers import own_worker_record
        from jobpool.table.settings import set_umask
        from jobpool.worker import Limits

        opened = _open_to_run(pool, trust or ())
        set_umask(opened.info.shared)
        worker_record = own_worker_record(
            only=tuple(only or ()), skip=tuple(skip or ()), **_job(cores, memory_mb)
        )
        if max_tasks == 0:
            _try(opened, worker_record)
            return
        worker = _make_worker(opened, worker_record, seed)
        limits = Limits(max_tasks=max_tasks, stop_after_s=stop_after)
        summary = worker.work(limits, started=start.succeeded)
    _print_end(summary)


def _open_to_run(folder: Path, trusted: "Collection[str]") -> "Pool":
    """Open a pool for a new worker, if this user may run what it says."""
    from jobpool.journal.jsonl import new_worker_number
    from jobpool.pool import Pool
    from jobpool.table.code_files import CodeFiles

    return Pool(folder, worker=new_worker_number(), files=CodeFiles(folder, trusted))


def _make_worker(pool: "Pool", worker_record: "WorkerRecord", seed: int | None) -> "Worker":
    """Join the worker, its supervisor and the process that runs the tasks."""
    from jobpool.execution.supervisor import StopSignals
    from jobpool.journal.jsonl import worker_name
    from jobpool.worker import Worker

    signals = StopSignals()
    signals.install()
    cores = count(worker_record.cores, "core")
    _say(f"worker {worker_name(pool.worker)} on {worker_record.host}: {cores}")
    return Worker(
        pool,
        worker_record,
        lambda beat: _supervisor(pool, worker_record, signals, beat),
        signals=signals,
        rng=random.Random(seed),
        report=_say,
    )


def _supervisor(
    pool: "Pool",
    worker_record: "WorkerRecord",
    signals: "StopSignals",
    beat: "Callable[[], object]",
) -> "Supervisor":
    """Return what runs the tasks of a pool that was opened to run."""
    from jobpool.execution.deadline import JobEnd
    from jobpool.execution.supervisor import Supervisor
    from jobpool.scheduler.detect import scheduler_named

    handed, info = pool.hand_over(), pool.info
    scheduler = scheduler_named(worker_record.scheduler)
    child = ["-P", "-m", "jobpool.execution.child"]
    return Supervisor(
        [sys.executable, *child, str(pool.folder), str(worker_record.cores), str(handed)],
        handed=handed,
        environment=_child_environment(worker_record.cores, info),
        signals=signals,
        beat=beat,
        beat_s=info.heartbeat_s,
        grace_s=info.grace_s,
        job_end=JobEnd(worker_record.end, scheduler.job_end if worker_record.job else None),
        oom_kills=scheduler.oom_kills,
        step_kills=scheduler.step_kills,
        tells_of_memory=scheduler.tells_of_memory,
        memory_mb=worker_record.memory_mb,
    )


def _try(pool: "Pool", worker_record: "WorkerRecord") -> None:
    """Start the process of the tasks, and end it: no task is taken, nothing is recorded."""
    from jobpool.execution.supervisor import StopSignals

    signals = StopSignals()
    signals.install()
    supervisor = _supervisor(pool, worker_record, signals, lambda: None)
    try:
        supervisor.start()
    finally:
        supervisor.stop()
    _say("tasks can be run here")


def _job(cores: int | None, memory_mb: int | None) -> dict[str, object]:
    """Return what the worker's record says of its job."""
    from jobpool import __version__
    from jobpool.scheduler.detect import find_scheduler

    scheduler = find_scheduler()
    capacity, job = scheduler.capacity(), scheduler.own_job()
    has = capacity.cores + capacity.spare_cores
    spare = 0 if cores else capacity.spare_cores
    if spare:
        what = f"{count(spare, 'core')} of this job's {has} will be idle"
        why = f"it asked for {capacity.cores}"
        _say(f"{what}: {why}; ask for all of them, or use them: jobpool work --cores {quoted(has)}")
    return {
        "cores": cores or capacity.cores,
        "spare_cores": spare,
        "memory_mb": memory_mb or capacity.memory_mb,
        "job": job.label if job else None,
        "job_name": job.name if job else None,
        "uid": job.uid if job else None,
        "node": job.node if job else None,
        "end": capacity.end,
        "cluster": job.cluster if job else None,
        "restarts": job.restarts if job else 0,
        "scheduler": scheduler.name,
        "started": time.time(),
        "version": __version__,
    }


def _child_environment(cores: int, info: "PoolInfo") -> dict[str, str]:
    """Return the environment of the tasks: libraries start no more threads than there are cores."""
    from jobpool.experiment.surroundings import task_environment

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    # joblib's tracker removes what a stopped task left in shared memory, and warns that it did
    quiet = "ignore:resource_tracker:UserWarning"
    warnings = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), quiet)))
    given = {**dict.fromkeys(names, str(cores)), **os.environ, "PYTHONWARNINGS": warnings}
    return task_environment(info.path, info.environment, given)


def _say(line: str) -> None:
    with suppress(OSError):  # a log that cannot be written is no reason to lose work
        print(harmless(f"{local_time(time.time())} {line}"), file=sys.stderr, flush=True)


def _print_end(summary: "Summary") -> None:
    causes = ", ".join(f"{count} {cause}" for cause, count in summary.causes.items())
    _say(f"left: {summary.reason} ({causes or 'no task'})")
