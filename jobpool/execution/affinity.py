"""Tasks that use the same inputs as another one, whose values may be at hand.

Which tasks these are stands in the grid: `Grid.inputs` names the attribute whose equal values mean
common inputs. Looks at the state files of such tasks only, and takes no lock.
"""

import random
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jobpool.table.grid import Grid
from jobpool.table.records import WAITING_BASE
from jobpool.table.shards import Shard

Positions = NDArray[np.intp]


class Affinity:
    """Finds the tasks near another one that nobody has tried yet.

    Parameters
    ----------
    grid : Grid
        The pool's tasks; `grid.inputs` is not None.
    shards : sequence of Shard
        The pool's state files, in the order of their tasks.
    rng : random.Random
        Draws among tasks that are equally near.
    """

    def __init__(self, grid: Grid, shards: Sequence[Shard], rng: random.Random) -> None:
        self._grid, self._shards, self._rng = grid, shards, rng
        attribute = next(one for one in grid.attributes if one.name == grid.inputs)
        self._axis = attribute.axis
        numbers = {value: number for number, value in enumerate(dict.fromkeys(attribute.values))}
        self._group_of_code = np.array([numbers[value] for value in attribute.values])

    @cached_property
    def _by_group(self) -> tuple[Positions, Positions]:
        """Return all positions sorted by their group, and where each group begins."""
        groups = self._group_of_code[self._grid.column(self._axis)]
        order = np.argsort(groups, kind="stable")
        n_groups = int(self._group_of_code.max()) + 1
        return order, np.searchsorted(groups[order], np.arange(n_groups + 1))

    def near(self, position: int, mask: NDArray[np.uint8] | None) -> Iterator[int]:
        """Yield tasks with the inputs of the one at `position`, at most one per state file and way.

        First come those that differ in nothing but the values with common inputs and the part,
        then the others; of each, one at random that was fresh when its state file was read.

        Parameters
        ----------
        position : int
            A task of the pool.
        mask : ndarray of shape (n_tasks,), uint8, optional
            0 for the tasks that may not be claimed.
        """
        same = self._with_same_inputs(position)
        if mask is not None:
            same = same[mask[same] > 0]
        alike = self._is_alike(position, same)
        for tier in (same[alike], same[~alike]):
            yield from self._fresh(tier)

    def _with_same_inputs(self, position: int) -> Positions:
        order, starts = self._by_group
        group = self._group_of_code[self._grid.column(self._axis)[position]]
        return order[starts[group] : starts[group + 1]]

    def _is_alike(self, position: int, others: Positions) -> NDArray[np.bool_]:
        alike = np.ones(len(others), bool)
        for name, codes in zip(self._grid.names, self._grid.codes, strict=True):
            if name not in {self._axis, self._grid.part_axis}:
                alike &= codes[others] == codes[position]
        return alike

    def _fresh(self, positions: Positions) -> Iterator[int]:
        """Yield one position of each state file, at random, that nobody has tried."""
        firsts = [shard.first for shard in self._shards]
        ends = np.searchsorted(positions, [*firsts, len(self._grid)]).tolist()
        order = list(range(len(self._shards)))
        self._rng.shuffle(order)
        for number in order:
            here = positions[ends[number] : ends[number + 1]]
            if len(here):
                index = np.frombuffer(self._shards[number].read_index(), np.uint8)
                fresh = here[index[here - firsts[number]] == WAITING_BASE]
                if len(fresh):
                    yield int(fresh[int(self._rng.random() * len(fresh))])
