"""The results that count: those whose fence and worker the record of their task names.

Two workers that finished the same task, or a line written twice, give one result.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.collect.known_tasks import known_in
from jobpool.journal.jsonl import SHAPES, lines_of, read_lines, worker_file, worker_name
from jobpool.table.arrays import Table
from jobpool.table.grid import Grid

# what is known of the result that counts, from its own line and from its attempt's
FACTS = ("started", "ended", "peak_memory_mb", "cores")
_USE = {name: SHAPES["attempts"][name] for name in ("task", "fence", "found_by", *FACTS[2:])}


class Accepted:
    """Goes through the results of some workers once, and counts those that are left out.

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
        self.n_refused = 0  # results of tasks that are done by another claim
        self.n_strange = 0  # results of tasks that the pool does not have
        self.damaged: list[tuple[Path, int]] = []  # file and number of lines that cannot be read

    def results(
        self, pool: Path, workers: Sequence[str]
    ) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
        """Yield position, line and record of each result that counts, once."""
        for worker in workers:
            for number, raw, record in lines_of(pool, "results", worker):
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
                elif self._wanted[position]:
                    self.n_refused += 1

    def _is_claim(self, position: int, record: dict[str, Any], worker: str) -> bool:
        return bool(
            self._wanted[position]
            and record["fence"] == self._fences[position]
            and worker == worker_name(int(self._owners[position]))
        )

    def read_attempts(self, pool: Path, workers: Sequence[str]) -> None:
        """Note memory and cores of the attempts that gave the results."""
        for worker in workers:
            for _, _, record in read_lines(worker_file(pool, "attempts", worker), _USE):
                if record is None or record.get("found_by") is not None:
                    continue  # whoever finds a worker dead saw nothing of its memory
                position = self._positions.get(record["task"])
                if position is not None and self._is_claim(position, record, worker):
                    for name in FACTS[2:]:
                        value = record.get(name)
                        self.facts[name][position] = np.nan if value is None else value
