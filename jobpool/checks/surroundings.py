"""Everything in a pool's folder but states, results and attempts."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jobpool.checks.evidence import Evidence
from jobpool.checks.findings import Finding, note, problem
from jobpool.errors import JobpoolError
from jobpool.lock import file_system, holds
from jobpool.pool import Pool
from jobpool.state import Record
from jobpool.task import TaskState

MOST_ENTRIES = 1000  # of one folder: listing more is slow on many network file systems
OLD_S = 3600.0  # no write takes so long: a temporary file of this age belongs to nobody


def examine_surroundings(pool: Pool, server_time: float) -> Iterator[Finding]:
    """Yield what is wrong with the lock, the experiment, the grid, and the folder's files.

    Parameters
    ----------
    pool : Pool
        The pool.
    server_time : float
        What the file server's clock says now, in seconds since the epoch.
    """
    yield from _examine_lock(pool)
    yield from _examine_grid(pool)
    try:
        pool.experiment()
    except JobpoolError as error:
        yield problem("experiment.yaml", f"cannot be used: {error}")
    for folder, names in _folders(pool.folder):
        if len(names) > MOST_ENTRIES:
            what = f"has {len(names):,} entries; listing it is slow on many network file systems"
            yield note(_place(pool, folder), what)
    for path in leftovers(pool.folder, server_time):
        what = "left behind by a process that was killed while it wrote"
        yield note(_place(pool, path), what, repairable=True)


def _place(pool: Pool, path: Path) -> str:
    return str(path.relative_to(pool.folder))


def _examine_lock(pool: Pool) -> Iterator[Finding]:
    kind = pool.info.lock
    if not holds(kind, pool.folder):
        what = f"{kind} does not lock on this {file_system(pool.folder)} file system: stop all "
        what += "workers, and move the pool to a file system whose locks hold"
        yield problem("state", what)


def _examine_grid(pool: Pool) -> Iterator[Finding]:
    grid = pool.grid
    if sum(grid.shard_sizes) != len(grid):
        what = f"has {len(grid):,} tasks, and {sum(grid.shard_sizes):,} places in state files; "
        yield problem("tasks.npz", what + "restore it from a backup")
    for axis, codes in zip(grid.axes, grid.codes, strict=True):
        if len(codes) and int(np.max(codes)) >= len(axis.values):
            what = f"a task has a value of {axis.name} that there is not; restore it from a backup"
            yield problem("tasks.npz", what)
    expected = {f"{number:02d}" for number in range(len(grid.shard_sizes))}
    for path in sorted((pool.folder / "state").glob("*")):
        if path.name.isdigit() and path.name not in expected:
            what = "belongs to no task: an extension was cut short, and can be begun again"
            yield note(f"state/{path.name}", what)


def _folders(pool: Path) -> Iterator[tuple[Path, list[str]]]:
    for folder, folders, files in os.walk(pool):
        yield Path(folder), [*folders, *files]


def leftovers(pool: Path, server_time: float) -> list[Path]:
    """Return the temporary files that nobody is writing any more."""
    found = []
    for folder, names in _folders(pool):
        for name in names:
            path = folder / name
            if not (name.startswith(".") and name.endswith(".tmp")):
                continue
            try:
                age_s = server_time - path.stat().st_mtime
            except FileNotFoundError:
                continue
            if age_s > OLD_S and path.is_file():
                found.append(path)
    return sorted(found)


def finished_checkpoints(
    pool: Pool, records: Sequence[Record | None], evidence: Evidence
) -> list[Path]:
    """Return the folders of finished parts whose task is done: nobody will continue it.

    Parameters
    ----------
    pool : Pool
        The pool.
    records : sequence of Record, one per task
        None where it is damaged.
    evidence : Evidence
        A record that says done without a result on disk does not count.
    """
    kept = {path.name: path for path in (pool.folder / "checkpoints").glob("*") if path.is_dir()}
    if not kept:
        return []
    return [
        kept[name]
        for position, (name, record) in enumerate(zip(pool.grid.ids(), records, strict=True))
        if name in kept
        and record is not None
        and record.state is TaskState.DONE
        and position in evidence.results
    ]
