"""A table on standard output: its first rows for a person, or all of it as one JSON object."""

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
import pandas as pd

from jobpool.cli.output import columns, json_text
from jobpool.units import cut, local_time, table

_ROWS, _COLUMNS, _ATTRIBUTES = 20, 10, 2
_LONGEST, _SHORT = 40, 24  # characters of a cell; in a narrow terminal, before columns go
_PORTION = 10_000  # rows that are Python's own objects at a time


def first_rows(
    frame: pd.DataFrame, keys: Sequence[str], attributes: Collection[str], leading: Sequence[str]
) -> list[str]:
    """Return the first rows: where they stand, the leading scores, and further columns.

    Attributes that are the same in all rows or as another column are left out, and all but two of
    the others; then, from the right, what the terminal has no room for.

    Parameters
    ----------
    frame : DataFrame
        The table.
    keys : sequence of str
        Columns that say which row it is.
    attributes : collection of str
        Those of axis values, which stand before all results.
    leading : sequence of str
        Columns that are shown in any case: the first score of each kind of target.
    """
    if frame.empty:
        return ["no row: nothing that is selected is done"]
    shown = _chosen(frame, keys, attributes, leading)
    width = columns()
    while width is not None and _is_wider(frame[shown], width):
        droppable = [name for name in shown if name not in keys and name not in leading]
        if not droppable:
            break
        shown.remove(droppable[-1])
    lines = _table(frame[shown], _LONGEST, width)
    if len(frame) > _ROWS or len(frame.columns) > len(shown):
        n_columns = len(frame.columns)
        lines.append(f"... {len(frame):,} rows of {n_columns} columns in all: -o results.csv")
    return lines


def _chosen(
    frame: pd.DataFrame, keys: Sequence[str], attributes: Collection[str], leading: Sequence[str]
) -> list[str]:
    silent = _silent(frame, attributes)
    names = [str(name) for name in frame.columns if name not in silent]
    first = [name for name in names if name in keys or name in attributes]
    first += [name for name in names if name in leading]
    others = [name for name in names if name not in first]
    return [*first, *others][: max(_COLUMNS, len(first))]


def _silent(frame: pd.DataFrame, attributes: Collection[str]) -> list[str]:
    """Return attributes that are the same in all rows, or as another column, and all but two."""
    seen: list[pd.Series[Any]] = []
    told: list[str] = []
    silent: list[str] = []
    for name in frame.columns:
        if len(told) + len(silent) == len(attributes):  # the columns behind are results
            break
        column = frame[name].astype("string")
        if name in attributes:
            is_same = column.nunique(dropna=False) == 1
            is_told = not is_same and not any(column.equals(one) for one in seen)
            (told if is_told else silent).append(name)
        seen.append(column)
    return silent + told[_ATTRIBUTES:]


def _is_wider(frame: pd.DataFrame, width: int) -> bool:
    """Say whether a table is too wide even if its longest texts are shortened a little."""
    return max(map(len, _table(frame, _SHORT, None))) > width


def _table(frame: pd.DataFrame, longest: int, width: int | None) -> list[str]:
    shown = frame.iloc[:_ROWS].astype(object)
    names = [_plain(str(name), longest) for name in frame.columns]
    texts = [name for name, dtype in zip(names, frame.dtypes, strict=True) if dtype == "string"]
    rows = [[_cell(value, longest) for value in row] for row in shown.itertuples(index=False)]
    return table(names, rows, texts, width)


def _cell(value: object, longest: int) -> str:
    if pd.isna(value):  # type: ignore[call-overload] # a cell is no array
        return ""
    if isinstance(value, pd.Timestamp):
        return local_time(value.timestamp())
    return f"{value:.4g}" if isinstance(value, float) else _plain(str(value), longest)


def _plain(text: str, longest: int) -> str:
    """Return a text on one line, without what a terminal takes for commands."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return cut(text, longest)


def print_json(frame: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Print a table as one JSON object: what is known about it, and ``rows``.

    Moments are ISO 8601, UTC. What is missing or no finite number is null.

    Parameters
    ----------
    frame : DataFrame
        The table.
    about : mapping
        What `jobpool.cli.output.json_text` can write.
    """
    write = sys.stdout.write
    write(f'{json_text(about)[:-1]}, "rows": [')
    for start in range(0, len(frame), _PORTION):
        part = frame.iloc[start : start + _PORTION]
        names = list(map(str, part.columns))
        cells = [_json_cells(part[name]) for name in part.columns]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]
        write((", " if start else "") + orjson.dumps(rows)[1:-1].decode())
    write("]}\n")


def _json_cells(column: "pd.Series[Any]") -> list[Any]:
    is_missing = column.isna().tolist()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        texts = column.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "+00:00"
        return [None if lacks else one for one, lacks in zip(texts, is_missing, strict=True)]
    return [None if lacks else one for one, lacks in zip(column.tolist(), is_missing, strict=True)]
