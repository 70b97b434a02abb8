"""``jobpool hold``: keep tasks back from workers."""

from typing import Annotated

import typer

from jobpool.cli.options import (
    DryRun,
    Only,
    PoolArgument,
    Skip,
    TaskIds,
    check_chosen,
    open_to_change,
)
from jobpool.errors import quoted


def hold(
    pool: PoolArgument,
    task: TaskIds = None,
    only: Only = None,
    skip: Skip = None,
    everything: Annotated[bool, typer.Option("--all", help="All waiting tasks.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Keep waiting tasks back from workers until they are released.

    Running tasks are left alone.

    \b
    jobpool hold POOL --only pipeline=lgbm
    jobpool hold POOL l5ciun
    jobpool hold POOL --all
    """
    from jobpool.admin.transitions import choose
    from jobpool.admin.transitions import hold as move
    from jobpool.table.arrays import state_of
    from jobpool.task import TaskState
    from jobpool.units import count

    check_chosen(task, only, skip, everything)
    opened = open_to_change(pool)
    chosen = choose(opened, task or (), only or (), skip or ())
    n_moved = move(opened, chosen, dry_run=dry_run)
    if n_moved:
        word = "would be held" if dry_run else "held"
        print(f"{count(n_moved, 'task')} {word}; release them with: jobpool release {quoted(pool)}")
    else:
        print("nothing to hold: no selected task is waiting")
    if n_running := int(((state_of(opened.index()) == TaskState.RUNNING) & chosen).sum()):
        words = "is running and was" if n_running == 1 else "are running and were"
        print(f"{count(n_running, 'task')} {words} left alone")
