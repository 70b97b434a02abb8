"""Tables from files: ``.csv``, ``.tsv`` and ``.parquet``, read by one reader with one set of rules.

1. Columns have different names; blanks around a name are no part of it. An index with a name is a
   column, one without a name is left aside. What else a file must be: `jobpool.disk.text_tables`
   and `jobpool.disk.parquet_tables`.
2. A cell is missing if it is empty or one of `MISSING`; in a column whose other cells are all
   numbers, also if it is one of `MISSING_IN_NUMBERS`. The caller may give another list, which then
   counts for every column, numbers in it by value. An empty cell is always missing.
3. A column is of numbers if every cell that is not missing is one: digits, perhaps with a sign, a
   point and an exponent. If all of them are whole, also when written ``1.0``, they are whole
   numbers. Leading zeros make a code, which is text, and so do commas, ``_`` and other signs.
4. A column in which all are ``true`` or ``false``, in any capitals, is of these.
5. Every other column is text, in the normal form of `jobpool.disk.spelling`.
6. As an id, a group or the value of an axis every cell is text: ``007`` stays what it is, ``1.0``
   is ``1``.

An error names the file, and the line where there is one.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobpool.disk.parquet_tables import read_parquet
from jobpool.disk.spelling import name_of, normal
from jobpool.disk.text_tables import SEPARATORS, Raw, read_text
from jobpool.errors import DataError, listing
from jobpool.units import parse_number

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("", "n/a", "N/A", "nan", "NaN")
MISSING_IN_NUMBERS = ("NA", "None", "NULL", "null", "#N/A", "<NA>")
_MOST_EXACT = 2.0**53  # beyond it, a floating point number is not the whole number it was
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The words for a missing value."""

    everywhere: tuple[str, ...] = MISSING
    in_numbers: tuple[str, ...] = MISSING_IN_NUMBERS
    numbers: frozenset[float] = frozenset()  # codes such as -9

    @classmethod
    def of(cls, words: Iterable[str] | None) -> "Missing":
        """Return those of a user's list; None for the usual ones."""
        if words is None:
            return cls()
        known = tuple(map(name_of, words))
        numbers = {number for one in known if (number := parse_number(one)) is not None}
        return cls(everywhere=("", *known), in_numbers=(), numbers=frozenset(numbers))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A table in memory: its cells as they are stored, and what they mean."""

    path: Path
    raw: Raw
    missing: Missing

    @property
    def header(self) -> tuple[str, ...]:
        """Return the names of all columns, also of those that were not kept."""
        return self.raw.header

    def __len__(self) -> int:
        return len(self.raw.places)

    def place(self, row: int) -> str:
        """Return where a row, counted from 0, stands in the file: ``line 2``."""
        return f"{self.raw.by} {self.raw.places[row]}"

    def texts(self, name: str) -> list[str | None]:
        """Return a column as names: of people, groups, sites; None where one is missing.

        Raises
        ------
        DataError
            If a value is no text, or a number that has lost its last digits.
        """
        cells = self.raw.cells[name]
        try:
            meaning = _as_texts(cells, self.missing)
        except TypeError as error:
            what = f"column {name!r} holds lists or the like; make a column for each value"
            raise DataError(self.path, what) from error
        except ValueError as error:
            at = next(i for i, one in enumerate(cells) if _is_inexact(one))
            what = f"column {name!r}, {self.place(at)}: {cells[at]!r} has lost its last digits"
            raise DataError(self.path, f"{what}; store whole numbers or text") from error
        return [meaning[cell] for cell in cells]

    def written(self, name: str) -> list[str]:
        """Return a column as text that shows missing words, too; empty where nothing is."""
        return ["" if one is None else normal(str(one)) for one in self.raw.cells[name]]

    def frame(self, names: Collection[str] | None = None) -> "pd.DataFrame":
        """Return columns by their types, by default all; the index is the line of each row.

        Whole numbers are ``int64``, with gaps ``Int64``; other numbers ``float64``; true and false
        ``bool``, with gaps ``boolean``; texts, and values of other kinds, ``object``.
        """
        import pandas as pd  # noqa: PLC0415 - half a second, and not needed for texts

        chosen = self.raw.cells if names is None else names
        index = pd.Index(np.asarray(self.raw.places, dtype=np.int64), name=self.raw.by)
        columns = {name: _series(self.raw.cells[name], self.missing, index) for name in chosen}
        return pd.DataFrame(columns, index=index)


def read_table(
    path: Path,
    *,
    wanted: Collection[str] | None = None,
    once: Collection[str] | None = None,
    missing: Collection[str] | None = None,
) -> Table:
    """Return the table in a file.

    Parameters
    ----------
    path : Path
        Its ending says what it is.
    wanted : collection of str, optional
        The columns to keep in memory, where they are there; by default all.
    once : collection of str, optional
        Columns that must not be there twice; by default all.
    missing : collection of str, optional
        The words for a missing value; by default those of the second rule.

    Raises
    ------
    DataError
        If it cannot be read, or breaks one of the rules.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(path, "is no regular file; save the table in one")
    if path.suffix in SEPARATORS:
        raw = read_text(path, wanted, once)
    elif path.suffix == ".parquet":
        raw = read_parquet(path, wanted, once)
    else:
        known = ".csv, .tsv, .parquet"
        raise DataError(path, f"cannot be read as a table; save it as one of: {known}")
    return Table(path=path, raw=raw, missing=Missing.of(missing))


def place(index: "pd.Index[Any]", row: int) -> str:
    """Return where a row of a frame stands, counted from 0 here and from 1 for people.

    Examples
    --------
    >>> import pandas as pd
    >>> place(pd.Index([2, 5], name="line"), 1), place(pd.RangeIndex(2), 1)
    ('line 5', 'row 2')
    """
    return f"{index.name} {index[row]}" if index.name else f"row {row + 1}"


def places(index: "pd.Index[Any]", rows: Sequence[int], most: int = 5) -> str:
    """Return where several rows of a frame stand.

    Examples
    --------
    >>> import pandas as pd
    >>> places(pd.Index([2, 5], name="line"), [0, 1]), places(pd.RangeIndex(2), [1])
    ('lines 2, 5', 'row 2')
    """
    numbers = listing((place(index, row).split()[1] for row in rows), most=most)
    return f"{index.name or 'row'}{'s' if len(rows) > 1 else ''} {numbers}"


def _as_texts(cells: Sequence[object], missing: Missing) -> Mapping[object, str | None]:
    """Return the text of each different cell."""
    texts = {cell: None if cell is None else _text(cell) for cell in dict.fromkeys(cells)}
    words: Collection[str] = missing.everywhere
    if _numbers(dict.fromkeys(cells), missing) is not None:
        words = (*words, *missing.in_numbers)
    return {cell: None if text in words else text for cell, text in texts.items()}


def _text(cell: object) -> str:
    if isinstance(cell, str):
        return name_of(cell)
    if isinstance(cell, bool | int):
        return str(cell)
    if isinstance(cell, float | np.floating):
        if _is_inexact(cell):
            raise ValueError(f"{cell} may have been another whole number")
        # short floats write large whole numbers with an exponent
        return str(int(cell)) if float(cell).is_integer() else name_of(str(cell))
    if isinstance(cell, Decimal):
        return name_of(f"{cell:f}" if _is_whole(cell) else f"{cell:f}".rstrip("0"))
    raise TypeError(f"{cell!r} is neither a text nor a number")


def _is_inexact(cell: object) -> bool:
    """Say whether another whole number may have become this one: 2**53 of 64 bits, 2**24 of 32."""
    if not isinstance(cell, float | np.floating):
        return False
    return 2.0 ** (np.finfo(type(cell)).nmant + 1) <= abs(float(cell)) < math.inf


def _is_whole(cell: Decimal) -> bool:
    return cell.is_finite() and cell == cell.to_integral_value()


def _series(cells: Sequence[object], missing: Missing, index: "pd.Index") -> "pd.Series":
    """Return a column by its type."""
    import pandas as pd  # noqa: PLC0415 - loaded by now

    try:
        different = dict.fromkeys(cells)
    except TypeError:  # lists, as Parquet may hold them
        return pd.Series(list(cells), index=index, dtype=object)
    meaning: Mapping[Any, Any] | None = None
    kinds: tuple[tuple[Callable[..., Any], str, str], ...] = (
        (_whole_numbers, "int64", "Int64"),
        (_numbers, "float64", "float64"),
        (_booleans, "bool", "boolean"),
        (_plain_texts, "object", "object"),
    )
    for read, whole, with_gaps in kinds:
        meaning = read(different, missing)
        if meaning is not None:
            kind = with_gaps if None in meaning.values() else whole
            values = [meaning[cell] for cell in cells]
            return pd.Series(values, index=index, dtype=kind)
    return pd.Series(list(cells), index=index, dtype=object)


def _numbers(
    different: Mapping[object, object], missing: Missing
) -> Mapping[object, int | float | None] | None:
    """Return the number of each cell; None if one is no number, or all are missing."""
    words = {*missing.everywhere, *missing.in_numbers}
    found: dict[object, int | float | None] = {}
    for cell in different:
        text = normal(cell) if isinstance(cell, str) else None
        if cell is None or text in words:
            found[cell] = None
            continue
        number = _number(cell) if text is None else parse_number(text)
        if number is None:
            return None
        found[cell] = None if number in missing.numbers else number
    return found if any(number is not None for number in found.values()) else None


def _number(cell: object) -> int | float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float | np.floating | Decimal):
        return None
    if isinstance(cell, Decimal) and _is_whole(cell):
        return int(cell)
    return cell if isinstance(cell, int) else float(cell)


def _whole_numbers(
    different: Mapping[object, object], missing: Missing
) -> Mapping[object, int | None] | None:
    numbers = _numbers(different, missing)
    if numbers is None:
        return None
    known = [number for number in numbers.values() if number is not None]
    if not all(
        isinstance(one, int) or (one.is_integer() and abs(one) < _MOST_EXACT) for one in known
    ):
        return None
    if not all(int(number) in _INT64 for number in known):
        return None
    return {cell: None if one is None else int(one) for cell, one in numbers.items()}


def _booleans(
    different: Mapping[object, object], missing: Missing
) -> Mapping[object, bool | None] | None:
    found: dict[object, bool | None] = {}
    for cell in different:
        word = normal(str(cell))
        if cell is None or word in missing.everywhere:
            found[cell] = None
        elif word.lower() in {"true", "false"}:
            found[cell] = word.lower() == "true"
        else:
            return None
    return found if any(one is not None for one in found.values()) else None


def _plain_texts(
    different: Mapping[object, object], missing: Missing
) -> Mapping[object, str | None] | None:
    try:
        return _as_texts(tuple(different), missing)
    except (TypeError, ValueError):
        return None
