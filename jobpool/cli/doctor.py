"""``jobpool doctor``: check a pool, and repair it."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import PoolArgument

if TYPE_CHECKING:
    from jobpool.checks.findings import Finding
    from jobpool.pool import Pool

_SHOWN = 50  # findings of one weight


def doctor(
    pool: PoolArgument,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Repair even while workers hold tasks.")
    ] = False,
) -> None:
    """Check states, results and attempts against one another.

    A note is what killed workers leave behind: nothing needs to be done. A problem is damage:
    --repair makes damaged states anew from results and attempts. Exit code 0 if no problem
    remains, else 1.

    \b
    jobpool doctor POOL
    jobpool doctor POOL --repair
    """
    from jobpool.checks.doctor import Surgery, check_pool
    from jobpool.files import server_time
    from jobpool.liveness import Life, judge
    from jobpool.pool import Pool
    from jobpool.workerfiles import worker_name

    opened = Pool(pool)
    clock = server_time(pool / "workers")
    lives: dict[int, bool] = {}

    def is_alive(owner: int) -> bool:
        if owner not in lives:
            lives[owner] = judge(opened, worker_name(owner), clock) is not Life.DEAD
        return lives[owner]

    surgery = Surgery(is_alive=is_alive, server_time=clock, repair=repair, force=force)
    findings = check_pool(opened, surgery)
    _print_findings(opened, findings)
    if any(finding.is_open for finding in findings):
        raise typer.Exit(1)


def _print_findings(pool: "Pool", findings: "list[Finding]") -> None:
    from jobpool.checks.findings import Weight
    from jobpool.lock import file_system
    from jobpool.report.text import count

    lines = [
        f"{pool.folder}: {count(len(pool.grid), 'task')}, {count(len(pool.shards), 'state file')}"
    ]
    lines.append(f"lock: {pool.info.lock} on {file_system(pool.folder)}")
    for weight in Weight:
        found = [finding for finding in findings if finding.weight is weight]
        lines += [str(finding) for finding in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f"... and {len(found) - _SHOWN:,} more of weight {weight}")
    n_open = sum(finding.is_open for finding in findings)
    n_repaired = sum(bool(finding.repaired) for finding in findings)
    if n_repaired:
        lines.append(f"{n_repaired:,} repaired")
    lines.append(f"{count(n_open, 'problem')} left" if n_open else "all is well")
    for line in lines:
        print(line)
