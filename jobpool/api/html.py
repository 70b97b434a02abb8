"""How a pool looks in a notebook: counts, and a bar of progress for each value of each axis.

Text has the page's own colour and bars lie on a translucent grey, so that both read on a light and
on a dark page; styles are inline, because notebooks that are not trusted drop all others. Values
are escaped.
"""

from html import escape

from jobpool.overview.status import AxisCounts, Counts
from jobpool.overview.status_text import PoolStatus, time_left
from jobpool.units import count, percent

_COLOURS = {  # of the parts of a bar, from the left
    "done": "#2e9e6b",
    "running": "#4a90d9",
    "parked": "#d9534f",
    "held": "#b58900",
}
_CELL = "padding:1px 12px 1px 0;border:none;background:none;white-space:nowrap;text-align:"
_TABLE = "border-collapse:collapse;margin:4px 0 0;border:none;color:inherit;font-size:inherit"
_BAR = (
    "display:flex;width:160px;height:9px;border-radius:2px;overflow:hidden;"
    "background:rgba(128,128,128,.28)"
)


def status_html(found: PoolStatus) -> str:
    """Return how a pool stands as a piece of HTML."""
    counts = found.counts
    waiting = counts.waiting + counts.returned
    numbers = {**{name: getattr(counts, name) for name in _COLOURS}, "waiting": waiting}
    words = [f"<b>{n:,}</b>&nbsp;{_word(name)}" for name, n in numbers.items() if n]
    line = ", ".join(words) or "no task"
    if counts.remaining:
        line += f"; {escape(time_left(found))}"
    rows = _row("all", counts) + "".join(map(_axis_rows, found.by))
    return (
        '<div style="font-size:13px;line-height:1.4">'
        f"<div><b>{escape(found.name)}</b>: {count(counts.total, 'task')} in "
        f"<code>{escape(str(found.folder))}</code></div><div>{line}</div>"
        f'<table style="{_TABLE}">'
        f"{rows}</table></div>"
    )


def _word(name: str) -> str:
    colour = _COLOURS.get(name)
    if colour is None:
        return name
    mark = f"display:inline-block;width:8px;height:8px;border-radius:2px;background:{colour}"
    return f'<span style="{mark}"></span>&nbsp;{name}'


def _axis_rows(axis: AxisCounts) -> str:
    head = f'<tr style="background:none"><td colspan="4" style="{_CELL}left;padding-top:5px">'
    rows = [_row("" if value is None else str(value), counts) for value, counts in axis.values]
    return f"{head}<b>{escape(axis.name)}</b></td></tr>{''.join(rows)}"


def _row(name: str, counts: Counts) -> str:
    shares = {state: 100 * getattr(counts, state) / max(counts.total, 1) for state in _COLOURS}
    parts = "".join(
        f'<div style="background:{_COLOURS[state]};width:{share:.2f}%"></div>'
        for state, share in shares.items()
        if share
    )
    return (
        f'<tr style="background:none"><td style="{_CELL}left">{escape(name)}</td>'
        f'<td style="{_CELL}left;vertical-align:middle"><div style="{_BAR}">{parts}</div></td>'
        f'<td style="{_CELL}right">{percent(counts.done, counts.total)}</td>'
        f'<td style="{_CELL}right">{counts.done:,} of {counts.total:,}</td></tr>'
    )
