"""``jobpool wait``: block until nothing is left to run, for scripts."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobpool.overview.status import Status

# beside those of `Fault`, see docs/commands.md
CODES = {"done": 0, "stuck": 20, "deserted": 21, "timeout": 22}


def wait(
    pool: PoolArgument,
    only: Only = None,
    skip: Skip = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="TIME", help="Wait no longer than this, such as 2h."),
    ] = None,
    poll: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="TIME", help="Time between two checks; 30s if not given."
        ),
    ] = None,
) -> None:
    """Wait until nothing is left to run; the exit code says whether all is done.

    Exit code 0: all selected tasks are done. 20: the others are parked or held. 21: tasks are
    left, but for some minutes there was neither a worker nor a job in the queue. 22: the time is
    up.

    \b
    jobpool wait POOL && jobpool collect POOL -o results.csv
    jobpool wait POOL --only pipeline=svm --timeout 12h --poll 5m
    """
    from jobpool.overview.waiting import POLL_S, WaitSettings, wait_for
    from jobpool.pool import Pool

    settings = WaitSettings(
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        timeout_s=timeout,
        poll_s=POLL_S if poll is None else poll,
    )
    waited = wait_for(lambda: Pool(pool), settings, _reporter())
    print(waited)
    raise typer.Exit(CODES[waited.outcome])


def _reporter() -> "Callable[[Status], None]":
    """Return a function that prints the progress on standard error whenever it changes."""
    said = ""

    def report(found: "Status") -> None:
        nonlocal said
        counts = found.counts
        line = f"{counts.done:,} of {counts.total:,} tasks done, {counts.running:,} running"
        if line != said:
            print(line, file=sys.stderr, flush=True)
            said = line

    return report
