"""What was predicted for each participant and part of a task, from what the pool kept.

The rows go to the file as they come: all of them would fill the memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.collect.accepted import Accepted, PartSelection, sizes_of_results
from jobpool.collect.frames import frame_of, growing_file
from jobpool.collect.row_columns import earlier_name, id_name, texts, typed
from jobpool.errors import RequestError
from jobpool.pool import Pool
from jobpool.runners.base import Results, Runner, SupportsPredictions
from jobpool.table.columns import ID, OF_RESULT, set_apart
from jobpool.table.parts import WHOLE
from jobpool.task import ALL, Json, Value, task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What a table of predictions holds."""

    n_rows: int
    n_parts: int  # parts of tasks whose predictions are in the table
    n_without: int  # parts whose predictions were not kept, or are gone
    lost: tuple[str, ...]  # ids of tasks that are done without a result on disk
    damaged: tuple[tuple[Path, int], ...]  # file and number of lines that cannot be read


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wanted:
    """Whose predictions are asked for.

    Attributes
    ----------
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; one of parts chooses these of a whole task, too.
    fresh : bool
        Leave out the earlier results of tasks that are being rerun.
    """

    chosen: NDArray[np.bool_] | None = None
    fresh: bool = False


EVERYTHING = Wanted()


def write_predictions(
    path: Path,
    pool: Pool,
    runner: Runner,
    results: Results,
    wanted: Wanted,
    about: Mapping[str, Json],
) -> Gathered:
    """Replace `path` by one row per participant, task and part: id, axes, what was predicted.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` or ``.parquet``.
    pool : Pool
        The pool.
    runner : Runner
        Knows where the predictions of a result are, if it keeps any.
    results : Results
        Of that runner.
    wanted : Wanted
        Whose predictions.
    about : mapping
        What `jobpool.collect.frames.provenance` returned.

    Raises
    ------
    RequestError
        If the pool kept none.
    StorageError
        If the disk refuses it; a file of this name stays as it was.
    """
    found = _Predictions(pool, runner, results, wanted)
    with growing_file(path, about) as file:
        for piece in found.pieces():
            file.add(piece)
    return found.gathered()


def predictions_frame(
    pool: Pool, runner: Runner, results: Results, wanted: Wanted
) -> tuple[pd.DataFrame, Gathered]:
    """Return in memory what `write_predictions` writes to a file, and what it holds.

    Raises
    ------
    RequestError
        If the pool kept none.
    """
    found = _Predictions(pool, runner, results, wanted)
    return pd.concat(list(found.pieces()), ignore_index=True), found.gathered()


class _Predictions:
    """Goes through the predictions that are asked for, and counts what is there."""

    def __init__(self, pool: Pool, runner: Runner, results: Results, wanted: Wanted) -> None:
        if not isinstance(runner, SupportsPredictions):
            raise RequestError(pool.folder, _why_none(len(pool.grid)))
        table, is_earlier = pool.counting_table(fresh=wanted.fresh)
        self._pool, self._workers = pool, tuple(sizes_of_results(pool.folder, table))
        self._parts = PartSelection(pool.grid, table, wanted.chosen, one_by_one=True)
        self._accepted = Accepted(pool.grid, table, self._parts.wanted)
        self._pieces = _Pieces(pool, runner, results, self._parts, is_earlier)
        self._n_rows = self._n_parts = self._n_asked = 0

    def pieces(self) -> Iterator[pd.DataFrame]:
        """Yield one table for each part whose predictions were kept."""
        for position, _, record in self._accepted.results(self._pool.folder, self._workers):
            self._n_asked += len(self._pieces.asked(position, record["result"]))
            for piece in self._pieces.of(position, record["result"]):
                self._n_parts += 1
                self._n_rows += len(piece)
                yield piece
        if not self._n_parts:
            raise RequestError(self._pool.folder, _why_none(self._n_asked))

    def gathered(self) -> Gathered:
        """Return what was found, after all pieces."""
        lost = np.flatnonzero(self._parts.wanted & ~self._accepted.taken).tolist()
        return Gathered(
            n_rows=self._n_rows,
            n_parts=self._n_parts,
            n_without=self._n_asked - self._n_parts,
            lost=tuple(map(self._pool.grid.id, lost)),
            damaged=tuple(self._accepted.damaged),
        )


def _why_none(n_parts: int) -> str:
    if not n_parts:
        return "has no result that is selected, so no predictions; see jobpool status"
    return (
        "kept no predictions of the results that are selected; to have them kept, write "
        "predictions: keep in the section of the runner evaluate, and make a new pool"
    )


class _Pieces:
    """Makes the rows of one part of a task after the other."""

    def __init__(
        self,
        pool: Pool,
        runner: SupportsPredictions,
        results: Results,
        parts: PartSelection,
        is_earlier: NDArray[np.bool_],
    ) -> None:
        self._grid, self._parts = pool.grid, parts
        self._runner, self._results = runner, results
        self._is_earlier = is_earlier if is_earlier.any() else None
        self._cache = pool.folder / "cache"
        # "all" stands in no row, so that parts with numbers are a column of numbers
        self._values = [
            typed([None if axis.name == self._grid.part_axis and v == ALL else v for v in values])
            for axis, values in ((axis, axis.values) for axis in self._grid.axes)
        ]

    def asked(self, position: int, result: Mapping[str, Json]) -> list[int]:
        """Return the codes of the parts of a result that are selected."""
        rows = self._results.rows(result, self._grid.part_axis or ID)
        codes = [self._code(row) for row in rows]
        return [code for code in codes if self._parts.is_chosen(position, code)]

    def of(self, position: int, result: Mapping[str, Json]) -> Iterator[Any]:
        """Yield one table for each part that is selected and has its predictions kept."""
        point = dict(self._grid.point(position))
        for columns in self._runner.predictions(point, result, self._cache):
            code = self._code(columns)
            if self._parts.is_chosen(position, code):
                yield self._table(position, code, columns)

    def _code(self, row: Mapping[str, Any]) -> int:
        if self._grid.part_axis is None:
            return WHOLE
        found = row[self._grid.part_axis]
        value = found if isinstance(found, Value) else found[0]
        return self._grid.axis(self._grid.part_axis).values.index(value)

    def _table(self, position: int, code: int, columns: Mapping[str, Sequence[Any]]) -> Any:
        n_rows = len(next(iter(columns.values())))
        codes = self._grid.codes[:, position].tolist()
        whole = dict(self._grid.point(position))
        if self._grid.part_axis is not None:
            codes[self._grid.names.index(self._grid.part_axis)] = code
            whole[self._grid.part_axis] = ALL
        made = {id_name(self._grid): texts([task_id(tuple(whole.items()))]).repeat(n_rows)}
        for name, values, one in zip(self._grid.names, self._values, codes, strict=True):
            made[name] = values[one : one + 1].repeat(n_rows)
        if self._is_earlier is not None:
            made[earlier_name(self._grid)] = typed([bool(self._is_earlier[position])]).repeat(
                n_rows
            )
        predicted = [name for name in columns if name != self._grid.part_axis]
        for name, shown in set_apart(predicted, made, OF_RESULT).items():
            column = columns[name]
            made[shown] = typed(column) if isinstance(column, list) else np.asarray(column)
        return frame_of(made)
