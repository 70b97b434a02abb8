"""Columns of one type each, made from plain values or from rows that come one by one.

Rows are kept as tuples for a while and then become arrays, so that a table of a million rows does
not need a Python object for each of its cells.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

from jobpool.task import Value

Cell = Value | None
Column = Any  # an array of numpy or of pandas, in which whole numbers and flags may be missing
TEXT = pd.StringDtype()
_KEPT = 8192  # rows that are still tuples


def typed(values: Sequence[Cell]) -> Column:
    """Return values as an array of whole numbers, fractions, flags or texts.

    Whole numbers beyond 64 bits become fractions, mixed types text.

    Examples
    --------
    >>> [str(typed(values).dtype) for values in ([1, None], [1, 0.5], ["all", 0], [2**70])]
    ['Int64', 'float64', 'string', 'float64']
    """
    cells = np.empty(len(values), object)
    cells[:] = values
    match infer_dtype(cells, skipna=True):
        case "empty":
            return nothing(len(cells))
        case "integer":
            try:
                return _masked(pd.arrays.IntegerArray, cells, np.int64)
            except OverflowError:
                return cells.astype(np.float64)
        case "floating" | "mixed-integer-float":
            return cells.astype(np.float64)
        case "boolean":
            return _masked(pd.arrays.BooleanArray, cells, np.bool_)
        case _:
            return texts(cells.tolist())


def _masked(kind: Any, cells: NDArray[np.object_], dtype: type) -> Column:
    """Return values as a plain array or, if some are missing, as one that knows which."""
    is_missing = pd.isna(cells)
    if not is_missing.any():
        return cells.astype(dtype)
    return kind(np.where(is_missing, 0, cells).astype(dtype), is_missing)


def nothing(length: int) -> Column:
    """Return an array of missing values, which takes the type of any other when they join."""
    return np.full(length, None, object)


def texts(values: Sequence[Cell]) -> Column:
    """Return values as an array of texts."""
    written = [None if value is None else str(value) for value in values]
    try:
        "".join(one for one in written if one).encode()
    except UnicodeEncodeError:
        # half a surrogate pair, as in a file name that is no UTF-8, has no place in a table
        written = [one and one.encode("utf-8", "backslashreplace").decode() for one in written]
    return pd.array(written, dtype=TEXT)


def whole(numbers: NDArray[np.float64]) -> Column:
    """Return fractions as whole numbers, NaN as missing."""
    is_missing = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(is_missing, 0, numbers).astype(np.int64), is_missing)


def joined(arrays: Sequence[Column]) -> Column:
    """Return arrays one below the other as one column of one type."""
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


def _fractions(array: Column) -> NDArray[np.float64]:
    if isinstance(array, np.ndarray):
        return array.astype(np.float64)
    fractions: NDArray[np.float64] = array.to_numpy(np.float64, na_value=np.nan)
    return fractions


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
