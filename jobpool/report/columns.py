"""Columns of one type each, made from plain values or from rows that come one by one.

Rows are kept as tuples for a while and then become arrays, so that a table of a million rows does
not need a Python object for each of its cells.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobpool.task import Value

Cell = Value | None
_KEPT = 8192  # rows that are still tuples


def typed(values: Sequence[Cell]) -> Any:
    """Return values as an Arrow array of whole numbers, fractions, flags or texts.

    Whole numbers beyond 64 bits become fractions, mixed types text.

    Examples
    --------
    >>> [str(typed(values).type) for values in ([1, None], [1, 0.5], ["all", 0], [2**70])]
    ['int64', 'double', 'string', 'double']
    """
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        if {type(value) for value in values if value is not None} <= {int, float}:
            return pa.array([None if one is None else float(one) for one in values], pa.float64())
        return texts(values)


def texts(values: Sequence[Cell]) -> Any:
    """Return values as an Arrow array of texts."""
    written = [None if value is None else str(value) for value in values]
    # half a surrogate pair, as in a file name that is no UTF-8, has no place in a table
    safe = [one and one.encode("utf-8", "backslashreplace").decode() for one in written]
    return pa.array(safe, pa.string())


def joined(arrays: Sequence[Any]) -> Any:
    """Return arrays one below the other as one column of one type."""
    types = {array.type for array in arrays} - {pa.null()}
    if len(types) > 1 and types <= {pa.int64(), pa.float64()}:
        types = {pa.float64()}
    if len(types) > 1:
        arrays, types = [texts(array.to_pylist()) for array in arrays], {pa.string()}
    kind = types.pop() if types else pa.null()
    return pa.chunked_array([array.cast(kind, safe=False) for array in arrays], kind)


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
        """Return all columns as Arrow arrays, with the rows in an order.

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
        taken = pa.array(np.argsort(places[np.concatenate([numbers for numbers, _ in packed])]))
        return {
            name: joined([columns.pop(name, pa.nulls(len(numbers))) for numbers, columns in packed])
            .combine_chunks()
            .take(taken)
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
