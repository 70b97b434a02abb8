"""Selections: the part of the pool that a worker, a pass or a report is restricted to.

pipeline=elastic,svm     any of these values
parcellation=schaefer*   any value that the pattern matches
target!=age              any but these
parcels>=400             by number: an axis of numbers or an attribute of an axis
site="a,b",c             quotes hold a value together that has a comma
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.spelling import normal
from jobpool.errors import SelectionError, listing, nearest
from jobpool.table.grid import Grid
from jobpool.task import Value
from jobpool.units import parse_number

_FORM = re.compile(r"\s*([^=<>!\s]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*")
_ZEROS = re.compile(r"^([-+]?)0+(?=[0-9])")
_COMPARE = {">=": np.greater_equal, "<=": np.less_equal, ">": np.greater, "<": np.less}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One restriction, not yet held against a pool."""

    text: str
    name: str
    operator: str
    written: str  # all that stands behind the operator
    operands: tuple[str, ...]


def parse_condition(text: str) -> Condition:
    """Return the condition that `text` states.

    Raises
    ------
    SelectionError
        If it is not of the form ``NAME=VALUE``.

    Examples
    --------
    >>> parse_condition("pipeline=elastic,svm").operands
    ('elastic', 'svm')
    """
    form = _FORM.fullmatch(text)
    if form is None or not form[3]:
        advice = "write NAME=VALUE[,VALUE...], NAME!=VALUE, or NAME>=NUMBER (also <=, >, <); "
        advice += "a shell takes > and < for itself where they are not in quotes: 'parcels>=400'"
        raise SelectionError(text, advice)
    try:
        operands = tuple(map(normal, next(csv.reader([form[3]], skipinitialspace=True))))
    except csv.Error as error:
        raise SelectionError(text, f"{error}; write it on one line") from error
    if form[2] in _COMPARE and (len(operands) != 1 or parse_number(operands[0]) is None):
        raise SelectionError(text, f"{form[3]!r} is not a number")
    return Condition(
        text=text,
        name=normal(form[1]),
        operator=form[2],
        written=normal(form[3]),
        operands=operands,
    )


def select(grid: Grid, only: Sequence[str] = (), skip: Sequence[str] = ()) -> NDArray[np.bool_]:
    """Return which tasks satisfy every condition of `only` and none of `skip`.

    Parameters
    ----------
    grid : Grid
        The pool's tasks.
    only, skip : sequence of str
        Conditions; see the module's docstring.

    Returns
    -------
    ndarray of shape (n_tasks,), bool

    Raises
    ------
    SelectionError
        If a condition cannot be read, or names an axis or value that the pool does not have.
    """
    chosen = np.ones(len(grid), bool)
    for text in only:
        chosen &= _matching(grid, parse_condition(text))
    for text in skip:
        chosen &= ~_matching(grid, parse_condition(text))
    return chosen


def _matching(grid: Grid, condition: Condition) -> NDArray[np.bool_]:
    axis, values = _named(grid, condition)
    if condition.operator in _COMPARE:
        allowed = _compare(condition, values)
    else:
        allowed = np.zeros(len(values), bool)
        operands = condition.operands
        if any(normal(str(value)) == condition.written for value in values):
            operands = (condition.written,)  # one value, whatever commas and quotes it holds
        for operand in operands:
            matched = [_equal(value, operand) for value in values]
            if not any(matched):
                raise SelectionError(condition.text, _no_such_value(operand, condition, values))
            allowed |= np.array(matched)
        if condition.operator == "!=":
            allowed = ~allowed
    chosen: NDArray[np.bool_] = allowed[grid.column(axis)]
    return chosen


def _named(grid: Grid, condition: Condition) -> tuple[str, tuple[Value | None, ...]]:
    """Return the axis that the condition restricts, and what is compared for each value."""
    for axis in grid.axes:
        if axis.name == condition.name:
            return axis.name, axis.values
    attribute = grid.attributes_by_name.get(condition.name)
    if attribute is not None:
        return attribute.axis, attribute.values
    known = [*grid.names, *grid.attributes_by_name]
    what = f"the pool has no {condition.name!r}; it has: {listing(known)}"
    raise SelectionError(condition.text, what + nearest(condition.name, known))


def _equal(value: Value | None, operand: str) -> bool:
    if isinstance(value, str):
        return normal(value) == operand or fnmatchcase(normal(value), operand)
    if isinstance(value, bool):
        return str(value).lower() == operand.lower()
    if isinstance(value, int | float) and (number := parse_number(operand)) is not None:
        return value == number
    return value is not None and fnmatchcase(str(value), operand)


def _compare(condition: Condition, values: tuple[Value | None, ...]) -> NDArray[np.bool_]:
    numbers = [_number(value) for value in values]
    if all(np.isnan(number) for number in numbers):
        what = f"{condition.name} has no numbers to compare; its values: {listing(values)}"
        raise SelectionError(condition.text, what)
    limit = float(condition.operands[0])
    allowed: NDArray[np.bool_] = _COMPARE[condition.operator](numbers, limit)  # NaN: False
    return allowed


def _no_such_value(operand: str, condition: Condition, values: tuple[Value | None, ...]) -> str:
    words = [str(value) for value in values]
    what = f"no value matches {operand!r}; there are: {listing(words)}{nearest(operand, words)}"
    if len(condition.operands) > 1 and any("," in word for word in words):
        what += f'; put double quotes around a value that has a comma: {condition.name}="a,b",c'
    return what


def _number(value: Value | None) -> float:
    """Return what a value is compared as; a code such as ``007`` as its number, others as NaN."""
    number = parse_number(_ZEROS.sub(r"\1", str(value)))
    return float("nan") if number is None else float(number)
