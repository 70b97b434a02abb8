"""How long ``jobpool collect`` takes on the results of the published study.

    python -m benchmarks.collect [--tasks 148500] [--cut 0.02] [--pool POOL] [--repeat 1]

Makes a finished pool (or takes one), then runs whole processes, one after the other: each level
to each kind of file, and a bare Python that does nothing but read the lines of the results and
parse them with the standard library. The table gives wall time, processor time of all processes
together, the most memory of one process, and the wall time as a multiple of that of bare Python.
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

_READ = """
import json, pathlib, sys
for file in sorted(pathlib.Path(sys.argv[1], "results").glob("??/*.jsonl")):
    for line in file.open("rb"):
        json.loads(line)
"""
Figures = tuple[float, float, float]  # wall s, cpu s, memory MB


def run(command: Sequence[str]) -> Figures:
    """Run one command to its end, and return what it took."""
    before = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = process.stderr.read().decode() if process.stderr else ""
        raise RuntimeError(f"{command} ended with {process.returncode}: {message}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def ways(pool: Path, folder: Path) -> dict[str, list[str]]:
    """Return the commands that are compared, by what they do."""
    collect = [sys.executable, "-m", "jobpool", "collect", str(pool)]
    found = {"json.loads of each line": [sys.executable, "-c", _READ, str(pool)]}
    for name, words in {
        "by task": [],
        "by fold": ["--by", "fold"],
        "by fold, long": ["--by", "fold", "--long"],
        "attempts": ["--attempts"],
    }.items():
        for suffix in ("parquet", "csv"):
            file = folder / f"table.{suffix}"
            found[f"{name}, {suffix}"] = [*collect, *words, "-o", str(file)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure jobpool collect.")
    parser.add_argument("--tasks", type=int, default=148_500)
    parser.add_argument("--cut", type=float, default=0.0, help="share of tasks split into folds")
    parser.add_argument("--pool", type=Path, help="a pool that is there")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pool = options.pool or place / "study" / "pool"
        if options.pool is None:
            say(f"making a finished pool of {options.tasks:,} tasks")
            make = [sys.executable, "-m", "benchmarks.finished", str(place / "study")]
            size = ["--tasks", str(options.tasks), "--cut", str(options.cut)]
            subprocess.run([*make, *size], check=True, stdout=sys.stderr)
        found: dict[str, list[Figures]] = {}
        sizes: dict[str, int] = {}
        commands = ways(pool, place)
        for turn in range(options.repeat):
            for name, command in commands.items():
                say(f"{turn + 1}: {name}")
                found.setdefault(name, []).append(run(command))
                if "-o" in command:
                    sizes[name] = Path(command[-1]).stat().st_size
        n_bytes = sum(one.stat().st_size for one in (pool / "results").glob("??/*.jsonl"))
    print(f"{n_bytes / 1e6:.0f} MB of results; medians of {options.repeat} runs; {machine()}")
    print(table(("what", "wall s", "cpu s", "memory MB", "times", "file MB"), _rows(found, sizes)))
    return 0


def _rows(
    found: dict[str, list[Figures]], sizes: dict[str, int]
) -> list[tuple[str, str, str, str, str, str]]:
    rows = []
    bare = 0.0
    for name, figures in found.items():
        wall, cpu, memory = (statistics.median(column) for column in zip(*figures, strict=True))
        bare = bare or wall
        size = f"{sizes[name] / 1e6:.0f}" if name in sizes else "-"
        rows.append(
            (name, f"{wall:.1f}", f"{cpu:.1f}", f"{memory:.0f}", f"{wall / bare:.1f}", size)
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
