"""``jobpool log``: the history of a pool, in order."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobpool.cli.options import AsJson, Only, PoolArgument, Skip
from jobpool.cli.output import json_text, put_lines
from jobpool.cli.progress import Progress
from jobpool.errors import quoted

if TYPE_CHECKING:
    from pathlib import Path

    from jobpool.overview.history import Event
    from jobpool.pool import Pool
    from jobpool.task import Point


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
    json: AsJson = False,
) -> None:
    """Show what happened to tasks and workers, in order.

    \b
    jobpool log POOL --last 20
    jobpool log POOL --task l5ciun
    jobpool log POOL --worker 3f2a
    jobpool log POOL --only pipeline=elastic
    jobpool log POOL --task l5ciun --json
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start
    from jobpool.pool import Pool

    opened = Pool(pool)
    with Progress("reading what happened"):
        events, places = _chosen(opened, task, only or [], skip or [])
        events = _of_worker(events, worker, pool)
    shown = events[-last:] if last else events
    names = {event.task for event in shown if event.task in places}
    points = {name: opened.grid.point(places[name]) for name in names if name}
    if json:
        print(json_text({"pool": str(pool), "events": [_as_json(e, points) for e in shown]}))
        return
    if not events:
        print("nothing happened yet", file=sys.stderr)
    put_lines(_line(event, points) for event in shown)


def _chosen(
    pool: "Pool", task: str | None, only: Sequence[str], skip: Sequence[str]
) -> "tuple[list[Event], Mapping[str, int]]":
    """Return the events that are asked for, and where their tasks stand in the grid."""
    from jobpool.overview.history import history, history_of
    from jobpool.table.selection import select
    from jobpool.table.task_index import find_tasks, positions_by_id

    chosen = select(pool.grid, tuple(only), tuple(skip)) if only or skip else None
    if task is not None:
        found = find_tasks(pool.folder, pool.grid, [task], pool.offered())
        places = {pool.grid.id(one): one for one in found if chosen is None or chosen[one]}
        events = [event for one in places.values() for event in history_of(pool, one)]
        return sorted(events, key=lambda event: event.time), places
    events = history(pool)
    if chosen is None:
        return events, positions_by_id(pool.grid, pool.offered())
    places = positions_by_id(pool.grid, chosen & pool.offered())
    return [event for event in events if event.task in places], places


def _of_worker(events: "list[Event]", worker: str | None, pool: "Path") -> "list[Event]":
    from jobpool.errors import RequestError

    if worker is None:
        return events
    found = [event for event in events if event.worker.startswith(worker)]
    if not found:
        what = f"has no worker whose id begins with {worker!r}; see all with: jobpool log "
        what += quoted(pool)
        raise RequestError(pool, what)
    return found


def _line(event: "Event", points: Mapping[str, "Point"]) -> str:
    from jobpool.task import label
    from jobpool.units import local_time

    about = f"task {event.task}: " if event.task else ""
    known = points.get(event.task or "")
    point = f"  ({label(known)})" if known else ""
    return f"{local_time(event.time)}  worker {event.worker}  {about}{event.what}{point}"


def _as_json(event: "Event", points: Mapping[str, "Point"]) -> dict[str, Any]:
    from jobpool.units import utc_iso

    known = points.get(event.task or "")
    return {
        "time": utc_iso(event.time, 3),
        "worker": event.worker,
        "task": event.task,
        "axes": None if known is None else dict(known),
        "what": event.what,
    }
