"""Which results count: those whose fence and worker the record of their task names.

Two workers that finished the same task, or a line written twice, give one result. Of a task that
was split all parts count, or the whole task, never both; what is missing is named.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.jsonl import (
    SHAPES,
    lines_of,
    read_lines,
    size_of,
    worker_file,
    worker_files,
    worker_name,
)
from jobpool.pool import Pool
from jobpool.table.arrays import Table, is_counted, unchecked_table
from jobpool.table.grid import Grid
from jobpool.table.task_index import positions_by_id
from jobpool.task import Point, TaskState, Value, label, run_of

# what is known of the result that counts, from its own line and from its attempt's
FACTS = ("started", "ended", "peak_memory_mb", "cores")
_USE = {name: SHAPES["attempts"][name] for name in ("task", "fence", "found_by", *FACTS[2:])}


class Accepted:
    """Goes through the results of some workers once, and counts those that are left out.

    That a rerun replaces a result is as it should be: such a result is not counted.

    Parameters
    ----------
    grid : Grid
        All tasks of the pool.
    table : ndarray of shape (n_tasks,), `jobpool.table.arrays.RECORD_TYPE`
        The records, read before: what is done then has its result on disk.
    wanted : ndarray of shape (n_tasks,), bool
        The tasks whose results are asked for.
    """

    def __init__(self, grid: Grid, table: Table, wanted: NDArray[np.bool_]) -> None:
        self._wanted = wanted
        self._fences, self._owners = table["fence"].copy(), table["owner"].copy()
        self._positions = known_in(grid, table)
        self.taken = np.zeros(len(table), bool)
        self.facts = {name: np.full(len(table), np.nan) for name in FACTS}
        self.n_refused = 0  # results of tasks that another claim of the same run has done
        self.n_strange = 0  # results of tasks that the pool does not have
        self.damaged: list[tuple[Path, int]] = []  # file and number of lines that cannot be read
        self.n_bytes = 0  # read so far

    def results(
        self, pool: Path, workers: Sequence[str]
    ) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
        """Yield position, line and record of each result that counts, once."""
        for worker in workers:
            for number, raw, record in lines_of(pool, "results", worker):
                self.n_bytes += len(raw)
                if record is None:
                    self.damaged.append((worker_file(pool, "results", worker), number))
                    continue
                position = self._positions.get(record["task"])
                if position is None:
                    self.n_strange += 1
                elif not self.taken[position] and self._is_claim(position, record, worker):
                    self.taken[position] = True
                    self.facts["started"][position] = record["started"]
                    self.facts["ended"][position] = record["ended"]
                    yield position, raw, record
                elif self._wanted[position] and self._is_of_same_run(position, record):
                    self.n_refused += 1

    def _is_claim(self, position: int, record: dict[str, Any], worker: str) -> bool:
        return bool(
            self._wanted[position]
            and record["fence"] == self._fences[position]
            and worker == worker_name(int(self._owners[position]))
        )

    def _is_of_same_run(self, position: int, record: dict[str, Any]) -> bool:
        """Say whether no rerun lies between a result and the one that counts."""
        return run_of(record["fence"]) == run_of(int(self._fences[position]))

    def read_attempts(self, pool: Path, workers: Sequence[str]) -> None:
        """Note memory and cores of the attempts that gave the results."""
        for worker in workers:
            for _, _, record in read_lines(worker_file(pool, "attempts", worker), _USE):
                if record is None or record.get("found_by") is not None:
                    continue  # the worker that finds another dead knows nothing of its memory
                position = self._positions.get(record["task"])
                if position is not None and self._is_claim(position, record, worker):
                    for name in FACTS[2:]:
                        value = record.get(name)
                        self.facts[name][position] = np.nan if value is None else value


def sizes_of_results(pool: Path, table: Table) -> dict[str, int]:
    """Return the bytes of results that each worker wrote, by its name.

    Of the workers that records name, too: a network file system lists a new file half a minute
    late, and a task that is done has its result on disk.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    table : ndarray of shape (n_tasks,), `jobpool.table.arrays.RECORD_TYPE`
        The records, read before.
    """
    sizes = {path.stem: path.stat().st_size for path in worker_files(pool, "results")}
    for owner in np.unique(table["owner"][table["state"] == TaskState.DONE]).tolist():
        name = worker_name(owner)
        if name not in sizes and (size := size_of(worker_file(pool, "results", name))):
            sizes[name] = size
    return sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteSet:
    """A task that was split, some parts of which are not done."""

    point: Point  # without the part axis
    n_parts: int
    missing: tuple[Value, ...]  # values of the part axis

    def __str__(self) -> str:
        values = ", ".join(map(str, self.missing))
        return f"{label(self.point)}: {len(self.missing)} of {self.n_parts} parts missing: {values}"


class PartSelection:
    """Which parts of a pool's tasks are selected, and count.

    Parameters
    ----------
    grid : Grid
        All tasks.
    table : ndarray of shape (n_tasks,), `jobpool.table.arrays.RECORD_TYPE`
        Their records.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; None for all tasks.
    one_by_one : bool
        Whether each part stands for itself, also where it was computed with the whole task: then
        a selection of parts chooses these of a whole task, too.
    """

    def __init__(
        self, grid: Grid, table: Table, chosen: NDArray[np.bool_] | None, *, one_by_one: bool
    ) -> None:
        self._grid, self._one_by_one = grid, one_by_one
        self._state = table["state"]
        self._chosen = chosen
        self._parts = grid.parts
        self.codes, self.is_part = grid.parts.column.astype(np.intp), grid.parts.is_part

    @cached_property
    def _is_dormant(self) -> NDArray[np.bool_]:
        """Return which tasks are parts of a whole task that stands for them."""
        if not self.is_part.any():
            return self.is_part
        stands = ~self.is_part & is_counted(self._state)
        return self.is_part & self._parts.related(stands)

    @cached_property
    def wanted(self) -> NDArray[np.bool_]:
        """Return the tasks whose results are asked for: done, selected, and not dormant."""
        done: NDArray[np.bool_] = (self._state == TaskState.DONE) & ~self._is_dormant
        if self._chosen is None:
            return done
        if self._one_by_one and self.is_part.any():
            partly = ~self.is_part & self._parts.related(self._chosen)
            return done & (self._chosen | partly)
        return done & self._chosen

    def is_chosen(self, position: int, code: int) -> bool:
        """Say whether one part of the whole task at `position`, or the part there, is selected."""
        if self._chosen is None or self._chosen[position]:
            return True
        return (int(self._parts.units[position]), code) in self._chosen_parts

    @cached_property
    def _chosen_parts(self) -> frozenset[tuple[int, int]]:
        units, codes = self._parts.units[self._chosen], self.codes[self._chosen]
        return frozenset(zip(units.tolist(), codes.tolist(), strict=True))

    @cached_property
    def sets(self) -> dict[int, list[int]]:
        """Return the positions of all parts of each task that was split, by its unit."""
        places = np.flatnonzero(self.is_part & ~self._is_dormant)
        sets: dict[int, list[int]] = {}
        for place in places[np.argsort(self.codes[places], kind="stable")].tolist():
            sets.setdefault(int(self._parts.units[place]), []).append(place)
        return sets

    def whole_sets(self, held: Collection[int]) -> Iterator[list[int]]:
        """Yield the positions of all parts of each task that was split, if all of them are held.

        Parameters
        ----------
        held : collection of int
            Positions of parts whose results are there.
        """
        for places in self.sets.values() if held else ():
            if all(place in held for place in places):
                yield places

    def incomplete(self, taken: NDArray[np.bool_]) -> tuple[IncompleteSet, ...]:
        """Return the sets that are selected, at least in part, and are not all there.

        Parameters
        ----------
        taken : ndarray of shape (n_tasks,), bool
            The tasks whose results are there.
        """
        if self._grid.part_axis is None:
            return ()
        values = self._grid.axis(self._grid.part_axis).values
        chosen = np.ones(len(self._grid), bool) if self._chosen is None else self._chosen
        found = []
        for _, places in sorted(self.sets.items()):
            asked = [one for one in places if chosen[one]] if self._one_by_one else places
            missing = [place for place in asked if not taken[place]]
            if missing and chosen[places].any():
                found.append(
                    IncompleteSet(
                        point=self._grid.whole(places[0]),
                        n_parts=len(asked),
                        missing=tuple(values[self.codes[place]] for place in missing),
                    )
                )
        return tuple(found)


def known_tasks(pool: Pool) -> dict[str, int]:
    """Return the position of each task that was ever offered to a worker, by its id.

    Raises
    ------
    DamagedStateError
        If a state file is not there as a whole.
    """
    tables = [unchecked_table(pool.records_of(number)) for number in range(len(pool.spans))]
    return known_in(pool.grid, np.concatenate(tables))


def known_in(grid: Grid, table: Table) -> dict[str, int]:
    """Return the position of each task that was ever offered to a worker, by its id.

    Dormant parts of tasks that were never split are left out: most tasks of a pool may be such, and
    an id costs some microseconds.

    Parameters
    ----------
    grid : Grid
        All tasks.
    table : ndarray of shape (n_tasks,), `jobpool.table.arrays.RECORD_TYPE`
        Their records.
    """
    was_claimed = (table["fence"] > 0) | is_counted(table["state"])
    return positions_by_id(grid, ~grid.parts.is_dormant | was_claimed)
