"""``jobpool status``: progress of a pool."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import AsJson, Only, PoolArgument, Skip, duration
from jobpool.cli.output import columns, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobpool.overview.status import Status

EVERY_S = 2.0
_CLEAR = b"\x1b[H\x1b[J"  # the ANSI codes for: go to the top, clear what follows


def status(
    pool: PoolArgument,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS",
            help="Count by this axis or attribute; may be given several times. "
            "By default by every axis with 2 to 12 values.",
        ),
    ] = None,
    only: Only = None,
    skip: Skip = None,
    json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh until all tasks are done.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="TIME", help="Time between two refreshes; 2s if not given."
        ),
    ] = None,
) -> None:
    """Count the tasks by state, and estimate the time left.

    A failed task is requeued, and counts as returned until it runs again.

    \b
    jobpool status POOL
    jobpool status POOL --by pipeline --by parcels
    jobpool status POOL --only pipeline=elastic --watch
    jobpool status POOL --json
    """
    from os import environ

    environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start

    from jobpool.overview.status import read_status, status_json, status_text
    from jobpool.pool import Pool
    from jobpool.units import bar, fits

    ascii_only = not fits(bar(0.5), sys.stdout.encoding)

    def shown() -> "tuple[str, Status]":
        """Read the pool once more, with the tasks that were added meanwhile."""
        found = read_status(Pool(pool), tuple(by or ()), tuple(only or ()), tuple(skip or ()))
        if json:
            return status_json(found), found
        return status_text(found, ascii_only=ascii_only, width=columns()), found

    write = print if json else put
    if watch:
        _watch(shown, write, EVERY_S if every is None else every)
    else:
        write(shown()[0])


def _watch(
    shown: "Callable[[], tuple[str, Status]]", write: "Callable[[str], None]", every_s: float
) -> None:
    import time

    try:
        while True:
            text, found = shown()
            if sys.stdout.isatty():
                sys.stdout.buffer.write(_CLEAR)  # as text it would be made harmless
            write(text)
            sys.stdout.flush()
            if found.counts.remaining == 0:
                return
            time.sleep(every_s)
    except KeyboardInterrupt:
        return
