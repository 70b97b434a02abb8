"""``jobpool run``: run a pool's tasks on this machine, without SLURM."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, Trust
from jobpool.cli.streams import harmless
from jobpool.errors import quoted

if TYPE_CHECKING:
    from pathlib import Path

    from jobpool.execution.local import LocalRun, Show
    from jobpool.task import TaskState


def run(
    pool: PoolArgument,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Cores for each worker.")] = 1,
    only: Only = None,
    skip: Skip = None,
    trust: Trust = None,
) -> None:
    """Run the pool's tasks with local workers, and show the progress.

    Ctrl-C requeues the running tasks. The logs of the workers are in POOL/logs/local.

    \b
    jobpool run POOL --workers 2
    jobpool run POOL --workers 4 --cores 2 --only pipeline=elastic
    """
    from jobpool.execution.local import LocalSettings, LocalWorkers
    from jobpool.pool import Pool

    settings = LocalSettings(
        workers=workers,
        cores=cores,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        trust=tuple(trust or ()),
    )
    local = LocalWorkers(Pool(pool), settings)
    received = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)  # under nohup, a closed terminal is none of our business
    try:
        local.start()
        with _progress() as show:
            local.watch(show)
    except KeyboardInterrupt:
        print("stopping: running tasks are requeued", file=sys.stderr)
    finally:
        local.stop()
    _print_end(local.ended(), pool)
    if received:
        raise typer.Exit(128 + received[0])


@contextmanager
def _progress() -> "Iterator[Show]":
    """Yield what shows counts as a bar on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from jobpool.table.arrays import n_counted
    from jobpool.task import TaskState

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        shown = progress.add_task("tasks", total=None)

        def show(counts: "Mapping[TaskState, int]") -> None:
            progress.update(
                shown,
                completed=counts[TaskState.DONE],
                total=n_counted(counts),
                description=f"{counts[TaskState.RUNNING]} running, done",
            )

        yield show


def _print_end(ended: "LocalRun", folder: "Path") -> None:
    print(ended)
    for one in ended.failed:
        print(harmless(f"a worker failed: {one.said}\nits log: {one.log}"), file=sys.stderr)
    if ended.failed:
        raise typer.Exit(ended.failed[0].exit_code)
    if ended.n_done < ended.n_tasks:
        for said in ended.left:
            print(f"its workers left: {said}", file=sys.stderr)
        where = quoted(folder)
        print(f"about the others: jobpool errors {where}; jobpool plan {where}", file=sys.stderr)
