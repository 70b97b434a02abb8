"""Create a pool.

It is built under another name and renamed when complete, so that an interrupted creation leaves no
half pool. In an empty folder, which may be a mount, or lie where this user may make no other, it is
built inside, and ``pool.json`` gets its place last: a folder without it is no pool.
"""

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from jobpool import __version__
from jobpool.disk.causes import storage_error
from jobpool.disk.files import replace_whole, sync_folder, temporary_beside
from jobpool.disk.locks import best_lock
from jobpool.errors import (
    AccessError,
    ConfigError,
    JobpoolError,
    Problem,
    RequestError,
    listing,
    quoted,
)
from jobpool.experiment.config import Experiment, section_digest
from jobpool.table.code_files import EXPERIMENT, OF_OWNER, OWNER_WRITES, TASKS, digest_of
from jobpool.table.grid import Grid, in_random_order, pack_grid
from jobpool.table.settings import GROUP, READING, PoolInfo, set_umask
from jobpool.table.shards import write_shards

FOLDERS = ("state", "workers", "attempts", "results", "logs", "cache", "checkpoints", "starts")


def create_pool(
    folder: Path,
    experiment: Experiment,
    grid: Grid,
    prepare: Callable[[Path], None],
    *,
    now: float,
) -> None:
    """Create the pool `folder`.

    Parameters
    ----------
    folder : Path
        Must not exist, or be an empty folder, or a link to such a place.
    experiment : Experiment
        Its file is copied into the pool.
    grid : Grid
        All tasks; they are stored in a random order that depends on the experiment's seed alone.
    prepare : callable
        Given the pool's folder before it gets its name: writes what all tasks share.
    now : float
        Seconds since the epoch.

    Raises
    ------
    RequestError
        If `folder` is taken.
    AccessError
        If it cannot be written.
    ConfigError
        If the experiment has no tasks.
    """
    if len(grid) == 0:
        problem = Problem(experiment.file, "axes", None, "no tasks; give every axis a value")
        raise ConfigError((problem,))
    free_to_make(folder)
    place = Path(os.path.realpath(folder))  # a link stays, and leads to the pool
    building = temporary_beside(place / "pool" if place.is_dir() else place)
    before = None
    try:
        building.parent.mkdir(parents=True, exist_ok=True)
        before = set_umask(experiment.workers.shared)
        building.mkdir(mode=0o700)  # nobody else's before it is complete
        _fill(building, experiment, grid, prepare, now)
        if building.parent == place:
            _move_up(building, place)
        else:
            building.replace(place)
        sync_folder(place.parent)
    except OSError as error:
        found = storage_error(error, folder)
        if isinstance(found, JobpoolError):
            raise found from error
        raise _obstacle(place, error) from error
    finally:
        if before is not None:
            os.umask(before)
        shutil.rmtree(building, ignore_errors=True)


def free_to_make(folder: Path) -> None:
    """Raise `RequestError` if the folder is taken."""
    if (folder / "pool.json").exists():
        pool = quoted(folder)
        what = f"is a pool already; run its tasks with: jobpool run {pool}; add tasks to it with: "
        raise RequestError(folder, f"{what}jobpool extend CONFIG {pool}; or choose another name")
    if folder.is_file():
        raise RequestError(folder, "is a file; name a folder to make")
    if folder.is_dir() and (inside := sorted(one.name for one in folder.iterdir())):
        what = f"is there already, and holds {listing(inside, most=3)}; choose another name"
        raise RequestError(folder, what)


def _move_up(building: Path, place: Path) -> None:
    """Give the files of a pool their places in its folder; only the last makes it a pool."""
    place.chmod(stat.S_IMODE(building.stat().st_mode))
    for path in sorted(building.iterdir(), key=lambda path: path.name == "pool.json"):
        path.rename(place / path.name)
    sync_folder(place)


def _obstacle(place: Path, error: OSError) -> AccessError:
    """Return what stands in the way of a pool: the folder where it cannot be made, or a file."""
    named = Path(os.fspath(error.filename or place))
    if not named.is_relative_to(place.parent) and os.path.lexists(named):
        return AccessError(named, error.strerror or str(error))
    above = next(path for path in (place, *place.parents) if os.path.lexists(path))
    return AccessError(above, f"{error.strerror}, so {place} cannot be made")


def _fill(
    building: Path,
    experiment: Experiment,
    grid: Grid,
    prepare: Callable[[Path], None],
    now: float,
) -> None:
    settings = experiment.workers
    grid = in_random_order(grid, np.random.default_rng(experiment.seed))
    for name in FOLDERS:
        (building / name).mkdir()
    write_shards(building, grid, first_number=0, first=0)
    tasks, text = pack_grid(grid), experiment.file.read_bytes()
    replace_whole(building / TASKS, tasks, OWNER_WRITES)
    replace_whole(building / EXPERIMENT, text, OWNER_WRITES)
    lock = best_lock(building) if settings.lock == "auto" else settings.lock
    info = PoolInfo(
        **{**asdict(settings), "lock": lock, "hung_after_s": settings.hung},
        name=experiment.name,
        runner=experiment.runner,
        folder=str(experiment.folder),
        created=now,
        version=__version__,
        reading=READING,
        experiment_sha256=(digest_of(text),),
        tasks_sha256=(digest_of(tasks),),
        section_sha256=section_digest(experiment),
        path=experiment.path,
        environment=experiment.environment,
    )
    info.write(building)
    prepare(building)
    if info.shared == GROUP:
        _share(building)


def _share(building: Path) -> None:
    """Let the group write, also in every folder that is created later."""
    for path in (*building.rglob("*"), building):  # the folder itself last: until then it is closed
        path.chmod(0o2770 if path.is_dir() else 0o640 if path.name in OF_OWNER else 0o660)
