"""Units in text: lengths of time, sizes, times of day, bars and tables, parsed and formatted."""

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

MB = 1 << 20  # of memory, as schedulers and the kernel count it
HOUR_S = 3600.0
# a day within the first and last that a calendar has, whatever the time zone of the reader
_FIRST_S, _LAST_S = -62_135_510_400.0, 253_402_214_400.0
_GAP = 2  # between the columns of a table
_LEFT_OUT, _LEAST = "..", 8  # stands for the middle of a text; texts are not made shorter
DAY_S = 24 * HOUR_S
_YEAR_S = 365 * DAY_S
_UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": HOUR_S, "d": DAY_S}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d+)(?::(\d+))?")
_MEMORY = re.compile(r"([\d.]+)([KMGT]?)")
_MEMORY_MB = {"": 1 / MB, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?B)", re.IGNORECASE)
_SIZES = ("B", "kB", "MB", "GB", "TB")  # of files, by 1,000
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_MOST_DIGITS = 300  # of a number: of more no float may be finite


def parse_number(text: str) -> int | float | None:
    """Return the number that a person reads in a text, a whole one as it is; None for others.

    Others are numbers with leading zeros, which codes have, with signs between the digits
    (``1_000``, ``1,5``), of another base, and words such as ``nan`` and ``inf``.

    Examples
    --------
    >>> parse_number("9007199254740993"), parse_number("1e-3"), parse_number("-.5")
    (9007199254740993, 0.001, -0.5)
    >>> parse_number("007"), parse_number("1_000"), parse_number("0x1F"), parse_number("1,5")
    (None, None, None, None)
    """
    if len(text) > _MOST_DIGITS:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def parse_clock(text: str) -> float | None:
    """Return the seconds in ``days-h:m:s``, ``days-h:m``, ``h:m:s`` or ``m:s``; None for others.

    Examples
    --------
    >>> parse_clock("1-06:00:00"), parse_clock("2:30"), parse_clock("UNLIMITED")
    (108000.0, 150.0, None)
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock is None:
        return None
    days, first, second, third = clock.groups()
    if third is None and days is None:
        return int(first) * 60.0 + int(second)
    hours = int(days or 0) * 24 + int(first)
    return hours * HOUR_S + int(second) * 60.0 + int(third or 0)


def parse_duration(text: str) -> float:
    """Return a length of time in seconds.

    Parameters
    ----------
    text : str
        A number with a unit (``90s``, ``30m``, ``2h``, ``1d12h``), or ``days-h:m:s``,
        ``h:m:s`` and ``m:s``.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> parse_duration("1h30m"), parse_duration("1-06:00:00"), parse_duration("30:00")
    (5400.0, 108000.0, 1800.0)
    """
    text = text.strip()
    if (clocked := parse_clock(text)) is not None:
        return clocked
    if not re.fullmatch(rf"(?:{_DURATION.pattern}\s*)+", text):
        raise ValueError(
            f"{text!r} is not a length of time; write for example 90s, 30m, 2h or 1d12h"
        )
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(text))


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that say something.

    Examples
    --------
    >>> duration(0.25), duration(42), duration(200), duration(7500), duration(200_000)
    ('0.2 s', '42 s', '3 min 20 s', '2 h 05 min', '2 d 7 h')
    >>> duration(1e12), duration(0.0052), duration(0.0002)
    ('over a year', '5 ms', '0.2 ms')
    """
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.002 else f"{1000 * seconds:.1f} ms"
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


def short_duration(seconds: float) -> str:
    """Return a length of time as an experiment file gives it.

    Examples
    --------
    >>> short_duration(3 * 3600), short_duration(600), short_duration(30 * 3600)
    ('3h', '10m', '1d6h')
    """
    rest, words = math.ceil(seconds), ""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        n, rest = divmod(rest, length)
        words += f"{n}{unit}" if n else ""
    return words or "0s"


def clock_duration(seconds: float) -> str:
    """Return a length of time as ``days-hours:minutes:seconds``.

    Examples
    --------
    >>> clock_duration(3 * 3600), clock_duration(30 * 3600)
    ('0-03:00:00', '1-06:00:00')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02d}:{minutes:02d}:{rest:02d}"


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


def parse_size(text: str) -> int:
    """Return the size of files in bytes.

    Raises
    ------
    ValueError
        If `text` is no number with a unit.

    Examples
    --------
    >>> parse_size("1.5 kB"), parse_size("20GB")
    (1500, 20000000000)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size; write for example 500MB or 20GB")
    units = [unit.lower() for unit in _SIZES]
    return int(float(found[1]) * 1000 ** units.index(found[2].lower()))


def file_size(n_bytes: int) -> str:
    """Return the size of files with its unit.

    Examples
    --------
    >>> file_size(0), file_size(11_520), file_size(20_000_000_000)
    ('0 B', '11.5 kB', '20 GB')
    """
    power = 0
    while n_bytes >= 1000 ** (power + 1) and power < len(_SIZES) - 1:
        power += 1
    return f"{n_bytes / 1000**power:.3g} {_SIZES[power]}"


def parse_memory(text: str) -> float | None:
    """Return an amount of memory in MB, given in bytes or with K, M, G or T; None for others.

    Examples
    --------
    >>> parse_memory("1536K"), parse_memory("2G"), parse_memory("")
    (1.5, 2048.0, None)
    """
    found = _MEMORY.fullmatch(text)
    return float(found[1]) * _MEMORY_MB[found[2]] if found else None


def _moment(time_s: float) -> datetime:
    """Return seconds since the epoch as a moment; of a clock that was wrong, the nearest one."""
    return datetime.fromtimestamp(min(max(time_s, _FIRST_S), _LAST_S), tz=UTC)


def local_time(time_s: float) -> str:
    """Return seconds since the epoch as date and time of day, where the reader is."""
    return _moment(time_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def utc_time(seconds: float, digits: int = 0) -> str:
    """Return seconds since the epoch as date and time of day, UTC.

    Examples
    --------
    >>> utc_time(1_700_000_000.46), utc_time(1_700_000_000.46, 3)
    ('2023-11-14 22:13:20', '2023-11-14 22:13:20.460')
    """
    text = _moment(seconds).strftime("%Y-%m-%d %H:%M:%S.%f")
    return text[: 20 + digits].removesuffix(".")


def utc_iso(time_s: float, digits: int = 0) -> str:
    """Return seconds since the epoch as ISO 8601, UTC: in whole seconds, or with milliseconds.

    Examples
    --------
    >>> utc_iso(1_700_000_000.46), utc_iso(1_700_000_000.46, 3)
    ('2023-11-14T22:13:20+00:00', '2023-11-14T22:13:20.460+00:00')
    """
    spec = "milliseconds" if digits else "seconds"
    return _moment(time_s).isoformat(timespec=spec)


def time_in_name(time_s: float) -> str:
    """Return seconds since the epoch, where the reader is, for the name of a file."""
    return _moment(time_s).astimezone().strftime("%Y%m%d-%H%M%S")


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


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: Collection[str] = (),
    width: int | None = None,
) -> list[str]:
    """Return aligned lines: columns whose every cell is a number stand on the right.

    Parameters
    ----------
    header, rows : sequence of str
        The cells.
    texts : collection of str
        Names of columns that stand on the left in any case: ids may be all digits.
    width : int, optional
        How wide the lines may be. In a wider table names of several words stand on several lines
        and, if that is not enough, the middles of long texts are left out.

    Examples
    --------
    >>> table(["axis", "n"], [["a", "1,000"], ["bcdef", "2"]])
    ['axis       n', 'a      1,000', 'bcdef      2']
    >>> table(["axis", "in queue"], [["atlas_of_the_brain_400", "2"]], width=22)
    ['                    in', 'axis             queue', 'atlas_..ain_400      2']
    """
    columns = [[row[i] for row in rows] for i in range(len(header))]
    heads = [[name] for name in header]
    right = [
        bool(column) and name not in texts and all(map(_is_number, column))
        for name, column in zip(header, columns, strict=True)
    ]
    if width is not None and sum(_widths(heads, columns)) - _GAP > width:
        heads = [name.split() or [""] for name in header]
        most = _cut_to(_widths(heads, columns), right, width)
        columns = [[cut(cell, n) for cell in c] for c, n in zip(columns, most, strict=True)]
        heads = [[cut(word, n) for word in h] for h, n in zip(heads, most, strict=True)]
    n_lines = max(map(len, heads), default=1)
    heads = [[""] * (n_lines - len(head)) + head for head in heads]
    widths = _widths(heads, columns)
    lines = zip(*(head + column for head, column in zip(heads, columns, strict=True)), strict=True)
    return [
        "".join(
            (cell.rjust(width - _GAP) if to_right else cell.ljust(width - _GAP)) + " " * _GAP
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]


def _widths(heads: Sequence[Sequence[str]], columns: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column, with the gap behind it."""
    cells = ([*head, *column] for head, column in zip(heads, columns, strict=True))
    return [max(map(len, some)) + _GAP for some in cells]


def _cut_to(widths: Sequence[int], right: Sequence[bool], width: int) -> list[int]:
    """Return how long the cells of each column may be: the longest texts are cut first."""
    most = [one - _GAP for one in widths]
    while sum(most) + _GAP * (len(most) - 1) > width:
        longest = max(((n, i) for i, n in enumerate(most) if not right[i]), default=(0, 0))
        if longest[0] <= _LEAST:
            break
        most[longest[1]] -= 1
    return most


def cut(text: str, most: int) -> str:
    """Return a text without its middle if it is longer than that.

    Examples
    --------
    >>> cut("schaefer_400_7networks", 12), cut("short", 12)
    ('schae..works', 'short')
    """
    if len(text) <= most:
        return text
    kept = most - len(_LEFT_OUT)
    return text[: kept // 2] + _LEFT_OUT + text[len(text) - kept + kept // 2 :]


def _is_number(cell: str) -> bool:
    return not cell.strip("-+0123456789., %e") or cell == "nan"


def fits(text: str, encoding: str | None) -> bool:
    """Say whether a stream of this encoding can show `text`."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
