"""Arguments and options that several commands share."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.units import parse_duration, parse_size

if TYPE_CHECKING:
    from jobpool.journal.starts import OwnStart
    from jobpool.liveness.waits import WaitReport
    from jobpool.pool import Pool
    from jobpool.table.code_files import CodeFiles


def duration(text: str) -> float:
    """Return a length of time in seconds, or raise what the command line shows."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def size(text: str) -> int:
    """Return the size of files in bytes, or raise what the command line shows."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


# readable=False: what cannot be read is reported with the next step, and the exit code of its fault
PoolArgument = Annotated[
    Path, typer.Argument(metavar="POOL", readable=False, help="The pool's folder.")
]
ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", readable=False, help="The experiment file (YAML).")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SELECTION",
        help="Only these tasks: pipeline=elastic,svm; parcellation=schaefer*; parcels>=400. "
        "May be given several times: all must hold.",
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(metavar="SELECTION", help="Not these tasks; same form as --only."),
]
TaskIds = Annotated[
    list[str] | None, typer.Argument(metavar="TASK...", help="Ids of tasks, or how they begin.")
]
TaskIdsOrAll = Annotated[
    list[str] | None,
    typer.Argument(metavar="TASK...", help="Ids of tasks, or how they begin; all if not given."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print how many, change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="USER",
        help="Run the tasks of a pool that this user made: it says which code they run. "
        "May be given several times.",
    ),
]


def say(line: str) -> None:
    """Tell a person something beside the result, on standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def told_start(pool: Path) -> "Iterator[OwnStart]":
    """Tell the pool how the start of this job ends; outside of a job nothing is told."""
    from jobpool.journal.starts import VARIABLE, OwnStart
    from jobpool.scheduler.detect import find_scheduler

    marker = os.environ.pop(VARIABLE, None)  # not for the processes of this one
    job = find_scheduler().own_job()
    start = OwnStart(pool, job.label if job else None, (job.node if job else "") or "", marker)
    try:
        yield start
    except (KeyboardInterrupt, SystemExit, typer.Exit):
        start.left()
        raise
    except BaseException as error:
        start.failed(error)
        raise
    start.left()


def check_chosen(*choices: Sequence[str] | bool | None) -> None:
    """Refuse a command that would change every task of a pool, where nobody said so."""
    if not any(choices):
        what = "say which tasks: their ids, --only or --skip; or --all"
        raise typer.BadParameter(what, param_hint="TASK")


def open_to_change(folder: Path, files: "CodeFiles | None" = None) -> "Pool":
    """Open a pool that this process changes: its new files are for all who share the pool.

    A lock that another process does not give back is told on standard error.
    """
    from jobpool.disk.waiting import Watch
    from jobpool.pool import Pool
    from jobpool.table.settings import set_umask

    pool = Pool(folder, files=files)
    set_umask(pool.info.shared)
    Watch(pool.waiting, _tells_waits(pool)).start()
    return pool


def _tells_waits(pool: "Pool") -> "Callable[[Path, float], None]":
    """Return what tells on standard error for which lock this process waits."""
    told: list[WaitReport] = []

    def waits(path: Path, waited_s: float) -> None:
        from jobpool.liveness.waits import WaitReport

        if not told:
            told.append(WaitReport(pool, lambda line: print(line, file=sys.stderr, flush=True)))
        told[0].waits(path, waited_s)

    return waits


def check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    from jobpool.disk.causes import storage_error
    from jobpool.disk.files import temporary_beside
    from jobpool.errors import JobpoolError

    if path.suffix not in suffixes:
        what = f"{path} ends in {path.suffix or 'nothing'!r}; write {' or '.join(suffixes)}"
        raise typer.BadParameter(what, param_hint="FILE")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"no such folder: {path.parent}", param_hint="FILE")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; name a file in it", param_hint="FILE")
    probe = temporary_beside(path)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        found = storage_error(error, path)
        if isinstance(found, JobpoolError):  # the disk's fault, not that of the command line
            raise found from error
        what = f"{path} cannot be written: {error.strerror}; name a file elsewhere"
        raise typer.BadParameter(what, param_hint="FILE") from error
