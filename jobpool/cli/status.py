"""``jobpool status``: how a pool stands."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobpool.pool import Pool
    from jobpool.status import AxisCounts, Counts, Status

EVERY_S = 2.0
_CLEAR = "\x1b[H\x1b[J"  # the ANSI codes for: go to the top, clear what follows


def status(
    pool: PoolArgument,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS",
            help="Count by this axis or attribute; may be given several times. "
            "By default by every axis with 2 to 12 values.",
        ),
    ] = None,
    only: Only = None,
    skip: Skip = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again until all is done.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="TIME", help="Between looks; 2s if not given."),
    ] = None,
) -> None:
    """Say what remains, runs, failed and is done.

    A task that failed waits again, and counts as returned until it runs.

    \b
    jobpool status POOL
    jobpool status POOL --by pipeline --by parcels
    jobpool status POOL --only pipeline=elastic --watch
    jobpool status POOL --json
    """
    from os import environ

    environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start

    look = _looker(pool, tuple(by or ()), tuple(only or ()), tuple(skip or ()))
    opened, found = look()
    show = _json if json else _text
    if not watch:
        print(show(opened, found))
        return
    _watch(look, show, EVERY_S if every is None else every)


def _looker(
    folder: PoolArgument, by: tuple[str, ...], only: tuple[str, ...], skip: tuple[str, ...]
) -> "Callable[[], tuple[Pool, Status]]":
    """Return a function that looks once; each look sees tasks that were added meanwhile."""
    import time

    from jobpool.files import server_time
    from jobpool.liveness.judge import Life, judge
    from jobpool.pool import Pool
    from jobpool.selection import select
    from jobpool.status import look
    from jobpool.workerfiles import worker_name

    def once() -> "tuple[Pool, Status]":
        pool = Pool(folder)
        chosen = select(pool.grid, only, skip) if only or skip else None
        clock = server_time(folder / "workers")

        def lives(owner: int) -> Life:
            return judge(pool, worker_name(owner), clock)

        return pool, look(pool, chosen, by, judge=lives, now=time.time())

    return once


def _watch(
    look: "Callable[[], tuple[Pool, Status]]",
    show: "Callable[[Pool, Status], str]",
    every_s: float,
) -> None:
    import time

    clear = _CLEAR if sys.stdout.isatty() else ""
    try:
        while True:
            opened, found = look()
            print(f"{clear}{show(opened, found)}", flush=True)
            if found.counts.remaining == 0:
                return
            time.sleep(every_s)
    except KeyboardInterrupt:
        return


def _text(pool: "Pool", found: "Status") -> str:
    from jobpool.report.text import bar, count, fits, percent

    plain = not fits(bar(0.5), sys.stdout.encoding)
    counts = found.counts
    lines = [
        f"{pool.info.name}: {count(counts.total, 'task')} in {pool.folder}",
        "",
        f"  done      {counts.done:>11,}  {percent(counts.done, counts.total):>7}  "
        f"{bar(counts.done / max(counts.total, 1), ascii_only=plain)}",
        f"  remaining {counts.remaining:>11,}  {_eta(found)}",
        f"    running {counts.running:>11,}  {_workers(found)}",
        f"    waiting {counts.waiting + counts.returned:>11,}  "
        f"{counts.returned:,} of them failed and were returned",
    ]
    if counts.parked:
        lines.append(f"  parked    {counts.parked:>11,}  failed in the same way again and again")
    if counts.held:
        lines.append(f"  held      {counts.held:>11,}  kept back")
    lines += _next_steps(pool, found)
    for axis in found.by:
        lines += ["", *_axis_lines(axis, plain)]
    return "\n".join(lines)


def _next_steps(pool: "Pool", found: "Status") -> list[str]:
    counts, folder = found.counts, pool.folder
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


def _shortage(found: "Status") -> str:
    from jobpool.report.text import count, duration, memory

    short = found.shortage
    bounds = [memory(short.memory_mb)] if short.memory_mb else []
    bounds += [f"{duration(short.core_s)} on one core"] if short.core_s else []
    needs = "needs" if short.n_tasks == 1 else "need"
    return f"{count(short.n_tasks, 'waiting task')} {needs} more than {' or '.join(bounds)}"


def _eta(found: "Status") -> str:
    from jobpool.report.text import duration

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


def _workers(found: "Status") -> str:
    from jobpool.liveness.judge import Life
    from jobpool.report.text import count

    words = [f"{count(found.workers[Life.ALIVE], 'worker')} alive"]
    if dead := found.workers[Life.DEAD]:
        words.append(f"{dead:,} seemingly dead: the next worker returns their tasks")
    if unknown := found.workers[Life.UNKNOWN]:
        words.append(f"{unknown:,} cannot be told")
    return ", ".join(words)


def _axis_lines(axis: "AxisCounts", plain: bool) -> list[str]:
    from jobpool.report.text import bar, percent, table

    names = _kinds()
    names.remove("done")
    kept = [name for name in names if any(getattr(counts, name) for _, counts in axis.values)]
    rows = [
        [
            str(value),
            bar(counts.done / counts.total, ascii_only=plain),
            percent(counts.done, counts.total),
            f"{counts.done:,}",
            *(f"{getattr(counts, name):,}" for name in kept),
            f"{counts.total:,}",
        ]
        for value, counts in axis.values
    ]
    return [f"  {line}" for line in table([axis.name, "", "", "done", *kept, "tasks"], rows)]


def _json(pool: "Pool", found: "Status") -> str:
    import json

    estimate = found.estimate
    return json.dumps(
        {
            "pool": str(pool.folder),
            "name": pool.info.name,
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


def _numbers(counts: "Counts") -> dict[str, int]:
    names = _kinds()
    names.insert(1, "remaining")
    return {name: getattr(counts, name) for name in [*names, "total"]}


def _kinds() -> list[str]:
    """Return the words of the counted states as they are shown, "returned" after "waiting"."""
    from jobpool.task import SHOWN, TaskState

    pairs = ([s.word, "returned"] if s is TaskState.WAITING else [s.word] for s in SHOWN)
    return [word for pair in pairs for word in pair]
