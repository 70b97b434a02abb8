"""The grid: the values of every axis, and one code per axis for each task.

    tasks.npz    ``header`` (JSON as bytes) and ``codes`` of shape (n_axes, n_tasks)

A task's position in the grid never changes once it is on disk: an extension appends. Positions
mean nothing to the user; a task is known by its id, which is made from its values.

Tasks lie in random order, so that every state file is a fair sample of them. A whole task and the
parts that may stand for it are neighbours in one file, so that one transaction can exchange them.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.files import newer_format
from jobpool.disk.inside import is_gone, read_inside
from jobpool.disk.npz import UNREADABLE, open_npz
from jobpool.disk.validation import has_shape, is_whole
from jobpool.errors import AccessError, PoolError, PoolGoneError, listing
from jobpool.table.columns import ID, OF_VALUE, set_apart
from jobpool.table.parts import Codes, Parts
from jobpool.task import (
    ID_ALPHABET,
    ID_LETTERS,
    Axis,
    Point,
    Value,
    digest_of_pairs,
    pair_text,
    run_of,
    task_id,
)

FORMAT = 1
TASKS_PER_SHARD = 4096  # an index of one page: small enough to read and check at every transaction
MOST_SHARDS = 256
_LETTERS = np.frombuffer(ID_ALPHABET.encode(), np.uint8)
_PORTION = 65_536  # tasks whose codes are numbers of Python's at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A property of the values of one axis, such as the number of parcels of a parcellation."""

    name: str
    axis: str
    values: tuple[Value | None, ...]  # one per value of the axis


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All tasks of a pool: `codes[k, i]` is the position in `axes[k].values` of task `i`."""

    axes: tuple[Axis, ...]
    codes: Codes  # (n_axes, n_tasks)
    attributes: tuple[Attribute, ...] = ()
    part_axis: str | None = None  # the axis whose value is "all" for a task that is not split
    shard_sizes: tuple[int, ...] = ()  # tasks in each state file, once the pool is on disk
    inputs: str | None = None  # the attribute whose equal values stand for common inputs

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.shape[0] != len(self.axes):
            raise ValueError(f"codes of shape {self.codes.shape} for {len(self.axes)} axes")

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @cached_property
    def attributes_by_name(self) -> dict[str, Attribute]:
        """Return the attributes by names that no axis has: those of columns and selections."""
        names = set_apart([one.name for one in self.attributes], (ID, *self.names), OF_VALUE)
        return {names[one.name]: one for one in self.attributes}

    def axis(self, name: str) -> Axis:
        """Return the axis called `name`."""
        return self.axes[self.names.index(name)]

    def column(self, name: str) -> Codes:
        """Return the codes of the axis called `name`, shape (n_tasks,)."""
        column: Codes = self.codes[self.names.index(name)]
        return column

    def point(self, position: int) -> Point:
        """Return the value of every axis for the task at `position`."""
        codes = self.codes[:, position].tolist()
        return tuple(
            (axis.name, axis.values[code]) for axis, code in zip(self.axes, codes, strict=True)
        )

    def id(self, position: int) -> str:
        """Return the id of the task at `position`."""
        return task_id(self.point(position))

    def ids(self) -> list[str]:
        """Return the ids of all tasks, in the order of their positions."""
        return _ids_of(self.id_numbers())

    def id_numbers(self) -> NDArray[np.uint64]:
        """Return the ids of all tasks as numbers of 60 bits, 5 for each letter, shape (n_tasks,).

        A fraction of the time of the letters, and compared at once.
        """
        heads = b"".join([digest[:8] for digest in self.digests()])
        return np.frombuffer(heads, ">u8").astype(np.uint64) >> np.uint64(4)

    def digests(self) -> Iterator[bytes]:
        """Yield what the id of each task is made from, in the order of their positions.

        A value is written as JSON once for the whole axis: four times as fast as one by one.
        """
        rows = sorted(range(len(self.axes)), key=self.names.__getitem__)
        pairs = [[pair_text(self.names[i], value) for value in self.axes[i].values] for i in rows]
        for start in range(0, len(self), _PORTION):
            columns = self.codes[rows, start : start + _PORTION].tolist()
            texts = [map(of.__getitem__, codes) for of, codes in zip(pairs, columns, strict=True)]
            yield from map(digest_of_pairs, zip(*texts, strict=True))

    def take(self, positions: NDArray[np.intp]) -> "Grid":
        """Return the grid of some of the tasks, in the order of `positions`."""
        return replace(self, codes=self.codes[:, positions])

    @cached_property
    def parts(self) -> Parts:
        """Return which tasks are whole, and which are parts of which."""
        row = None if self.part_axis is None else self.names.index(self.part_axis)
        sizes = tuple(len(axis.values) for axis in self.axes)
        return Parts(codes=self.codes, sizes=sizes, row=row)

    def checkpoint_of(self, position: int, fence: int) -> str:
        """Return the folder of a task's finished pieces under a claim.

        A whole task and its parts share one; each run of them has its own.
        """
        name, run = self.id(self.parts.head_of(position)), run_of(fence)
        return f"{name}.{run}" if run else name

    def whole(self, position: int) -> Point:
        """Return the task's point without the part axis: the same for all parts of one task."""
        return tuple(pair for pair in self.point(position) if pair[0] != self.part_axis)


def _ids_of(numbers: NDArray[np.uint64]) -> list[str]:
    letters = np.empty((len(numbers), ID_LETTERS), np.uint8)
    for place in range(ID_LETTERS):
        shift = np.uint64(5 * (ID_LETTERS - 1 - place))
        letters[:, place] = _LETTERS[(numbers >> shift & np.uint64(31)).astype(np.uint8)]
    text = letters.tobytes().decode()
    return [text[i : i + ID_LETTERS] for i in range(0, len(text), ID_LETTERS)]


def smallest_codes(codes: NDArray[Any], axes: Sequence[Axis]) -> Codes:
    """Return `codes` in the smallest unsigned type that holds every axis."""
    largest = max((len(axis.values) for axis in axes), default=1)
    small: Codes = codes.astype(np.min_scalar_type(max(largest - 1, 0)))
    return small


def full_product(axes: Sequence[Axis], attributes: Sequence[Attribute] = ()) -> Grid:
    """Return the grid of every combination of the axes' values.

    Examples
    --------
    >>> grid = full_product([Axis(name="a", values=(1, 2)), Axis(name="b", values=("x", "y"))])
    >>> len(grid), grid.point(1)
    (4, (('a', 1), ('b', 'y')))
    """
    shape = [len(axis.values) for axis in axes]
    codes = np.indices(shape).reshape(len(shape), -1)
    return Grid(axes=tuple(axes), codes=smallest_codes(codes, axes), attributes=tuple(attributes))


def split_parts(grid: Grid, part_axis: Axis, split: NDArray[np.bool_]) -> Grid:
    """Return `grid` with one more axis, along which tasks can be taken apart.

    Parameters
    ----------
    grid : Grid
        Whole tasks.
    part_axis : Axis
        Its first value stands for a whole task, every other for one part.
    split : ndarray of shape (n_tasks,), bool
        True for the tasks that enter as one task per part. The others enter whole, each followed
        by its parts, which are superseded until the whole turns out to be too long.
    """
    n_parts = len(part_axis.values) - 1
    source = np.repeat(np.arange(len(grid)), n_parts + 1)
    parts = np.tile(np.arange(n_parts + 1), len(grid))
    kept = (parts != 0) | ~split[source]
    source, parts = source[kept], parts[kept]
    axes = (*grid.axes, part_axis)
    codes = np.vstack([grid.codes[:, source].astype(np.intp), parts])
    return replace(grid, axes=axes, codes=smallest_codes(codes, axes), part_axis=part_axis.name)


def in_random_order(grid: Grid, rng: np.random.Generator) -> Grid:
    """Return the tasks in random order, and how many of them each state file gets.

    A whole task is followed by its parts. The order depends on the tasks and `rng` alone.
    """
    _, unit = np.unique(grid.parts.units, return_inverse=True)
    n_units = int(unit.max(initial=-1)) + 1
    part = np.zeros(len(grid), np.intp)
    if grid.part_axis is not None:
        part = grid.column(grid.part_axis).astype(np.intp)
    rank = rng.permutation(n_units)[unit]
    order = np.lexsort([part, rank])
    return replace(grid.take(order), shard_sizes=shard_sizes(rank[order]))


def shard_sizes(units: NDArray[np.intp]) -> tuple[int, ...]:
    """Return how many tasks each state file gets, so that none divides a unit.

    Parameters
    ----------
    units : ndarray of shape (n_tasks,), int
        A number for each task; those with the same number lie together.

    Examples
    --------
    >>> shard_sizes(np.arange(10_000))
    (3334, 3333, 3333)
    >>> shard_sizes(np.repeat([7, 8], 3000))
    (3000, 3000)
    """
    n_tasks = len(units)
    n_shards = min(MOST_SHARDS, -(-n_tasks // TASKS_PER_SHARD))
    wanted = np.cumsum([len(part) for part in np.array_split(units, max(n_shards, 1))])
    starts = np.flatnonzero(np.r_[True, units[1:] != units[:-1], True])
    ends = np.unique(starts[np.searchsorted(starts, wanted)])
    return tuple(np.diff(np.r_[0, ends[ends > 0]]).tolist())


def pack_grid(grid: Grid) -> bytes:
    """Return the content of a file that holds a grid."""
    header = {
        "format": FORMAT,
        "axes": [[axis.name, axis.values, axis.sources] for axis in grid.axes],
        "attributes": [[a.name, a.axis, a.values] for a in grid.attributes],
        "part_axis": grid.part_axis,
        "shard_sizes": grid.shard_sizes,
        "inputs": grid.inputs,
    }
    buffer = io.BytesIO()
    text = json.dumps(header).encode()
    np.savez(buffer, header=np.frombuffer(text, np.uint8), codes=grid.codes)
    return buffer.getvalue()


def read_grid(path: Path, read: Callable[[], bytes] | None = None) -> Grid:
    """Return the grid in `path`.

    Parameters
    ----------
    path : Path
        The file.
    read : callable, optional
        Returns its content; by default it is read here.

    Raises
    ------
    PoolError
        If the file is missing, damaged, or of a newer format.
    AccessError
        If this user may not read it.
    """
    try:
        with open_npz(read_inside(path) if read is None else read()) as archive:
            header = json.loads(archive["header"].tobytes())
            codes = archive["codes"]
    except PermissionError as error:
        raise AccessError(path, "cannot be read: Permission denied; ask its owner") from error
    except FileNotFoundError as error:
        if is_gone(path.parent):
            raise PoolGoneError(path.parent) from error
        what = "missing: this is not a pool, or its making was cut short"
        raise PoolError(path, what) from error
    except UNREADABLE as error:
        what = f"damaged ({error}); restore this file from a backup: it cannot be rebuilt"
        raise PoolError(path, what) from error
    if not isinstance(header, dict) or not has_shape(header, {"format": is_whole}):
        raise PoolError(path, "damaged (its header); restore this file from a backup")
    if header["format"] > FORMAT:
        raise PoolError(path, newer_format(header["format"], FORMAT))
    try:
        return _checked(_from_header(header, codes))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"damaged ({error}); restore this file from a backup: it cannot be rebuilt"
        raise PoolError(path, what) from error


def _from_header(header: dict[str, Any], codes: Codes) -> Grid:
    return Grid(
        axes=tuple(
            Axis(name=name, values=tuple(values), sources=tuple(sources))
            for name, values, sources in header["axes"]
        ),
        codes=codes,
        attributes=tuple(
            Attribute(name=name, axis=axis, values=tuple(values))
            for name, axis, values in header["attributes"]
        ),
        part_axis=header["part_axis"],
        shard_sizes=tuple(header["shard_sizes"]),
        inputs=header.get("inputs"),
    )


def _checked(grid: Grid) -> Grid:
    """Return a grid whose parts fit one another, or raise ValueError."""
    lengths = {axis.name: len(axis.values) for axis in grid.axes}
    if len(lengths) < len(grid.axes) or grid.part_axis not in {None, *lengths}:
        raise ValueError(f"axes {listing(lengths)}")
    for axis, column in zip(grid.axes, grid.codes, strict=True):
        if not all(isinstance(value, str | int | float) for value in (axis.name, *axis.values)):
            raise ValueError(f"axis {axis.name!r}")
        if not np.isin(column, np.arange(len(axis.values))).all():
            raise ValueError(f"codes beyond the {len(axis.values)} values of {axis.name}")
    for attribute in grid.attributes:
        if lengths.get(attribute.axis) != len(attribute.values):
            raise ValueError(f"attribute {attribute.name!r}")
    if grid.inputs not in {None, *(attribute.name for attribute in grid.attributes)}:
        raise ValueError(f"attribute {grid.inputs!r}")
    if not all(map(is_whole, grid.shard_sizes)) or sum(grid.shard_sizes) != len(grid):
        raise ValueError(f"state files of {listing(grid.shard_sizes)} tasks for {len(grid)}")
    return grid
