"""Real pools on disk, made in one line."""

import time
from pathlib import Path

from jobpool.admin.create import create_pool
from jobpool.experiment.config import Experiment
from jobpool.pool import Pool
from jobpool.table.grid import full_product
from jobpool.table.settings import WorkerSettings
from jobpool.task import Axis

NOOP = "runner: function\nseed: 1\nfunction:\n  call: tests.support.tasks:nothing\n"


def an_experiment(
    folder: Path,
    *axes: Axis,
    text: str = NOOP,
    call: str = "tests.support.tasks:nothing",
    settings: WorkerSettings | None = None,
) -> Experiment:
    """Return an experiment for the function runner, its file in `folder`."""
    file = folder / "experiment.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("tests.support.tasks:nothing", call), encoding="utf-8")
    return Experiment(
        name="test",
        file=file,
        folder=folder,
        runner="function",
        seed=1,
        axes=axes or (Axis(name="number", values=tuple(range(10))),),
        section={"call": call},
        passes=(),
        workers=settings or WorkerSettings(),
    )


def a_pool(
    folder: Path,
    n_tasks: int = 10,
    *,
    call: str = "tests.support.tasks:nothing",
    settings: WorkerSettings | None = None,
    lock: str = "auto",
) -> Path:
    """Make a pool with one axis, ``number``, and return its folder."""
    settings = settings or WorkerSettings(lock=lock)
    axis = Axis(name="number", values=tuple(range(n_tasks)))
    experiment = an_experiment(folder / "study", axis, call=call, settings=settings)
    pool = folder / "pool"
    create_pool(pool, experiment, full_product([axis]), lambda _: None, now=time.time())
    return pool


def shard_files(pool: Path) -> list[Path]:
    """Return the state files of a pool."""
    return [shard.path for shard in Pool(pool).shards]
