"""The forms of axis values that every experiment has: ranges, files, columns of a table.

A runner adds forms of its own as a mapping of `ValueForm`; a new one is one file and one entry.
"""

import glob
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from jobpool.disk.npz import UNREADABLE, array_names
from jobpool.disk.tables import read_rows
from jobpool.errors import DataError, listing, nearest
from jobpool.experiment.reader import Reader
from jobpool.task import Value

MOST_NUMBERS = 10_000_000  # of one axis: more would not fit into memory
_DIGITS = re.compile(r"(\d+)")
Pairs = list[tuple[Value, str | None]]  # a value, and what is behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueForm:
    """One way to write many values of an axis: as a mapping with certain keys."""

    keys: tuple[str, ...]  # any of them says that a mapping has this form
    example: str  # shown to a user who wrote none of the forms
    # given a reader of the mapping, the folder where relative paths start, and the values of the
    # axis that stand there without this form, each with what is behind it
    expand: Callable[[Reader, Path, Mapping[str, str]], Pairs]
    of_others: bool = False  # its values are made of the others: expanded when these are known
    # given the reader of all axes, the name of one with such values, and all values of it
    check: Callable[[Reader, str, Pairs], None] | None = None


def _range(reader: Reader, folder: Path, singles: Mapping[str, str]) -> Pairs:  # noqa: ARG001
    """Return whole numbers from one to another, the last included."""
    first, last = reader.whole("from"), reader.whole("to")
    step = reader.whole("step", default=1, least=1)
    if last < first:
        reader.problem("to", last, f"must not be smaller than from, {first}")
    numbers = range(first, last + 1, max(step, 1))
    if len(numbers) > MOST_NUMBERS:
        reader.problem("to", last, f"makes more than {MOST_NUMBERS:,} values; take a larger step")
        return [(first, None)]
    return [(number, None) for number in numbers]


def _glob(reader: Reader, folder: Path, singles: Mapping[str, str]) -> Pairs:  # noqa: ARG001
    """Return one value per file that a pattern matches."""
    patterns = reader.texts("glob")
    return [pair for one in patterns for pair in from_files(reader, one, folder)]


def from_files(reader: Reader, pattern: str, folder: Path) -> list[tuple[str, str]]:
    """Return one value per file; ``archive.npz:pattern`` gives one per member of the archive."""
    path_pattern, _, member_pattern = pattern.partition(":")
    # from within the folder, whose own name may hold brackets
    names = glob.glob(path_pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    found = [str(folder / name) for name in sorted(names, key=_natural)]
    if not found:
        reader.problem("glob", pattern, f"matches no file in {folder}; correct the path")
    pairs: list[tuple[str, str]] = []
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


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by value: yeo7 before yeo17."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(name)]


def _members(reader: Reader, path: Path) -> list[str]:
    try:
        return sorted(array_names(path), key=_natural)
    except UNREADABLE as error:
        reader.problem("glob", str(path), f"is not an .npz archive: {error}")
        return []


def _table(reader: Reader, folder: Path, singles: Mapping[str, str]) -> Pairs:  # noqa: ARG001
    """Return the values of one column, or the names of the columns that match a pattern."""
    return [(value, None) for value in _from_table(reader, folder)]


def _from_table(reader: Reader, folder: Path) -> list[Value]:
    path = folder / reader.text("table")
    try:
        found = read_rows(path)
    except DataError as error:
        reader.problem("table", str(path), error.what)
        reader.names()
        return []
    header = list(found.header)
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
    values = {row[position] for row in found.rows}
    return sorted(value for value in values if value not in {"", "n/a", "NA", "nan"})


def whole_numbers(reader: Reader, name: str, least: int, example: int) -> list[int]:
    """Return a list of whole numbers of at least `least`; one alone is a list of one."""
    given = reader.raw(name)
    if given is None:
        reader.problem(name, None, "missing; give a list of whole numbers")
    if given == []:
        advice = f"is empty; give at least one whole number, such as [{example}]"
        reader.problem(name, given, advice)
    numbers: list[int] = []
    for number in given if isinstance(given, list) else [] if given is None else [given]:
        if isinstance(number, int) and not isinstance(number, bool) and number >= least:
            numbers.append(number)
        else:
            reader.problem(name, number, f"must be a whole number of at least {least}")
    for number in dict.fromkeys(one for one in numbers if numbers.count(one) > 1):
        reader.problem(name, number, "is given twice; give it once")
    return numbers


PLAIN: Mapping[str, ValueForm] = {
    "files": ValueForm(keys=("glob",), example="{glob: ...}", expand=_glob),
    "range": ValueForm(keys=("from",), example="{from: ..., to: ...}", expand=_range),
    "table": ValueForm(keys=("table",), example="{table: ...}", expand=_table),
}
