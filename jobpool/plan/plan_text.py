"""What ``jobpool plan`` shows: as text, and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobpool.disk.files import server_time
from jobpool.errors import quoted
from jobpool.experiment.config import Pass
from jobpool.journal.starts import kinds, read_starts, summary
from jobpool.needs.estimates import FEWEST
from jobpool.needs.work import Interval
from jobpool.plan.arrays import Array, Plan
from jobpool.plan.sending import after_failed_starts
from jobpool.plan.submission import Around, plan_of, stuck_line
from jobpool.pool import Pool
from jobpool.scheduler.base import Limits
from jobpool.units import count, duration, memory, short_duration, table

MOST_SHOWN = 5  # tasks that are too large


@dataclass(frozen=True, kw_only=True)
class PoolPlan(Plan):
    """What is left of a pool, and what to submit; as text, it is what ``jobpool plan`` shows."""

    pool: Pool
    around: Around

    def __str__(self) -> str:
        return plan_text(self.pool, self, self.around)


def read_plan(pool: Pool, jobs: int, *, must_ask: bool = False) -> PoolPlan:
    """Return the plan of a pool; parameters as of `plan_of`."""
    made, around = plan_of(pool, jobs, must_ask=must_ask)
    return PoolPlan(
        backlog=made.backlog,
        division=made.division,
        arrays=made.arrays,
        n_queued=made.n_queued,
        n_attempts=made.n_attempts,
        closed=made.closed,
        pool=pool,
        around=around,
    )


def plan_text(pool: Pool, made: Plan, around: Around, width: int | None = None) -> str:
    """Return a plan as it is shown in a terminal of so many columns."""
    backlog = made.backlog
    waits = "waits" if backlog.n_waiting == 1 else "wait"
    head = f"{pool.info.name}: {count(backlog.n_waiting, 'task')} {waits} in {pool.folder}"
    others = [f"{n:,} {state.word}" for state, n in backlog.elsewhere.items() if n]
    if backlog.n_lost:
        others.append(f"{backlog.n_lost:,} of these with dead workers, which count in the plan")
    lines = [f"{head}; {', '.join(others)}" if others else head]
    if made.arrays:
        lines += ["", *(f"  {line}" for line in _sizes(made, width)), "", *_sums(made)]
    lines += _notes(pool, made, around)
    if made.n_jobs:
        lines.append(f"\nto submit these: jobpool plan {quoted(pool.folder)} --submit")
    elif made.arrays and made.n_queued:
        lines.append(f"\nnothing to submit: enough with {count(made.n_queued, 'job')} in the queue")
    return "\n".join(lines)


def _sizes(made: Plan, width: int | None) -> list[str]:
    header = ["size", "cores", "memory", "time", "tasks", "core-hours"]
    header += ["in queue", "to submit", "at once"]
    rows = [_row(array) for array in made.arrays]
    return table(header, rows, width=width and width - 2)


def _row(array: Array) -> list[str]:
    size, hours = array.size, array.core_hours
    return [
        size.name + (" (new)" if array.proposed else ""),
        f"{size.cores}",
        memory(size.memory_gb * 1024),
        short_duration(size.walltime_s),
        f"{array.n_tasks:,}" + (f" ({array.n_split:,} split)" if array.n_split else ""),
        "?" if hours is None else _hours(hours.middle),
        f"{array.queued:,}",
        f"{array.jobs:,}",
        f"{array.at_once:,}",
    ]


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _sums(made: Plan) -> list[str]:
    hours, end, at_once = made.core_hours, made.end_s, sum(a.at_once for a in made.arrays)
    if hours is None:
        return [f"core-hours and end unknown: fewer than {FEWEST} attempts have ended yet"]
    span = f"{_hours(hours.low)} to {_hours(hours.high)}"
    lines = [f"core-hours: about {_hours(hours.middle)} ({span}, 80 % interval)"]
    if end is None:
        lines.append("end: unknown, as the queue has no room for all sizes")
    else:
        span = f"{duration(end.low)} to {duration(end.high)}"
        jobs = f"{count(at_once, 'job')} {'runs' if at_once == 1 else 'run'}"
        lines.append(
            f"end: in about {duration(end.middle)} ({span}), if {jobs} at one time until then"
        )
    n = made.n_attempts
    lines.append(f"based on {count(n, 'completed attempt') if n else 'the initial estimates'}")
    return lines


def _notes(pool: Pool, made: Plan, around: Around) -> list[str]:
    notes = []
    if any(array.proposed for array in made.arrays):
        notes.append("(new): no pass is large enough, so that a size is proposed")
    if any(array.n_split for array in made.arrays):
        notes.append("(split): tasks that are too long as a whole; workers split them")
    waits = dict(made.waits)
    notes += [
        f"pass {one.name} waits, {waits[one.name]}"
        if one.name in waits
        else f"pass {one.name} is left out: {why}"
        for one, why in made.division.refused
    ]
    notes += [f"pass {name} waits, {waits[name]}" for name in made.closed if name in waits]
    if around.stuck:
        notes.append(f"not counted as in the queue: {stuck_line(around.stuck)}")
    if n_unselected := int(np.count_nonzero(made.division.unselected)):
        notes.append(f"left out, as no pass selects them: {count(n_unselected, 'task')}")
    if around.unknown:
        notes.append(f"limits of the cluster and jobs in its queue are unknown: {around.unknown}")
    notes += _starts(pool)
    notes += _too_large(pool, made, around.limits)
    return ["", *notes] if notes else []


def _starts(pool: Pool) -> Iterator[str]:
    failed = read_starts(pool.folder, server_time(pool.folder / "workers")).open()
    for group in kinds(failed):
        yield f"{summary(group)}"
    if failed:
        yield f"  {after_failed_starts(pool.folder)}"


def _too_large(pool: Pool, made: Plan, limits: Limits | None) -> Iterator[str]:
    positions = np.flatnonzero(made.division.too_large).tolist()
    if positions:
        exceed = "exceeds" if len(positions) == 1 else "exceed"
        yield f"{count(len(positions), 'task')} {exceed} what the cluster has:"
    for position in positions[:MOST_SHOWN]:
        size = made.division.size_for(position)
        task = pool.grid.id(position)
        needs = f"{memory(size.memory_gb * 1024)} and {short_duration(size.walltime_s)}"
        why = limits.refusal(size) if limits else None
        reason = f"; {why}" if why else ""
        yield f"  {task}: needs about {needs} on {count(size.cores, 'core')}{reason}"
        yield f"    {_next_step(pool, task, size, limits)}"
    if len(positions) > MOST_SHOWN:
        yield f"  and {len(positions) - MOST_SHOWN:,} more"


def _next_step(pool: Pool, task: str, size: Pass, limits: Limits | None) -> str:
    has = (size.cores, size.memory_gb * 1024, size.walltime_s)
    other = [one.name for one in limits.partitions if not one.refusal(*has)] if limits else []
    if other:
        return f"partition {other[0]} has room: add a pass with it, then jobpool extend"
    return f"keep it back: jobpool hold {quoted(pool.folder)} {quoted(task)}"


def json_text(pool: Pool, made: PoolPlan, limits: Limits | None) -> str:
    """Return a plan as one JSON object."""
    backlog, division = made.backlog, made.division
    return json.dumps(
        {
            "pool": str(pool.folder),
            "name": pool.info.name,
            "waiting": backlog.n_waiting,
            **{state.word: n for state, n in backlog.elsewhere.items()},
            "lost": backlog.n_lost,
            "queued": made.n_queued,
            "to_submit": made.n_jobs,
            "sizes": [_array(array) for array in made.arrays],
            "core_hours": _numbers(made.core_hours),
            "end_s": _numbers(made.end_s),
            "attempts": made.n_attempts,
            "limits_known": limits is not None,
            "refused": {one.name: why for one, why in division.refused},
            "waits": dict(made.waits),
            "stuck": [
                {"job": one.label, "name": one.name, "why": one.stuck.why}
                for one in made.around.stuck
                if one.stuck
            ],
            "unselected": int(np.count_nonzero(division.unselected)),
            "too_large": [
                pool.grid.id(position) for position in np.flatnonzero(division.too_large).tolist()
            ],
        }
    )


def _array(array: Array) -> dict[str, Any]:
    size = array.size
    return {
        "size": size.name,
        "proposed": array.proposed,
        "cores": size.cores,
        "memory_gb": size.memory_gb,
        "walltime_s": size.walltime_s,
        "partition": size.partition,
        "tasks": array.n_tasks,
        "cut": array.n_split,
        "core_hours": _numbers(array.core_hours),
        "queued": array.queued,
        "to_submit": array.jobs,
        "at_once": array.at_once,
    }


def _numbers(interval: Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {"middle": interval.middle, "low": interval.low, "high": interval.high}
