"""Tables from files: ``.csv``, ``.tsv`` and ``.parquet``, read by one reader with one set of rules.

1. Text is UTF-8, with or without a byte order mark; blank lines count for nothing.
2. Columns are separated by commas (``.csv``) or tabs (``.tsv``) and have different names.
3. Every row is as long as the header; one empty field at the end of all rows is no field.
4. The caller says what counts as missing, and which columns stay text.

An error names the file, and the line where there is one.
"""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobpool.errors import DataError, listing
from jobpool.installation import missing

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OTHER_SEPARATORS = (";", "\t", ",", "|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A table as text: its header, and rows of the same length."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def read_rows(path: Path, once: Collection[str] | None = None) -> Rows:
    """Return the table in a file as text; a missing value of a Parquet file is an empty text.

    Parameters
    ----------
    path : Path
        Its ending says what it is.
    once : collection of str, optional
        Columns that must not be there twice; by default all.

    Raises
    ------
    DataError
        If it cannot be read, or breaks one of the rules.
    """
    if path.suffix in _SEPARATORS:
        return _read_text(path, once)
    import pandas as pd  # noqa: PLC0415 - half a second, for this kind of table only

    frame = read_table(path, once=once)
    rows = [["" if pd.isna(v) else str(v) for v in row] for row in frame.astype(object).to_numpy()]
    return Rows(header=tuple(frame.columns), rows=tuple(map(tuple, rows)))


def read_table(
    path: Path,
    *,
    texts: Collection[str] | None = (),
    missing_words: Collection[str] | None = None,
    once: Collection[str] | None = None,
) -> "pd.DataFrame":
    """Return the table in a file; its rows are numbered from 0.

    Parameters
    ----------
    path : Path
        Its ending says what it is.
    texts : collection of str, optional
        Columns of a text file that stay text, so that ``007`` stays what it is; None for all.
    missing_words : collection of str, optional
        What counts as missing in a text file; by default what pandas takes for it, such as an
        empty cell, ``n/a`` and ``NA``.
    once : collection of str, optional
        Columns that must not be there twice; by default all.

    Raises
    ------
    DataError
        If it cannot be read, or breaks one of the rules.
    """
    import pandas as pd  # noqa: PLC0415 - half a second, and not needed to read rows

    try:
        if path.suffix == ".parquet":
            if why := missing("pyarrow"):
                raise DataError(path, why)
            frame = pd.read_parquet(path).rename(columns=str).reset_index(drop=True)
            _check_names(path, list(frame.columns), once)
            return frame
        _read_text(path, once, keep=False)
        return pd.read_csv(
            path,
            sep=_SEPARATORS[path.suffix],
            dtype=str if texts is None else dict.fromkeys(texts, str),
            na_values=None if missing_words is None else list(missing_words),
            keep_default_na=missing_words is None,
            index_col=False,  # a comma at the end of all rows shifts no column
            low_memory=False,
        )
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read as a table: {error}") from error


def _read_text(path: Path, once: Collection[str] | None, *, keep: bool = True) -> Rows:
    """Check a text file, and return its header with its rows, or without: they may be many."""
    if path.suffix not in _SEPARATORS:
        known = ".csv, .tsv, .parquet"
        raise DataError(path, f"cannot be read as a table; save it as one of: {known}")
    rows: list[tuple[str, ...]] = []
    others: list[tuple[int, int]] = []  # line and length of each row not as long as the header
    n_rows = n_longer = 0  # longer by one empty field
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=_SEPARATORS[path.suffix])
            filled = filter(None, reader)
            header = tuple(next(filled, ()))
            for row in filled:
                n_rows += 1
                if len(row) != len(header):
                    others.append((reader.line_num, len(row)))
                    n_longer += len(row) == len(header) + 1 and not row[-1]
                if keep:
                    rows.append(tuple(row))
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(path, f"cannot be read as a table: {error}") from error
    if not header:
        raise DataError(path, "cannot be read as a table: it is empty; write a header and rows")
    _check_separator(path, header)
    if n_longer < n_rows:
        _check_lengths(path, header, others)
    _check_names(path, header, once)
    return Rows(header=header, rows=tuple(row[: len(header)] for row in rows))


def _check_separator(path: Path, header: Sequence[str]) -> None:
    others = [one for one in _OTHER_SEPARATORS if len(header) == 1 and one in header[0]]
    if others:
        what = f"its columns are separated by {others[0]!r}; save it with a comma between them"
        raise DataError(path, f"{what} (.csv), or a tab (.tsv)")


def _check_lengths(path: Path, header: Sequence[str], others: Sequence[tuple[int, int]]) -> None:
    if others:
        lines = [line for line, _ in others]
        what = f"line {lines[0]} has {others[0][1]} fields, the header {len(header)}"
        more = f" (so {len(lines)} lines: {listing(lines, most=5)})" if len(lines) > 1 else ""
        what = f"cannot be read as a table: {what}{more}"
        raise DataError(path, f"{what}; give each row one field for each column")


def _check_names(path: Path, header: Sequence[str], once: Collection[str] | None) -> None:
    checked = header if once is None else once
    twice = [n for n in dict.fromkeys(header) if n and n in checked and header.count(n) > 1]
    if twice:
        what = f"has {header.count(twice[0])} columns {twice[0]!r}; keep one, or rename the others"
        raise DataError(path, what)
