"""How figures are printed; loads nothing, so that its user stays small."""

import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence


def machine() -> str:
    """Return what the figures depend on, in one line."""
    load = os.getloadavg()[0]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d %H:%M')}  {os.cpu_count()} cores  {python}  load {load:.1f}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return the rows as lines with aligned columns, the first to the left."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join(_lines(cells, widths))


def _lines(cells: list[list[str]], widths: list[int]) -> Iterator[str]:
    for row in cells:
        first = row[0].ljust(widths[0])
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((first, *others)).rstrip()


def say(line: str) -> None:
    """Tell how far it is, beside the results."""
    print(line, file=sys.stderr, flush=True)
