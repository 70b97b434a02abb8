"""``jobpool cancel``: cancel the jobs of a pool, and requeue their tasks."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import AsJson, PoolArgument
from jobpool.errors import quoted

if TYPE_CHECKING:
    from jobpool.admin.cancel import Cancelled
    from jobpool.pool import Pool


def cancel(
    pool: PoolArgument,
    pass_name: Annotated[
        str | None,
        typer.Option("--pass", metavar="NAME", help="Only jobs submitted for this pass."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how many, cancel nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Cancel your jobs of this pool, waiting or running, and requeue their tasks.

    A running task is requeued at once, with its checkpoint; the attempt does not count against
    it. Without SLURM, the workers of this pool on this machine are ended.

    \b
    jobpool cancel POOL
    jobpool cancel POOL --pass first
    jobpool cancel POOL --dry-run --json
    """
    from jobpool.admin.cancel import cancel as end
    from jobpool.journal.jsonl import new_worker_number
    from jobpool.pool import Pool
    from jobpool.scheduler.detect import find_scheduler
    from jobpool.table.settings import set_umask

    opened = Pool(pool, worker=new_worker_number())
    set_umask(opened.info.shared)
    scheduler = find_scheduler()
    found = end(opened, scheduler, pass_name=pass_name, dry_run=dry_run)
    if json:
        print(_object(opened, found, pass_name, dry_run))
    elif not found.n_jobs:
        print(f"nothing to cancel: {_what_is_not(scheduler.name, pass_name)}")
    else:
        print(_text(opened, found, dry_run=dry_run))


def _what_is_not(scheduler: str, pass_name: str | None) -> str:
    """Say what there is none of, and where else to look: one place only was asked."""
    if scheduler == "none":
        what = "no worker of this pool runs on this machine"
        return f"{what}; its SLURM jobs: run this where SLURM's commands work"
    if pass_name is not None:
        return f"you have no job of pass {pass_name} in this pool, waiting or running"
    what = "you have no job of this pool, waiting or running"
    return f"{what}; workers on this machine: set JOBPOOL_SCHEDULER=none"


def _text(pool: "Pool", found: "Cancelled", *, dry_run: bool) -> str:
    from jobpool.units import count

    verb = "would be cancelled" if dry_run else "cancelled"
    jobs = f"{count(found.n_jobs, 'job')} {verb}: {found.n_waiting:,} waiting, "
    lines = [f"{jobs}{found.n_running:,} running"]
    verb = "would be requeued" if dry_run else "requeued"
    lines.append(f"{count(found.n_requeued, 'task')} {verb}")
    if found.n_done:
        lines.append(f"{count(found.n_done, 'task')} ended in the meantime with a result")
    if found.n_left:
        what = f"{count(found.n_left, 'task')} still held by workers that are stopping"
        lines.append(f"{what}; see: jobpool status {quoted(pool.folder)}")
    return "\n".join(lines)


def _object(pool: "Pool", found: "Cancelled", pass_name: str | None, dry_run: bool) -> str:
    import json

    return json.dumps(
        {
            "pool": str(pool.folder),
            "pass": pass_name,
            "dry_run": dry_run,
            "jobs": found.n_jobs,
            "waiting": found.n_waiting,
            "running": found.n_running,
            "batches": list(found.batches),
            "requeued": found.n_requeued,
            "done": found.n_done,
            "stopping": found.n_left,
        }
    )
