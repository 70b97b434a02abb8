"""Pools to measure on, of the size of the published study."""

import random
import sys
import time
from pathlib import Path

from jobpool.admin.create import create_pool
from jobpool.experiment.config import Experiment
from jobpool.pool import Pool
from jobpool.table.grid import full_product
from jobpool.table.records import Record
from jobpool.table.settings import WorkerSettings
from jobpool.table.shards import new_shard
from jobpool.task import Axis, Cause, TaskState

N_PARCELLATIONS, N_PIPELINES = 220, 3  # times 225 targets: 148,500 tasks


def study_axes(n_tasks: int) -> tuple[Axis, ...]:
    """Return three axes whose product has about `n_tasks` tasks."""
    n_targets = max(1, round(n_tasks / (N_PARCELLATIONS * N_PIPELINES)))
    return (
        Axis(name="parcellation", values=tuple(f"schaefer_{i}" for i in range(N_PARCELLATIONS))),
        Axis(name="pipeline", values=("elastic", "svm", "lgbm")),
        Axis(name="target", values=tuple(f"score_{i}" for i in range(n_targets))),
    )


def make_pool(folder: Path, axes: tuple[Axis, ...], call: str, lock: str = "auto") -> Path:
    """Make a pool for the function runner beside its experiment file, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "experiment.yaml"
    # the axes are in the pool; the file needs only one to be whole
    file.write_text(
        f"name: benchmark\nrunner: function\nfunction:\n  call: {call}\n"
        f"axes:\n  {axes[0].name}: [{axes[0].values[0]}]\n",
        encoding="utf-8",
    )
    experiment = Experiment(
        name="benchmark",
        file=file,
        folder=folder,
        runner="function",
        seed=1,
        axes=axes,
        section={"call": call},
        passes=(),
        workers=WorkerSettings(lock=lock),
    )
    create_pool(folder / "pool", experiment, full_product(axes), lambda _: None, now=time.time())
    return folder / "pool"


def finish_half(pool: Path) -> None:
    """Mark a random half of the tasks as done, as if workers had done them."""
    rng, done = random.Random(1), Record(TaskState.DONE, 0, Cause.DONE, 1, 1, 1)
    for shard in Pool(pool).shards:
        records = [rng.choice((done, Record())) for _ in range(shard.size)]
        shard.path.write_bytes(new_shard(shard.first, records))


if __name__ == "__main__":  # python -m benchmarks.pools FOLDER TASKS: a half-done pool
    folder, n_tasks = Path(sys.argv[1]), int(sys.argv[2])
    finish_half(make_pool(folder, study_axes(n_tasks), "benchmarks.naps:nothing"))
