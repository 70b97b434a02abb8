"""Where a pool breaks first when it grows: each piece measured for real, in a process of its own.

python -m benchmarks.simulate --big [--tasks 10000000] [--workers 10000] [--folder /dev/shm]
"""

import math
import multiprocessing
import random
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.figures import say
from benchmarks.simulate_study import new_pool
from jobpool.disk.files import checked_line
from jobpool.execution.claiming import Puller
from jobpool.journal.jsonl import worker_file, worker_files, worker_name
from jobpool.journal.workers import own_worker_record
from jobpool.liveness.reaper import Reaper
from jobpool.needs.estimates import load_estimates, suitability
from jobpool.needs.learning import learn
from jobpool.pool import Ending, Pool
from jobpool.table.grid import Attribute, full_product
from jobpool.table.task_index import positions_of
from jobpool.task import Axis, Cause

N_ATTEMPTS = 100_000
PULL_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Small:
    """A job of one core and 4 GB for 3 hours."""

    cores: int = 1
    memory_mb: float = 4096.0
    seconds_left: float = 3 * 3600.0
    seconds_in_all: float = 3 * 3600.0


def make(folder: Path, n_tasks: int) -> str:
    """Make a pool of sizes, methods and targets."""
    sizes = tuple(range(7, 227))
    axes = (
        Axis(name="size", values=sizes),
        Axis(name="method", values=tuple(f"method{n}" for n in range(45))),
        Axis(name="target", values=tuple(f"t{n}" for n in range(max(n_tasks // 9900, 1)))),
    )
    grid = full_product(axes, (Attribute(name="parcels", axis="size", values=sizes),))
    pool = new_pool(folder, grid)
    state = sum(path.stat().st_size for path in (pool / "state").iterdir())
    tasks = (pool / "tasks.npz").stat().st_size
    return f"tasks.npz {tasks / 1e6:.0f} MB, states {state / 1e6:.0f} MB"


def begin(pool: Path) -> str:
    """Open the pool and claim, as a worker does first."""
    puller = Puller(Pool(pool, worker=1, durable=False), random.Random(1))
    assert puller.next().claim is not None
    return ""


def pull(pool: Path, worker: int = 2) -> str:
    """End one task and claim the next, for some seconds."""
    opened = Pool(pool, worker=worker, durable=False)
    puller = Puller(opened, random.Random(worker))
    claim = puller.next().claim
    before, cpu, n_claims = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - before < PULL_S and claim is not None:
        claim = puller.next(Ending(claim=claim, cause=Cause.DONE)).claim
        n_claims += 1
    return f"{n_claims / (time.process_time() - cpu):,.0f} claims per second of its CPU"


def write_attempts(pool: Path, n_workers: int) -> str:
    """Write attempts of all workers, as they lie on disk."""
    opened, rng = Pool(pool), np.random.default_rng(1)
    positions = rng.integers(0, len(opened.grid), (n_workers, -(-N_ATTEMPTS // n_workers)))
    for worker, mine in enumerate(positions.tolist()):
        # spread over the folders as random numbers are
        name = worker_name(random.Random(worker).getrandbits(48) | 1)
        lines = b"".join(
            checked_line(
                {
                    "format": 1,
                    "task": opened.grid.id(position),
                    "fence": 1,
                    "worker": name,
                    "cause": "done",
                    "started": 1.7e9,
                    "ended": 1.7e9 + math.exp(rng.normal(6, 1)),
                    "cores": 1,
                    "memory_mb": 4096,
                    "peak_memory_mb": math.exp(rng.normal(6, 0.5)),
                }
            )
            for position in mine
        )
        path = worker_file(pool, "attempts", name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(lines)
    return f"{n_workers:,} files"


def learn_all(pool: Path) -> str:
    """Learn for the first time."""
    learn(Pool(pool), 0.0)
    return f"needs.npz {(pool / 'needs.npz').stat().st_size / 1e6:.1f} MB"


def find(pool: Path) -> str:
    """Find one task by its id, which takes as long as to find many."""
    grid = Pool(pool).grid
    before = time.process_time()
    positions_of(grid, [grid.id(5)])
    return f"of which finding tasks by id: {time.process_time() - before:.1f} s"


def causes_reaped(pool: Path) -> str:
    """Load estimates, and restrict a worker to what fits."""
    opened = Pool(pool, worker=1, durable=False)
    puller = Puller(opened, random.Random(1))
    before = time.process_time()
    estimates = load_estimates(opened)
    assert estimates is not None
    loaded = time.process_time()
    puller.restrict(suitability(estimates, Small()))
    restricted = time.process_time()
    assert puller.next().claim is not None
    claimed = time.process_time() - restricted
    return (
        f"estimates {loaded - before:.2f} s, suitability {restricted - loaded:.2f} s, "
        f"claim {claimed * 1e3:.0f} ms"
    )


def count(pool: Path) -> str:
    """Count the states, as status does."""
    opened = Pool(pool)
    _ = opened.shards
    before = time.process_time()
    opened.counts()
    return f"of which counting: {time.process_time() - before:.2f} s"


def stat_all(pool: Path) -> str:
    """Ask for the size of each worker's file, as who learns or looks for the dead does."""
    return f"{sum(path.stat().st_size for path in worker_files(pool, 'attempts')) / 1e6:.0f} MB"


def claim_all(pool: Path, n_workers: int) -> str:
    """Let every worker write its record and claim a task."""
    opened, rng = Pool(pool, durable=False), random.Random(1)
    puller = Puller(opened, rng)
    for _ in range(n_workers):
        opened.worker = rng.getrandbits(48) | 1
        worker_record = own_worker_record(started=time.time(), cores=1)
        # as if on another host: this process will have ended
        replace(worker_record, space="another").write(pool, worker_name(opened.worker))
        assert puller.next().claim is not None
    return f"{n_workers:,} workers"


def look_for_dead(pool: Path) -> str:
    """Look at all running tasks and their workers, as each worker does after a task."""
    opened = Pool(pool, worker=1)
    reaper = Reaper(opened, own_worker_record(started=time.time(), cores=1))
    _ = opened.shards
    before = time.process_time()
    taken = reaper.reap(time.time())
    return f"of which looking: {time.process_time() - before:.2f} s; {len(taken)} taken back"


def measured(work: Callable[..., str], *arguments: object) -> tuple[str, float, float]:
    """Return what a piece says, its CPU seconds, and the most MB its process held."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(_measure, (work, arguments))


def _measure(work: Callable[..., str], arguments: tuple[object, ...]) -> tuple[str, float, float]:
    before = time.process_time()
    said = work(*arguments)
    seconds = time.process_time() - before
    return said, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_big(folder: Path, n_tasks: int, n_workers: int) -> list[list[object]]:
    """Return one row for each piece."""
    pool = folder / "big" / "pool"
    pieces: tuple[tuple[str, Callable[..., str], tuple[object, ...]], ...] = (
        ("make the pool", make, (folder / "big", n_tasks)),
        ("begin: open, first claim", begin, (pool,)),
        ("pull, one process", pull, (pool,)),
        ("count states", count, (pool,)),
        ("write attempts", write_attempts, (pool, n_workers)),
        ("stat all workers' files", stat_all, (pool,)),
        (f"learn {N_ATTEMPTS:,} attempts", learn_all, (pool,)),
        ("learn: find tasks", find, (pool,)),
        ("estimates of a worker", causes_reaped, (pool,)),
        ("claim for all workers", claim_all, (pool, n_workers)),
        ("look for the dead", look_for_dead, (pool,)),
    )
    rows: list[list[object]] = []
    for name, work, arguments in pieces:
        said, seconds, mb = measured(work, *arguments)
        say(f"{name}: {seconds:.2f} s, {mb:,.0f} MB {said}")
        rows.append([name, f"{seconds:.2f}", f"{mb:,.0f}", said])
    return rows
