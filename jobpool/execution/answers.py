"""What a task process answers: a result in JSON's own types, or an error in bounded words.

A result is refused, with the place in it, where JSON cannot hold it as it is: a value of another
type, two keys that are the same text, more than `DEEPEST` levels, or more than `LARGEST_MB`.
"""

import ast
import json
import linecache
import math
import textwrap
import traceback
import warnings
from collections import Counter
from typing import Any

from jobpool.errors import Fault, JobpoolError, listing
from jobpool.execution.channel import LARGEST_MB
from jobpool.task import Json
from jobpool.units import MB

DEEPEST = 100  # levels of dicts and lists; readers of JSON give up at some hundreds
_LONGEST_LINE = 10_000  # characters of a message
_LONGEST_TRACEBACK = 100_000
_LONGEST_MODULE = 3000  # lines that are parsed, in 30 ms
_MOST_LINES = 20  # of a statement
_Place = tuple[Any, ...]  # the place around it, and the key there; empty: the result itself


class ResultError(JobpoolError):
    """What a task returned cannot be its result."""

    fault = Fault.TASK
    advice = "return numbers, text, true, false, None, and dicts and lists of these"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


def result_text(value: Any) -> str:
    """Return a result as JSON.

    Raises
    ------
    ResultError
        If it cannot be a result; says where, and what it is there.

    Examples
    --------
    >>> result_text({"r2": float("nan"), 3: (1, "a")})
    '{"r2": null, "3": [1, "a"]}'
    """
    found = _plain(value, (), 0)
    if not isinstance(found, dict):
        raise ResultError(f"the result is no dict but of type {type(value).__name__}")
    try:
        text = json.dumps(found)
    except ValueError as error:  # a whole number of too many digits
        raise ResultError(f"the result cannot be written: {error}; return it as text") from None
    if len(text) > LARGEST_MB * MB:
        what = f"the result has {len(text) / MB:,.0f} MB as JSON, and may have {LARGEST_MB}"
        raise ResultError(f"{what}; write it to a file, and return the file's name")
    return text


def _plain(value: Any, place: _Place, depth: int) -> Json:
    """Return what JSON can hold for `value`: a NaN or an infinity becomes null."""
    if value is None or isinstance(value, str | bool | int):
        found: Json = value
        return found
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > DEEPEST:
        inside = f"the result has more than {DEEPEST} levels of dicts and lists"
        raise ResultError(f"{inside}; return a flatter one")
    if isinstance(value, dict):
        return _plain_dict(value, place, depth)
    if isinstance(value, list | tuple):
        return [_plain(inner, (place, i), depth + 1) for i, inner in enumerate(value)]
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return _plain(value.tolist(), place, depth + 1)
    raise ResultError(f"{_words(place)} is of type {type(value).__name__}; {ResultError.advice}")


def _plain_dict(value: dict[Any, Any], place: _Place, depth: int) -> Json:
    found = {str(key): _plain(inner, (place, key), depth + 1) for key, inner in value.items()}
    if len(found) < len(value):
        twice = sorted(key for key, n in Counter(map(str, value)).items() if n > 1)
        what = f"{_words(place)} has several keys that are the same text: {listing(twice)}"
        raise ResultError(f"{what}; JSON has keys of text only: give each another name")
    return found


def _words(place: _Place) -> str:
    keys = []
    while place:
        place, key = place
        keys.append(f"[{key!r}]")
    return "".join(["the result", *reversed(keys)])


def error_text(error: BaseException, skip: int) -> tuple[str, str]:
    """Return an error as one message, and as its traceback.

    Parameters
    ----------
    error : BaseException
        What the code of a task raised.
    skip : int
        How many frames of the traceback are not the task's.
    """
    try:
        own = error.__traceback__
        for _ in range(skip):
            own = own.tb_next if own is not None else None
        told = traceback.TracebackException(type(error), error, own)
        if told.stack:
            told.stack[-1] = _with_statement(told.stack[-1])
        whole = "".join(told.format())
        told.__notes__ = None  # they stand behind the message, in the traceback
        line = list(told.format_exception_only())[-1].strip()
    except BaseException as second:  # the error is made so that it cannot be told
        line = f"{type(error).__name__}: no text, as telling it ended in {type(second).__name__}"
        whole = line
    return _cut(line, _LONGEST_LINE), _cut(whole, _LONGEST_TRACEBACK)


def _with_statement(frame: traceback.FrameSummary) -> traceback.FrameSummary:
    """Return a frame with the whole statement, of which Python before 3.13 shows the first line.

    The constant words of a message often stand in the second.
    """
    lines = linecache.getlines(frame.filename)
    at = frame.lineno or 0
    if len(lines) > _LONGEST_MODULE:
        return frame
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's code: it told them before
            tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return frame
    around = [
        (node.lineno, node.end_lineno or 0)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise | ast.Expr | ast.Assert | ast.Return | ast.Assign)
    ]
    first, last = max(((a, b) for a, b in around if a <= at <= b), default=(at, at))
    if not first < last < first + _MOST_LINES:
        return frame
    statement = textwrap.dedent("".join(lines[first - 1 : last])).rstrip()
    shown = textwrap.indent(statement, "    ")[4:]
    return traceback.FrameSummary(frame.filename, at, frame.name, line=shown)


def _cut(text: str, longest: int) -> str:
    """Return a text without its middle if it is too long: both ends tell most."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters ...\n{text[-half:]}"
