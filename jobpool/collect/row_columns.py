"""The columns of a table of rows, each of one type.

What does not come from a result is made here: where the row stands on the axes, and what its task
took. A row comes from one task, or from all parts of a task that was split. What comes from
results is added row by row (`Rows`): rows are kept as tuples for a while and then become arrays, so
that a table of a million rows does not need a Python object for each of its cells.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.journal.jsonl import worker_name
from jobpool.table.arrays import Table
from jobpool.table.columns import (
    ID,
    MIXTURE,
    OF_RESULTS,
    OURS,
    RERUN_PENDING,
    listed,
    set_apart,
    writable,
)
from jobpool.table.grid import Grid, smallest_codes
from jobpool.task import Value

Cell = Value | None
Column = Any  # an array of numpy or of pandas, in which whole numbers and flags may be missing
TEXT = pd.StringDtype()
_KEPT = 8192  # rows that are still tuples
_FIRST_S, _LAST_S = -62_135_596_800.0, 253_402_300_799.0  # years 1 to 9999, as calendars have
_NAN_WORDS = frozenset({"nan", "NaN", "NAN"})


def point_columns(grid: Grid, codes: NDArray[np.intp]) -> dict[str, Any]:
    """Return the ids of whole tasks, axes and attributes.

    Parameters
    ----------
    grid : Grid
        The grid that the codes belong to.
    codes : ndarray of shape (n_axes, n_rows), int
        Each row's value on each axis.
    """
    wholes = grid.parts.as_wholes(codes)
    units = replace(grid, codes=smallest_codes(wholes, grid.axes)).parts.units
    _, first, rows = np.unique(units, return_index=True, return_inverse=True)
    ids = replace(grid, codes=smallest_codes(wholes[:, first], grid.axes)).ids()
    columns = {id_name(grid): texts(ids).take(rows)}
    for axis, some in zip(grid.axes, codes, strict=True):
        used = np.bincount(some, minlength=len(axis.values)) > 0
        used |= not used.any()  # the type of a column without rows is that of all values
        # where "all" has no row, parts with numbers are a column of numbers
        values = [value if one else None for value, one in zip(axis.values, used, strict=True)]
        columns[axis.name] = typed(values).take(some)
    for name, attribute in grid.attributes_by_name.items():
        some = codes[grid.names.index(attribute.axis)]
        columns[name] = typed(attribute.values).take(some)
    return columns


def id_name(grid: Grid) -> str:
    """Return the name of the column of ids."""
    return set_apart([ID], grid.names, OURS)[ID]


def own_columns(
    table: Table,
    facts: Mapping[str, NDArray[np.float64]],
    places: NDArray[np.intp],
    merged: Mapping[int, list[int]],
) -> dict[str, Any]:
    """Return the columns of `OF_RESULTS`.

    Parameters
    ----------
    table : ndarray of shape (n_tasks,), `jobpool.table.arrays.RECORD_TYPE`
        The records.
    facts : mapping
        Of each task, what `jobpool.collect.accepted.FACTS` names; NaN where it is not known.
    places : ndarray of shape (n_rows,), int
        The task that each row comes from.
    merged : mapping
        Of the rows that come from several tasks, all of these: their seconds and failed attempts
        add up, of memory and cores the most counts, of the ends the last.
    """
    spent = facts["ended"] - facts["started"]
    sums = {"task_seconds": spent, "failed_attempts": table["attempts"].astype(np.int64)}
    columns: dict[str, Any] = {}
    for name, by_place in sums.items():
        columns[name] = by_place[places]
        for row, several in merged.items():
            columns[name][row] = by_place[several].sum()
    columns["task_seconds"] = columns["task_seconds"].round(3)
    columns["worker"] = _workers(table["owner"], places, merged)
    for name in ("peak_memory_mb", "cores", "ended"):
        columns[name] = facts[name][places]
        for row, several in merged.items():
            columns[name][row] = np.fmax.reduce(facts[name][several])
    columns |= {"cores": whole(columns["cores"]), "ended": times(columns["ended"])}
    return listed(OF_RESULTS, columns)


def own_names(grid: Grid) -> dict[str, str]:
    """Return the names of the columns that `own_columns` makes, beside the others of a pool."""
    return set_apart(OF_RESULTS, {id_name(grid), *grid.names, *grid.attributes_by_name}, OURS)


def earlier_column(
    grid: Grid,
    is_earlier: NDArray[np.bool_],
    places: NDArray[np.intp],
    merged: Mapping[int, list[int]],
) -> dict[str, Any]:
    """Return the column that marks rows whose task is being rerun; none if no task is.

    Parameters
    ----------
    grid : Grid
        All tasks.
    is_earlier : ndarray of shape (n_tasks,), bool
        The tasks that are being rerun.
    places, merged
        As of `own_columns`; a row that comes from several tasks is marked if one of these is.
    """
    if not is_earlier.any():
        return {}
    column = is_earlier[places]
    for row, several in merged.items():
        column[row] = is_earlier[several].any()
    return {earlier_name(grid): column}


def earlier_name(grid: Grid) -> str:
    """Return the name of the column that marks rows of tasks that are being rerun."""
    taken = {id_name(grid), *grid.names, *grid.attributes_by_name}
    return set_apart([RERUN_PENDING], taken, OURS)[RERUN_PENDING]


def mixed_name(grid: Grid) -> str:
    """Return the name of the column that names what a row is made of, unlike most rows."""
    taken = {id_name(grid), *grid.names, *grid.attributes_by_name, earlier_name(grid)}
    return set_apart([MIXTURE], taken, OURS)[MIXTURE]


def _workers(
    owners: NDArray[np.uint64], places: NDArray[np.intp], merged: Mapping[int, list[int]]
) -> Any:
    numbers, codes = np.unique(owners[places], return_inverse=True)
    names = [worker_name(int(number)) for number in numbers]
    for row, several in merged.items():
        codes[row] = len(names)
        names.append(" ".join(dict.fromkeys(worker_name(int(owners[one])) for one in several)))
    return texts(names).take(codes)


class Rows:
    """Rows that come one by one, each with the columns it has."""

    def __init__(self) -> None:
        self.n_rows = 0
        self._fresh: dict[tuple[str, ...], tuple[list[int], list[tuple[Cell, ...]]]] = {}
        self._n_fresh = 0
        self._packed: list[tuple[NDArray[np.intp], dict[str, Any]]] = []

    def add(self, row: Mapping[str, Cell]) -> None:
        """Add a row."""
        numbers, values = self._fresh.setdefault(tuple(row), ([], []))
        numbers.append(self.n_rows)
        values.append(tuple(row.values()))
        self.n_rows += 1
        self._n_fresh += 1
        if self._n_fresh == _KEPT:
            self.pack()

    def pack(self) -> None:
        """Turn the rows that are still tuples into arrays."""
        for names, (numbers, values) in self._fresh.items():
            columns = dict(zip(names, map(typed, zip(*values, strict=True)), strict=True))
            self._packed.append((np.array(numbers, np.intp), columns))
        self._fresh, self._n_fresh = {}, 0

    def extend(self, others: "Rows") -> None:
        """Add the packed rows of another table below these, which are packed too."""
        self._packed += [(numbers + self.n_rows, columns) for numbers, columns in others._packed]
        self.n_rows += others.n_rows

    def columns(self, order: NDArray[np.intp]) -> dict[str, Any]:
        """Return all columns, with the rows in an order.

        A column stands behind the one that it follows in the first row that has it. The rows
        are given away: this can be called once.

        Parameters
        ----------
        order : ndarray of shape (n_rows,), int
            The number of the row that comes first, of the second, and so on.
        """
        self.pack()
        if not self._packed:
            return {}
        places = np.empty(self.n_rows, np.intp)
        places[order] = np.arange(self.n_rows)
        packed = sorted(self._packed, key=lambda one: int(places[one[0]].min()))
        self._packed = []
        taken = np.argsort(places[np.concatenate([numbers for numbers, _ in packed])])
        return {
            name: joined(
                [columns.pop(name, nothing(len(numbers))) for numbers, columns in packed]
            ).take(taken)
            for name in in_one_line([tuple(columns) for _, columns in packed])
        }


def in_one_line(orders: Sequence[Sequence[str]]) -> list[str]:
    """Return all names, each behind the one that it follows where it comes up first.

    Examples
    --------
    >>> in_one_line([("a", "b", "z"), ("a", "c", "z"), ("y", "z")])
    ['y', 'a', 'c', 'b', 'z']
    """
    line: list[str] = []
    known: set[str] = set()
    for names in dict.fromkeys(map(tuple, orders)):
        before = None
        for name in names:
            if name not in known:
                line.insert(0 if before is None else line.index(before) + 1, name)
                known.add(name)
            before = name
    return line


def joined(arrays: Sequence[Column]) -> Column:
    """Return arrays one below the other as one column of one type."""
    kinds = {_kind(array) for array in arrays} - {""}
    if len(kinds) > 1 and kinds <= {"Int64", "float64", "string"}:
        arrays = [_without_nan_words(array) for array in arrays]
        kinds = {_kind(array) for array in arrays} - {""}
    if len(kinds) > 1 and kinds != {"Int64", "float64"}:
        plain = [None if pd.isna(one) else one for array in arrays for one in array.tolist()]
        return texts(plain)
    if not kinds:
        return nothing(sum(map(len, arrays)))
    kind = "float64" if len(kinds) > 1 else kinds.pop()
    if kind == "float64":
        return np.concatenate([_fractions(array) for array in arrays])
    dtype = TEXT if kind == "string" else kind
    series = [pd.Series(array, dtype=dtype, copy=False) for array in arrays]
    return pd.concat(series, ignore_index=True).array


def typed(values: Sequence[Cell]) -> Column:
    """Return values as an array of whole numbers, fractions, flags or texts.

    Whole numbers beyond 64 bits become fractions, and beyond the largest fraction, 1.8e308,
    infinite. Among numbers the text "NaN" is a number that is missing; other mixed types become
    text.

    Examples
    --------
    >>> [str(typed(values).dtype) for values in ([1, None], [1, 0.5], ["all", 0], [2**70])]
    ['Int64', 'float64', 'string', 'float64']
    >>> typed([10**400, "NaN", 1]).tolist()
    [inf, nan, 1.0]
    """
    cells = np.fromiter(values, object, len(values))
    types = {_plain_type(one) for one in set(map(type, values))} - {NoneType}
    if not types:
        return nothing(len(cells))
    if types == {bool}:
        return _masked(pd.arrays.BooleanArray, cells, np.bool_)
    if types == {int}:
        with suppress(OverflowError):
            return _masked(pd.arrays.IntegerArray, cells, np.int64)
    if types <= {int, float}:
        return _as_fractions(cells)
    if types & {int, float} and types <= {int, float, str} and _has_only_nan_words(cells):
        return _as_fractions([math.nan if isinstance(one, str) else one for one in cells])
    return texts(values)


def _has_only_nan_words(cells: Iterable[Any]) -> bool:
    return all(one in _NAN_WORDS for one in cells if isinstance(one, str))


def _as_fractions(cells: Sequence[Any] | NDArray[np.object_]) -> NDArray[np.float64]:
    try:
        return np.asarray(cells, object).astype(np.float64)
    except OverflowError:
        return np.array([_fraction(one) for one in cells], np.float64)


def _fraction(cell: float | None) -> float:
    try:
        return math.nan if cell is None else float(cell)
    except OverflowError:  # a whole number above 1.8e308
        return math.inf if cell is not None and cell > 0 else -math.inf


def _without_nan_words(array: Column) -> Column:
    """Return texts that all spell NaN as missing numbers, and any other array as it is."""
    if _kind(array) != "string" or not _has_only_nan_words(array.dropna()):
        return array
    return np.full(len(array), np.nan)


def _plain_type(kind: type) -> type:
    """Return the type of a cell that a type of values is, or belongs to."""
    plain = {NoneType: NoneType, bool: bool, np.bool_: bool, int: int, np.integer: int}
    plain |= {float: float, np.floating: float}  # in this order: a flag is a whole number, too
    return next((meant for one, meant in plain.items() if issubclass(kind, one)), str)


def texts(values: Sequence[Cell]) -> Column:
    """Return values as an array of texts."""
    written = [None if value is None else str(value) for value in values]
    try:
        "".join(filter(None, written)).encode()
    except UnicodeEncodeError:
        written = [one and writable(one) for one in written]
    return pd.array(np.fromiter(written, object, len(written)), dtype=TEXT, copy=False)


def whole(numbers: NDArray[np.float64]) -> Column:
    """Return fractions as whole numbers, NaN as missing."""
    is_missing = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(is_missing, 0, numbers).astype(np.int64), is_missing)


def times(seconds: NDArray[np.float64]) -> Column:
    """Return seconds since the epoch as moments in UTC, to the millisecond.

    Missing is what is not known, and what no calendar has, as of a clock that was wrong.

    Examples
    --------
    >>> [str(one) for one in times(np.array([1.7e9, np.nan, 1e15]))]
    ['2023-11-14 22:13:20+00:00', 'NaT', 'NaT']
    """
    is_known = (seconds >= _FIRST_S) & (seconds <= _LAST_S)
    ms = np.round(1000 * np.where(is_known, seconds, 0)).astype(np.int64)
    moments = np.where(is_known, ms.view("datetime64[ms]"), np.datetime64("NaT", "ms"))
    return pd.DatetimeIndex(moments).tz_localize("UTC").array


def nothing(length: int) -> Column:
    """Return an array of missing values, which takes the type of any other when they join."""
    return np.full(length, None, object)


def _masked(kind: Any, cells: NDArray[np.object_], dtype: type) -> Column:
    """Return values as a plain array or, if some are missing, as one that knows which."""
    is_missing = np.fromiter((one is None for one in cells), bool, len(cells))
    if not is_missing.any():
        return cells.astype(dtype)
    return kind(np.where(is_missing, 0, cells).astype(dtype), is_missing)


def _fractions(array: Column) -> NDArray[np.float64]:
    if isinstance(array, np.ndarray):
        return array.astype(np.float64)
    fractions: NDArray[np.float64] = array.to_numpy(np.float64, na_value=np.nan)
    return fractions


def as_scores(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column of scores as numbers; what is no number is missing."""
    if column.dtype != TEXT:
        return column
    return pd.to_numeric(column.astype(object), errors="coerce").astype(np.float64)


def _kind(array: Column) -> str:
    """Return the type that a column of such values has where some are missing; empty for none."""
    match array.dtype.kind:
        case "i":
            return "Int64"
        case "f":
            return "float64"
        case "b":
            return "boolean"
        case _:
            return "string" if array.dtype == TEXT else ""
