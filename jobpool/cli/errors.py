"""``jobpool errors``: failures by cause, those that parked tasks first, then the newest."""

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobpool.cli.options import AsJson, Only, PoolArgument, Skip
from jobpool.cli.output import json_text, put
from jobpool.cli.progress import Progress
from jobpool.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobpool.execution.health import ExcludedNode
    from jobpool.overview.failures import FailureGroup, Failures
    from jobpool.pool import Pool

_TASKS = 5  # tasks shown of each group
_LINES = 12  # lines shown of a traceback


def errors(
    pool: PoolArgument,
    only: Only = None,
    skip: Skip = None,
    cause: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CAUSE",
            help="Only attempts with this cause: error, memory, time, lost, cancelled, storage, "
            "preempted, node. May be given several times.",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Whole tracebacks, and all tasks of each group.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Number of groups to show.")] = 20,
    json: AsJson = False,
) -> None:
    """Group failed attempts by cause and traceback, those that parked tasks first.

    A failed task is requeued: the line "now" shows its present state. A task that fails several
    times in a row with the same error is parked until: jobpool retry POOL. The causes
    cancelled, preempted, node and storage do not count against a task. Nodes on which many
    different tasks failed are named at the end.

    \b
    jobpool errors POOL
    jobpool errors POOL --cause memory --only pipeline=elastic
    jobpool errors POOL --full --limit 1
    jobpool errors POOL --json
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start
    from jobpool.errors import SelectionError
    from jobpool.overview.failures import find_failures
    from jobpool.pool import Pool
    from jobpool.table.selection import select
    from jobpool.units import count

    opened = Pool(pool)
    chosen = select(opened.grid, tuple(only or ()), tuple(skip or ())) if only or skip else None
    try:
        with Progress("reading attempts"):
            found = find_failures(opened, chosen, cause or None)
    except SelectionError as error:
        raise typer.BadParameter(error.what, param_hint="--cause") from error
    if found.n_damaged:
        what = (
            f"{count(found.n_damaged, 'damaged line')} left out; see: jobpool doctor {quoted(pool)}"
        )
        print(what, file=sys.stderr)
    if json:
        print(json_text(_as_json(opened, found)))
        return
    _print_starts(opened, full)
    _print_groups(opened, found, full, limit)
    _print_advice(opened, found)


def _print_starts(pool: "Pool", full: bool) -> None:
    """Print which jobs could not start, before anything of tasks."""
    from jobpool.disk.files import server_time
    from jobpool.journal.starts import kinds, read_starts, summary

    failed = read_starts(pool.folder, server_time(pool.folder / "workers")).open()
    for group in kinds(failed):
        put(f"start: {summary(group)}")
        if group[0].log:
            put(f"  log: {pool.folder / group[0].log}")
        for line in group[0].tail[0 if full else -_LINES :]:
            put(f"    | {line}")
    if failed:
        put(f"\nwhen that is corrected: jobpool release {quoted(pool.folder)} --starts\n")


def _print_groups(pool: "Pool", found: "Failures", full: bool, limit: int) -> None:
    from jobpool.overview.failures import count_causes
    from jobpool.units import count

    groups = found.groups
    if not groups:
        put(f"no attempt failed in {pool.folder}")
        return
    counts = ", ".join(f"{n:,} {name}" for name, n in count_causes(groups).most_common())
    put(f"{count(len(groups), 'kind')} of failure in {pool.folder}: {counts}")
    for group in groups[:limit]:
        _print_group(pool, group, found.positions, full)
    if len(groups) > limit:
        put(f"\n... and {count(len(groups) - limit, 'more kind')}: --limit {len(groups)}")


def _print_advice(pool: "Pool", found: "Failures") -> None:
    """Say what to do about parked tasks, and which nodes look bad."""
    from jobpool.units import count, local_time

    if found.n_parked:
        what = f"{count(found.n_parked, 'task')} parked; when the cause is corrected"
        put(f"\n{what}: jobpool retry {quoted(pool.folder)}")
    for name, node, is_left in _bad_nodes(pool, found):
        put(f"\nnode {name} looks bad, the last time {local_time(node.since)}: {node.why}")
        if is_left:
            until = f"jobpool release {quoted(pool.folder)} --node {quoted(name)}"
            put(f"  workers exclude it for a day, or until: {until}")


def _print_group(
    pool: "Pool", group: "FailureGroup", positions: "Mapping[str, int]", full: bool
) -> None:
    from jobpool.overview.failures import find_logs
    from jobpool.task import label
    from jobpool.units import count, local_time

    newest = group.newest
    put(f"\n{group.cause}: {newest.error or 'without a message'}")
    where = [
        f"worker {newest.worker}",
        newest.node or "",
        f"job {newest.job}" if newest.job else "",
    ]
    put(
        f"  {count(group.n_attempts, 'attempt')} of {count(len(group.tasks), 'task')}; "
        f"the last {local_time(newest.ended)} by {', '.join(word for word in where if word)}"
    )
    known = [task for task in group.tasks if task in positions]
    put(f"  now: {_states(pool, [positions[task] for task in known])}")
    most = len(known) if full else _TASKS
    for task in known[:most]:
        put(f"  {task}  {label(pool.grid.point(positions[task]))}")
    if len(known) > most:
        put(f"  ... and {len(known) - most:,} more tasks: --full")
    for path in find_logs(pool.folder, newest.job):
        put(f"  log: {path}")
    lines = (newest.traceback or "").rstrip().splitlines()
    if len(lines) > _LINES and not full:
        lines = [f"... {len(lines) - _LINES} lines: --full", *lines[-_LINES:]]
    for line in lines:
        put(f"    | {line}")


def _bad_nodes(pool: "Pool", found: "Failures") -> "list[tuple[str, ExcludedNode, bool]]":
    """Return the nodes that look bad, by name, and whether workers leave them."""
    import time

    from jobpool.execution.health import excluded_nodes

    left = excluded_nodes(pool.folder, time.time())
    nodes = {**{one.node: one for one in found.suspects}, **left}
    return [(name, node, name in left) for name, node in sorted(nodes.items())]


def _states(pool: "Pool", positions: list[int]) -> str:
    """Say what became of tasks that failed."""
    counts = _counts(pool, positions)
    return ", ".join(f"{n:,} {word}" for word, n in counts.items()) or "not in this pool"


def _counts(pool: "Pool", positions: list[int]) -> dict[str, int]:
    """Return how many of some tasks are in each state now."""
    from jobpool.table.arrays import state_of
    from jobpool.task import TaskState

    counts = Counter(state_of(pool.index())[positions].tolist()) if positions else Counter[int]()
    words = {s: s.word for s in TaskState} | {TaskState.SUPERSEDED: "split into parts"}
    return {words[s]: counts[s] for s in TaskState if counts[s]}


def _as_json(pool: "Pool", found: "Failures") -> dict[str, Any]:
    """Return all kinds of failure with all their tasks, and what is wrong besides."""
    from jobpool.disk.files import server_time
    from jobpool.journal.starts import kinds, read_starts, summary
    from jobpool.units import utc_iso

    starts = read_starts(pool.folder, server_time(pool.folder / "workers")).open()
    nodes = _bad_nodes(pool, found)
    return {
        "pool": str(pool.folder),
        "parked": found.n_parked,
        "damaged_lines": found.n_damaged,
        "groups": [_group_as_json(pool, one, found.positions) for one in found.groups],
        "failed_starts": [
            {"summary": summary(group), "starts": len(group), "log": group[0].log}
            for group in kinds(starts)
        ],
        "nodes": [
            {"node": name, "since": utc_iso(node.since), "why": node.why, "excluded": is_left}
            for name, node, is_left in nodes
        ],
    }


def _group_as_json(
    pool: "Pool", group: "FailureGroup", positions: "Mapping[str, int]"
) -> dict[str, Any]:
    from jobpool.overview.failures import find_logs
    from jobpool.units import utc_iso

    newest = group.newest
    return {
        "cause": str(group.cause),
        "error": newest.error,
        "attempts": group.n_attempts,
        "parked": group.n_parked,
        "tasks": list(group.tasks),
        "now": _counts(pool, [positions[task] for task in group.tasks if task in positions]),
        "last": {
            "task": newest.task,
            "ended": utc_iso(newest.ended, 3),
            "worker": newest.worker,
            "node": newest.node,
            "job": newest.job,
        },
        "logs": [str(path) for path in find_logs(pool.folder, newest.job)],
        "traceback": newest.traceback,
    }
