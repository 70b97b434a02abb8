"""How many tasks stand where, and the table of that by the values of an axis."""

from dataclasses import dataclass

from jobpool.task import COUNTED, REMAINING, SHOWN, TaskState, Value
from jobpool.units import bar, percent, table

_BAR = 24  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many tasks stand where: by the words of the counted states."""

    waiting: int  # those that failed before included, as everywhere
    returned: int  # of the waiting ones: those that failed before
    running: int
    done: int
    parked: int
    held: int

    @property
    def total(self) -> int:
        """Return the number of all tasks."""
        total: int = sum(getattr(self, state.word) for state in COUNTED)
        return total

    @property
    def remaining(self) -> int:
        """Return how many tasks are to be done, those that run included."""
        remaining: int = sum(getattr(self, s.word) for s in REMAINING)
        return remaining


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisCounts:
    """The counts of each value of an axis, or of an attribute of one."""

    name: str
    values: tuple[tuple[Value | None, Counts], ...]


def axis_lines(axis: AxisCounts, width: int | None, *, ascii_only: bool) -> list[str]:
    """Return the counts of each value of an axis as a table of so many columns."""
    lines = _axis_table(axis, ascii_only, _BAR, None)
    if width is not None and max(map(len, lines)) > width - 2:
        lines = _axis_table(axis, ascii_only, _BAR // 3, width - 2)
    return [f"  {line}" for line in lines]


def _axis_table(axis: AxisCounts, ascii_only: bool, bar_width: int, width: int | None) -> list[str]:
    names = _kinds()
    names.remove("done")
    kept = [name for name in names if any(getattr(counts, name) for _, counts in axis.values)]
    rows = [
        [
            str(value),
            bar(counts.done / counts.total, bar_width, ascii_only=ascii_only),
            percent(counts.done, counts.total),
            f"{counts.done:,}",
            *(f"{getattr(counts, name):,}" for name in kept),
            f"{counts.total:,}",
        ]
        for value, counts in axis.values
    ]
    header = ["(returned)" if name == "returned" else name for name in kept]  # of the waiting ones
    return table([axis.name, "", "", "done", *header, "tasks"], rows, width=width)


def numbers_of(counts: Counts) -> dict[str, int]:
    """Return the counts by the words under which they are shown."""
    names = _kinds()
    names.insert(1, "remaining")
    return {name: getattr(counts, name) for name in [*names, "total"]}


def _kinds() -> list[str]:
    """Return the words of the counted states as they are shown, "returned" after "waiting"."""
    pairs = ([s.word, "returned"] if s is TaskState.WAITING else [s.word] for s in SHOWN)
    return [word for pair in pairs for word in pair]
