"""What the published study would cost, done in four ways, in one run.

    python -m benchmarks.simulate [--scale 1.0] [--noise 1.0] [--seed 1] [--folder /dev/shm]
    python -m benchmarks.simulate --big [--tasks 10000000] [--workers 10000]

Drives the real code of the pool on a real folder, with a clock that jumps: claims, bounds, cuts,
attempts, estimates and claims are those of the workers; only the running of tasks is pretended. The
user may hold as many cores at a time as 500 small jobs have; 4 GB of memory count as a core.

    one generous size   one job per task: 1 core, 32 GB, 30 h
    two sizes           one job per task: 1 core, 4 GB, 3 h; if it failed, 16 cores, 64 GB, 30 h
    plain pool          random tasks; small jobs until all were tried, then large ones; a person
                        looks every hour. Once without checkpoints, once with those of jobpool
    jobpool             the same two sizes, with bounds, estimates and cuts

Core-hours are those held: wasted ones were in attempts that did not end well, less what their
checkpoints kept, and in starting jobs. ``--scale 0.01`` takes seconds.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import machine, say, table
from benchmarks.simulate_big import measure_big
from benchmarks.simulate_cluster import GENEROUS, LARGE, SMALL, Bill
from benchmarks.simulate_policies import by_jobpool, by_loops, by_plain_pool
from benchmarks.simulate_study import Study, make_study

HEADER = (
    "way",
    "core-hours",
    "wasted",
    "failed",
    "idle",
    "waste, of jobpool's",
    "days",
    "jobs",
    "by hand",
    "attempts failed",
    "cut",
)


def ways(study: Study, units: int, folder: Path, seed: int) -> dict[str, Callable[[], Bill]]:
    """Return each way of doing the study by its name."""
    return {
        "one generous size": lambda: by_loops(study, units, (GENEROUS,)),
        "two sizes": lambda: by_loops(study, units, (SMALL, LARGE)),
        "plain pool": lambda: by_plain_pool(study, folder / "plain", units, keeps=False, seed=seed),
        "plain pool, checkpoints": lambda: by_plain_pool(
            study, folder / "keeping", units, keeps=True, seed=seed
        ),
        "jobpool": lambda: by_jobpool(study, folder / "ours", units, seed=seed),
    }


def simulate(scale: float, seed: int, folder: Path, noise: float = 1.0) -> dict[str, Bill]:
    """Return what each way costs."""
    study = make_study(scale, seed, noise)
    units = max(round(500 * scale), 32)
    say(f"{len(study.grid):,} tasks, {study.one_core_s / 3600:,.0f} core-hours on one core each")
    bills = {}
    for name, run in ways(study, units, folder, seed).items():
        before = time.perf_counter()
        bills[name] = run()
        say(f"{name}: simulated in {time.perf_counter() - before:.1f} s")
    return bills


def rows(bills: dict[str, Bill]) -> list[list[object]]:
    ours = bills["jobpool"]
    return [
        [
            name,
            f"{(bill.useful + bill.wasted) / 3600:,.0f}",
            f"{bill.wasted / 3600:,.0f}",
            f"{bill.failed / 3600:,.0f}",
            f"{bill.idle / 3600:,.0f}",
            f"{bill.wasted / ours.wasted:.2f}",
            f"{bill.ended_at / 86400:.2f}",
            f"{bill.n_jobs:,}",
            bill.by_hand,
            f"{bill.n_failed:,}",
            f"{bill.n_cut:,}",
        ]
        for name, bill in bills.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate ways to do a study.")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", type=float, default=1.0, help="times the usual, in the tasks")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--big", action="store_true", help="measure a pool of --tasks instead")
    parser.add_argument("--tasks", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=10_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="simulate-"))
    try:
        if options.big:
            header: tuple[str, ...] = ("piece", "CPU s", "most MB", "what")
            found = measure_big(folder, options.tasks, options.workers)
        else:
            header, found = (
                HEADER,
                rows(simulate(options.scale, options.seed, folder, options.noise)),
            )
    finally:
        shutil.rmtree(folder)
    print(machine())
    print(table(header, found))


if __name__ == "__main__":
    main()
