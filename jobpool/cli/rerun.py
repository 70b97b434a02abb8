"""``jobpool rerun``: compute finished tasks again."""

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jobpool.pool import Pool


def rerun(
    pool: PoolArgument,
    task: TaskIds = None,
    only: Only = None,
    skip: Skip = None,
    everything: Annotated[bool, typer.Option("--all", help="All finished tasks.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Return finished tasks to the queue, to be computed again.

    The result of each counts until a new one is accepted: jobpool collect shows it, marked. After
    that only the new one counts. Say which tasks are meant: ids, --only, --skip or --all.

    \b
    jobpool rerun POOL --only pipeline=lgbm --dry-run
    jobpool rerun POOL --only pipeline=lgbm
    jobpool rerun POOL l5ciun
    """
    from jobpool.admin.transitions import choose
    from jobpool.admin.transitions import rerun as move
    from jobpool.units import count

    check_chosen(task, only, skip, everything)
    opened = open_to_change(pool)
    chosen = choose(opened, task or (), only or (), skip or ())
    n_moved = move(opened, chosen, dry_run=dry_run)
    if not n_moved:
        print("nothing to rerun: no selected task is done")
    elif dry_run:
        print(f"{count(n_moved, 'task')} would be rerun")
    else:
        many = "wait to be rerun; their earlier results count until then"
        what = "waits to be rerun; its earlier result counts until then" if n_moved == 1 else many
        print(f"{count(n_moved, 'task')} {what}: jobpool status {quoted(pool)}")
    if n_parts := _only_in_whole(opened, chosen):
        what = "of tasks that were done as a whole: these can only be rerun whole"
        print(f"{count(n_parts, 'part')} {what}")


def _only_in_whole(pool: "Pool", chosen: "NDArray[np.bool_]") -> int:
    """Return how many parts are meant, and not their whole tasks that are done."""
    import numpy as np

    from jobpool.table.arrays import state_of
    from jobpool.task import TaskState

    if pool.grid.part_axis is None:
        return 0
    states = state_of(pool.index())
    superseded = chosen & (states == TaskState.SUPERSEDED) & pool.grid.parts.is_part
    wholes = map(pool.grid.parts.whole_of, np.flatnonzero(superseded).tolist())
    return sum(
        whole is not None and not chosen[whole] and states[whole] == TaskState.DONE
        for whole in wholes
    )
