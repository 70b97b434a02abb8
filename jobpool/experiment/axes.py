"""The axes of an experiment: every value expanded, and what is behind it."""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jobpool.errors import listing
from jobpool.experiment.ensembles import describe_source
from jobpool.experiment.reader import Reader
from jobpool.experiment.values import PLAIN, Pairs, ValueForm
from jobpool.table.columns import why_not
from jobpool.task import Axis, Value

MOST_SHOWN = 12  # values given twice
_NAME = re.compile(r"[^=<>!,\s]+")


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
    return tuple(_read_axis(reader, name, folder, forms) for name in names)


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
            items[-1] = [(item, None)]
        elif item is not None or isinstance(given, list):
            reader.problem(name, item, "a value must be a text, a number, or true or false")
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


def _check_values(reader: Reader, name: str, pairs: Pairs) -> None:
    counts = Counter(str(value) for value, _ in pairs)
    twice = [value for value, count in counts.items() if count > 1]
    for value in twice[:MOST_SHOWN]:
        where = [describe_source(source) for one, source in pairs if str(one) == value and source]
        advice = f"is given {counts[value]} times; each value may stand once"
        reader.problem(name, value, advice + (f": {listing(where)}" if where else ""))
    if len(twice) > MOST_SHOWN:
        reader.problem(name, None, f"has {len(twice)} values that are given several times")
    for value in counts:
        if value == "" or value.strip() != value:
            reader.problem(name, value, "is empty or has blanks around it")


def _check_numbers(reader: Reader, name: str, values: list[Value]) -> None:
    """Refuse numbers that equal one another, as 1, 1.0 and true do, and infinite ones."""
    numbers = [value for value in values if not isinstance(value, str)]
    for number in set(numbers):
        if len({str(other) for other in numbers if other == number}) > 1:
            reader.problem(name, number, "equals another value; write numbers in one way")
        if not math.isfinite(number):
            reader.problem(name, number, "must be a finite number")


def _check_name(reader: Reader, name: str, known: Collection[str]) -> None:
    if (why := why_not(name)) and name not in known:
        reader.problem(name, None, f"{why}; name the axis otherwise than {name!r}")
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
