"""Everything in a pool's folder but the state files: grid, experiment, leftovers, damaged lines."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jobpool.checks.evidence import Evidence, names_one_of
from jobpool.checks.findings import Finding, note, problem
from jobpool.disk.coordination import ELECTIONS
from jobpool.disk.files import replace_whole, set_aside
from jobpool.disk.inside import open_inside, paths_in, reading
from jobpool.errors import JobpoolError, as_typed, quoted
from jobpool.execution.health import FOLDER as BAD_NODES
from jobpool.execution.health import excluded_nodes
from jobpool.journal.jsonl import KINDS, SHAPES, checked_record
from jobpool.journal.starts import kinds, read_starts, summary
from jobpool.pool import Pool
from jobpool.table.code_files import EXPERIMENT
from jobpool.table.records import Record
from jobpool.task import TaskState
from jobpool.units import DAY_S, HOUR_S, count

MOST_ENTRIES = 1000  # of one folder: listing more is slow on many network file systems
OLD_MARK_S = DAY_S
OLD_S = HOUR_S  # no write takes so long: a temporary file of this age is abandoned


def examine_folder(pool: Pool, server_time: float) -> Iterator[Finding]:
    """Yield the findings about the experiment, the grid, and the folder's files.

    Parameters
    ----------
    pool : Pool
        The pool.
    server_time : float
        What the file server's clock says now, in seconds since the epoch.
    """
    yield from _examine_grid(pool)
    try:
        pool.experiment()
    except JobpoolError as error:
        yield problem("experiment.yaml", f"cannot be used: {error}")
    else:
        if pool.is_edited:
            what = "was edited in the pool; jobpool extend keeps a change: "
            file = pool.folder / EXPERIMENT
            yield note(EXPERIMENT, what + as_typed("jobpool", "extend", file, pool.folder))
    for folder, names in _folders(pool.folder):
        if len(names) > MOST_ENTRIES:
            what = f"has {len(names):,} entries; listing it is slow on many network file systems"
            yield note(_place(pool, folder), what)
    for node in excluded_nodes(pool.folder, server_time).values():
        what = f"excluded for a day: {node.why}; once it is repaired: jobpool release "
        yield note(f"node {node.node}", f"{what}{quoted(pool.folder)} --node {quoted(node.node)}")
    for group in kinds(read_starts(pool.folder, server_time).open()):
        named = quoted(pool.folder)
        step = f"see jobpool errors {named}, then jobpool release {named} --starts"
        yield problem("starts", f"{summary(group)}; {step}")
    for path in leftovers(pool.folder, server_time):
        what = "left by a process that was killed while writing"
        yield note(_place(pool, path), what, repairable=True)


def _place(pool: Pool, path: Path) -> str:
    return str(path.relative_to(pool.folder))


def _examine_grid(pool: Pool) -> Iterator[Finding]:
    grid = pool.grid
    if sum(grid.shard_sizes) != len(grid):
        what = f"has {len(grid):,} tasks, but the state files hold {sum(grid.shard_sizes):,}; "
        yield problem("tasks.npz", what + "restore it from a backup")
    for axis, codes in zip(grid.axes, grid.codes, strict=True):
        if len(codes) and int(np.max(codes)) >= len(axis.values):
            what = f"a task has an undefined value of {axis.name}; restore the file from a backup"
            yield problem("tasks.npz", what)
    expected = {f"{number:02d}" for number in range(len(grid.shard_sizes))}
    for path in paths_in(pool.folder / "state"):
        if path.name.isdigit() and path.name not in expected:
            what = "belongs to no task: an extension was interrupted; run it again"
            yield note(f"state/{path.name}", what)


def _folders(pool: Path) -> Iterator[tuple[Path, list[str]]]:
    for folder, folders, files in os.walk(pool):
        yield Path(folder), [*folders, *files]


def leftovers(pool: Path, server_time: float) -> list[Path]:
    """Return the temporary files that no process writes any more."""
    found = []
    for folder, names in _folders(pool):
        for name in names:
            path = folder / name
            if not (name.startswith(".") and name.endswith(".tmp")):
                continue
            if _age_s(path, server_time) > OLD_S and not path.is_dir():
                found.append(path)
    return sorted(found)


def finished_checkpoints(
    pool: Pool, records: Sequence[Record | None], evidence: Evidence
) -> list[tuple[Path, int]]:
    """Return the folders of finished pieces whose task is done, and the task of each.

    That of a task that was split into parts is kept until all of these are done.

    Parameters
    ----------
    pool : Pool
        The pool.
    records : sequence of Record, one per task
        None where it is damaged.
    evidence : Evidence
        A record that says done without a result on disk does not count.
    """
    kept: dict[str, list[Path]] = {}
    for path in paths_in(pool.folder / "checkpoints"):
        if path.is_dir():
            kept.setdefault(path.name.partition(".")[0], []).append(path)
    if not kept:
        return []

    def is_done(position: int) -> bool:
        record = records[position]
        if record is None or record.state is not TaskState.DONE:
            return False
        return names_one_of(record, evidence.results.get(position, ()))

    # a dormant part has none of its own: it uses that of its whole task
    parts = pool.grid.parts
    return [
        (path, position)
        for position in np.flatnonzero(~parts.is_dormant).tolist()
        if (name := pool.grid.id(position)) in kept and parts.is_finished(position, is_done)
        for path in kept[name]
    ]


def old_marks(pool: Pool, server_time: float) -> list[Path]:
    """Return the files of elections and of bad nodes that mean nothing any more."""
    marks = [*paths_in(pool.folder / ELECTIONS), *paths_in(pool.folder / BAD_NODES)]
    return sorted(path for path in marks if _age_s(path, server_time) > OLD_MARK_S)


def _age_s(path: Path, server_time: float) -> float:
    try:
        return server_time - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def examine_lines(pool: Path, evidence: Evidence) -> Iterator[Finding]:
    """Yield the findings about the files of results and attempts themselves."""
    for path in evidence.torn:
        what = "its last line is incomplete: the worker was killed while writing it; it is ignored"
        yield note(str(path.relative_to(pool)), what)
    for path, number in evidence.damaged:
        what = f"line {number} is damaged"
        yield problem(str(path.relative_to(pool)), what, repairable=True)
    if evidence.n_strange:
        lines = count(evidence.n_strange, "line")
        what = f"{lines} about tasks that this pool does not have"
        yield note(", ".join(sorted(KINDS)), what)


def set_aside_lines(path: Path, numbers: Sequence[int]) -> Path | None:
    """Move damaged lines of a file to one beside it; what is appended meanwhile is kept.

    Returns
    -------
    Path or None
        Where they are now; None if they are damaged no more.
    """
    shape, wanted = SHAPES[path.parents[1].name], set(numbers)
    with reading(path) as old:
        lines = list(enumerate(old, start=1))
        # looked at again: its rest may have arrived, or another repair may have been here
        wanted &= {number for number, raw in lines if checked_record(raw, shape) is None}
        if not wanted:
            return None
        moved = set_aside(path, b"".join(raw for number, raw in lines if number in wanted))
        replace_whole(path, b"".join(raw for number, raw in lines if number not in wanted))
        if late := old.read():  # its worker was thought dead, and was not
            with os.fdopen(open_inside(path, os.O_WRONLY | os.O_APPEND), "ab") as stream:
                stream.write(late)
    return moved
