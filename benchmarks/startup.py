"""How long commands take from start to end: ``jobpool --help`` and ``jobpool status``.

    python -m benchmarks.startup [--tasks 148500 1000000] [--repeat 9]

Whole processes, run in turns; the table gives medians of wall and processor time, and the most
memory. A bare Python and one that imports NumPy stand beside them. This program itself loads
nothing and lays out the pools in another process: Linux counts the memory of the process that
starts a command as the command's own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import machine, say, table

Figures = tuple[float, float, float]  # wall s, cpu s, memory MB


def run(command: Sequence[str], environment: Mapping[str, str]) -> Figures:
    """Run one command to its end, and return what it took."""
    before = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = process.stderr.read().decode() if process.stderr else ""
        raise RuntimeError(f"{command} ended with {process.returncode}: {message}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how long commands take.")
    parser.add_argument("--tasks", type=int, nargs="*", default=[148_500, 1_000_000])
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    jobpool = [str(Path(sys.executable).with_name("jobpool"))]
    if not Path(jobpool[0]).exists():
        jobpool = [sys.executable, "-m", "jobpool"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
        "jobpool --help": [*jobpool, "--help"],
    }
    with tempfile.TemporaryDirectory() as folder:
        for n_tasks in options.tasks:
            say(f"laying out {n_tasks:,} tasks")
            place = Path(folder, str(n_tasks))
            lay_out = [sys.executable, "-m", "benchmarks.pools", str(place), str(n_tasks)]
            subprocess.run(lay_out, check=True, timeout=600)
            commands[f"jobpool status, {n_tasks:,} tasks"] = [
                *jobpool,
                "status",
                str(place / "pool"),
            ]
        # as installed: modules are compiled once, whatever this process's own settings say
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(Path(folder, "compiled"))}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        found: dict[str, list[Figures]] = {name: [] for name in commands}
        for turn in range(options.repeat + 1):
            for name, command in commands.items():
                figures = run(command, environment)
                if turn:  # the first one compiles
                    found[name].append(figures)
    rows = []
    for name, figures in found.items():
        wall, cpu, memory = (statistics.median(column) for column in zip(*figures, strict=True))
        quickest = min(figure[0] for figure in figures)
        rows.append([name, f"{wall:.3f}", f"{quickest:.3f}", f"{cpu:.3f}", f"{memory:.0f}"])
    print(f"medians of {options.repeat} runs; {machine()}")
    print(table(("command", "wall s", "quickest s", "cpu s", "memory MB"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
