"""What ``jobpool doctor`` says of a pool, for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobpool.checks.findings import Finding, Weight
from jobpool.checks.probes.probes import Probed
from jobpool.disk.locks import file_system
from jobpool.pool import Pool
from jobpool.units import count

if TYPE_CHECKING:
    from jobpool.checks.probes.run import Reports

_SHOWN = 50  # findings of one weight
_WORDS = {True: "ok", False: "no", None: "-"}


def as_text(pool: Pool, reports: "Reports | None", findings: Sequence[Finding]) -> str:
    """Return what people read: the probes as a table, then the findings."""
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


def _probe_line(one: Probed, width: int) -> str:
    return f"  {one.name.ljust(width)}  {_WORDS[one.well]}  {one.what}"


def as_object(pool: Pool, reports: "Reports | None", findings: Sequence[Finding]) -> str:
    """Return what programs read: one JSON object."""
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
