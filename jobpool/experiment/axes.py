"""The axes of an experiment: the ways to write their values, and every value expanded.

Values are given singly, or many at a time by a mapping: `PLAIN` has the forms that every
experiment has. A runner adds forms of its own as a mapping of `ValueForm`: one file, one entry.
"""

import glob
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jobpool.disk.npz import UNREADABLE, array_names, split_location
from jobpool.disk.spelling import alike, normal, valued
from jobpool.disk.tables import read_table
from jobpool.errors import DataError, listing, nearest
from jobpool.experiment.ensembles import describe_source
from jobpool.experiment.reader import Reader
from jobpool.table.columns import why_not
from jobpool.task import Axis, Value
from jobpool.units import parse_number

MOST_NUMBERS = 10_000_000  # of one axis: more would not fit into memory
MOST_TASKS = 10_000_000  # of a pool; their states alone are 330 MB
MOST_SHOWN = 12  # values given twice
_NAME = re.compile(r"[^=<>!,\s]+")
_COMMA = re.compile(r"[-+]?[0-9]+(?:,[0-9]+)+")
_DIGITS = re.compile(r"(\d+)")
Pairs = list[tuple[Value, str | None]]  # a value, and what is behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueForm:
    """One way to write many values of an axis: as a mapping with certain keys."""

    keys: tuple[str, ...]  # any of them says that a mapping has this form
    example: str  # shown where a mapping has none of the forms
    # given a reader of the mapping, the folder where relative paths start, and the values of the
    # axis that stand there without this form, each with what is behind it
    expand: Callable[[Reader, Path, Mapping[str, str]], Pairs]
    of_others: bool = False  # its values are made of the others: expanded when these are known
    # given the reader of all axes, the name of one with such values, and all values of it
    check: Callable[[Reader, str, Pairs], None] | None = None


def _range(reader: Reader, _folder: Path, _singles: Mapping[str, str]) -> Pairs:
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


def _glob(reader: Reader, folder: Path, _singles: Mapping[str, str]) -> Pairs:
    """Return one value per file that a pattern matches."""
    patterns = reader.texts("glob")
    return [pair for one in patterns for pair in from_files(reader, one, folder)]


def from_files(reader: Reader, pattern: str, folder: Path) -> list[tuple[str, str]]:
    """Return one value per file; ``archive.npz:pattern`` gives one per member of the archive."""
    path_pattern, member_pattern = split_location(pattern)
    # from within the folder, whose own name may hold brackets
    names = glob.glob(path_pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    found = [str(folder / name) for name in sorted(names, key=_natural)]
    if not found:
        reader.problem("glob", pattern, f"matches no file in {folder}; correct the path")
    pairs: list[tuple[str, str]] = []
    for path in map(Path, found):
        if not member_pattern:
            pairs.append((_spelt(reader, path.name.split(".")[0]), str(path)))
            continue
        members = _members(reader, path)
        matching = [member for member in members if fnmatchcase(member, member_pattern)]
        if not matching:
            advice = f"matches no array in {path.name}; it has: {listing(members)}"
            reader.problem("glob", pattern, advice)
        pairs += [(_spelt(reader, member), f"{path}:{member}") for member in matching]
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


def _table(reader: Reader, folder: Path, _singles: Mapping[str, str]) -> Pairs:
    """Return the values of one column, or the names of the columns that match a pattern."""
    return [(value, None) for value in _from_table(reader, folder)]


def _from_table(reader: Reader, folder: Path) -> list[Value]:
    path, missing = folder / reader.text("table"), read_missing(reader)
    patterns = reader.texts("columns") if reader.has("columns") else None
    column = "" if patterns is not None else normal(reader.text("column"))
    try:
        # every name must be known, but one column is enough
        table = read_table(path, wanted={column}, missing=missing)
        if patterns is not None:
            return _columns(reader, patterns, table.header, path)
        if column in table.header:
            if reader.former:
                return _as_formerly(table.raw.cells[column])
            return _different(reader, column, table.texts(column))
    except DataError as error:
        reader.problem("table", str(path), error.what)
        return []
    if column:
        advice = f"is no column of {path.name}; it has: {listing(table.header)}"
        reader.problem("column", column, advice + nearest(column, table.header))
    return []


def _as_formerly(cells: Sequence[object]) -> list[Value]:
    """Return the different values as pools have them that were made before there were rules."""
    found = {str(cell) for cell in cells if cell is not None}
    return sorted(found - {"", "n/a", "NA", "nan"})


def _different(reader: Reader, column: str, cells: Sequence[str | None]) -> list[Value]:
    """Return the different values of a column, none of them a number in two spellings."""
    found = sorted({one for one in cells if one is not None})
    for both in alike(found, valued):
        advice = f"holds {' and '.join(map(repr, both))}, one number in several spellings; write "
        reader.problem("column", column, f"{advice}it in one way")
    commas = [one for one in found if _COMMA.fullmatch(one)]
    if commas and all(one in commas or parse_number(one) is not None for one in found):
        advice = f"holds {commas[0]!r}, a number with a comma; write a point, and no thousands"
        reader.problem("column", column, advice)
    return list(found)


def _columns(
    reader: Reader, patterns: Sequence[str], header: Sequence[str], path: Path
) -> list[Value]:
    """Return the names of the columns that match."""
    names: list[Value] = []
    for pattern in patterns:
        matching = [name for name in header if fnmatchcase(name, normal(pattern))]
        if not matching:
            advice = f"matches no column of {path.name}; it has: {listing(header)}"
            reader.problem("columns", pattern, advice)
        names += matching
    return names


def read_missing(reader: Reader) -> tuple[str, ...] | None:
    """Return the words for a missing value in a table; None if the file gives no list."""
    value = reader.raw("missing")
    if value is None:
        return None
    given = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in given):
        advice = 'must be a list of words and numbers, such as ["NA", -9]'
        reader.problem("missing", value, advice)
        return None
    return tuple(map(str, given))


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
    for number in (one for one, count in Counter(numbers).items() if count > 1):
        reader.problem(name, number, "is given twice; give it once")
    return numbers


PLAIN: Mapping[str, ValueForm] = {
    "files": ValueForm(keys=("glob",), example="{glob: ...}", expand=_glob),
    "range": ValueForm(keys=("from",), example="{from: ..., to: ...}", expand=_range),
    "table": ValueForm(keys=("table",), example="{table: ...}", expand=_table),
}


def read_axes(
    reader: Reader,
    folder: Path,
    forms: Mapping[str, ValueForm] = PLAIN,
    known: Collection[str] = (),
) -> tuple[Axis, ...]:
    """Return every axis of the experiment with its values expanded.

    Parameters
    ----------
    reader : Reader
        Of the ``axes`` mapping; takes the problems.
    folder : Path
        Where relative paths start.
    forms : mapping
        The ways to write values as a mapping.
    known : collection of str
        Names that axes of a pool have already: they are not refused for being taken.
    """
    names = reader.names()
    if not names and not reader.problems:
        reader.problem("", None, "has no axis; give at least one")
    for name in names:
        _check_name(reader, name, known)
    if _are_too_many(reader, math.prod(_n_written(reader.raw(name)) for name in names)):
        return ()
    axes = tuple(_read_axis(reader, name, folder, forms) for name in names)
    _are_too_many(reader, math.prod(len(axis.values) for axis in axes))
    return axes


def _are_too_many(reader: Reader, n_tasks: int) -> bool:
    if n_tasks > MOST_TASKS:
        advice = f"make {n_tasks:,} tasks; a pool holds at most {MOST_TASKS:,}: make several pools"
        reader.problem("", None, advice)
    return n_tasks > MOST_TASKS


def _n_written(given: Any) -> int:
    """Return how many values an axis has at least, before any of them is made."""
    return max(sum(map(_n_in, given if isinstance(given, list) else [given])), 1)


def _n_in(item: Any) -> int:
    range_of = item if isinstance(item, dict) else {}
    first, last, step = map(range_of.get, ("from", "to", "step"))
    if not isinstance(first, int) or not isinstance(last, int):
        return 1
    n_values = (last - first) // (step if isinstance(step, int) and step > 0 else 1) + 1
    return n_values if n_values <= MOST_NUMBERS else 1  # a longer range is refused by itself


def _read_axis(reader: Reader, name: str, folder: Path, forms: Mapping[str, ValueForm]) -> Axis:
    given = reader.raw(name)
    before = len(reader.problems)
    items: list[Pairs] = []
    late: dict[int, tuple[Reader, ValueForm]] = {}  # by the position of the item
    used: list[ValueForm] = []
    for item in given if isinstance(given, list) else [given]:
        items.append([])
        if isinstance(item, dict):
            inner = Reader(reader.file, item, f"{reader.key}.{name}", reader.problems)
            form = _form_of(inner, item, forms)
            used += [] if form is None else [form]
            if form is not None and form.of_others:
                late[len(items) - 1] = inner, form
            elif form is not None:
                items[-1] = form.expand(inner, folder, {})
                inner.note_unknown()
        elif isinstance(item, str | int | float | bool):
            items[-1] = [_plain(reader, item)]
        elif item is not None or isinstance(given, list):
            advice = "a value must be text, a number, or true or false; put quotes around a text"
            reader.problem(name, item, advice)
    singles = {str(value): source or str(value) for pairs in items for value, source in pairs}
    for position, (inner, form) in late.items():
        items[position] = form.expand(inner, folder, singles)
        inner.note_unknown()
    pairs = [pair for pairs in items for pair in pairs]
    if not pairs and len(reader.problems) == before:
        reader.problem(name, given, "has no values; give at least one")
    _check_values(reader, name, pairs)
    for check in dict.fromkeys(form.check for form in used if form.check is not None):
        check(reader, name, pairs)
    _check_numbers(reader, name, [value for value, _ in pairs])
    return Axis(
        name=name,
        values=tuple(value for value, _ in pairs),
        sources=tuple(source for _, source in pairs),
    )


def _plain(reader: Reader, item: Value) -> tuple[Value, str | None]:
    """Return a value that stands there, and what is behind it: a path as it is written."""
    value = _spelt(reader, item) if isinstance(item, str) else item
    return value, None if value == item else str(item)


def _spelt(reader: Reader, name: str) -> str:
    """Return a value in the normal form of names, blanks at its ends left to be refused."""
    is_bare = name.strip() == name and name
    return normal(name) if is_bare and not reader.former else name


def _check_values(reader: Reader, name: str, pairs: Pairs) -> None:
    counts = Counter(str(value) for value, _ in pairs)
    twice = [value for value, count in counts.items() if count > 1]
    for value in twice[:MOST_SHOWN]:
        where = [describe_source(source) for one, source in pairs if str(one) == value and source]
        advice = f"is given {counts[value]} times; each value may be given once"
        reader.problem(name, value, advice + (f": {listing(where)}" if where else ""))
    if len(twice) > MOST_SHOWN:
        reader.problem(name, None, f"has {len(twice)} values that are given several times")
    for value in counts:
        if value == "" or value.strip() != value:
            reader.problem(name, value, "is empty or has blanks around it")


def _check_numbers(reader: Reader, name: str, values: list[Value]) -> None:
    """Refuse numbers that equal one another, as 1, 1.0 and true do, and infinite ones."""
    spellings: dict[int | float, set[str]] = {}  # numbers that are equal are one key
    for value in values:
        if not isinstance(value, str):
            spellings.setdefault(value, set()).add(str(value))
    for number, written in spellings.items():
        if len(written) > 1:
            reader.problem(name, number, "equals another value; write numbers in one way")
        if not math.isfinite(number):
            reader.problem(name, number, "must be a finite number")


def _check_name(reader: Reader, name: str, known: Collection[str]) -> None:
    if (why := why_not(name)) and name not in known:
        reader.problem(name, None, f"{why}; give the axis another name than {name!r}")
    if not _NAME.fullmatch(name):
        advice = "cannot be selected: write a name without blanks, commas and = < > !"
        reader.problem(name, None, advice)


def _form_of(
    reader: Reader, item: dict[Any, Any], forms: Mapping[str, ValueForm]
) -> ValueForm | None:
    """Return the form that a mapping has, and note if it has none."""
    for form in forms.values():
        if any(reader.has(key) for key in form.keys):
            return form
    shown = ", ".join(form.example for form in forms.values())
    reader.problem("", item, f"write a list of values, or one of: {shown}")
    return None
