"""What commands print as their result: lines that fit the terminal, or one JSON object."""

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jobpool.table.columns import writable

NARROWEST = 80  # columns: lines are not made for less
# a command stays on one line, so that it can be copied; the same for every word
_UNBROKEN = re.compile(r"(\s*)(\(?jobpool [a-z-]+ (?:'[^']*'|[^;()'])*\)?[;,.]?|\S+)")


def columns() -> int | None:
    """Return the width that text may have: of the terminal, or as COLUMNS says; None for any."""
    if not (os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty()):
        return None  # a file, or a program that searches for whole lines
    return max(shutil.get_terminal_size().columns, NARROWEST)


def put(text: object = "") -> None:
    """Print text, its lines folded between words where the terminal is narrower."""
    put_lines(str(text).split("\n"))


def put_lines(lines: Iterable[str]) -> None:
    """Print lines as they come, as `put` does."""
    width = columns()
    for line in lines:
        print("\n".join(folded(line, width)) if width else line)


def folded(line: str, width: int) -> list[str]:
    """Return a line as several that are at most so wide, as far as words and commands allow.

    The others are indented below the first.

    Examples
    --------
    >>> for line in folded("  2 tasks parked; when that is fixed: jobpool retry pool", 40):
    ...     print(line)
      2 tasks parked; when that is fixed:
          jobpool retry pool
    """
    if len(line) <= width:
        return [line]
    head = re.match(r"[ |]*", line)
    start = head[0] if head else ""
    lines, now = list[str](), start
    for space, word in _words(line[len(start) :]):
        if now.strip(" |") and len(now) + len(space) + len(word) > width:
            lines.append(now)
            now = f"{start}    {word}"
        else:
            now += space + word
    return [*lines, now]


def _words(line: str) -> Iterator[tuple[str, str]]:
    for space, word in _UNBROKEN.findall(line):
        yield space, word.rstrip()


def json_text(record: Mapping[str, Any]) -> str:
    r"""Return a record as one JSON object on one line, as every other program reads it.

    JSON has no NaN and no infinity: they are null. Half a surrogate pair, as in a file name that is
    no UTF-8, becomes the text of its escape.

    Examples
    --------
    >>> json_text({"score": [0.5, float("nan")], "file": "caf\udce9"})
    '{"score": [0.5, null], "file": "caf\\\\udce9"}'
    """
    return json.dumps(_plain(record), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return writable(str(value))
    if isinstance(value, Mapping):
        return {writable(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
