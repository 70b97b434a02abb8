"""What the fit cache takes on disk, and what it saves.

    python -m benchmarks.fits size [--members 20] [--folder DIR]
    python -m benchmarks.fits run [--workers 1 8] [--participants 200]

``size`` writes one bucket as the published plan has it: predictions for 9,432 participants, 5
outer and 3 inner folds, 178 members, 4 fits each; a regression and a binary target. It says how
large that is, how long it takes to open it when nothing of it is in memory, and to read what an
ensemble of 10 members needs, and what that makes for the plan: 45 pipelines, 3 targets, 5 folds.

``run`` runs a small strategies study on generated maps by ``jobpool init`` and ``jobpool run``,
with and without shared fits, and counts the fits that were made from the results on disk.
"""

import argparse
import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.figures import machine, say, table
from jobpool.brain.arrays import Array
from jobpool.cache.fits.cache import Bucket, FitCache
from jobpool.journal.results import all_results

PARTICIPANTS, OUTER, INNER, MEMBERS, PER_ENSEMBLE = 9432, 5, 3, 178, 10
BUCKETS = {"regression": 45 * 2 * OUTER, "binary": 45 * OUTER}  # two targets, and one
NAME = json.dumps(["elastic", "age", 0])
STRATEGIES = ("voted", "stacked", "grid")
COUNTS = (2, 3, 4)


def main() -> int:
    """Measure what the arguments name, and print tables."""
    parser = argparse.ArgumentParser(description="Measure the fit cache.")
    parts = parser.add_subparsers(dest="part", required=True)
    size = parts.add_parser("size", help="one bucket of the published plan on disk")
    size.add_argument("--members", type=int, default=MEMBERS)
    size.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    run = parts.add_parser("run", help="a small study with and without shared fits")
    run.add_argument("--workers", type=int, nargs="+", default=[1, 8])
    run.add_argument("--participants", type=int, default=200)
    run.add_argument("--candidates", type=int, default=10)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=getattr(given, "folder", None)) as folder:
        if given.part == "size":
            measure_size(Path(folder), given.members)
        else:
            measure_runs(Path(folder), given.workers, given.participants, given.candidates)
    return 0


def measure_size(folder: Path, n_members: int) -> None:
    """Write a bucket of each kind, read it, and print what that takes."""
    rows, total = [], 0.0
    for kind, n_buckets in BUCKETS.items():
        say(f"{kind}: {4 * n_members} fits")
        put_ms = write_bucket(folder / kind, kind, n_members)
        path = bucket_in(folder / kind).path
        size = path.stat().st_size
        cold_s, read_s, again_s = read_bucket(folder / kind, n_members)
        per_plan = size / n_members * MEMBERS * n_buckets
        total += per_plan
        raw = _raw_bytes(kind) * n_members
        rows.append(
            [
                *(kind, 4 * n_members, f"{size / 1e6:.1f}", f"{size / raw:.2f}", f"{put_ms:.1f}"),
                *(f"{cold_s * 1e3:.0f}", f"{read_s * 1e3:.0f}", f"{again_s * 1e3:.2f}"),
                *(n_buckets, f"{per_plan / 1e9:.1f}"),
            ]
        )
    columns = ["one bucket", "fits", "MB", "of plain", "put ms", "open ms", "ensemble ms"]
    print(table([*columns, "look ms", "files in plan", "GB in plan"], rows))
    print(f"the plan: {sum(BUCKETS.values())} files, {total / 1e9:.1f} GB")


def bucket_in(folder: Path) -> Bucket:
    """Return the bucket as a process that has just started sees it."""
    return FitCache(folder / "cache", "flock").bucket(NAME)


def key_of(member: int, fit: int) -> str:
    """Return a key as fits have them."""
    return hashlib.sha256(f"{member} {fit}".encode()).hexdigest()


def write_bucket(folder: Path, kind: str, n_members: int) -> float:
    """Put all fits of a bucket; return the median of ms that one takes."""
    rng = np.random.default_rng(0)
    outer = rng.integers(OUTER, size=PARTICIPANTS)
    inner = rng.integers(INNER, size=PARTICIPANTS)
    tested = [outer == 0, *((outer != 0) & (inner == one) for one in range(INNER))]
    bucket = bucket_in(folder)
    seconds = []
    for member, fit in itertools.product(range(n_members), range(len(tested))):
        arrays = predictions(kind, np.flatnonzero(tested[fit]).astype(np.int32), rng)
        begun = time.perf_counter()
        bucket.put(key_of(member, fit), arrays, ABOUT)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds) * 1e3


ABOUT: dict[str, Any] = {
    "chosen": {"alpha": 0.123456789012345, "l1_ratio": 0.0123456789012345},
    "candidate": 17,
    "search_score": 0.123456789012345,
    "n_train": 5030,
    "n_unconverged": 0,
    "converged": True,
    "seconds": 123.456,
}


def predictions(kind: str, rows: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Return what a fit gives: an age, or log-odds and what follows from them."""
    if kind == "regression":
        years = 29 + 2 * rng.normal(size=len(rows))
        return {"rows": rows, "predicted": years, "decision": years}
    decision = rng.normal(size=len(rows))
    return {
        "rows": rows,
        "predicted": (decision > 0).astype(np.float64),
        "decision": decision,
        "probability": 1 / (1 + np.exp(-decision)),
    }


def _raw_bytes(kind: str) -> float:
    """Return what the arrays of a member take in memory."""
    n_tested = PARTICIPANTS / OUTER + PARTICIPANTS * (OUTER - 1) / OUTER
    return n_tested * (4 + 8 * (3 if kind == "binary" else 2))


def read_bucket(folder: Path, n_members: int) -> tuple[float, float, float]:
    """Return seconds to open a bucket that is not in memory, to read an ensemble, to look again."""
    bucket = bucket_in(folder)
    with bucket.path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    cold_s = _timed(bucket.keys)
    step = max(1, n_members // PER_ENSEMBLE)
    chosen = range(0, n_members, step)[:PER_ENSEMBLE]
    wanted = [key_of(member, fit) for member in chosen for fit in range(1 + INNER)]
    read_s = _timed(lambda: [bucket.get(key) for key in wanted])
    return cold_s, read_s, statistics.median(_timed(bucket.keys) for _ in range(20))


def _timed(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


def measure_runs(folder: Path, workers: Sequence[int], n: int, n_candidates: int) -> None:
    """Run the same study in each way, and print fits and seconds."""
    write_study(folder, n)
    rows = []
    for n_workers, share in itertools.product(workers, (True, False)):
        say(f"{n_workers} workers, fits {'shared' if share else 'not shared'}")
        pool = folder / f"pool-{n_workers}-{share}"
        config = write_config(folder, share=share, n_candidates=n_candidates)
        _jobpool("init", config, pool)
        wall_s = _timed(partial(_jobpool, "run", pool, "--workers", n_workers))
        fits = [one.result["fits"] for one in all_results(pool) if "fits" in one.result]
        rows.append(
            [
                *(n_workers, "yes" if share else "no", len(fits)),
                *(sum(one[what] for one in fits) for what in ("made", "reused")),
                *(f"{sum(one['waited_s'] for one in fits):.1f}", f"{wall_s:.1f}"),
            ]
        )
    n_members, n_folds = max(COUNTS), 2 * OUTER
    alone = sum(n + 4 * n + 3 * n + 1 for n in COUNTS)
    print(table(["workers", "shared", "tasks", "made", "reused", "waited s", "wall s"], rows))
    print(f"by count: {4 * n_members * n_folds} shared, {alone * n_folds} one by one")


def write_study(folder: Path, n: int, n_vertices: int = 2000) -> None:
    """Write generated maps, a table, and the parcellations of a set."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(n, n_vertices, 2))
    np.save(folder / "maps.npy", maps)
    for member in range(max(COUNTS)):
        np.save(folder / f"member{member}.npy", rng.integers(1, 21, size=n_vertices))
    age = 50 + maps[:, :100, 0].sum(axis=1) + rng.normal(size=n)
    lines = [
        f"{one:04},family-{one // 3:03},{age[one]},{'mf'[int(age[one] > 50)]}" for one in range(n)
    ]
    (folder / "table.csv").write_text("\n".join(["id,family,age,sex", *lines]) + "\n")


def write_config(folder: Path, *, share: bool, n_candidates: int) -> Path:
    """Write the experiment file: every strategy over nested sets, for two targets."""
    members = {"name": "some", "glob": "member*.npy", "counts": list(COUNTS)}
    config = {
        "runner": "evaluate",
        "seed": 4,
        "axes": {
            "parcellation": [{"strategies": list(STRATEGIES), "sets": [members]}],
            "pipeline": ["elastic"],
            "target": ["age", "sex"],
        },
        "evaluate": {
            "maps": "maps.npy",
            "participants": "table.csv",
            "id": "id",
            "group": "family",
            "candidates": n_candidates,
            "fits": "shared" if share else "own",
        },
    }
    path = folder / f"study-{share}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _jobpool(*words: object) -> None:
    command = [sys.executable, "-m", "jobpool", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"jobpool {words[0]} failed:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
