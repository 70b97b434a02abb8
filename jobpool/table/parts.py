"""Whole tasks and the parts that they can be split into.

A task that may be too long as a whole stands in the table as a whole task, followed by its dormant
parts: one side or the other is offered to workers, never both. Parts without a whole task beside
them are tasks like any other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

WHOLE = 0  # the code, on the part axis, of a task that is not a part


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Which tasks of a table are whole, and which are parts of which."""

    codes: Codes  # (n_axes, n_tasks)
    sizes: tuple[int, ...]  # how many values each axis has
    row: int | None  # of the part axis; None: no task is split

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    @cached_property
    def column(self) -> Codes:
        """Return the code of every task on the part axis, shape (n_tasks,)."""
        if self.row is None:
            return np.full(len(self), WHOLE, np.uint8)
        column: Codes = self.codes[self.row]
        return column

    @cached_property
    def is_part(self) -> Mask:
        """Return which tasks are parts, shape (n_tasks,)."""
        found: Mask = self.column != WHOLE
        return found

    @cached_property
    def units(self) -> NDArray[np.intp]:
        """Return a number for each task that a whole task and its parts share, and no others."""
        rows = [row for row in range(len(self.sizes)) if row != self.row]
        shape = [self.sizes[row] for row in rows]
        codes = [self.codes[row].astype(np.intp) for row in rows]
        return np.asarray(np.ravel_multi_index(codes, shape), np.intp)

    def related(self, to: Mask) -> Mask:
        """Return which tasks share their unit with one of some tasks, these included."""
        return np.isin(self.units, self.units[to])

    @cached_property
    def is_dormant(self) -> Mask:
        """Return which tasks are parts of a whole task that is there, too, shape (n_tasks,)."""
        return self.is_part & self.related(~self.is_part)

    @cached_property
    def wholes(self) -> NDArray[np.intp]:
        """Return the position of the whole task before each dormant part, shape (n_tasks,)."""
        return np.maximum.accumulate(np.where(self.is_dormant, 0, np.arange(len(self))))

    @cached_property
    def has_dormant(self) -> Mask:
        """Return which tasks are whole, with their parts behind them, shape (n_tasks,)."""
        found: Mask = self.n_dormant > 0
        return found

    @property
    def n_dormant(self) -> NDArray[np.intp]:
        """Return how many dormant parts each task has, shape (n_tasks,)."""
        return self.count(self.is_dormant)

    def count(self, dormant: Mask) -> NDArray[np.intp]:
        """Return how many of some dormant parts each whole task has, shape (n_tasks,)."""
        return np.bincount(self.wholes[dormant], minlength=len(self))

    def dormant_of(self, wholes: Mask) -> Mask:
        """Return the dormant parts of some whole tasks."""
        found: Mask = self.is_dormant & wholes[self.wholes]
        return found

    def with_all_in(self, dormant: Mask) -> Mask:
        """Return the whole tasks that have dormant parts, all of them among `dormant`."""
        found: Mask = self.has_dormant & (self.count(self.is_dormant & ~dormant) == 0)
        return found

    def most(self, amounts: FloatArray) -> FloatArray:
        """Return the largest amount of the dormant parts of each whole task, 0 without any."""
        most = np.zeros(len(self))
        np.maximum.at(most, self.wholes[self.is_dormant], amounts[self.is_dormant])
        return most

    def as_wholes(self, codes: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the codes of some tasks with each part made the whole task that it belongs to."""
        wholes = codes.copy()
        if self.row is not None:
            wholes[self.row] = WHOLE
        return wholes

    # of one task: without going through all

    def of(self, position: int) -> list[int]:
        """Return the dormant parts of the whole task at `position`; they follow it."""
        if self.row is None or self.column[position] != WHOLE:
            return []
        beyond = min(position + self.sizes[self.row], len(self))
        alike = self._alike(position, position + 1, beyond)
        return (np.flatnonzero(alike) + position + 1).tolist()

    def whole_of(self, position: int) -> int | None:
        """Return the whole task that the part at `position` is a dormant part of, if it is one."""
        if self.row is None or self.column[position] == WHOLE:
            return None
        first = max(position - self.sizes[self.row] + 1, 0)
        alike = self._alike(position, first, position)
        for whole in range(position - 1, first - 1, -1):
            if not alike[whole - first]:
                return None
            if self.column[whole] == WHOLE:
                return whole
        return None

    def head_of(self, position: int) -> int:
        """Return the whole task of a dormant part, and of any other task itself."""
        whole = self.whole_of(position)
        return position if whole is None else whole

    def is_finished(self, position: int, is_done: Callable[[int], bool]) -> bool:
        """Say whether a task is done, as a whole or because all its dormant parts are.

        Parameters
        ----------
        position : int
            A task that is no dormant part itself.
        is_done : callable
            Says of a position whether that very task is done.
        """
        parts = self.of(position)
        return is_done(position) or (bool(parts) and all(map(is_done, parts)))

    def _alike(self, position: int, first: int, beyond: int) -> Mask:
        """Return which tasks of a range differ from the one at `position` in the part at most."""
        same = self.codes[:, first:beyond] == self.codes[:, position, None]
        same[self.row] = True
        alike: Mask = same.all(axis=0)
        return alike
