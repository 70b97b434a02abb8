"""Make a pool, and extend it: the only two times its grid is written.

A pool is made under another name beside its place and renamed when it is whole, so that a making
cut short leaves no half pool. An extension writes the states of the new tasks first and the grid
last: until then the new tasks do not exist.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool import __version__
from jobpool.errors import ConfigError, JobpoolError, PoolError, Problem, listing
from jobpool.experiment import Experiment
from jobpool.files import replace_whole, storage_error, sync_folder, temporary_beside
from jobpool.grid import Attribute, Grid, read_grid, smallest_codes, write_grid
from jobpool.lock import LOCKS, best_lock
from jobpool.pool import Pool, PoolInfo
from jobpool.state import Record, new_shard
from jobpool.task import Axis, Value, label

TASKS_PER_SHARD = 4096  # an index of one page: small enough to read and check at every visit
MOST_SHARDS = 256


def create_pool(
    folder: Path,
    experiment: Experiment,
    grid: Grid,
    prepare: Callable[[Path], None],
    *,
    now: float,
) -> None:
    """Make the pool `folder`.

    Parameters
    ----------
    folder : Path
        Must not exist, or be an empty folder.
    experiment : Experiment
        Its file is copied into the pool.
    grid : Grid
        All tasks; they are stored in a random order that depends on the experiment's seed alone.
    prepare : callable
        Given the pool's folder before anyone else sees it: writes what all tasks share.
    now : float
        Seconds since the epoch.

    Raises
    ------
    PoolError
        If `folder` is taken or cannot be written.
    ConfigError
        If the experiment has no tasks.
    """
    if len(grid) == 0:
        problem = Problem(experiment.file, "axes", None, "no tasks; give every axis a value")
        raise ConfigError((problem,))
    free_to_make(folder)
    building = temporary_beside(folder.absolute())
    try:
        building.mkdir(parents=True)
        _fill(building, experiment, grid, prepare, now)
        building.replace(folder)
        sync_folder(folder.absolute().parent)
    except OSError as error:
        found = storage_error(error, folder)
        if isinstance(found, JobpoolError):
            raise found from error
        raise PoolError(folder, f"cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def free_to_make(folder: Path) -> None:
    """Raise `PoolError` if there is something in the way of a new pool."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is there already; choose another name, or add to it with: jobpool extend"
        raise PoolError(folder, what)


def _fill(
    building: Path,
    experiment: Experiment,
    grid: Grid,
    prepare: Callable[[Path], None],
    now: float,
) -> None:
    order = np.random.default_rng(experiment.seed).permutation(len(grid))
    grid = replace(grid.take(order), shard_sizes=shard_sizes(len(grid)))
    for name in ("state", "workers", "attempts", "results", "logs", "cache", "checkpoints"):
        (building / name).mkdir()
    _write_shards(building, grid.shard_sizes, first_number=0, first=0)
    write_grid(building / "tasks.npz", grid)
    replace_whole(building / "experiment.yaml", experiment.file.read_bytes())
    settings = experiment.workers
    PoolInfo(
        name=experiment.name,
        runner=experiment.runner,
        folder=str(experiment.folder),
        lock=best_lock(building) if settings.lock == "auto" else settings.lock,
        created=now,
        version=__version__,
        heartbeat_s=settings.heartbeat_s,
        lost_after_s=settings.lost_after_s,
        grace_s=settings.grace_s,
    ).write(building)
    prepare(building)


def shard_sizes(n_tasks: int) -> tuple[int, ...]:
    """Return how many tasks each state file gets.

    Examples
    --------
    >>> shard_sizes(5), shard_sizes(10_000)
    ((5,), (3334, 3333, 3333))
    """
    n_shards = min(MOST_SHARDS, -(-n_tasks // TASKS_PER_SHARD))
    return tuple(len(part) for part in np.array_split(np.empty(n_tasks, bool), n_shards))


def _write_shards(pool: Path, sizes: tuple[int, ...], first_number: int, first: int) -> None:
    for number, size in enumerate(sizes, start=first_number):
        content = new_shard(first, [Record()] * size)
        replace_whole(pool / "state" / f"{number:02d}", content)
        first += size


def extend_pool(
    pool: Pool,
    experiment: Experiment,
    grid: Grid,
    prepare: Callable[[Path], None],
    *,
    dry_run: bool = False,
    moved: bool = False,
) -> int:
    """Add to the pool the tasks of `grid` that it does not have, and change nothing else.

    Parameters
    ----------
    pool : Pool
        The pool.
    experiment : Experiment
        The changed experiment; its file replaces the pool's copy.
    grid : Grid
        All tasks of the changed experiment.
    prepare : callable
        Given the pool's folder: writes what all tasks share, or refuses if that would change.
    dry_run : bool
        Check and count only.
    moved : bool
        The study's folder lies elsewhere now: take over where its files are.

    Returns
    -------
    int
        How many tasks are new.

    Raises
    ------
    ConfigError
        If the changed experiment contradicts what is in the pool; nothing is changed.
    """
    with LOCKS[pool.info.lock](pool.folder / "pool.json", False):
        old = read_grid(pool.folder / "tasks.npz")
        _check_settings(pool.experiment(), experiment, moved)
        merged = merge_grids(old, grid, experiment.file)
        if moved:
            merged = replace(merged, axes=_with_sources(merged.axes, grid.axes))
        gone = np.flatnonzero(~_is_in(old, merged, merged.axes))
        if len(gone):
            tasks = listing((label(old.point(int(i))) for i in gone), most=3)
            what = "the pool has these tasks, and the changed experiment has not; put them back"
            _refuse(experiment.file, "axes", tasks, what)
        missing = np.flatnonzero(~_is_in(merged, old, merged.axes))
        if not dry_run:
            prepare(pool.folder)
            order = np.random.default_rng([experiment.seed, len(old)]).permutation(len(missing))
            if len(missing) or moved:
                _append(pool.folder, old, merged.take(missing[order]))
            if moved:
                replace(pool.info, folder=str(experiment.folder)).write(pool.folder)
            replace_whole(pool.folder / "experiment.yaml", experiment.file.read_bytes())
    return len(missing)


def _append(pool: Path, old: Grid, added: Grid) -> None:
    sizes = shard_sizes(len(added)) if len(added) else ()
    _write_shards(pool, sizes, first_number=len(old.shard_sizes), first=len(old))
    codes = smallest_codes(np.hstack([old.codes, added.codes]), added.axes)
    write_grid(pool / "tasks.npz", replace(added, codes=codes, shard_sizes=old.shard_sizes + sizes))


def merge_grids(old: Grid, new: Grid, file: Path) -> Grid:
    """Return the tasks of `new` in the codes of `old`, values that `old` lacks appended.

    Raises
    ------
    ConfigError
        If the two have other axes, or an attribute of a value changed.
    """
    if old.names != new.names or old.part_axis != new.part_axis:
        what = f"the pool has the axes {listing(old.names)}; an extension cannot change them"
        _refuse(file, "axes", listing(new.names), what)
    axes, rows = [], []
    for before, after in zip(old.axes, new.axes, strict=True):
        added = [i for i, value in enumerate(after.values) if value not in before.values]
        values = before.values + tuple(after.values[i] for i in added)
        sources = before.sources + tuple(after.sources[i] for i in added)
        axes.append(Axis(name=before.name, values=values, sources=sources))
        code = np.array([values.index(value) for value in after.values])
        rows.append(code[new.column(after.name)])
    return Grid(
        axes=tuple(axes),
        codes=smallest_codes(np.vstack(rows), axes),
        attributes=tuple(_merge_attribute(old, new, axes, a, file) for a in new.attributes),
        part_axis=old.part_axis,
    )


def _merge_attribute(
    old: Grid, new: Grid, axes: list[Axis], attribute: Attribute, file: Path
) -> Attribute:
    now = dict(zip(new.axis(attribute.axis).values, attribute.values, strict=True))
    before: dict[Value, Value | None] = {}
    for known in old.attributes:
        if known.name == attribute.name:
            before = dict(zip(old.axis(known.axis).values, known.values, strict=True))
    for value in before.keys() & now.keys():
        if before[value] != now[value]:
            what = f"{attribute.name} was {before[value]} when the pool was made; make a new pool"
            _refuse(file, f"axes.{attribute.axis}.{value}", now[value], what)
    axis = next(axis for axis in axes if axis.name == attribute.axis)
    values = tuple(now.get(value, before.get(value)) for value in axis.values)
    return replace(attribute, values=values)


def _is_in(tasks: Grid, others: Grid, axes: tuple[Axis, ...]) -> NDArray[np.bool_]:
    """Return which of `tasks` are among `others`; both in the codes of `axes`."""
    shape = [len(axis.values) for axis in axes]
    numbers = [np.ravel_multi_index(list(g.codes.astype(np.intp)), shape) for g in (tasks, others)]
    return np.isin(*numbers)


def _with_sources(axes: tuple[Axis, ...], now: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Return the axes with the files behind their values where they are now."""
    return tuple(
        replace(
            axis,
            sources=tuple(
                dict(zip(found.values, found.sources, strict=True)).get(value, source)
                for value, source in zip(axis.values, axis.sources, strict=True)
            ),
        )
        for axis, found in zip(axes, now, strict=True)
    )


def _check_settings(before: Experiment, after: Experiment, moved: bool) -> None:
    """Refuse a change of what finished results rest on; passes and workers may change."""
    if before.folder != after.folder and not moved:
        what = f"is not where the pool was made from, {before.folder}: relative paths would lead "
        what += "to other files; if the whole study moved, say so with --moved"
        _refuse(after.file, "", None, what)
    pairs = [("runner", before.runner, after.runner), ("seed", before.seed, after.seed)]
    for key in sorted({*before.section, *after.section}):
        name = f"{after.runner}.{key}"
        pairs.append((name, before.section.get(key), after.section.get(key)))
    what = "was {!r} when the pool was made; finished results rest on it: make a new pool"
    problems = [
        Problem(after.file, key, new, what.format(old)) for key, old, new in pairs if old != new
    ]
    if problems:
        raise ConfigError(tuple(problems))


def _refuse(file: Path, key: str, value: object, advice: str) -> None:
    raise ConfigError((Problem(file, key, value, advice),))
