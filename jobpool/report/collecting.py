"""Results of a pool as one table: one row per task, whatever happened on the way.

A result counts if the record of its task says done and names the result's claim and worker; any
other is left out, so that two workers that finished the same task give one row. The parts of a
task that was cut up become one row, the row that the whole task gives; sets with parts missing
are named. Parts of a whole task that was not cut, or that is done itself, do not count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.checks.table import Table, read_table
from jobpool.pool import Pool
from jobpool.report.names import positions_by_id
from jobpool.results import Result, parse_result
from jobpool.runners.base import Runner
from jobpool.task import ALL, Point, TaskState, Value, label, task_id
from jobpool.workerfiles import all_lines, worker_name

Cell = Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteSet:
    """A task that was cut up, some parts of which are not done."""

    point: Point  # without the part axis
    n_parts: int
    missing: tuple[Value, ...]  # values of the part axis

    def __str__(self) -> str:
        values = ", ".join(map(str, self.missing))
        return f"{label(self.point)}: {len(self.missing)} of {self.n_parts} parts missing: {values}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """All rows, and what did not become one."""

    columns: Mapping[str, Sequence[Cell]]  # all of one length, rows in the order of the axes
    n_rows: int
    incomplete: tuple[IncompleteSet, ...]
    lost: tuple[str, ...]  # ids of tasks that are done without a result on disk
    n_refused: int  # results of tasks that are done by another claim
    n_strange: int  # results of tasks that the pool does not have
    damaged: tuple[tuple[Path, int], ...]  # file and number of lines that cannot be read


class Columns:
    """A table that grows by rows; a column that a row lacks is empty there."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Cell]] = {}
        self.n_rows = 0

    def add(self, row: Mapping[str, Cell]) -> None:
        """Add a row."""
        for name, value in row.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = [None] * self.n_rows
            column.append(value)
        self.n_rows += 1
        for column in self.columns.values():
            if len(column) < self.n_rows:
                column.append(None)

    def sorted_by(self, keys: Sequence[tuple[int, ...]]) -> dict[str, list[Cell]]:
        """Return the columns with the rows in the order of their keys."""
        order = sorted(range(self.n_rows), key=keys.__getitem__)
        return {name: [column[i] for i in order] for name, column in self.columns.items()}


def collect(pool: Pool, runner: Runner, chosen: NDArray[np.bool_] | None = None) -> Collected:
    """Return one row per task that is done.

    Parameters
    ----------
    pool : Pool
        The pool.
    runner : Runner
        Merges parts, and makes a row of a result.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; a part that is not selected counts as missing.

    Raises
    ------
    DamagedStateError
        If the state table cannot be trusted.
    """
    return _Collector(pool, runner, chosen).collect()


class _Collector:
    def __init__(self, pool: Pool, runner: Runner, chosen: NDArray[np.bool_] | None) -> None:
        self._pool, self._runner, self._grid = pool, runner, pool.grid
        table = read_table(pool)  # before the results: what is done then has its result on disk
        self._table: Table = table
        wanted = (table["state"] == TaskState.DONE) & ~self._is_spare
        self._wanted: NDArray[np.bool_] = wanted if chosen is None else wanted & chosen
        self._chosen = np.ones(len(table), bool) if chosen is None else chosen
        self._rows, self._keys = Columns(), list[tuple[int, ...]]()
        self._parts: dict[tuple[int, ...], dict[int, Result]] = {}
        self._taken = np.zeros(len(table), bool)

    def collect(self) -> Collected:
        positions = positions_by_id(self._pool)
        n_refused = n_strange = 0
        damaged = []
        for path, number, line in all_lines(self._pool.folder, "results"):
            if line is None:
                damaged.append((path, number))
                continue
            result = parse_result(path.stem, line)
            position = positions.get(result.task)
            if position is None:
                n_strange += 1
            elif self._accepts(position, result):
                self._take(position, result)
            elif self._wanted[position]:
                n_refused += 1
        lost = np.flatnonzero(self._wanted & ~self._taken).tolist()
        return Collected(
            columns=self._rows.sorted_by(self._keys),
            n_rows=self._rows.n_rows,
            incomplete=self._incomplete(),
            lost=tuple(self._grid.id(position) for position in lost),
            n_refused=n_refused,
            n_strange=n_strange,
            damaged=tuple(damaged),
        )

    def _accepts(self, position: int, result: Result) -> bool:
        if not self._wanted[position] or self._taken[position]:
            return False
        record = self._table[position]
        claim = int(record["fence"]), worker_name(int(record["owner"]))
        return claim == (result.fence, result.worker)

    def _take(self, position: int, result: Result) -> None:
        self._taken[position] = True
        codes = self._codes(position)
        if not self._is_part[position]:
            self._add(codes, result.task, [(position, result)], result.result)
            return
        key = self._set_of(codes)
        parts = self._parts.setdefault(key, {})
        parts[position] = result
        if len(parts) == len(self._sets[key]):
            ordered = [(place, parts[place]) for place in self._sets[key]]
            merged = self._runner.merge([one.result for _, one in ordered])
            self._add(key, task_id(self._point_of(key)), ordered, merged)
            del self._parts[key]

    def _codes(self, position: int) -> tuple[int, ...]:
        return tuple(self._grid.codes[:, position].tolist())

    @cached_property
    def _part_row(self) -> int:
        return self._grid.names.index(self._grid.part_axis or "")

    @cached_property
    def _whole_code(self) -> int:
        return self._grid.axes[self._part_row].values.index(ALL)

    @cached_property
    def _is_part(self) -> NDArray[np.bool_]:
        """Return which tasks are parts of one that was cut up."""
        if self._grid.part_axis is None:
            return np.zeros(len(self._grid), bool)
        parts: NDArray[np.bool_] = self._grid.codes[self._part_row] != self._whole_code
        return parts

    @cached_property
    def _is_spare(self) -> NDArray[np.bool_]:
        """Return which tasks are parts of a whole task that stands for them."""
        units = self._grid.units()
        stands = ~self._is_part & (self._table["state"] != TaskState.ASIDE)
        spare: NDArray[np.bool_] = self._is_part & np.isin(units, units[stands])
        return spare

    def _set_of(self, codes: tuple[int, ...]) -> tuple[int, ...]:
        """Return the codes of the whole task that a part belongs to."""
        row = self._part_row
        return (*codes[:row], self._whole_code, *codes[row + 1 :])

    @cached_property
    def _sets(self) -> dict[tuple[int, ...], list[int]]:
        """Return the positions of all parts of each task that was cut up, in their order."""
        sets: dict[tuple[int, ...], list[int]] = {}
        for position in np.flatnonzero(self._is_part & ~self._is_spare).tolist():
            sets.setdefault(self._set_of(self._codes(position)), []).append(position)
        part_codes = self._grid.codes[self._part_row]
        return {key: sorted(places, key=lambda i: part_codes[i]) for key, places in sets.items()}

    def _incomplete(self) -> tuple[IncompleteSet, ...]:
        """Return the sets that are selected, at least in part, and are not all there."""
        if self._grid.part_axis is None:
            return ()
        found = []
        axis = self._grid.axes[self._part_row]
        for key, places in sorted(self._sets.items()):
            missing = [place for place in places if not self._taken[place]]
            if missing and any(self._chosen[place] for place in places):
                codes = [int(self._grid.codes[self._part_row, place]) for place in missing]
                found.append(
                    IncompleteSet(
                        point=tuple(p for p in self._point_of(key) if p[0] != axis.name),
                        n_parts=len(places),
                        missing=tuple(axis.values[code] for code in codes),
                    )
                )
        return tuple(found)

    def _point_of(self, codes: tuple[int, ...]) -> Point:
        pairs = zip(self._grid.axes, codes, strict=True)
        return tuple((axis.name, axis.values[code]) for axis, code in pairs)

    def _add(
        self,
        codes: tuple[int, ...],
        identifier: str,
        parts: Sequence[tuple[int, Result]],
        result: Mapping[str, Any],
    ) -> None:
        row: dict[str, Cell] = {"task": identifier, **dict(self._point_of(codes))}
        for attribute in self._grid.attributes:
            code = codes[self._grid.names.index(attribute.axis)]
            row.setdefault(attribute.name, attribute.values[code])
        own: dict[str, Cell] = {
            "task_seconds": round(sum(one.ended - one.started for _, one in parts), 3),
            "failed_attempts": sum(int(self._table[place]["attempts"]) for place, _ in parts),
            "worker": " ".join(dict.fromkeys(one.worker for _, one in parts)),
        }
        for name, value in self._runner.row(result).items():
            row[f"result_{name}" if name in row or name in own else name] = value
        self._rows.add(row | own)
        self._keys.append(codes)
