"""Checks of a study table's columns; each error names the column, the row, the value, the cure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from jobpool.errors import DataError, listing, nearest

KEY = ("parcellation", "pipeline", "target")
TEXTS = ("parcellation", "type", "pipeline", "target", "strategy", "set", "task")
MISSING = ("", "n/a", "NA", "N/A", "nan", "NaN", "None")

DEFAULTS: dict[str, str | int | float] = {
    "strategy": "single",
    "set": "",
    "members": 1,
    "seconds": float("nan"),
    "memory_mb": float("nan"),
    "task": "",
}
_MAY_BE_EMPTY = ("set", "task")


def with_defaults(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the columns that may be left out, whether they were or not.

    Empty cells are filled too. The number of members is filled for single parcellations alone: of
    an ensemble it must be known, unless the whole column is left out.
    """
    frame = frame.reset_index(drop=True)
    for name, value in DEFAULTS.items():
        if name not in frame:
            frame[name] = value
    every = pd.Series(data=True, index=frame.index)
    _fill(frame, "strategy", every)
    _fill(frame, "set", every)
    _fill(frame, "members", frame["strategy"].astype(str).str.strip() == DEFAULTS["strategy"])
    return frame


def _fill(frame: pd.DataFrame, name: str, rows: pd.Series) -> None:
    """Fill the empty cells of some rows of a column."""
    column = frame[name].astype("object")
    empty = column.isna() | column.astype(str).str.strip().isin(MISSING)
    frame[name] = column.mask(rows & empty, DEFAULTS[name])


def check_columns(frame: pd.DataFrame, wanted: Sequence[str], source: str) -> None:
    """Raise a DataError if a column is missing."""
    missing = [name for name in wanted if name not in frame]
    if missing:
        found = [str(name) for name in frame.columns]
        hint = nearest(missing[0], found)
        what = f"no column {listing(map(repr, missing))}{hint} (its columns: {listing(found)})"
        raise DataError(source, f"{what}; name the columns as docs/analysis.md does")


def texts(frame: pd.DataFrame, name: str, source: str) -> pd.Series:
    """Return a column as text without blanks around it.

    Raises
    ------
    DataError
        If a value is missing where one must be.
    """
    column = frame[name]
    found = column.astype("object").where(column.notna(), "").astype(str).str.strip()
    if name not in _MAY_BE_EMPTY:
        bad = found == ""
        _raise_at(frame, name, bad, source, "is empty; fill it in, or leave the row out")
    return found.astype("str")


def numbers(
    frame: pd.DataFrame,
    name: str,
    source: str,
    *,
    above_zero: bool = False,
    may_miss: bool = False,
) -> pd.Series:
    """Return a column as float64.

    Raises
    ------
    DataError
        If a value is no finite number, is not above zero where it must be, or is missing where
        it must not be.
    """
    column = frame[name]
    gone = column.isna() | column.isin(MISSING)
    if not may_miss:
        cure = "is missing; leave out rows that have no result"
        _raise_at(frame, name, gone, source, cure)
    found = pd.to_numeric(column.mask(gone), errors="coerce").astype("float64")
    bad = ~gone & ~np.isfinite(found)
    _raise_at(frame, name, bad, source, "is no finite number; write one such as 0.25")
    if above_zero:
        _raise_at(frame, name, found <= 0, source, "is not above 0; the best rank is 1")
    return found


def whole_numbers(frame: pd.DataFrame, name: str, source: str) -> pd.Series:
    """Return a column as int64.

    Raises
    ------
    DataError
        If a value is no whole number from 1.
    """
    found = numbers(frame, name, source)
    bad = (found < 1) | (found != found.round()) | (found > 2**53)
    _raise_at(frame, name, bad, source, "is no whole number from 1; correct it")
    return found.astype("int64")


def check_unique(frame: pd.DataFrame, source: str) -> None:
    """Raise a DataError if a parcellation, pipeline and target stand in two rows."""
    key = list(KEY)
    twice = frame.duplicated(key)
    if twice.any():
        second = int(np.argmax(twice))
        same = (frame[key] == frame.loc[second, key]).all(axis=1)
        rows = listing((np.flatnonzero(same) + 1).tolist(), most=5)
        values = ", ".join(f"{name} {frame[name].tolist()[second]!r}" for name in KEY)
        what = f"rows {rows} are all of {values}; keep one row for each"
        raise DataError(source, what)


def check_one_value_each(frame: pd.DataFrame, name: str, source: str) -> None:
    """Raise a DataError if a parcellation has two values in a column that describes it."""
    first = frame.groupby("parcellation")[name].transform("first")
    other = first != frame[name]
    if other.any():
        second = int(np.argmax(other))
        label = str(frame.loc[second, "parcellation"])
        row = int(np.argmax(frame["parcellation"] == label))
        one, another = frame[name].iloc[[row, second]].tolist()
        values = f"{one} in row {row + 1}, {another} in row"
        what = f"column {name!r}: parcellation {label!r} has two values: {values} {second + 1}"
        raise DataError(source, f"{what}; give it one, or two names")


def _raise_at(frame: pd.DataFrame, name: str, bad: pd.Series, source: str, cure: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        others = int(bad.sum()) - 1
        more = f" ({others} more rows like it)" if others else ""
        value = frame[name].iloc[[row]].tolist()[0]  # plain Python: no np.float64() in the text
        raise DataError(source, f"column {name!r}, row {row + 1}: {value!r} {cure}{more}")
