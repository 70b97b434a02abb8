"""``jobpool retry``: return parked tasks to the queue."""

from typing import Annotated

import typer

from jobpool.cli.options import DryRun, Only, PoolArgument, Skip, TaskIdsOrAll, open_to_change
from jobpool.errors import quoted


def retry(
    pool: PoolArgument,
    task: TaskIdsOrAll = None,
    only: Only = None,
    skip: Skip = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Also forget the failures of tasks that wait already.")
    ] = False,
    forget_needs: Annotated[
        bool,
        typer.Option(
            "--forget-needs", help="Also forget how much memory and time was too little for them."
        ),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Return parked tasks to the queue, as if they had never failed.

    A task is parked when it ends with the same error several times in a row. Correct what is
    wrong first: jobpool errors POOL says why.

    \b
    jobpool retry POOL
    jobpool retry POOL l5ciun --forget-needs
    jobpool retry POOL --only pipeline=lgbm --failed --dry-run
    """
    from jobpool.admin.transitions import choose, has_failed
    from jobpool.admin.transitions import retry as move
    from jobpool.needs.learning import forget
    from jobpool.units import count

    opened = open_to_change(pool)
    chosen = choose(opened, task or (), only or (), skip or ())
    n_moved = move(opened, chosen, failed=failed, forget_needs=forget_needs, dry_run=dry_run)
    if forget_needs and not dry_run:
        forget(opened, chosen)
    if n_moved:
        verb = "would wait" if dry_run else "waits" if n_moved == 1 else "wait"
        print(f"{count(n_moved, 'task')} {verb} again; what remains: jobpool status {quoted(pool)}")
        return
    print("nothing to retry: no selected task is parked")
    if n_failed := int((has_failed(opened.index()) & chosen).sum()):
        words = ("waits", "its") if n_failed == 1 else ("wait", "their")
        what = "failed and {} already: --failed forgets {} failures".format(*words)
        print(f"{count(n_failed, 'task')} {what}")
