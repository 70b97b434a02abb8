"""Which tasks are parts of one that was cut up, which of them count, and what is missing."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jobpool.table.arrays import Table, is_counted
from jobpool.table.grid import Grid
from jobpool.task import Point, TaskState, Value, label


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteSet:
    """A task that was cut up, some parts of which are not done."""

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
    def _is_spare(self) -> NDArray[np.bool_]:
        """Return which tasks are parts of a whole task that stands for them."""
        if not self.is_part.any():
            return self.is_part
        stands = ~self.is_part & is_counted(self._state)
        return self.is_part & self._parts.related(stands)

    @cached_property
    def wanted(self) -> NDArray[np.bool_]:
        """Return the tasks whose results are asked for: done, selected, and not spare."""
        done: NDArray[np.bool_] = (self._state == TaskState.DONE) & ~self._is_spare
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
        """Return the positions of all parts of each task that was cut up, by its unit."""
        places = np.flatnonzero(self.is_part & ~self._is_spare)
        sets: dict[int, list[int]] = {}
        for place in places[np.argsort(self.codes[places], kind="stable")].tolist():
            sets.setdefault(int(self._parts.units[place]), []).append(place)
        return sets

    def whole_sets(self, held: Collection[int]) -> Iterator[list[int]]:
        """Yield the positions of all parts of each task that was cut up, if all of them are held.

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
