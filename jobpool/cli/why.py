"""``jobpool why``: what one task waits for."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobpool.cli.options import AsJson, PoolArgument
from jobpool.cli.output import json_text, put

if TYPE_CHECKING:
    from jobpool.needs.work import Interval
    from jobpool.plan.why import Why
    from jobpool.pool import Pool


def why(
    pool: PoolArgument,
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's id, or how it begins.")],
    json: AsJson = False,
) -> None:
    """Explain in a line what a task waits for, and show what is known of it.

    \b
    jobpool why POOL l5ciunfhmh5g
    jobpool why POOL l5ciu
    jobpool why POOL l5ciu --json
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start
    from jobpool.plan.why import why as explain
    from jobpool.pool import Pool

    opened = Pool(pool)
    found = explain(opened, task)
    if json:
        print(json_text(_as_json(opened, found)))
    else:
        put(found)


def _as_json(pool: "Pool", found: "Why") -> dict[str, Any]:
    record = found.record
    whole, state = found.whole or (None, None)
    return {
        "pool": str(found.folder),
        "task": found.task,
        "axes": dict(pool.grid.point(found.position)),
        "state": record.state.word,
        "answer": str(found).splitlines()[1],
        "failed_attempts": record.attempts,
        "park_after": found.park_after,
        "is_rerun": record.accepted is not None,
        "worker": _worker(found),
        "last_attempt": _last(found),
        "needs_more_than": {"memory_mb": record.memory_mb, "core_seconds": record.core_s},
        "expected": {
            "seconds": _interval(found.seconds),
            "memory_mb": _interval(found.memory_mb),
        },
        "passes": [
            {"name": one.size.name, "obstacle": one.obstacle.name.lower(), "chance": one.chance}
            for one in found.verdicts
        ],
        "whole_task": whole and {"task": whole, "state": state and state.word},
        "parts": {state.word: n for state, n in found.parts.items()},
        "waiting": found.n_waiting,
        "failed_starts": len(found.failed_starts),
    }


def _worker(found: "Why") -> dict[str, Any] | None:
    if not found.record.owner:
        return None
    record = found.worker_record
    return {
        "worker": found.worker,
        "life": None if found.life is None else str(found.life),
        "node": record and (record.node or record.host),
        "job": record and record.job,
    }


def _last(found: "Why") -> dict[str, Any] | None:
    from jobpool.units import utc_iso

    last = found.last
    if last is None:
        return None
    return {
        "cause": str(last.cause),
        "ended": utc_iso(last.ended, 3),
        "seconds": None if last.seconds is None else round(last.seconds, 3),
        "node": last.node,
        "job": last.job,
        "error": last.error,
        "traceback": last.traceback,
    }


def _interval(one: "Interval | None") -> dict[str, float] | None:
    return None if one is None else {"low": one.low, "middle": one.middle, "high": one.high}
