"""Extend a pool: the only change of its grid after its creation.

The states of the new tasks are written first and the grid last: until then they do not exist.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.coordination import ELECTIONS
from jobpool.disk.files import replace_whole
from jobpool.disk.inside import POOL_FILE, ensure_file, make_folder
from jobpool.errors import ConfigError, JobpoolError, Problem, listing
from jobpool.experiment.config import Experiment, section_digest
from jobpool.experiment.ensembles import describe_source
from jobpool.pool import Pool
from jobpool.table.code_files import EXPERIMENT, OWNER_WRITES, TASKS, CodeFiles, digest_of
from jobpool.table.grid import (
    Attribute,
    Grid,
    in_random_order,
    pack_grid,
    read_grid,
    smallest_codes,
)
from jobpool.table.settings import PoolInfo, read_info
from jobpool.table.shards import write_shards
from jobpool.task import Axis, Value, label


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
        The study's folder has moved: record where its files are now.

    Returns
    -------
    int
        How many tasks are new.

    Raises
    ------
    ConfigError
        If the changed experiment contradicts what is in the pool; nothing is changed.
    """
    with _alone(pool):
        files = CodeFiles(pool.folder, ())
        info = read_info(pool.folder, partial(files.content, POOL_FILE))
        old = read_grid(pool.folder / TASKS, partial(files.content, TASKS))
        _check_settings(pool, experiment, moved)
        merged = merge_grids(old, grid, experiment.file, moved=moved)
        gone = np.flatnonzero(~_is_in(old, merged, merged.axes))
        if len(gone):
            tasks = listing((label(old.point(int(i))) for i in gone), most=3)
            what = "the pool has these tasks, but the changed experiment lacks them; restore them"
            _refuse(experiment.file, "axes", tasks, what)
        added = merged.take(np.flatnonzero(~_is_in(merged, old, merged.axes)))
        # a pool from before tasks could be split later: its whole tasks stay without dormant parts
        has_place = ~added.parts.is_part | ~np.isin(added.parts.units, _wholes_in(old, added))
        added = added.take(np.flatnonzero(has_place))
        if not dry_run:
            prepare(pool.folder)
            rng = np.random.default_rng([experiment.seed, len(old)])
            settings = replace(
                info,
                folder=str(experiment.folder) if moved else info.folder,
                path=experiment.path,
                environment=experiment.environment,
                section_sha256=section_digest(experiment),
            )
            whole = _append(pool.folder, old, in_random_order(added, rng))
            packed = files.content(TASKS) if whole is None else pack_grid(whole)
            _replace(settings, files, pool.folder, experiment.file.read_bytes(), packed)
    return int(np.count_nonzero(~added.parts.is_dormant))


def changed_settings(before: Experiment, after: Experiment) -> list[str]:
    """Return the keys of what an extension adopts without adding tasks: passes, needs, report."""
    old = {one.name: one for one in before.passes}
    new = {one.name: one for one in after.passes}
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    sections = [
        name for name in ("needs", "report") if getattr(before, name) != getattr(after, name)
    ]
    return [*(f"passes.{name}" for name in names), *sections]


def _wholes_in(old: Grid, added: Grid) -> NDArray[np.intp]:
    """Return the numbers, among the units of `added`, of whole tasks that the pool has."""
    known = replace(old, axes=added.axes)
    wholes: NDArray[np.intp] = known.parts.units[~known.parts.is_part]
    return wholes


@contextmanager
def _alone(pool: Pool) -> Iterator[None]:
    """Let one process at a time extend the pool."""
    file = pool.folder / ELECTIONS / "extend"  # pool.json itself is replaced meanwhile
    make_folder(file.parent)
    ensure_file(file)
    with pool.locked(file), pool.locked(pool.folder / POOL_FILE):  # the second: older versions
        yield


def _replace(
    settings: PoolInfo, files: CodeFiles, pool: Path, experiment: bytes, tasks: bytes
) -> None:
    """Replace the files that say which code runs; at each moment they fit ``pool.json``."""
    texts = tuple(map(digest_of, (files.content(EXPERIMENT), experiment)))
    grids = tuple(map(digest_of, (files.content(TASKS), tasks)))
    replace(settings, experiment_sha256=texts, tasks_sha256=grids).write(pool)
    # before the grid: no worker may run a new task without its settings
    replace_whole(pool / EXPERIMENT, experiment, OWNER_WRITES)
    if grids[0] != grids[1]:
        replace_whole(pool / TASKS, tasks, OWNER_WRITES)
    replace(settings, experiment_sha256=texts[1:], tasks_sha256=grids[1:]).write(pool)


def _append(pool: Path, old: Grid, added: Grid) -> Grid | None:
    """Write the states of added tasks, and return the whole grid; None if it is the old one."""
    if len(added):
        write_shards(pool, added, first_number=len(old.shard_sizes), first=len(old))
    codes = smallest_codes(np.hstack([old.codes, added.codes]), added.axes)
    sizes = old.shard_sizes + added.shard_sizes
    grid = replace(added, codes=codes, shard_sizes=sizes)
    return grid if len(added) or added.axes != old.axes else None


def merge_grids(old: Grid, new: Grid, file: Path, *, moved: bool = False) -> Grid:
    """Return the tasks of `new` in the codes of `old`, values that `old` lacks appended.

    Raises
    ------
    ConfigError
        If the two have other axes, or an attribute or, unless `moved`, a source of a value changed.
    """
    if old.names != new.names or old.part_axis != new.part_axis:
        what = f"the pool has the axes {listing(old.names)}; an extension cannot change them"
        _refuse(file, "axes", listing(new.names), what)
    axes, rows = [], []
    for before, after in zip(old.axes, new.axes, strict=True):
        now = dict(zip(after.values, after.sources, strict=True))
        known = set(before.values)
        added = tuple(value for value in after.values if value not in known)
        values = before.values + added
        sources = _merge_sources(before, now, file, moved) + tuple(now[value] for value in added)
        axes.append(Axis(name=before.name, values=values, sources=sources))
        place = {value: number for number, value in enumerate(values)}
        code = np.array([place[value] for value in after.values])
        rows.append(code[new.column(after.name)])
    return Grid(
        axes=tuple(axes),
        codes=smallest_codes(np.vstack(rows), axes),
        attributes=tuple(_merge_attribute(old, new, axes, a, file) for a in new.attributes),
        part_axis=old.part_axis,
        inputs=new.inputs,
    )


def _merge_sources(
    before: Axis, now: Mapping[Value, str | None], file: Path, moved: bool
) -> tuple[str | None, ...]:
    """Return the source of each value of the pool; it changes only if the study moved."""
    found = tuple(now.get(*pair) for pair in zip(before.values, before.sources, strict=True))
    for value, old, new in zip(before.values, before.sources, found, strict=True):
        if new != old and not moved:
            what = f"comes from {describe_source(new)}, in the pool from {describe_source(old)}: "
            what += "finished results depend on it; restore it, give the new source another "
            what += "name, or, if the same file moved, say so with --moved"
            _refuse(file, f"axes.{before.name}", value, what)
    return found


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


def _check_settings(pool: Pool, after: Experiment, moved: bool) -> None:
    """Refuse a change that finished results or running workers depend on; passes may change."""
    try:
        before = pool.experiment()
    except JobpoolError:
        if not pool.is_edited:
            raise
        _check_edited(pool, after, moved)
    else:
        _check_changed(before, after, moved)


def _check_edited(pool: Pool, after: Experiment, moved: bool) -> None:
    """Refuse a change where the pool's copy no longer says what results were made with."""
    if str(after.folder) != pool.info.folder and not moved:
        _refuse_folder(Path(pool.info.folder), after)
    if section_digest(after) != pool.info.section_sha256:
        what = f"is not what the pool was made with, and {pool.folder / EXPERIMENT} was edited, so "
        what += "it cannot say what that was; finished results depend on it: restore it"
        _refuse(after.file, after.runner, None, what)


def _check_changed(before: Experiment, after: Experiment, moved: bool) -> None:
    if before.folder != after.folder and not moved:
        _refuse_folder(before.folder, after)
    pairs = [("runner", before.runner, after.runner), ("seed", before.seed, after.seed)]
    for key in sorted({*before.section, *after.section}):
        old, new = before.section.get(key), after.section.get(key)
        if not any(_only_adds(old, new, *axes) for axes in product(before.axes, after.axes)):
            pairs.append((f"{after.runner}.{key}", old, new))
    what = "was {!r} when the pool was made; finished results depend on it: make a new pool"
    problems = [
        Problem(after.file, key, new, what.format(old)) for key, old, new in pairs if old != new
    ]
    settings = asdict(after.workers)
    changed = [name for name, old in asdict(before.workers).items() if settings[name] != old]
    if changed:
        names = listing(name.removesuffix("_s") for name in changed)
        what = f"the pool was made with others ({names}), by which its workers judge each other: "
        problems.append(Problem(after.file, "workers", None, f"{what}restore them"))
    if problems:
        raise ConfigError(tuple(problems))


def _refuse_folder(before: Path, after: Experiment) -> None:
    what = f"is not where the pool was made from, {before}: relative paths would lead to other "
    _refuse(after.file, "", None, f"{what}files; if the whole study moved, say so with --moved")


def _only_adds(old: Any, new: Any, before: Axis, after: Axis) -> bool:
    """Say whether a setting by axis value is unchanged for the values that the pool has."""
    if before.name != after.name or not isinstance(new, dict):
        return False
    known, values = set(map(str, before.values)), set(map(str, after.values))
    if not isinstance(old, dict):  # one setting for all, or none
        old = {} if old is None else dict.fromkeys(known, old)
    # every key: a mapping by something else may share a key with the values
    of_known = {key: value for key, value in new.items() if str(key) in known}
    return set(map(str, new)) <= values and of_known == old


def _refuse(file: Path, key: str, value: object, advice: str) -> None:
    raise ConfigError((Problem(file, key, value, advice),))
