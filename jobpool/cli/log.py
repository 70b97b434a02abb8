"""``jobpool log``: the history of a pool, in order."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip

if TYPE_CHECKING:
    from pathlib import Path

    from jobpool.overview.history import Event


def log(
    pool: PoolArgument,
    task: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this task: its id, or how it begins.")
    ] = None,
    worker: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this worker: its id, or how it begins.")
    ] = None,
    only: Only = None,
    skip: Skip = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the last events, so many.")] = None,
) -> None:
    """Show what happened to tasks and workers, in order.

    \b
    jobpool log POOL --last 20
    jobpool log POOL --task l5ciun
    jobpool log POOL --worker 3f2a
    jobpool log POOL --only pipeline=elastic
    """
    from jobpool.collect.accepted import known_tasks
    from jobpool.overview.history import history
    from jobpool.pool import Pool
    from jobpool.table.selection import select
    from jobpool.table.task_index import find_tasks
    from jobpool.task import label
    from jobpool.units import local_time

    opened = Pool(pool)
    events = history(opened)
    positions = known_tasks(opened)
    if only or skip:
        chosen = select(opened.grid, tuple(only or ()), tuple(skip or ()))
        events = [e for e in events if e.task in positions and chosen[positions[e.task]]]
    if task is not None:
        named = {opened.grid.id(position) for position in find_tasks(pool, opened.grid, [task])}
        events = [event for event in events if event.task in named]
    events = _of_worker(events, worker, pool)
    if not events:
        print("nothing happened yet", file=sys.stderr)
    for event in events[-last:] if last else events:
        about = f"task {event.task}: " if event.task else ""
        place = positions.get(event.task) if event.task else None
        point = f"  ({label(opened.grid.point(place))})" if place is not None else ""
        line = f"{local_time(event.time)}  worker {event.worker}  {about}{event.what}{point}"
        print(line)


def _of_worker(events: "list[Event]", worker: str | None, pool: "Path") -> "list[Event]":
    from jobpool.errors import RequestError

    if worker is None:
        return events
    found = [event for event in events if event.worker.startswith(worker)]
    if not found:
        what = f"has no worker whose id begins with {worker!r}; see all with: jobpool log {pool}"
        raise RequestError(pool, what)
    return found
