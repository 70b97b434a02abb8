"""``jobpool run``: work a pool off on this machine, without SLURM."""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, Trust
from jobpool.errors import Fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.progress import Progress, TaskID

    from jobpool.pool import Pool

POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Local:
    """A worker on this machine."""

    process: "subprocess.Popen[bytes]"
    log: Path


def run(
    pool: PoolArgument,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Cores for each worker.")] = 1,
    only: Only = None,
    skip: Skip = None,
    trust: Trust = None,
) -> None:
    """Work the pool off with local workers, and show the progress.

    Ctrl-C returns the tasks in hand to the pool. Each worker's log lies in POOL/logs/local.

    \b
    jobpool run POOL --workers 2
    jobpool run POOL --workers 4 --cores 2 --only pipeline=elastic
    """
    from jobpool.errors import SelectionError
    from jobpool.pool import Pool
    from jobpool.poolinfo import check_owner, set_umask
    from jobpool.scheduler.slurm.environment import read_capacity
    from jobpool.selection import select

    opened = Pool(pool)
    set_umask(opened.info.shared)
    check_owner(pool, trust or ())
    chosen = select(opened.grid, tuple(only or ()), tuple(skip or ()))  # before any worker starts
    command = [sys.executable, "-P", "-m", "jobpool", "work", str(pool), "--cores", str(cores)]
    command += [word for text in only or () for word in ("--only", text)]
    command += [word for text in skip or () for word in ("--skip", text)]
    command += [word for user in trust or () for word in ("--trust", user)]
    if memory_mb := read_capacity().memory_mb:  # no worker may count on what another uses
        command += ["--memory-mb", str(max(memory_mb // workers, 1))]
    if not chosen.any():
        raise SelectionError(" ".join([*(only or ()), *(skip or ())]), "no task is selected")
    started: list[_Local] = []
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)  # stop as with Ctrl-C
        try:
            _start(command, workers, pool, stack, started)
            _watch(opened, chosen, started)
        except KeyboardInterrupt:
            print("stopping: the tasks in hand return to the pool", file=sys.stderr)
        finally:
            _stop(started)
    _print_end(opened, chosen, started, pool)


def _start(
    command: list[str], workers: int, pool: Path, stack: ExitStack, started: list[_Local]
) -> None:
    """Start the workers, each noted in `started` at once, so that none is forgotten."""
    folder = pool / "logs" / "local"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(1, workers + 1):
        path = folder / f"{stamp}-{number}.log"
        log = stack.enter_context(path.open("ab"))
        # a group of its own: Ctrl-C reaches this process, which then asks the workers to stop
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )
        started.append(_Local(process=process, log=path))


def _watch(pool: "Pool", chosen: "NDArray[np.bool_]", started: list[_Local]) -> None:
    """Show the progress until all workers have left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        shown = progress.add_task("tasks", total=None)
        while True:
            left = all(worker.process.poll() is not None for worker in started)
            _update(progress, shown, pool, chosen)
            if left:
                return
            time.sleep(POLL_S)


def _update(
    progress: "Progress", shown: "TaskID", pool: "Pool", chosen: "NDArray[np.bool_]"
) -> None:
    from jobpool.pool import count_states, n_counted
    from jobpool.task import TaskState

    counts = count_states(pool.index()[chosen])
    progress.update(
        shown,
        completed=counts[TaskState.DONE],
        total=n_counted(counts),
        description=f"{counts[TaskState.RUNNING]} running, done",
    )


def _stop(started: list[_Local]) -> None:
    for worker in started:
        if worker.process.poll() is None:
            with suppress(ProcessLookupError):
                worker.process.terminate()
    for worker in started:
        worker.process.wait()


def _print_end(
    pool: "Pool",
    chosen: "NDArray[np.bool_]",
    started: list[_Local],
    folder: Path,
) -> None:
    from jobpool.pool import count_states, n_counted
    from jobpool.task import TaskState

    counts = count_states(pool.index()[chosen])
    done, total = counts[TaskState.DONE], n_counted(counts)
    print(f"{done:,} of {total:,} tasks done")
    failed = {_last_line(one.log): one for one in started if one.process.returncode}
    for said, worker in failed.items():  # workers that fail for one reason say one thing
        print(f"a worker failed: {said}\nits log: {worker.log}", file=sys.stderr)
    if failed:
        code = next(iter(failed.values())).process.returncode
        raise typer.Exit(code if code > 0 else Fault.TASK)
    if done < total:
        for said in {_last_line(one.log).partition(" left: ")[2] for one in started}:
            print(f"its workers left: {said}", file=sys.stderr)
        advice = f"why not the others: jobpool errors {folder}; what they need: jobpool plan"
        print(f"{advice} {folder}", file=sys.stderr)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "it wrote nothing"
