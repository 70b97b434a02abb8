"""Claims per second on a half-done pool: jobpool, SQLite, and listing result files, in one run.

    python -m benchmarks.claims [--tasks 148500] [--processes 1 8 32] [--seconds 1.5] [--fsync]
                                [--delay-ms 1] [--repeat 3] [--ways jobpool sqlite files]

A claim here is one whole turn: end the task in hand as done and get the next. All processes
start together, each opens the pool, then pulls for a fixed time. Per way and number of processes
the table gives the median of the repeats.

    jobpool   `Puller.next`, as the worker calls it
    sqlite    one table in WAL mode, end and claim in one transaction
    files     the way that jobpool replaces: list the folder of result files, load each, draw one
              of the tasks that have none; from the part of a claim that fits into the time

``--delay-ms`` adds a delay to every file operation under the pool's folder, as a network disk
does, by a small C library (``slowfs.c``, compiled on the fly).
"""

import argparse
import ctypes
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import machine, say, table
from benchmarks.pools import study_axes
from benchmarks.ways import Jobpool, ResultFiles, Sqlite, Way

NAMES = ("jobpool", "sqlite", "files")
HEADER = (
    "way",
    "processes",
    "claims/s",
    "cpu us",
    "p50 us",
    "p99 us",
    "shares",
    "first ms",
    "its cpu ms",
    "jobpool is x times as fast",
)
BIG = 200_000  # result files of a larger pool take too long to make


@dataclass(frozen=True, kw_only=True)
class Run:
    """What many processes did in a fixed time."""

    rate: float  # claims per second of all
    p50_us: float
    p99_us: float
    fewest: float
    most: float
    cpu_us: float  # of all processes, per claim
    first_ms: float  # opening the pool and the first claim, median over processes
    first_cpu_ms: float

    @property
    def share(self) -> str:
        if self.fewest < 1:
            return "-"
        return f"1:{self.most / self.fewest:.1f}"


def pull(way: Way, folder: Path, worker: int, options: argparse.Namespace, pipe: Any) -> None:
    """Pull in this process, and say what it did."""
    start, said = pipe
    if options.delay_ms:
        library = ctypes.CDLL(None)
        library.slowfs_begin(str(folder).encode(), ctypes.c_long(int(options.delay_ms * 1000)))
    start.wait()
    wall, cpu = time.perf_counter(), time.process_time()
    step = way.open(folder, worker)
    first = step()
    first_s, first_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    start.wait()
    latencies, n_claims, cpu, before = array("d"), 0.0, time.process_time(), time.perf_counter()
    end = before + options.seconds
    while before < end and first:
        first = step()
        after = time.perf_counter()
        latencies.append(after - before)
        n_claims, before = n_claims + first, after
    said.put((n_claims, latencies.tobytes(), first_s, first_cpu_s, time.process_time() - cpu))


def run(way: Way, folder: Path, n_processes: int, options: argparse.Namespace) -> Run:
    """Let processes pull from a fresh copy of `folder`; result files hardly change."""
    fresh = folder if isinstance(way, ResultFiles) else folder.with_name("copy")
    if fresh != folder:
        shutil.copytree(folder, fresh)
        os.sync()  # what is still to be written is no part of the measurement
    # forked from a server that has only imported: like new workers after their imports
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.ways"])
    start, said = context.Barrier(n_processes), context.SimpleQueue()
    processes = [
        context.Process(target=pull, args=(way, fresh, 1 + n, options, (start, said)))
        for n in range(n_processes)
    ]
    for process in processes:
        process.start()
    answers = [said.get() for _ in processes]
    for process in processes:
        process.join()
    if fresh != folder:
        shutil.rmtree(fresh)
    latencies = array("d")
    for answer in answers:
        latencies.frombytes(answer[1])
    ordered = sorted(latencies)
    claims = [answer[0] for answer in answers]
    return Run(
        rate=sum(claims) / options.seconds,
        p50_us=ordered[len(ordered) // 2] * 1e6,
        p99_us=ordered[int(len(ordered) * 0.99)] * 1e6,
        fewest=min(claims),
        most=max(claims),
        cpu_us=sum(answer[4] for answer in answers) / max(sum(claims), 1e-9) * 1e6,
        first_ms=statistics.median(answer[2] for answer in answers) * 1e3,
        first_cpu_ms=statistics.median(answer[3] for answer in answers) * 1e3,
    )


def middle(runs: list[Run]) -> Run:
    """Return the run with the median rate."""
    return sorted(runs, key=lambda one: one.rate)[len(runs) // 2]


def row(name: str, n_processes: int, found: Run, ours: Run | None) -> list[object]:
    rate = f"{found.rate:,.0f}" if found.rate >= 10 else f"{found.rate:.2g}"
    latencies = [f"{us:,.0f}" for us in (found.cpu_us, found.p50_us, found.p99_us)]
    if name == "files":
        latencies[1:] = ["-", "-"]  # a step is a part of a claim
    ratio = f"{ours.rate / found.rate:,.1f}" if ours and found.rate else "-"
    first = f"{found.first_ms:.1f}" if name != "files" else "-"
    first_cpu = f"{found.first_cpu_ms:.1f}" if name != "files" else "-"
    return [name, n_processes, rate, *latencies, found.share, first, first_cpu, ratio]


def with_delays() -> int:
    """Run this program again with the library that delays file operations."""
    source = Path(__file__).with_name("slowfs.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "slowfs.so"
        compiler = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(compiler, check=True, timeout=60)
        command = [sys.executable, "-m", "benchmarks.claims", *sys.argv[1:]]
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        return subprocess.run(command, env=environment, check=False, timeout=3600).returncode


def measure(options: argparse.Namespace, folder: Path) -> list[list[object]]:
    """Return one row per way and number of processes."""
    axes = study_axes(options.tasks)
    every: dict[str, Way] = {
        "jobpool": Jobpool(fsync=options.fsync),
        "sqlite": Sqlite(fsync=options.fsync),
        "files": ResultFiles(),
    }
    ways = {name: every[name] for name in options.ways}
    for name, way in ways.items():
        say(f"laying out {name}")
        way.lay_out(folder / name, axes)
    rows = []
    for n_processes in options.processes:
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        for _ in range(options.repeat):
            for name, way in ways.items():
                found = run(way, folder / name, n_processes, options)
                runs[name].append(found)
                say(f"{name}, {n_processes} processes: {found.rate:,.2f}/s")
        best = {name: middle(found) for name, found in runs.items()}
        for name in ways:
            ours = best.get("jobpool") if name != "jobpool" else None
            rows.append(row(name, n_processes, best[name], ours))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure claims per second.")
    parser.add_argument("--tasks", type=int, default=148_500)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--fsync", action="store_true", help="one fsync a claim")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="for every file operation")
    parser.add_argument("--ways", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--folder", type=Path, help="on the file system to measure")
    options = parser.parse_args()
    if options.tasks > BIG and "files" in options.ways:
        options.ways.remove("files")
    if options.delay_ms and "slowfs" not in os.environ.get("LD_PRELOAD", ""):
        return with_delays()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = measure(options, Path(folder))
    fsync = "one fsync a claim" if options.fsync else "no fsync"
    print(
        f"{options.tasks:,} tasks, half done; {fsync}; {options.delay_ms:g} ms added; {machine()}"
    )
    print(table(HEADER, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
