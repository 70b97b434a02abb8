"""How long a person waits for an answer about a pool of the published study with its results.

    python -m benchmarks.questions [--tasks 148500] [--cut 0.02] [--pool POOL] [--repeat 3]

Makes a finished pool (or takes one), then runs whole processes: questions about one task, about all
failures, and about all that happened; and, to compare, a bare Python that reads every line of the
attempts with the standard library. The table gives wall time, processor time, and the processor
time as a multiple of that of bare Python.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import machine, say, table
from jobpool.pool import Pool

_READ = """
import json, pathlib, sys
for file in sorted(pathlib.Path(sys.argv[1], "attempts").glob("??/*.jsonl")):
    for line in file.open("rb"):
        json.loads(line)
"""
Figures = tuple[float, float]  # wall s, cpu s


def run(command: Sequence[str]) -> Figures:
    """Run one command to its end, and return what it took."""
    before = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime


def questions(pool: Path) -> dict[str, list[str]]:
    """Return the commands that are compared, by what they answer."""
    opened = Pool(pool)
    task = opened.grid.id(int(opened.offered().nonzero()[0][0]))
    words = {
        "log --task": ["log", str(pool), "--task", task],
        "why": ["why", str(pool), task],
        "errors": ["errors", str(pool)],
        "status": ["status", str(pool)],
        "log": ["log", str(pool)],
    }
    found = {"json.loads of each attempt": [sys.executable, "-c", _READ, str(pool)]}
    return found | {k: [sys.executable, "-m", "jobpool", *some] for k, some in words.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure questions about a finished pool.")
    parser.add_argument("--tasks", type=int, default=148_500)
    parser.add_argument("--cut", type=float, default=0.02, help="share of tasks split into folds")
    parser.add_argument("--pool", type=Path, help="a pool that is there")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pool = options.pool or Path(folder) / "study" / "pool"
        if options.pool is None:
            say(f"making a finished pool of {options.tasks:,} tasks")
            make = [sys.executable, "-m", "benchmarks.finished", str(pool.parent)]
            size = ["--tasks", str(options.tasks), "--cut", str(options.cut)]
            subprocess.run([*make, *size], check=True, stdout=sys.stderr)
        found: dict[str, list[Figures]] = {}
        for turn in range(options.repeat):
            for name, command in questions(pool).items():
                say(f"{turn + 1}: {name}")
                found.setdefault(name, []).append(run(command))
    print(f"medians of {options.repeat} runs; {machine()}")
    print(table(("question", "wall s", "cpu s", "times bare Python"), _rows(found)))
    return 0


def _rows(found: dict[str, list[Figures]]) -> list[tuple[str, str, str, str]]:
    rows = []
    bare = 0.0
    for name, figures in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
        bare = bare or cpu
        rows.append((name, f"{wall:.2f}", f"{cpu:.2f}", f"{cpu / bare:.2f}"))
    return rows


if __name__ == "__main__":
    sys.exit(main())
