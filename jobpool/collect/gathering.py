"""Read the results of some workers into columns; several processes may do it side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.collect.accepted import Accepted
from jobpool.collect.columns import Cell, Rows
from jobpool.collect.parts import PartSelection
from jobpool.runners.base import Results
from jobpool.table.arrays import Table
from jobpool.table.grid import Grid
from jobpool.table.parts import WHOLE

BY_TASK = "task"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """What one process is to read."""

    folder: Path  # of the pool
    grid: Grid
    table: Table  # the records of all tasks as their results count, read before the results
    is_earlier: NDArray[np.bool_]  # which of them are computed again
    chosen: NDArray[np.bool_] | None
    by: str
    results: Results
    workers: tuple[str, ...]  # whose files

    @property
    def parts(self) -> PartSelection:
        """Return what is known of the parts of tasks."""
        return PartSelection(self.grid, self.table, self.chosen, one_by_one=self.by != BY_TASK)


@dataclass(slots=True, kw_only=True, eq=False)
class Gathered:
    """Rows, and what did not become one."""

    rows: Rows = field(default_factory=Rows)
    places: list[int] = field(default_factory=list)  # of each row: the task that it comes from
    codes: list[int] = field(default_factory=list)  # of each row: its value of the part axis
    held: dict[int, bytes] = field(default_factory=dict)  # lines of parts of a row, by position
    metrics: set[tuple[str, ...]] = field(default_factory=set)  # names of scores, as they come
    taken: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    facts: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # of the tasks in `taken`
    n_refused: int = 0
    n_strange: int = 0
    damaged: list[tuple[Path, int]] = field(default_factory=list)

    def add(self, results: Results, result: Mapping[str, Any], place: int, code: int) -> None:
        """Add the row of a whole task."""
        self.metrics.add(results.metrics(result))
        for row in results.rows(result, BY_TASK):
            self.add_row(row, place, code)

    def add_row(self, row: Mapping[str, Cell], place: int, code: int) -> None:
        """Add a row."""
        self.rows.add(row)
        self.places.append(place)
        self.codes.append(code)

    def extend(self, others: "Gathered") -> None:
        """Add what another process found to the rows found here, if any."""
        self.rows.extend(others.rows)
        self.places += others.places
        self.codes += others.codes
        self.held |= others.held
        self.metrics |= others.metrics


def gather(share: Share) -> Gathered:
    """Return the rows of all results that count; parts that make one row together are held."""
    parts, by, results, found = share.parts, share.by, share.results, Gathered()
    accepted = Accepted(share.grid, share.table, parts.wanted)
    codes = {} if by == BY_TASK else _codes_of(share.grid, by)
    for position, line, record in accepted.results(share.folder, share.workers):
        result: dict[str, Any] = record["result"]
        if by != BY_TASK:
            found.metrics.add(results.metrics(result))
            for row in results.rows(result, by):
                code = codes[row.pop(by)]
                if parts.is_chosen(position, code):
                    found.add_row(row, position, code)
        elif parts.is_part[position]:
            found.held[position] = line  # takes a tenth of the memory of what it says
        else:
            found.add(results, result, position, WHOLE)
    accepted.read_attempts(share.folder, share.workers)
    found.rows.pack()
    found.taken = np.flatnonzero(accepted.taken)
    found.facts = {name: values[found.taken] for name, values in accepted.facts.items()}
    found.n_refused, found.n_strange = accepted.n_refused, accepted.n_strange
    found.damaged = accepted.damaged
    return found


def _codes_of(grid: Grid, axis: str) -> dict[Any, int]:
    return {value: code for code, value in enumerate(grid.axis(axis).values)}
