"""How a pool stands: states by axis, living workers, and when it will be done; as text and JSON.

Reads the state table one file at a time and takes no lock. Counts come from the index of each
file, whose checksum is checked; a damaged file is rebuilt in memory from its records or named in
an error, so that a count is never wrong.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.files import server_time
from jobpool.errors import SelectionError, listing, nearest, quoted
from jobpool.journal.jsonl import worker_name
from jobpool.journal.made_of import read_agreed
from jobpool.journal.starts import FailedStart, read_starts, summary
from jobpool.journal.workers import WorkerRecord, read_worker_record
from jobpool.liveness.judge import Life, judge
from jobpool.liveness.waits import HeldLock, held_locks
from jobpool.overview.counts import AxisCounts, Counts, axis_lines, numbers_of
from jobpool.overview.time_left import Estimate, beyond_all, ends_s, estimate
from jobpool.pool import Pool
from jobpool.table.arrays import unchecked_table
from jobpool.table.grid import Grid
from jobpool.table.records import MOST_ATTEMPTS, RERUN, SHORT_BASE, WAITING_BASE, amount_of
from jobpool.table.selection import select
from jobpool.task import COUNTED, TaskState, Value
from jobpool.units import bar, count, duration, memory, percent, utc_iso

MOST_VALUES = 12  # an axis with more is shown only when asked for
# the fields of `Counts`; until they are counted, waiting tasks that failed are a kind of their own
_KINDS = (*(state.word for state in sorted(COUNTED)), "returned")
_UNCOUNTED = len(_KINDS)
_UNKNOWN = _UNCOUNTED + 1
_WAITING = _KINDS.index("waiting"), _KINDS.index("returned")
_RUNNING, _DONE = _KINDS.index("running"), _KINDS.index("done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Selected tasks that wait for a larger worker, and the least that was not enough."""

    n_tasks: int
    memory_mb: float | None  # None: no task is known to need more memory
    core_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the state table said when it was read."""

    kinds: NDArray[np.uint8]  # (n_tasks,), positions in `_KINDS`
    done_ms: NDArray[np.int64]  # (n_done,), when the selected tasks were done
    bounds: NDArray[np.uint32]  # (n_tasks,), of the selected tasks that wait, 0 without any
    n_rerun: int  # selected tasks that are being rerun
    owners: Mapping[int, int]  # tasks in hand of each worker, selected or not


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a pool stands; as text, it is what ``jobpool status`` shows."""

    name: str
    folder: Path
    counts: Counts
    n_rerun: int  # tasks that are being rerun, and have an earlier result
    by: tuple[AxisCounts, ...]
    workers: Mapping[Life, int]  # workers that hold tasks, selected or not
    estimate: Estimate
    shortage: Shortage
    versions: Mapping[str, tuple[str, ...]]  # of libraries that results have several of
    idle_cores: int = 0  # of the jobs of living workers, which did not ask for them
    failed_starts: tuple[FailedStart, ...] = ()  # jobs that could not start, the oldest first
    held_locks: tuple[HeldLock, ...] = ()  # for which workers wait too long

    def __str__(self) -> str:
        return status_text(self)


def read_status(
    pool: Pool, by: Sequence[str] = (), only: Sequence[str] = (), skip: Sequence[str] = ()
) -> Status:
    """Return how the selected part of a pool stands now, its workers judged by their heartbeats.

    Parameters
    ----------
    pool : Pool
        The pool.
    by : sequence of str
        Axes or attributes to count by; see `jobpool.overview.status.find_status`.
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

    found = find_status(pool, chosen, by, judge=lives, now=time.time())
    starts = read_starts(pool.folder, clock).open()
    return replace(found, failed_starts=starts, held_locks=held_locks(pool, clock))


def find_status(
    pool: Pool,
    chosen: NDArray[np.bool_] | None,
    by: Sequence[str],
    *,
    judge: Callable[[int], Life],
    now: float,
) -> Status:
    """Return how the selected part of a pool stands.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; None for all tasks.
    by : sequence of str
        Axes or attributes to count by; empty for every axis with 2 to `MOST_VALUES` values, the
        part axis only if something is in parts.
    judge : callable
        Says whether the worker of a number lives.
    now : float
        Seconds since the epoch.

    Raises
    ------
    SelectionError
        If the pool has no such axis.
    DamagedStateError
        If a state file cannot be counted.
    """
    grid = pool.grid
    names = by or [axis.name for axis in grid.axes if 1 < len(axis.values) <= MOST_VALUES]
    snapshot = read_snapshot(pool, chosen)
    counts = _counts(np.bincount(_of(snapshot.kinds, chosen), minlength=_UNKNOWN))
    life = {owner: judge(owner) for owner in snapshot.owners}
    lives = Counter(life.values())
    living = [owner for owner, one in life.items() if one is not Life.DEAD]
    records = [read_worker_record(pool.folder, worker_name(owner)) for owner in living]
    tables = [_count_by(name, *_column(grid, name), snapshot.kinds, chosen) for name in names]
    return Status(
        name=pool.info.name,
        folder=pool.folder,
        counts=counts,
        n_rerun=snapshot.n_rerun,
        by=tuple(one for one in tables if by or one.name != grid.part_axis or len(one.values) > 1),
        workers={life: lives[life] for life in Life},
        estimate=_estimate(pool, snapshot, chosen, counts.remaining, now, records),
        shortage=_shortage(snapshot.bounds[snapshot.bounds > 0]),
        idle_cores=sum(record.spare_cores or 0 for record in records if record),
        versions={n: v for n, v in read_agreed(pool.folder).versions.items() if len(v) > 1},
    )


def _estimate(
    pool: Pool,
    snapshot: Snapshot,
    chosen: NDArray[np.bool_] | None,
    remaining: int,
    now: float,
    records: Sequence[WorkerRecord | None],
) -> Estimate:
    """Return when the tasks are done that living workers can take."""
    waiting = np.isin(snapshot.kinds, _WAITING)
    if chosen is not None:
        waiting &= chosen
    beyond = beyond_all(pool.grid, waiting, snapshot.bounds, records, now) if records else waiting
    found = estimate(
        snapshot.done_ms,
        remaining,
        working=bool(records),
        now=now,
        beyond=int(np.count_nonzero(beyond)),
    )
    return replace(found, ends_s=ends_s(records, now))


def read_snapshot(pool: Pool, chosen: NDArray[np.bool_] | None = None) -> Snapshot:
    """Return what the state table says, read one file at a time.

    Raises
    ------
    DamagedStateError
        If a state file cannot be counted.
    """
    kind_of_byte = _kind_of_byte()
    kinds = np.empty(len(pool.grid), np.uint8)
    done: list[NDArray[np.int64]] = []
    bounds = np.zeros(len(pool.grid), np.uint32)
    n_rerun, owners = 0, Counter[int]()
    for number, span in enumerate(pool.spans):
        index = np.frombuffer(pool.index_of(number), np.uint8)
        found = kinds[span]
        np.take(kind_of_byte, index, out=found)
        if (found == _UNKNOWN).any():
            raise pool.damaged(number, "its index holds a state that there is not")
        mask = True if chosen is None else chosen[span]
        running = np.flatnonzero(found == _RUNNING).tolist()
        ended = (found == _DONE) & mask
        failed = (index > WAITING_BASE) & mask
        has_reruns = pool.had_reruns(number)
        if not (running or has_reruns or ended.any() or failed.any()):
            continue
        packed = pool.records_of(number)
        table = unchecked_table(packed)
        is_done = ended & (table["state"] == TaskState.DONE)
        done.append(table["changed_ms"][is_done].astype(np.int64))
        bounded = failed & (table["state"] == TaskState.WAITING) & (table["bounds"] & 0xFFFF > 0)
        bounds[span][bounded] = table["bounds"][bounded] & 0xFFFF
        if has_reruns:
            again = mask & (found != _UNCOUNTED) & (table["cause"] & RERUN > 0)
            n_rerun += int(np.count_nonzero(again))
        for slot in running:
            record = pool.record_among(number, packed, slot)
            if record.state is TaskState.RUNNING:
                owners[record.owner] += 1
    return Snapshot(
        kinds=kinds,
        done_ms=np.concatenate([np.empty(0, np.int64), *done]),
        bounds=bounds,
        n_rerun=n_rerun,
        owners=owners,
    )


def _kind_of_byte() -> NDArray[np.uint8]:
    """Return for each index byte the position in `_KINDS` of what it stands for."""
    kinds = np.full(256, _UNKNOWN, np.uint8)
    for base in (WAITING_BASE, SHORT_BASE):
        kinds[base] = _KINDS.index("waiting")
        kinds[base + 1 : base + MOST_ATTEMPTS + 1] = _KINDS.index("returned")
    for state in TaskState:
        if state is not TaskState.WAITING:
            kinds[state] = _KINDS.index(state.word) if state in COUNTED else _UNCOUNTED
    return kinds


def _of(
    array: NDArray[np.unsignedinteger], chosen: NDArray[np.bool_] | None
) -> NDArray[np.unsignedinteger]:
    return array if chosen is None else array[chosen]


def _counts(counts: NDArray[np.intp]) -> Counts:
    of_kind = dict(zip(_KINDS, map(int, counts), strict=False))
    of_kind["waiting"] += of_kind["returned"]
    return Counts(**of_kind)


def _column(grid: Grid, name: str) -> tuple[NDArray[np.unsignedinteger], tuple[Value | None, ...]]:
    """Return one code per task, and the values they stand for, of an axis or an attribute."""
    if name in grid.names:
        return grid.column(name), grid.axis(name).values
    attribute = grid.attributes_by_name.get(name)
    if attribute is not None:
        values = tuple(dict.fromkeys(attribute.values))
        codes = np.array([values.index(value) for value in attribute.values], np.uint32)
        return codes[grid.column(attribute.axis)], values
    known = [*grid.names, *grid.attributes_by_name]
    what = f"the pool has no axis {name!r}; it has: {listing(known)}{nearest(name, known)}"
    raise SelectionError(f"--by {name}", what)


def _count_by(
    name: str,
    codes: NDArray[np.unsignedinteger],
    values: tuple[Value | None, ...],
    kinds: NDArray[np.uint8],
    chosen: NDArray[np.bool_] | None,
) -> AxisCounts:
    n_kinds = _UNKNOWN
    pairs = _of(codes, chosen).astype(np.intp)
    pairs *= n_kinds
    pairs += _of(kinds, chosen)
    counts = np.bincount(pairs, minlength=n_kinds * len(values)).reshape(-1, n_kinds)
    rows = [(value, _counts(row)) for value, row in zip(values, counts, strict=True)]
    return AxisCounts(name=name, values=tuple(row for row in rows if row[1].total))


def _shortage(needs: NDArray[np.uint32]) -> Shortage:
    memory, time = needs & 0xFF, needs >> 8 & 0xFF
    return Shortage(
        n_tasks=len(needs),
        memory_mb=amount_of(int(min(memory[memory > 0], default=0))),
        core_s=amount_of(int(min(time[time > 0], default=0))),
    )


def status_text(found: Status, *, ascii_only: bool = False, width: int | None = None) -> str:
    """Return a status as it is shown in a terminal of so many columns."""
    counts = found.counts
    lines = [
        f"{found.name}: {count(counts.total, 'task')} in {found.folder}",
        "",
        f"  done      {counts.done:>11,}  {percent(counts.done, counts.total):>7}  "
        f"{bar(counts.done / max(counts.total, 1), ascii_only=ascii_only)}",
        f"  remaining {counts.remaining:>11,}  {time_left(found)}",
        f"    running {counts.running:>11,}  {_workers(found)}",
        f"    waiting {counts.waiting:>11,}  {counts.returned:,} of them failed and were requeued",
    ]
    if found.n_rerun:
        what = "of these are rerun: an earlier result counts until the new one is accepted"
        lines.append(f"    rerun   {found.n_rerun:>11,}  {what}")
    if counts.parked:
        lines.append(f"  parked    {counts.parked:>11,}  failed with the same error several times")
    if counts.held:
        lines.append(f"  held      {counts.held:>11,}  held back by a person")
    lines += _next_steps(found)
    for axis in found.by:
        lines += ["", *axis_lines(axis, width, ascii_only=ascii_only)]
    return "\n".join(lines)


def _next_steps(found: Status) -> list[str]:
    counts, folder = found.counts, found.folder
    lines = ["", *(f"  {one}" for one in found.held_locks)]
    if found.failed_starts:
        lines.append(f"  {summary(found.failed_starts)}: jobpool errors {quoted(folder)}")
    if found.idle_cores:
        what = f"{count(found.idle_cores, 'core')} of running jobs idle, as the jobs did not ask"
        lines.append(f"  {what} for them: ask for all, or jobpool work --cores N")
    if counts.returned or counts.parked:
        lines.append(f"  why they failed: jobpool errors {quoted(folder)}")
    if counts.parked:
        lines.append(
            f"  when that is fixed, requeue the parked tasks: jobpool retry {quoted(folder)}"
        )
    if counts.held:
        lines.append(f"  release the held tasks: jobpool release {quoted(folder)}")
    if found.shortage.n_tasks:
        lines.append(f"  {_too_small(found)}: jobpool plan {quoted(folder)}")
    if found.estimate.beyond:
        what = f"no worker that runs now can take {count(found.estimate.beyond, 'task')}"
        lines.append(f"  {what}: jobpool plan {quoted(folder)}")
    if found.versions:
        each = [f"{name} {' and '.join(versions)}" for name, versions in found.versions.items()]
        what = f"tasks were at some time run with {listing(each, most=3)}"
        lines.append(f"  {what}: jobpool doctor {quoted(folder)}")
    return lines if len(lines) > 1 else []


def _too_small(found: Status) -> str:
    short = found.shortage
    bounds = [memory(short.memory_mb)] if short.memory_mb else []
    bounds += [f"{duration(short.core_s)} on one core"] if short.core_s else []
    needs = "needs" if short.n_tasks == 1 else "need"
    return f"{count(short.n_tasks, 'waiting task')} {needs} more than {' or '.join(bounds)}"


def time_left(found: Status) -> str:
    """Return in words when the remaining tasks will be done."""
    if found.counts.remaining:
        return str(found.estimate)
    kept = found.counts.parked + found.counts.held
    return "all others are parked or held" if kept else "nothing is left to do"


def _workers(found: Status) -> str:
    words = [f"{count(found.workers[Life.ALIVE], 'worker')} alive"]
    if dead := found.workers[Life.DEAD]:
        whose = "its task" if dead == 1 else "their tasks"
        words.append(f"{dead:,} unresponsive ({whose} will be requeued)")
    if unknown := found.workers[Life.UNKNOWN]:
        words.append(f"{unknown:,} unknown")
    return ", ".join(words)


def status_json(found: Status) -> str:
    """Return a status as one JSON object."""
    estimate = found.estimate
    return json.dumps(
        {
            "pool": str(found.folder),
            "name": found.name,
            **numbers_of(found.counts),
            "rerun": found.n_rerun,
            "short": found.shortage.n_tasks,
            "workers": {str(life): n for life, n in found.workers.items()},
            "idle_cores": found.idle_cores,
            "rate_per_s": estimate.rate_per_s,
            "rate_window_s": estimate.window_s,
            "eta_s": estimate.eta_s,
            "eta_unknown": estimate.why_not or None,
            "beyond_workers": estimate.beyond,
            "workers_end_s": estimate.ends_s,
            "versions": {name: list(versions) for name, versions in found.versions.items()},
            "failed_starts": [one.as_json() for one in found.failed_starts],
            "held_locks": [
                {**asdict(one), "since": utc_iso(one.since)} for one in found.held_locks
            ],
            "by": {
                axis.name: [{"value": value, **numbers_of(counts)} for value, counts in axis.values]
                for axis in found.by
            },
        }
    )
