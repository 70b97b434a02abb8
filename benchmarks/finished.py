"""A pool of the published study with its results, as workers leave it behind.

    python -m benchmarks.finished FOLDER [--tasks 148500] [--cut 0.1]

220 parcellations, 3 pipelines and as many targets as make up the tasks, each result of 5 folds,
in the files of 500 workers, with one attempt for each and some that failed before.
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pools import N_PARCELLATIONS, study_axes
from jobpool.admin.create import create_pool
from jobpool.disk.files import checked_line
from jobpool.experiment.config import Experiment
from jobpool.journal.jsonl import worker_file, worker_name
from jobpool.pool import Pool
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.table.records import Record
from jobpool.table.settings import WorkerSettings
from jobpool.table.shards import new_shard
from jobpool.task import ALL, Axis, Cause, TaskState

N_WORKERS, N_FOLDS = 500, 5
BEGAN = 1_790_000_000.0
_SECTION = {"maps": "maps.npy", "participants": "table.csv", "id": "id", "group": "family"}
_SIZES = [round(10 * 1.0296**i) for i in range(N_PARCELLATIONS)]  # 10 to 6,000 parcels
_VERSIONS = {
    "jobpool": "0.1.0",
    "python": "3.11.7",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "scikit-learn": "1.9.1",
    "joblib": "1.6.0",
    "lightgbm": "4.7.0",
    "optuna": "5.0.0",
}


def lay_out(folder: Path, n_tasks: int, share_cut: float) -> Path:
    """Make the pool, as the runner ``evaluate`` lays it out, and return its folder."""
    axes = study_axes(n_tasks)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "experiment.yaml"
    lines = [f"  {key}: {value}\n" for key, value in _SECTION.items()]
    lines += ["axes:\n", *(f"  {axis.name}: [{axis.values[0]}]\n" for axis in axes)]
    file.write_text("name: study\nrunner: evaluate\nseed: 1\nevaluate:\n" + "".join(lines))
    experiment = Experiment(
        name="study",
        file=file,
        folder=folder,
        runner="evaluate",
        seed=1,
        axes=axes,
        section=_SECTION,
        passes=(),
        workers=WorkerSettings(),
    )
    create_pool(folder / "pool", experiment, _grid(axes, share_cut), lambda _: None, now=BEGAN)
    return folder / "pool"


def _grid(axes: tuple[Axis, ...], share_cut: float) -> Grid:
    kinds = tuple("random" if i % 2 else "hard" for i in range(N_PARCELLATIONS))
    targets = tuple("binary" if i % 3 == 0 else "regression" for i in range(len(axes[2].values)))
    attributes = [
        Attribute(name="parcels", axis="parcellation", values=tuple(_SIZES)),
        Attribute(name="parcellation_kind", axis="parcellation", values=kinds),
        Attribute(name="parcellation_type", axis="parcellation", values=kinds),
        Attribute(name="target_kind", axis="target", values=targets),
    ]
    grid = full_product(axes, attributes)
    cut = grid.column("parcellation") >= N_PARCELLATIONS * (1 - share_cut)
    return split_parts(grid, Axis(name="fold", values=(ALL, *range(N_FOLDS))), cut)


def finish(folder: Path, share_failed: float = 0.05) -> int:
    """Write a result for every task that is offered, and return the number of results."""
    rng, pool = random.Random(1), Pool(folder, durable=False)
    lines: dict[Path, list[bytes]] = defaultdict(list)
    dormant = pool.grid.parts.is_dormant
    now_s = dict.fromkeys(range(1, N_WORKERS + 1), BEGAN)
    for shard in pool.shards:
        records = []
        for position in range(shard.first, shard.first + shard.size):
            if dormant[position]:
                records.append(Record(TaskState.SUPERSEDED))
                continue
            worker, failed = rng.randint(1, N_WORKERS), rng.random() < share_failed
            records.append(Record(TaskState.DONE, int(failed), Cause.DONE, 1 + failed, worker))
            for kind, line in _written(pool.grid, position, rng, now_s, (worker, failed)):
                lines[worker_file(folder, kind, worker_name(worker))].append(checked_line(line))
        shard.path.write_bytes(new_shard(shard.first, records))
        for path, some in lines.items():
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as stream:
                stream.writelines(some)
        lines.clear()
    return int(np.count_nonzero(~dormant))


def _written(
    grid: Grid, position: int, rng: random.Random, now_s: dict[int, float], who: tuple[int, bool]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines that a task leaves behind: attempts, and its result."""
    (worker, failed), point = who, dict(grid.point(position))
    folds = range(N_FOLDS) if point["fold"] == ALL else [int(point["fold"])]
    size = _SIZES[int(str(point["parcellation"]).rpartition("_")[2])]
    task = grid.id(position)
    for fence in range(1, 2 + failed):
        started = now_s[worker]
        ended = now_s[worker] = started + round(rng.uniform(0.5, 1.5) * size, 3) * len(folds)
        cause = "error" if fence == 1 and failed else "done"
        times = {"started": round(started, 3), "ended": round(ended, 3)}
        yield (
            "attempts",
            {
                "format": 1,
                "task": task,
                "fence": fence,
                "worker": worker_name(worker),
                "cause": cause,
                **times,
                "cores": 1,
                "memory_mb": 4096,
                "cpu_s": round(ended - started, 3),
                "peak_memory_mb": round(200 + size * rng.uniform(0.3, 0.5), 3),
                "read_mb": 3.072,
                "written_mb": 0.451,
                **({"error": "ValueError: no luck"} if cause == "error" else {}),
                "node": f"node{worker % 40}",
                "job": f"81{worker % 7}_{worker}",
            },
        )
    yield (
        "results",
        {
            "format": 1,
            "task": task,
            "fence": 1 + failed,
            "axes": point,
            **times,
            "result": _result(point, folds, size, rng),
        },
    )


def _result(point: dict[str, Any], folds: Any, size: int, rng: random.Random) -> dict[str, Any]:
    binary = int(point["target"].rpartition("_")[2]) % 3 == 0
    names = ["r2", "mae", "rmse", "pearson", "spearman"]
    if binary:
        names = ["roc_auc", "average_precision", "balanced_accuracy", "matthews"]
    return {
        "kind": "binary" if binary else "regression",
        "classes": ["0", "1"] if binary else [],
        "folds": [_fold(number, point["pipeline"], names, rng) for number in folds],
        "n_candidates": 60,
        "search": "random",
        "seed": 1,
        "splits": "21687b1be8e3",
        "roi_values": f"{size:012x}",
        "participants": {"in_table": 9432, "used": 9100, "dropped": {"no target": 332}},
        "n_parcels": size,
        "n_empty_parcels": 0,
        "n_non_finite": 0,
        "n_features": 4 * size,
        "versions": _VERSIONS,
        "seconds": {"values": 0.44, "total": round(rng.uniform(0.5, 1.5) * size, 3)},
    }


def _fold(number: int, pipeline: str, names: list[str], rng: random.Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {"alpha": 10 ** rng.uniform(-5, 5), "l1_ratio": rng.random()}
    if pipeline == "svm":
        chosen = {"C": 10 ** rng.uniform(-4, 4), "gamma": rng.random(), "percentile": rng.random()}
    if pipeline == "lgbm":
        chosen = {
            "boosting": rng.choice(["gbdt", "dart", "goss"]),
            "n_estimators": rng.randint(3, 500),
            "num_leaves": rng.randint(6, 80),
            "min_child_samples": rng.randint(10, 500),
            "min_child_weight": 10 ** rng.uniform(-5, 4),
            "subsample": rng.random(),
            "colsample_bytree": rng.random(),
            "reg_alpha": rng.choice([0, rng.random()]),
            "reg_lambda": rng.choice([0, rng.random()]),
        }
    return {
        "fold": number,
        "scores": {name: rng.random() for name in names},
        "search_score": {names[0]: rng.random()},
        "chosen": chosen,
        "candidate": rng.randrange(60),
        "n_train": 7280,
        "n_test": 1820,
        "n_unconverged": rng.randrange(3),
        "converged": True,
        "seconds": round(rng.uniform(1, 100), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a finished pool.")
    parser.add_argument("folder", type=Path, help="where; the pool is FOLDER/pool")
    parser.add_argument("--tasks", type=int, default=148_500)
    parser.add_argument("--cut", type=float, default=0.0, help="share of tasks split into folds")
    options = parser.parse_args()
    before = time.perf_counter()
    n_results = finish(lay_out(options.folder, options.tasks, options.cut))
    print(f"{n_results:,} results in {time.perf_counter() - before:.0f} s")


if __name__ == "__main__":
    main()
