"""``jobpool doctor``: probe the file system, check a pool, and repair it."""

import os
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import AsJson, PoolArgument, open_to_change
from jobpool.cli.output import put
from jobpool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobpool.checks.doctor import RepairContext
    from jobpool.checks.findings import Finding
    from jobpool.checks.probes.probes import Probed
    from jobpool.checks.probes.run import Reports, Tell
    from jobpool.pool import Pool

_SILENT_S = 2.0  # what takes longer says what it is doing
_SHOWN = 50  # findings of one weight
_WORDS = {True: "ok", False: "no", None: "-"}


def doctor(
    pool: PoolArgument,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Repair even while workers hold tasks.")
    ] = False,
    nodes: Annotated[
        int,
        typer.Option(min=1, max=2, help="1: probe from this host. 2: from two nodes, by SLURM."),
    ] = 1,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION",
            help="For the job of --nodes 2, such as --sbatch=--partition=short; may be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Probe the file system, and check states, results and attempts against one another.

    A note needs no action: it is what killed workers left behind, or worth knowing. A problem is
    damage, or a lock that does not hold: --repair rebuilds damaged states from results and
    attempts, and switches to a lock that holds. Exit code 0 if no problem remains, else 10. Only
    a probe from two nodes shows whether a lock holds between nodes: --nodes 2.

    \b
    jobpool doctor POOL
    jobpool doctor POOL --nodes 2 --sbatch=--partition=short
    jobpool doctor POOL --repair
    """
    from jobpool.checks.doctor import check_pool
    from jobpool.pool import Pool

    opened = open_to_change(pool)
    context = _context(opened, repair=repair, force=force)
    reports, findings = _probe(opened, nodes, sbatch or [])
    if repair and reports and any(finding.repairable for finding in findings):
        findings = _take_best_lock(opened, reports, findings, context)
        opened = Pool(pool)
    findings += check_pool(opened, replace(context, server_time=_server_time(opened)))
    if as_json:
        print(_as_object(opened, reports, findings))
    else:
        put(_as_text(opened, reports, findings))
    if any(finding.is_open for finding in findings):
        raise typer.Exit(Fault.POOL)


def _context(pool: "Pool", *, repair: bool, force: bool) -> "RepairContext":
    from jobpool.checks.doctor import RepairContext
    from jobpool.journal.jsonl import worker_name
    from jobpool.liveness.judge import Life, judge

    clock = _server_time(pool)

    def is_alive(owner: int) -> bool:
        return judge(pool, worker_name(owner), clock) is not Life.DEAD

    return RepairContext(is_alive=is_alive, server_time=clock, repair=repair, force=force)


def _server_time(pool: "Pool") -> float:
    from jobpool.disk.files import server_time

    return server_time(pool.folder / "workers")


def _probe(pool: "Pool", nodes: int, options: list[str]) -> "tuple[Reports | None, list[Finding]]":
    """Return what was found of the file system, and what it means for the pool."""
    from jobpool.checks.findings import note, problem
    from jobpool.checks.probes.run import probe_here, probe_on_two_nodes
    from jobpool.checks.probes.talk import ProbeError
    from jobpool.checks.probes.verdict import examine
    from jobpool.scheduler.detect import submitting_scheduler

    if not os.access(pool.folder, os.W_OK):
        what = "not probed: you may not write into this pool; its owner can probe it"
        return None, [note("the file system", what)]
    tell = _teller()
    try:
        if nodes == 1:
            reports = probe_here((pool.folder, pool.folder), pool.info.lock, tell)
        else:
            reports = probe_on_two_nodes(
                pool.folder, pool.info.lock, options, tell, scheduler=submitting_scheduler()
            )
    except ProbeError as error:
        advice = "is the disk slow or full? run it again when it is not"
        return None, [problem("the file system", f"could not be probed: {error}; {advice}")]
    return reports, list(examine(pool, reports))


def _take_best_lock(
    pool: "Pool", reports: "Reports", findings: "list[Finding]", context: "RepairContext"
) -> "list[Finding]":
    """Write a lock that holds into the pool; refuse while a worker may live."""
    from jobpool.checks.probes.verdict import repair_lock
    from jobpool.errors import RequestError, listing
    from jobpool.journal.jsonl import worker_files

    numbers = {path.stem: int(path.stem, 16) for path in worker_files(pool.folder, "workers")}
    alive = [name for name, number in numbers.items() if context.is_alive(number)]
    if alive:
        what = f"the lock cannot be changed while workers live: {listing(alive, most=5)}; stop "
        what += f"them, and wait until they count as lost ({pool.info.lost_after_s:.0f} s)"
        raise RequestError(pool.folder, what)
    return [repair_lock(pool, reports, finding) for finding in findings]


def _teller() -> "Tell":
    """Return a function that says once what takes long, to standard error."""
    began, said = time.monotonic(), set[str]()

    def tell(line: str) -> None:
        if time.monotonic() - began > _SILENT_S and line not in said:
            said.add(line)
            print(f"{line} ...", file=sys.stderr, flush=True)

    return tell


def _as_text(pool: "Pool", reports: "Reports | None", findings: "Sequence[Finding]") -> str:
    """Return what people read: the probes as a table, then the findings."""
    from jobpool.checks.findings import Weight
    from jobpool.disk.locks import file_system
    from jobpool.units import count

    lines = [
        f"{pool.folder}: {count(len(pool.grid), 'task')}, {count(len(pool.spans), 'state file')}",
        f"lock: {pool.info.lock} on {file_system(pool.folder)}",
    ]
    if reports:
        lines += _probe_lines(reports)
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
    return "\n".join(lines)


def _probe_lines(reports: "Reports") -> list[str]:
    first, second = reports
    if first.host == second.host:
        head = f"probed by two processes of {first.host}; from two nodes: --nodes 2"
    else:
        head = f"probed from {first.host} and {second.host}"
    probes = first.probes
    width = max(len(one.name) for one in probes)
    return [head, *(_probe_line(one, width) for one in probes)]


def _probe_line(one: "Probed", width: int) -> str:
    return f"  {one.name.ljust(width)}  {_WORDS[one.well]}  {one.what}"


def _as_object(pool: "Pool", reports: "Reports | None", findings: "Sequence[Finding]") -> str:
    """Return what programs read: one JSON object."""
    import json

    from jobpool.disk.locks import file_system

    sides = [] if reports is None else [asdict(report) for report in reports]
    content = {
        "pool": str(pool.folder),
        "tasks": len(pool.grid),
        "lock": pool.info.lock,
        "file_system": file_system(pool.folder),
        "probes": sides,
        "findings": [asdict(finding) for finding in findings],
        "problems": sum(finding.is_open for finding in findings),
    }
    return json.dumps(content)
