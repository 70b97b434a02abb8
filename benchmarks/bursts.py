"""Claim bursts: many workers start at once; how long until each has a task?

    python -m benchmarks.bursts [--workers 1000] [--tasks 148500] [--folder DIR ...]
                                [--delay-ms 0 1] [--lock auto] [--repeat 3]

Every worker is a process of its own: forked from one that has made its imports, as SLURM starts
many jobs at once, held at a gate, and let go together. Each opens the pool, which reads the grid,
and claims its first task, durably. The table gives the time from the gate until half of the
workers, all but one in a hundred, and the last one have their task; imports are no part of it.
Several folders share the workers evenly: the mounts of one file system.

``--delay-ms`` adds a delay to every file operation under the pool's folder, as a network disk
does, by a small C library (``slowfs.c``, compiled on the fly).
"""

import argparse
import ctypes
import mmap
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import machine, say, table
from benchmarks.pools import make_pool, study_axes
from jobpool.disk.locks import file_system
from jobpool.execution.claiming import Puller
from jobpool.pool import Pool
from jobpool.task import TaskState

ENTRY = struct.Struct("<ddq")  # seconds until the task, cpu seconds, its position + 1
HEADER = (
    "file system",
    "lock",
    "added ms",
    "workers",
    "half s",
    "99 % s",
    "all s",
    "claims/s",
    "cpu ms each",
)


@dataclass(frozen=True, kw_only=True)
class Burst:
    """What one burst gave."""

    waits: tuple[float, ...]  # seconds, sorted
    cpu_s: float  # of all workers

    def after(self, share: float) -> float:
        return self.waits[min(int(len(self.waits) * share), len(self.waits) - 1)]


def claim_first(folder: Path, number: int, delay_ms: float, entries: mmap.mmap, gate: int) -> None:
    """Wait at the gate, then open the pool and claim, in this process."""
    if delay_ms:
        library = ctypes.CDLL(None)
        library.slowfs_begin(str(folder).encode(), ctypes.c_long(int(delay_ms * 1000)))
    os.read(gate, 1)  # returns when the parent closes its end
    began, cpu = time.perf_counter(), time.process_time()
    puller = Puller(Pool(folder, worker=1 + number), random.Random(number))
    claim = puller.next().claim
    taken = time.perf_counter() - began
    position = claim.position + 1 if claim else 0
    entry = ENTRY.pack(taken, time.process_time() - cpu, position)
    entries[ENTRY.size * number : ENTRY.size * (number + 1)] = entry


def burst(pools: list[Path], n_workers: int, delay_ms: float) -> Burst:
    """Let so many processes claim at once."""
    entries = mmap.mmap(-1, ENTRY.size * n_workers)
    gate, keep = os.pipe()
    children = []
    for number in range(n_workers):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(keep)
                claim_first(pools[number % len(pools)], number, delay_ms, entries, gate)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    time.sleep(1 + n_workers / 1000)  # until all stand at the gate
    os.close(keep)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(gate)
    found = [ENTRY.unpack_from(entries, ENTRY.size * number) for number in range(n_workers)]
    positions = [position for _, _, position in found]
    if any(codes) or 0 in positions or len(set(positions)) != n_workers:
        raise SystemExit(f"{sum(map(bool, codes))} failed, {len(set(positions))} tasks claimed")
    running = Pool(pools[0]).counts()[TaskState.RUNNING]
    if running != n_workers:
        raise SystemExit(f"{running} tasks run, not {n_workers}")
    waits = sorted(taken for taken, _, _ in found)
    return Burst(waits=tuple(waits), cpu_s=sum(cpu for _, cpu, _ in found))


def measure(
    folders: list[Path], options: argparse.Namespace, delay_ms: float
) -> tuple[list[Burst], str]:
    """Return the bursts, each on a fresh pool, and the kind of lock."""
    axes, bursts, lock = study_axes(options.tasks), [], ""
    for number in range(options.repeat):
        name = f"burst-{os.getpid()}-{number}"
        pool = make_pool(folders[0] / name, axes, "benchmarks.naps:nothing", options.lock)
        lock = Pool(pool).info.lock
        os.sync()  # what is still to be written is no part of the measurement
        pools = [folder / name / pool.name for folder in folders]
        one = burst(pools, options.workers, delay_ms)
        say(f"{folders[0]}, {delay_ms:g} ms: all after {one.waits[-1]:.2f} s")
        bursts.append(one)
        shutil.rmtree(folders[0] / name)
    return bursts, lock


def row(kind: str, lock: str, delay_ms: float, bursts: list[Burst]) -> list[object]:
    """Return the medians over the bursts."""
    shares = (0.5, 0.99, 1.0)
    half, most, last = (statistics.median(b.after(share) for b in bursts) for share in shares)
    n_workers = len(bursts[0].waits)
    cpu_ms = statistics.median(b.cpu_s for b in bursts) / n_workers * 1e3
    times = [f"{half:.2f}", f"{most:.2f}", f"{last:.2f}"]
    return [
        kind,
        lock,
        f"{delay_ms:g}",
        n_workers,
        *times,
        f"{n_workers / last:,.0f}",
        f"{cpu_ms:.1f}",
    ]


def with_delays() -> int:
    """Run this program again with the library that delays file operations."""
    source = Path(__file__).with_name("slowfs.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "slowfs.so"
        compiler = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(compiler, check=True, timeout=60)
        command = [sys.executable, "-m", "benchmarks.bursts", *sys.argv[1:]]
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        return subprocess.run(command, env=environment, check=False, timeout=3600).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure bursts of first claims.")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=148_500)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--lock", default="auto", help="kind of lock of the pool")
    parser.add_argument("--delay-ms", type=float, nargs="+", default=[0.0])
    parser.add_argument("--folder", type=Path, nargs="+", help="one, or all mounts of one")
    options = parser.parse_args()
    if any(options.delay_ms) and "slowfs" not in os.environ.get("LD_PRELOAD", ""):
        return with_delays()
    folders = options.folder or [Path(tempfile.gettempdir())]
    kind, rows = file_system(folders[0]), []
    for delay_ms in options.delay_ms:
        bursts, lock = measure(folders, options, delay_ms)
        rows.append(row(kind, lock, delay_ms, bursts))
    print(f"{options.tasks:,} tasks; median of {options.repeat}; {machine()}")
    print(table(HEADER, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
