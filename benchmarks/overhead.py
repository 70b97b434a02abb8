"""What the pool costs beside the tasks: METG, files, and bytes per task.

    python -m benchmarks.overhead [--workers 1 32] [--no-op-tasks 148500]

METG, the minimum effective task granularity: the length of a task at which half of a worker's
time is overhead. Real workers (``jobpool work``, each with its child process) run tasks that
sleep; the time from the start of one task to the start of the next, less the sleep, is overhead.
For each length in turn the table gives the efficiency, and METG where it crosses one half.

Then 32 workers run no-op tasks in their own process until the pool is done, and what lies in
the pool's folder is counted.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.figures import machine, say, table
from benchmarks.pools import make_pool, study_axes
from jobpool.journal.results import all_results
from jobpool.task import Axis

LENGTHS_MS = {1: (0.0, 2.0, 4.0, 8.0, 16.0), 32: (20.0, 40.0, 80.0)}
SECONDS = {1: 4, 32: 30}  # each worker; 32 of them need some seconds until the last has begun
N_TASKS = 20_000  # more than they can do in that time


def period_ms(folder: Path, n_workers: int, length_ms: float) -> float:
    """Return the mean time between the starts of two tasks of one worker."""
    axes = (
        Axis(name="number", values=tuple(range(N_TASKS))),
        Axis(name="ms", values=(length_ms,)),
    )
    pool = make_pool(folder, axes, "benchmarks.naps:nap")
    command = [sys.executable, "-m", "jobpool", "work", str(pool)]
    command += ["--stop-after", f"{SECONDS.get(n_workers, 30)}s"]
    with (folder / "log").open("wb") as log:
        workers = [subprocess.Popen(command, stderr=log) for _ in range(n_workers)]
        codes = [worker.wait(600) for worker in workers]
    if any(codes):
        last = (folder / "log").read_text(encoding="utf-8")[-2000:]
        raise RuntimeError(f"{codes.count(0)} of {n_workers} workers ended well: {last}")
    starts: dict[str, list[float]] = defaultdict(list)
    for result in all_results(pool):
        starts[result.worker].append(result.started)
    if len(starts) < n_workers:
        raise RuntimeError(f"{len(starts)} of {n_workers} workers ran a task: machine too busy")
    # while all run: from the last to begin to the first to end
    begin = max(min(times) for times in starts.values())
    end = min(max(times) for times in starts.values())
    inside = [[t for t in sorted(times) if begin <= t <= end] for times in starts.values()]
    spans = [(times[-1] - times[0], len(times) - 1) for times in inside if len(times) > 1]
    return statistics.fmean(span / count for span, count in spans) * 1000


def crossing(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the length at which the efficiency is one half, between two that were measured."""
    for (short, low), (long, high) in pairwise(points):
        if low <= 0.5 <= high:
            return short + (long - short) * (0.5 - low) / (high - low)
    return None


def measure_metg(n_workers: int, root: Path) -> list[list[object]]:
    """Return a row for each length, and one for the result."""
    rows: list[list[object]] = []
    points = []
    for length in LENGTHS_MS.get(n_workers, LENGTHS_MS[32]):
        say(f"{n_workers} workers, tasks of {length:g} ms")
        period = period_ms(root / f"{n_workers}-{length:g}", n_workers, length)
        points.append((length, length / period))
        share = f"{length / period:.0%}"
        rows.append([n_workers, f"{length:g}", f"{period:.1f}", f"{period - length:.1f}", share])
    found = crossing(points)
    metg = f"METG {found:.1f} ms" if found else "METG outside the lengths"
    rows.append([n_workers, metg, "", "", "50%"])
    return rows


def no_op_pool(n_tasks: int, root: Path) -> str:
    """Drain a pool of no-op tasks, and say what its folder holds."""
    pool = make_pool(root / "no-op", study_axes(n_tasks), "benchmarks.naps:nothing")
    say(f"32 workers, {n_tasks:,} no-op tasks")
    before = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tests.support.workers", "drain", str(pool), "32", "0"],
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=3600,
    )
    seconds = time.perf_counter() - before
    files: dict[str, tuple[int, int]] = {}
    folders = [len(os.listdir(folder)) for folder, _, _ in os.walk(pool)]  # noqa: PTH208
    for path in pool.rglob("*"):
        if path.is_file():
            kind = path.relative_to(pool).parts[0]
            count, size = files.get(kind, (0, 0))
            files[kind] = count + 1, size + path.stat().st_size
    total = [sum(column) for column in zip(*files.values(), strict=True)]
    rows = [[kind, count, f"{size / n_tasks:.1f}"] for kind, (count, size) in sorted(files.items())]
    rows.append(["all", total[0], f"{total[1] / n_tasks:.1f}"])
    head = f"{n_tasks:,} no-op tasks by 32 workers: {seconds:.0f} s, {n_tasks / seconds:,.0f}/s; "
    head += f"largest folder: {max(folders)} entries"
    return head + "\n" + table(("in the pool", "files", "bytes a task"), rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what the pool costs beside the tasks.")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--no-op-tasks", type=int, default=148_500, help="0: leave this part out")
    parser.add_argument("--folder", type=Path, help="on the file system to measure")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = [row for n in options.workers for row in measure_metg(n, Path(folder))]
        if rows:
            header = ("workers", "task ms", "start to start ms", "overhead ms", "efficiency")
            print(table(header, rows))
        if options.no_op_tasks:
            print(no_op_pool(options.no_op_tasks, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
