"""How a pool stands, as a person reads it, and as JSON."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobpool.disk.files import server_time
from jobpool.journal.jsonl import worker_name
from jobpool.liveness.judge import Life, judge
from jobpool.overview.status import AxisCounts, Counts, Status, look
from jobpool.pool import Pool
from jobpool.table.selection import select
from jobpool.task import SHOWN, TaskState
from jobpool.units import bar, count, duration, memory, percent, table


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(Status):
    """How a pool stands; as text, it is what ``jobpool status`` shows."""

    name: str
    folder: Path

    def __str__(self) -> str:
        return status_text(self)


def read_status(
    pool: Pool, by: Sequence[str] = (), only: Sequence[str] = (), skip: Sequence[str] = ()
) -> PoolStatus:
    """Return how the selected part of a pool stands now, its workers judged by their heartbeats.

    Parameters
    ----------
    pool : Pool
        The pool.
    by : sequence of str
        Axes or attributes to count by; see `jobpool.overview.status.look`.
    only, skip : sequence of str
        Conditions of a selection.

    Raises
    ------
    SelectionError
        If a condition, or an axis to count by, does not fit the pool.
    DamagedStateError
        If a state file cannot be counted.
    """
    chosen = select(pool.grid, only, skip) if only or skip else None
    clock = server_time(pool.folder / "workers")

    def lives(owner: int) -> Life:
        return judge(pool, worker_name(owner), clock)

    found = look(pool, chosen, by, judge=lives, now=time.time())
    return PoolStatus(
        name=pool.info.name,
        folder=pool.folder,
        counts=found.counts,
        by=found.by,
        workers=found.workers,
        estimate=found.estimate,
        shortage=found.shortage,
    )


def status_text(found: PoolStatus, *, ascii_only: bool = False) -> str:
    """Return a status as it is shown in the terminal."""
    counts = found.counts
    lines = [
        f"{found.name}: {count(counts.total, 'task')} in {found.folder}",
        "",
        f"  done      {counts.done:>11,}  {percent(counts.done, counts.total):>7}  "
        f"{bar(counts.done / max(counts.total, 1), ascii_only=ascii_only)}",
        f"  remaining {counts.remaining:>11,}  {time_left(found)}",
        f"    running {counts.running:>11,}  {_workers(found)}",
        f"    waiting {counts.waiting + counts.returned:>11,}  "
        f"{counts.returned:,} of them failed and were returned",
    ]
    if counts.parked:
        lines.append(f"  parked    {counts.parked:>11,}  failed in the same way again and again")
    if counts.held:
        lines.append(f"  held      {counts.held:>11,}  kept back")
    lines += _next_steps(found)
    for axis in found.by:
        lines += ["", *_axis_lines(axis, ascii_only)]
    return "\n".join(lines)


def _next_steps(found: PoolStatus) -> list[str]:
    counts, folder = found.counts, found.folder
    lines = [""]
    if counts.returned or counts.parked:
        lines.append(f"  why they failed: jobpool errors {folder}")
    if counts.parked:
        lines.append(f"  when that is mended, let the parked wait again: jobpool retry {folder}")
    if counts.held:
        lines.append(f"  let the held go: jobpool release {folder}")
    if found.shortage.n_tasks:
        lines.append(f"  {_shortage(found)}: jobpool plan {folder}")
    return lines if len(lines) > 1 else []


def _shortage(found: Status) -> str:
    short = found.shortage
    bounds = [memory(short.memory_mb)] if short.memory_mb else []
    bounds += [f"{duration(short.core_s)} on one core"] if short.core_s else []
    needs = "needs" if short.n_tasks == 1 else "need"
    return f"{count(short.n_tasks, 'waiting task')} {needs} more than {' or '.join(bounds)}"


def time_left(found: Status) -> str:
    """Return in words when the remaining tasks will be done."""
    estimate = found.estimate
    if estimate.eta_s is None:
        return f"time left unknown: {estimate.why_not}"
    if estimate.rate_per_s is None or estimate.window_s is None:
        kept = found.counts.parked + found.counts.held
        return "all others are parked or held" if kept else "nothing is left to do"
    rate, unit = estimate.rate_per_s * 3600, "hour"
    if rate > 36_000:
        rate, unit = estimate.rate_per_s, "second"
    shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
    return (
        f"about {duration(estimate.eta_s)} left, at {shown} per {unit} "
        f"in the last {duration(estimate.window_s)}"
    )


def _workers(found: Status) -> str:
    words = [f"{count(found.workers[Life.ALIVE], 'worker')} alive"]
    if dead := found.workers[Life.DEAD]:
        whose = "its task" if dead == 1 else "their tasks"
        words.append(f"{dead:,} unresponsive ({whose} will be requeued)")
    if unknown := found.workers[Life.UNKNOWN]:
        words.append(f"{unknown:,} unknown")
    return ", ".join(words)


def _axis_lines(axis: AxisCounts, ascii_only: bool) -> list[str]:
    names = _kinds()
    names.remove("done")
    kept = [name for name in names if any(getattr(counts, name) for _, counts in axis.values)]
    rows = [
        [
            str(value),
            bar(counts.done / counts.total, ascii_only=ascii_only),
            percent(counts.done, counts.total),
            f"{counts.done:,}",
            *(f"{getattr(counts, name):,}" for name in kept),
            f"{counts.total:,}",
        ]
        for value, counts in axis.values
    ]
    return [f"  {line}" for line in table([axis.name, "", "", "done", *kept, "tasks"], rows)]


def status_json(found: PoolStatus) -> str:
    """Return a status as one JSON object."""
    estimate = found.estimate
    return json.dumps(
        {
            "pool": str(found.folder),
            "name": found.name,
            **_numbers(found.counts),
            "short": found.shortage.n_tasks,
            "workers": {str(life): n for life, n in found.workers.items()},
            "rate_per_s": estimate.rate_per_s,
            "rate_window_s": estimate.window_s,
            "eta_s": estimate.eta_s,
            "eta_unknown": estimate.why_not or None,
            "by": {
                axis.name: [{"value": value, **_numbers(counts)} for value, counts in axis.values]
                for axis in found.by
            },
        }
    )


def _numbers(counts: Counts) -> dict[str, int]:
    names = _kinds()
    names.insert(1, "remaining")
    return {name: getattr(counts, name) for name in [*names, "total"]}


def _kinds() -> list[str]:
    """Return the words of the counted states as they are shown, "returned" after "waiting"."""
    pairs = ([s.word, "returned"] if s is TaskState.WAITING else [s.word] for s in SHOWN)
    return [word for pair in pairs for word in pair]
