"""Plain text for the terminal: bars, tables, lengths of time, and times of day."""

from collections.abc import Sequence
from datetime import UTC, datetime

_YEAR_S = 365 * 86400.0


def bar(fraction: float, width: int = 24, *, ascii_only: bool = False) -> str:
    """Return a progress bar; only a whole one looks whole, only an empty one empty.

    Examples
    --------
    >>> bar(0.5, 8), bar(0.999, 8, ascii_only=True), bar(0.001, 8, ascii_only=True)
    ('████░░░░', '#######.', '#.......')
    """
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    filled = int(fraction * width)
    if 0 < fraction < 1:
        filled = min(max(filled, 1), width - 1)
    return full * filled + empty * (width - filled)


def percent(part: int, whole: int) -> str:
    """Return a share in percent that is rounded to neither 0 nor 100 unless it is.

    Examples
    --------
    >>> percent(1, 3), percent(99_999, 100_000), percent(0, 0)
    ('33.3 %', '99.9 %', '0.0 %')
    """
    if whole == 0:
        return "0.0 %"
    tenths = 1000 * part // whole
    return f"{max(tenths, 1) / 10 if part else 0.0:.1f} %"


def count(number: int, word: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> count(1, "task"), count(1200, "task"), count(2, "state file")
    ('1 task', '1,200 tasks', '2 state files')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that say something.

    Examples
    --------
    >>> duration(0.25), duration(42), duration(200), duration(7500), duration(200_000)
    ('0.2 s', '42 s', '3 min 20 s', '2 h 05 min', '2 d 7 h')
    >>> duration(1e12)
    'over a year'
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds > _YEAR_S:
        return "over a year"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    days, rest_h = divmod(hours, 24)
    if days:
        return f"{days} d {rest_h} h"
    if hours:
        return f"{hours} h {rest_min:02d} min"
    return f"{minutes} min {rest_s:02d} s" if minutes else f"{rest_s} s"


def memory(megabytes: float) -> str:
    """Return an amount of memory in the unit that suits it.

    Examples
    --------
    >>> memory(300), memory(4096), memory(1536)
    ('300 MB', '4 GB', '1.5 GB')
    """
    if megabytes < 1024:
        return f"{megabytes:.0f} MB"
    return f"{float(f'{megabytes / 1024:.3g}'):g} GB"


def local_time(time_s: float) -> str:
    """Return seconds since the epoch as date and time of day, where the reader is."""
    return datetime.fromtimestamp(time_s, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines: columns whose every cell is a number stand on the right.

    Examples
    --------
    >>> table(["axis", "n"], [["a", "1,000"], ["bcdef", "2"]])
    ['axis       n', 'a      1,000', 'bcdef      2']
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [len(column) > 1 and all(map(_is_number, column[1:])) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [header, *rows]
    ]


def _is_number(cell: str) -> bool:
    return not cell.strip("-+0123456789., %e") or cell == "nan"


def fits(text: str, encoding: str | None) -> bool:
    """Say whether a stream of this encoding can show `text`."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
