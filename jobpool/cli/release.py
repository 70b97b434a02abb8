"""``jobpool release``: return held tasks to the queue, and submit again after a person's look."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import DryRun, Only, PoolArgument, Skip, TaskIdsOrAll, open_to_change
from jobpool.errors import quoted

if TYPE_CHECKING:
    from pathlib import Path


def release(
    pool: PoolArgument,
    task: TaskIdsOrAll = None,
    only: Only = None,
    skip: Skip = None,
    node: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Only let workers use this excluded node again."),
    ] = None,
    starts: Annotated[
        bool,
        typer.Option(
            "--starts", help="Only forget jobs that could not start: submit sends jobs again."
        ),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Return held tasks to the queue.

    \b
    jobpool release POOL
    jobpool release POOL --only pipeline=lgbm
    jobpool release POOL --node node017
    jobpool release POOL --starts
    """
    from jobpool.admin.transitions import choose
    from jobpool.admin.transitions import release as move
    from jobpool.units import count

    opened = open_to_change(pool)
    if node is not None:
        _release_node(pool, node, dry_run)
        return
    if starts:
        _release_starts(pool, dry_run)
        return
    chosen = choose(opened, task or (), only or (), skip or ())
    n_moved = move(opened, chosen, dry_run=dry_run)
    if n_moved:
        verb = "would wait" if dry_run else "waits" if n_moved == 1 else "wait"
        print(f"{count(n_moved, 'task')} {verb} again; what remains: jobpool status {quoted(pool)}")
    else:
        print("nothing to release: no selected task is held")


def _release_starts(pool: "Path", dry_run: bool) -> None:
    import time

    from jobpool.journal.starts import forget_starts, read_starts
    from jobpool.units import count

    n_failed = len(read_starts(pool, time.time()).failed)
    if not dry_run:
        forget_starts(pool)
    would = "would be" if dry_run else "are" if n_failed != 1 else "is"
    print(f"{count(n_failed, 'failed start')} {would} forgotten: jobpool submit sends jobs again")


def _release_node(pool: "Path", node: str, dry_run: bool) -> None:
    import time

    from jobpool.execution.health import excluded_nodes, readmit_node

    known = excluded_nodes(pool, time.time())
    if node not in known:
        print(f"{node} is not excluded; excluded nodes: {', '.join(known) or 'none'}")
        return
    if not dry_run:
        readmit_node(pool, node)
    print(f"node {node} {'would no longer be' if dry_run else 'is no longer'} excluded")
