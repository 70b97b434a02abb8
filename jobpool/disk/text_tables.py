"""Tables as text, ``.csv`` and ``.tsv``: what is read as it is meant, and what is refused.

1. UTF-8, with or without a byte order mark; UTF-16 and UTF-32 with one. Lines end in any usual way;
   blank ones count for nothing.
2. Columns are separated by commas (``.csv``) or tabs (``.tsv``). Every row is as long as the
   header; one empty field at the end of all rows is no field.
3. A first column without a name is an index, and left aside.

All else is refused with the line: other bytes, NUL characters, other separators, a quote that is
not closed, rows of another length, values in a column without a name.
"""

import codecs
import csv
import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

from jobpool.disk.spelling import normal
from jobpool.errors import DataError, listing

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OTHER_SEPARATORS = (";", "\t", ",", "|")
_MARKS = (  # the longer ones first: the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MOST_KEPT = 4096  # different cells of a column that share one text object
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raw:
    """What a file holds, before it means anything."""

    header: tuple[str, ...]  # names in their normal form, those of an index without one left out
    cells: dict[str, Sequence[object]]  # of the columns that are wanted
    places: Sequence[int]  # of each row: its line in a text, else its number from 1
    by: str = "line"  # what the places count


def read_text(path: Path, wanted: Collection[str] | None, once: Collection[str] | None) -> Raw:
    """Return the cells of some columns of a text file, or of all.

    Parameters
    ----------
    path : Path
        Its ending says what separates its columns.
    wanted : collection of str, optional
        Columns to keep; by default all. The others are checked and forgotten.
    once : collection of str, optional
        Columns that must not be there twice; by default all.

    Raises
    ------
    DataError
        If it breaks one of the rules.
    """
    try:
        with path.open(newline="", encoding=_encoding(path)) as stream:
            return _Reading(path, stream).read(wanted, once)
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except UnicodeDecodeError as error:
        raise DataError(path, f"cannot be read as a table: {_not_utf8(path)}") from error
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read as a table: {error}") from error


def check_names(path: Path, header: Sequence[str], once: Collection[str] | None) -> None:
    """Refuse names that stand twice in a header.

    Raises
    ------
    DataError
        If one of `once`, or any, does.
    """
    checked = header if once is None else once
    twice = [n for n in dict.fromkeys(header) if n and n in checked and header.count(n) > 1]
    if twice:
        at = [number for number, name in enumerate(header, start=1) if name == twice[0]]
        what = f"has {len(at)} columns {twice[0]!r}; keep one, or rename the others"
        raise DataError(path, f"{what} (they are the columns {listing(at)})")


class _Lines:
    """The lines of a stream, of which those of the present row are at hand."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.of_row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.of_row.append(line)
            if "\0" in line:
                raise ValueError(
                    "NUL characters, as in a file of UTF-16 without its mark; save it as UTF-8"
                )
            yield line


class _Reading:
    """One reading of a text file, row by row."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path, self._separator = path, SEPARATORS[path.suffix]
        self._lines = _Lines(stream)
        self._line = 1  # where the present row begins

    def read(self, wanted: Collection[str] | None, once: Collection[str] | None) -> Raw:
        rows = self._rows()
        written = next(rows, [])
        if not written:
            self._refuse("it is empty; write a header and rows")
        _check_separator(self._path, written)
        header = tuple(map(normal, written))
        check_names(self._path, header, once)
        names = {name: header.index(name) for name in dict.fromkeys(header) if name}
        kept = {n: at for n, at in names.items() if wanted is None or n in wanted}
        nameless = [at for at, name in enumerate(header) if not name and at > 0]
        cells: dict[str, list[str]] = {name: [] for name in kept}
        shared: dict[str, dict[str, str]] = {name: {} for name in kept}
        lines, lengths = array("q"), _Lengths(len(header))
        for row in rows:
            lines.append(self._line)
            if not lengths.take(row, self._line):
                continue
            for name, at in kept.items():
                cells[name].append(_one_object(row[at], shared[name]))
            filled = [at for at in nameless if row[at].strip()]
            if filled:
                value = row[filled[0]]
                self._refuse(
                    f"column {filled[0] + 1} has no name, but the value {value!r}; name it"
                )
        lengths.check(self._path)
        return Raw(header=tuple(names), cells=dict(cells), places=lines)

    def _rows(self) -> Iterator[list[str]]:
        """Yield the rows that are not blank, and know the line of each."""
        reader = csv.reader(
            self._lines, delimiter=self._separator, strict=True, skipinitialspace=True
        )
        n_columns, start = 0, 1
        while True:
            self._line = start
            self._lines.of_row.clear()
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._refuse(_meaning(error, self._lines.of_row), self._line)
            except ValueError as error:
                if isinstance(error, UnicodeDecodeError):
                    raise
                self._refuse(str(error), start + len(self._lines.of_row) - 1)
            if row is None:
                return
            start = reader.line_num + 1
            if row:
                n_columns = n_columns or len(row)
                if len(self._lines.of_row) > 1:
                    self._check_quotes(row, n_columns)
                yield row

    def _check_quotes(self, row: list[str], n_columns: int) -> None:
        """Refuse a value over several lines that, without its quotes, would be whole rows."""
        for before, value in enumerate(row):
            first, *others = value.splitlines() or [""]
            if not others:
                continue
            after = n_columns - 1 - before
            found = [line.count(self._separator) for line in (first, *others)]
            if found == [after, *[n_columns - 1] * (len(others) - 1), before]:
                what = f"a quote is opened and closed {len(others)} lines later, which takes whole "
                what += "rows for one value; correct the quote, or remove the line breaks"
                self._refuse(what)

    def _refuse(self, what: str, line: int | None = None) -> NoReturn:
        where = f"line {line or self._line}: " if self._lines.of_row else ""
        raise DataError(self._path, f"cannot be read as a table: {where}{what}")


class _Lengths:
    """Whether all rows are as long as the header."""

    def __init__(self, n_columns: int) -> None:
        self._n_columns = n_columns
        self._n_rows = self._n_longer = 0  # longer by one empty field
        self._others: list[tuple[int, int]] = []  # line and length of each row of another length

    def take(self, row: list[str], line: int) -> bool:
        """Take note of a row, and say whether it has a field for every column."""
        self._n_rows += 1
        if len(row) != self._n_columns:
            self._others.append((line, len(row)))
            self._n_longer += len(row) == self._n_columns + 1 and not row[-1]
        return len(row) >= self._n_columns

    def check(self, path: Path) -> None:
        """Refuse rows of another length, unless all of them end in one empty field."""
        if not self._others or self._n_longer == self._n_rows:
            return
        (line, length), n = self._others[0], len(self._others)
        lines = listing((one for one, _ in self._others), most=5)
        more = f" (so {n} lines: {lines})" if n > 1 else ""
        what = f"line {line} has {length} fields, the header {self._n_columns}{more}"
        cure = "give each row one field for each column"
        if n == self._n_rows and all(one == self._n_columns + 1 for _, one in self._others):
            cure = "if the first field of each is a row's name, as R writes it, name this column"
        raise DataError(path, f"cannot be read as a table: {what}; {cure}")


def _one_object(cell: str, shared: dict[str, str]) -> str:
    """Return the cell, the same object for the same text: columns repeat themselves."""
    found = shared.get(cell)
    if found is None:
        found = cell
        if len(shared) < _MOST_KEPT:
            shared[cell] = cell
    return found


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(4)
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8-sig")


def _meaning(error: csv.Error, lines: list[str]) -> str:
    if "unexpected end" in str(error) or len(lines) > 1:
        return "a quote is opened and never closed; close it, or remove it"
    if "expected after" in str(error):
        return "there is text behind a closing quote; write a quote inside a value twice"
    return f"{error}; correct it"


def _not_utf8(path: Path) -> str:
    """Say where the first byte stands that is no UTF-8."""
    data = path.read_bytes()
    try:
        data.decode(_encoding(path))
    except UnicodeDecodeError as error:
        at = error.start
        ends = list(_LINE_ENDS.finditer(data, 0, at))
        before = data[ends[-1].end() if ends else 0 : at].decode("latin-1")
        first = _LINE_ENDS.split(data, 1)[0].decode("latin-1").removeprefix("\xef\xbb\xbf")
        separator = SEPARATORS[path.suffix]
        names, number = first.split(separator), before.count(separator)
        column = f", column {names[number]!r}" if ends and number < len(names) else ""
        what = f"line {len(ends) + 1}{column}: the byte 0x{data[at]:02X} is no {error.encoding}"
        return f"{what}; save it as UTF-8"
    return "its bytes are no text; save it as UTF-8"


def _check_separator(path: Path, header: Sequence[str]) -> None:
    text = "".join(header)
    others = [one for one in _OTHER_SEPARATORS if text.count(one) >= len(header)]
    if others:
        what = (
            f"line 1: its columns are separated by {others[0]!r}; save it with a comma between them"
        )
        raise DataError(path, f"{what} (.csv), or a tab (.tsv)")
