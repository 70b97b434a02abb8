"""Axis values from an experiment file: lists, globs, ranges, and columns of a table."""

import csv
import glob
import math
import re
import zipfile
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jobpool.errors import listing, nearest
from jobpool.reader import Reader
from jobpool.task import Axis, Value

RESERVED = frozenset({"task", "task_seconds", "failed_attempts", "worker"})
_NAME = re.compile(r"[^=<>!,\s]+")
_BRACES = re.compile(r"\{\w+\}")
_DIGITS = re.compile(r"(\d+)")
MOST_NUMBERS = 10_000_000  # of one axis: more would not fit into memory
_Pairs = list[tuple[Value, str | None]]  # a value, and the file behind it


def read_axes(reader: Reader, folder: Path) -> tuple[Axis, ...]:
    """Return every axis of the experiment with its values expanded.

    Parameters
    ----------
    reader : Reader
        Of the ``axes`` mapping; takes the problems.
    folder : Path
        Where relative paths start.
    """
    names = reader.names()
    if not names and not reader.problems:
        reader.problem("", None, "has no axis; give at least one")
    return tuple(_read_axis(reader, name, folder) for name in names)


def _read_axis(reader: Reader, name: str, folder: Path) -> Axis:
    given = reader.raw(name)
    _check_name(reader, name)
    before = len(reader.problems)
    pairs: _Pairs = []
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, dict):
            pairs += _expand(reader, name, item, folder)
        elif isinstance(item, str | int | float | bool):
            pairs.append((item, None))
        elif item is not None or isinstance(given, list):
            reader.problem(name, item, "a value must be a text, a number, or true or false")
    if not pairs and len(reader.problems) == before:
        reader.problem(name, given, "has no values; give at least one")
    for value, count in Counter(str(value) for value, _ in pairs).items():
        if count > 1:
            where = [source for found, source in pairs if str(found) == value and source]
            advice = f"is given {count} times; each value may stand once"
            reader.problem(name, value, advice + (f": {listing(where)}" if where else ""))
        if value == "" or value.strip() != value:
            reader.problem(name, value, "is empty or has blanks around it")
    _check_numbers(reader, name, [value for value, _ in pairs])
    return Axis(
        name=name,
        values=tuple(value for value, _ in pairs),
        sources=tuple(source for _, source in pairs),
    )


def _check_numbers(reader: Reader, name: str, values: list[Value]) -> None:
    """Refuse numbers that equal one another, as 1, 1.0 and true do, and infinite ones."""
    numbers = [value for value in values if not isinstance(value, str)]
    for number in set(numbers):
        if len({str(other) for other in numbers if other == number}) > 1:
            reader.problem(name, number, "equals another value; write numbers in one way")
        if not math.isfinite(number):
            reader.problem(name, number, "must be a finite number")


def _check_name(reader: Reader, name: str) -> None:
    if name in RESERVED:
        advice = f"is a column of every results table; name the axis otherwise than {name!r}"
        reader.problem(name, None, advice)
    if not _NAME.fullmatch(name):
        advice = "cannot be selected: write a name without blanks, commas and = < > !"
        reader.problem(name, None, advice)


def _expand(reader: Reader, name: str, form: dict[Any, Any], folder: Path) -> _Pairs:
    inner = Reader(reader.file, form, f"{reader.key}.{name}", reader.problems)
    pairs: _Pairs = []
    if inner.has("glob"):
        for pattern in inner.texts("glob"):
            pairs += _from_files(inner, pattern, folder)
    elif inner.has("from"):
        pairs = [(number, None) for number in _from_range(inner)]
    elif inner.has("table"):
        pairs = [(value, None) for value in _from_table(inner, folder)]
    elif inner.has("random"):
        pairs = _from_random(inner.child("random"), folder)
    else:
        advice = (
            "write a list of values, or one of: {glob: ...}, {from: ..., to: ...}, {table: ...}, "
            "{random: ...}"
        )
        inner.problem("", form, advice)
        inner.names()
    inner._find_unknown()
    return pairs


def _from_range(reader: Reader) -> list[int]:
    first, last = reader.whole("from"), reader.whole("to")
    step = reader.whole("step", default=1, least=1)
    if last < first:
        reader.problem("to", last, f"must not be smaller than from, {first}")
    numbers = range(first, last + 1, max(step, 1))
    if len(numbers) > MOST_NUMBERS:
        reader.problem("to", last, f"makes more than {MOST_NUMBERS:,} values; take a larger step")
        return [first]
    return list(numbers)


def _from_files(reader: Reader, pattern: str, folder: Path) -> _Pairs:
    """Return one value per file; ``archive.npz:pattern`` gives one per member of the archive."""
    path_pattern, _, member_pattern = pattern.partition(":")
    # from within the folder, whose own name may hold brackets
    names = glob.glob(path_pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    found = [str(folder / name) for name in sorted(names, key=_natural)]
    if not found:
        reader.problem("glob", pattern, f"matches no file in {folder}; correct the path")
    pairs: _Pairs = []
    for path in map(Path, found):
        if not member_pattern:
            pairs.append((path.name.split(".")[0], str(path)))
            continue
        members = _members(reader, path)
        matching = [member for member in members if fnmatchcase(member, member_pattern)]
        if not matching:
            advice = f"matches no array in {path.name}; it has: {listing(members)}"
            reader.problem("glob", pattern, advice)
        pairs += [(member, f"{path}:{member}") for member in matching]
    return pairs


def _from_random(reader: Reader, folder: Path) -> _Pairs:
    """Return one value per size and repeat; what it is made from stands in its source."""
    mesh, sizes = reader.text("mesh"), _sizes(reader)
    repeats, seed = reader.whole("repeats", default=1, least=1), reader.whole("seed", 0, least=0)
    mask = reader.optional_text("mask")
    for key, path in (("mesh", mesh), ("mask", mask)):
        # a name in braces stands for several files
        pattern = _BRACES.sub("*", glob.escape(path or ""))
        if path and not glob.glob(pattern, root_dir=folder):  # noqa: PTH207
            reader.problem(key, path, f"matches no file in {folder}; correct the path")
    end = f"&mask={_quoted(folder, mask)}" if mask else ""
    return [
        (
            f"random_{size}_{repeat}",
            f"random:{_quoted(folder, mesh)}?size={size}&repeat={repeat}&seed={seed}{end}",
        )
        for size in sizes
        for repeat in range(1, repeats + 1)
    ]


def _sizes(reader: Reader) -> list[int]:
    given = reader.raw("sizes")
    if given is None:
        reader.problem("sizes", None, "missing; give a list of whole numbers")
    if given == []:
        reader.problem("sizes", given, "is empty; give at least one whole number, such as [100]")
    sizes: list[int] = []
    for size in given if isinstance(given, list) else [] if given is None else [given]:
        if isinstance(size, int) and not isinstance(size, bool) and size >= 1:
            sizes.append(size)
        else:
            reader.problem("sizes", size, "must be a whole number of at least 1")
    return sizes


def _quoted(folder: Path, path: str) -> str:
    """Return a path for use in a source, in which ? & = % and what is not ASCII mean more."""
    return quote(str(folder / path), safe="/{}: ,+@~()[]")


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by value: yeo7 before yeo17."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(name)]


def _members(reader: Reader, path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            return sorted(names, key=_natural)
    except (OSError, zipfile.BadZipFile) as error:
        reader.problem("glob", str(path), f"is not an .npz archive: {error}")
        return []


def _from_table(reader: Reader, folder: Path) -> list[Value]:
    """Return the values of one column, or the names of the columns that match a pattern."""
    path = folder / reader.text("table")
    try:
        header, rows = _read_table(path)
    except (OSError, ValueError) as error:
        reader.problem("table", str(path), f"cannot be read: {error}")
        reader.names()
        return []
    if reader.has("columns"):
        names: list[Value] = []
        for pattern in reader.texts("columns"):
            matching = [name for name in header if fnmatchcase(name, pattern)]
            if not matching:
                advice = f"matches no column of {path.name}; it has: {listing(header)}"
                reader.problem("columns", pattern, advice)
            names += matching
        return names
    column = reader.text("column")
    if column not in header:
        if column:
            advice = f"is no column of {path.name}; it has: {listing(header)}"
            reader.problem("column", column, advice + nearest(column, header))
        return []
    position = header.index(column)
    values = {row[position] for row in rows if position < len(row)}
    return sorted(value for value in values if value not in {"", "n/a", "NA", "nan"})


def _read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    if path.suffix == ".parquet":
        import pandas as pd  # noqa: PLC0415 - half a second, for this kind of table only

        frame = pd.read_parquet(path)
        rows = [["" if pd.isna(v) else str(v) for v in row] for row in frame.to_numpy()]
        return [str(name) for name in frame.columns], rows
    with path.open(newline="", encoding="utf-8-sig") as stream:
        table = list(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))
    if not table:
        raise ValueError("the table is empty")
    return table[0], table[1:]
