"""Results of a pool as one table: one row per task or part, whatever happened on the way.

A result counts if the record of its task says done and names the result's claim and worker; any
other is left out, so that two workers that finished the same task give one row. The parts of a
task that was split become one row, the row that the whole task gives; sets with parts missing
are named. Parts of a whole task that was not split, or that is done itself, do not count.

By part, every part gives the same row, whether it was computed alone or with the whole task.

A task that is being rerun keeps its row, marked, until its new result is accepted.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.collect.accepted import (
    FACTS,
    Accepted,
    IncompleteSet,
    PartSelection,
    sizes_of_results,
)
from jobpool.collect.frames import frame_of
from jobpool.collect.reading import ALONE, Reading, ReadNotes
from jobpool.collect.row_columns import (
    TEXT,
    Cell,
    Rows,
    as_scores,
    earlier_column,
    earlier_name,
    id_name,
    mixed_name,
    own_columns,
    own_names,
    point_columns,
    texts,
)
from jobpool.collect.worlds import Worlds, made_of
from jobpool.disk.files import parse_line
from jobpool.errors import RequestError, listing, quoted
from jobpool.journal.jsonl import worker_files
from jobpool.journal.made_of import Mixture
from jobpool.learning.parallel import in_processes
from jobpool.pool import Pool
from jobpool.runners import make_results
from jobpool.runners.base import Results, SupportsMerge
from jobpool.table.arrays import Table
from jobpool.table.columns import OF_RESULT, OF_SCORES, set_apart
from jobpool.table.grid import Grid
from jobpool.table.parts import WHOLE
from jobpool.units import count

BY_TASK = "task"

_OF_ONE_PROCESS = 1 << 26  # bytes of results that are not worth the start of another
# what a runner may raise for a result that it did not make: of another version, or by hand
_NOT_UNDERSTOOD = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
)
_MOST_PROCESSES = 4  # the table is put together by one alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """All rows, and what did not become one."""

    frame: pd.DataFrame  # rows in the order of the axes
    by: str
    id: str  # name of the column of ids
    own: Mapping[str, str]  # names of columns by those in `OF_RESULTS`
    axes: tuple[str, ...]  # names of columns, as the next two
    attributes: tuple[str, ...]
    metrics: tuple[str, ...]
    leading: tuple[str, ...] = ()  # the first metric of each kind of target
    incomplete: tuple[IncompleteSet, ...]
    lost: tuple[str, ...]  # ids of tasks that are done without a result on disk
    earlier: str | None  # the column that marks rows of tasks that are being rerun, if any is
    mixtures: tuple[Mixture, ...]  # inputs that are not the same in all rows
    mixed: str | None  # the column that names them in each row, if there are any
    n_refused: int  # results of tasks that another claim of the same run has done
    n_strange: int  # results of tasks that the pool does not have
    unreadable: tuple[str, ...]  # ids of tasks with a result that the runner cannot read
    damaged: tuple[tuple[Path, int], ...]  # file and number of lines that cannot be read

    @property
    def n_earlier(self) -> int:
        """Return the number of rows whose task is being rerun."""
        return int(self.frame[self.earlier].sum()) if self.earlier else 0

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    @property
    def n_no_numbers(self) -> Mapping[str, int]:
        """Return how many rows have something else than a number under the name of a score."""
        texts_of = [name for name in self.metrics if self.frame[name].dtype == TEXT]
        columns = {name: self.frame[name] for name in texts_of}
        counts = {
            name: int((column.notna() & as_scores(column).isna()).sum())
            for name, column in columns.items()
        }
        return {name: n for name, n in counts.items() if n}

    def long(self) -> pd.DataFrame:
        """Return one row per row and score: task, axes, attributes, metric, score.

        Columns that mark rows, of tasks that are rerun or of other inputs, come before the metric.
        Scores that are missing have no row: most rows lack those of other kinds of tasks. Neither
        has what is no number under the name of a score (`n_no_numbers`).
        """
        marks = [name for name in (self.earlier, self.mixed) if name]
        keys = [self.id, *self.axes, *self.attributes, *marks]
        scores = {name: as_scores(self.frame[name]) for name in self.metrics}
        if len({column.dtype for column in scores.values()}) > 1:
            scores = {name: column.astype(np.float64) for name, column in scores.items()}
        frame = pd.concat([self.frame[keys], *scores.values()], axis=1)
        # names that no column has: a result may be called score, an axis metric
        long = frame.melt(keys, list(self.metrics), "\0metric", "\0score")
        long = long.dropna(subset=["\0score"], ignore_index=True)
        shown = set_apart(OF_SCORES, keys, OF_RESULT)
        return long.rename(columns={f"\0{name}": shown[name] for name in OF_SCORES})


def collect_pool(
    pool: Pool,
    chosen: NDArray[np.bool_] | None = None,
    by: str = BY_TASK,
    *,
    fresh: bool = False,
    reading: Reading = ALONE,
) -> Collected:
    """Return the rows of a pool as its runner understands them; parameters as of `collect`.

    As many processes read as are worth starting on this process's cores.
    """
    processes = worth_starting(pool.folder, len(os.sched_getaffinity(0)))
    results, reading = make_results(pool.info.runner), replace(reading, processes=processes)
    return collect(pool, results, chosen, by, reading, fresh=fresh)


def collect(
    pool: Pool,
    results: Results,
    chosen: NDArray[np.bool_] | None = None,
    by: str = BY_TASK,
    reading: Reading = ALONE,
    *,
    fresh: bool = False,
) -> Collected:
    """Return one row per task that is done, or one per part.

    Parameters
    ----------
    pool : Pool
        The pool.
    results : Results
        Makes rows of a result and, of tasks in parts, merges these.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; a part that is not selected counts as missing, or by part as not asked for.
    by : str
        ``task``, or the name of the part axis.
    reading : Reading
        How many processes read side by side (see `worth_starting`), and who is told how far it is.
    fresh : bool
        Leave out the earlier results of tasks that are being rerun.

    Raises
    ------
    DamagedStateError
        If the state table cannot be trusted.
    RequestError
        If the pool has no such parts.
    """
    known = [BY_TASK] if pool.grid.part_axis is None else [BY_TASK, pool.grid.part_axis]
    if by not in known:
        what = f"its results cannot be given by {by!r}; write one of: {', '.join(known)}"
        raise RequestError(pool.folder, what)
    table, is_earlier = pool.counting_table(fresh=fresh)  # before the results
    one = Share(
        folder=pool.folder,
        grid=pool.grid,
        table=table,
        is_earlier=is_earlier,
        chosen=chosen,
        by=by,
        results=results,
        workers=(),
        number=0,
        notes=reading.file,
    )
    dealt = enumerate(_dealt(sizes_of_results(pool.folder, table), reading.processes))
    shares = [replace(one, workers=some, number=number) for number, some in dealt]
    reading.tell("reading results")
    found = dict(in_processes(gather, shares, len(shares)))
    reading.tell("putting the rows together")
    return _put_together(one, [found[number] for number in sorted(found)])


def worth_starting(pool: Path, cores: int) -> int:
    """Return how many processes are worth starting to read a pool's results on some cores."""
    n_bytes = sum(path.stat().st_size for path in worker_files(pool, "results"))
    return min(cores, _MOST_PROCESSES, 1 + n_bytes // _OF_ONE_PROCESS)


def _dealt(sizes: Mapping[str, int], n_shares: int) -> list[tuple[str, ...]]:
    """Return the workers of the pool in shares of about equal size."""
    ends = np.cumsum(list(sizes.values()))
    # the files of a few workers may be larger than those of all others
    bounds = ends[-1:] * np.arange(1, n_shares) / n_shares
    shares = np.searchsorted(bounds, ends - np.array(list(sizes.values())) / 2)
    return [
        tuple(name for name, own in zip(sizes, shares, strict=True) if own == number)
        for number in range(n_shares)
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """What one process is to read."""

    folder: Path  # of the pool
    grid: Grid
    table: Table  # the records of all tasks as their results count, read before the results
    is_earlier: NDArray[np.bool_]  # which of them are being rerun
    chosen: NDArray[np.bool_] | None
    by: str
    results: Results
    workers: tuple[str, ...]  # whose files
    number: int
    notes: Path | None  # where to note how much was read

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
    worlds: Worlds = field(default_factory=Worlds)  # what each row is made of
    taken: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    facts: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # of the tasks in `taken`
    unreadable: list[int] = field(default_factory=list)  # positions
    n_refused: int = 0
    n_strange: int = 0
    damaged: list[tuple[Path, int]] = field(default_factory=list)

    def add(self, results: Results, result: Mapping[str, Any], place: int, code: int) -> None:
        """Add the row of a whole task."""
        metrics, inputs, rows = _said(results, result, BY_TASK)
        self.metrics.add(metrics)
        for row in rows:
            self.add_row(row, place, code, inputs)

    def add_row(
        self, row: Mapping[str, Cell], place: int, code: int, inputs: Mapping[str, str]
    ) -> None:
        """Add a row."""
        self.rows.add(row)
        self.places.append(place)
        self.codes.append(code)
        self.worlds.add(inputs)

    def extend(self, others: "Gathered") -> None:
        """Add what another process found to the rows found here, if any."""
        self.rows.extend(others.rows)
        self.worlds.extend(others.worlds)
        self.places += others.places
        self.codes += others.codes
        self.held |= others.held
        self.metrics |= others.metrics
        self.unreadable += others.unreadable


def _said(
    results: Results, result: Mapping[str, Any], by: str
) -> tuple[tuple[str, ...], Mapping[str, str], list[dict[str, Cell]]]:
    """Return the names of the scores, what a result is made of, and its rows.

    Raises
    ------
    One of `_NOT_UNDERSTOOD`
        If it is none of this runner's results.
    """
    return results.metrics(result), made_of(results, result), results.rows(result, by)


def gather(share: Share) -> Gathered:
    """Return the rows of all results that count; parts that make one row together are held."""
    parts, by, results, found = share.parts, share.by, share.results, Gathered()
    accepted = Accepted(share.grid, share.table, parts.wanted)
    codes = {} if by == BY_TASK else _codes_of(share.grid, by)
    notes = ReadNotes(share.notes, share.number)
    for position, line, record in accepted.results(share.folder, share.workers):
        notes.note(accepted.n_bytes)
        result: dict[str, Any] = record["result"]
        if by == BY_TASK and parts.is_part[position]:
            found.held[position] = line  # takes a tenth of the memory of what it says
            continue
        try:
            if by == BY_TASK:
                found.add(results, result, position, WHOLE)
                continue
            metrics, inputs, rows = _said(results, result, by)
            of_rows = [codes[row.pop(by)] for row in rows]
        except _NOT_UNDERSTOOD:
            found.unreadable.append(position)
            continue
        found.metrics.add(metrics)
        for code, row in zip(of_rows, rows, strict=True):
            if parts.is_chosen(position, code):
                found.add_row(row, position, code, inputs)
    accepted.read_attempts(share.folder, share.workers)
    found.rows.pack()
    found.taken = np.flatnonzero(accepted.taken)
    found.facts = {name: values[found.taken] for name, values in accepted.facts.items()}
    found.n_refused, found.n_strange = accepted.n_refused, accepted.n_strange
    found.damaged = accepted.damaged
    return found


def _codes_of(grid: Grid, axis: str) -> dict[Any, int]:
    return {value: code for code, value in enumerate(grid.axis(axis).values)}


def _put_together(share: Share, found: Sequence[Gathered]) -> Collected:
    grid, parts = share.grid, share.parts
    taken = np.zeros(len(share.table), bool)
    facts = {name: np.full(len(taken), np.nan) for name in FACTS}
    for one in found:
        taken[one.taken] = True
        for name, values in one.facts.items():
            facts[name][one.taken] = values
    all_rows = Gathered()
    for one in found:
        all_rows.extend(one)
    merged = _merge_parts(share, parts, all_rows)
    columns, metrics, leading, mixtures = _columns(share, all_rows, merged, facts)
    lost = np.flatnonzero(parts.wanted & ~taken)
    return Collected(
        frame=frame_of(columns),
        by=share.by,
        axes=grid.names,
        id=id_name(grid),
        own=own_names(grid),
        attributes=tuple(grid.attributes_by_name),
        metrics=metrics,
        leading=leading,
        incomplete=parts.incomplete(taken),
        lost=tuple(grid.take(lost).ids()),
        earlier=earlier_name(grid) if share.is_earlier.any() else None,
        mixtures=mixtures,
        mixed=mixed_name(grid) if mixtures else None,
        unreadable=tuple(map(grid.id, sorted(all_rows.unreadable))),
        n_refused=sum(one.n_refused for one in found),
        n_strange=sum(one.n_strange for one in found),
        damaged=tuple(place for one in found for place in one.damaged),
    )


def _merge_parts(share: Share, parts: PartSelection, found: Gathered) -> dict[int, list[int]]:
    """Add a row for each set of parts that is whole; return the tasks of each such row."""
    merged: dict[int, list[int]] = {}
    if not isinstance(share.results, SupportsMerge):
        return merged
    for places in parts.whole_sets(found.held):
        done = [_result_in(found.held.pop(place)) for place in places]
        row = found.rows.n_rows
        try:
            found.add(share.results, share.results.merge(done), places[0], WHOLE)
        except _NOT_UNDERSTOOD:
            found.unreadable += places
        else:
            merged[row] = places
    return merged


def _result_in(line: bytes) -> dict[str, Any]:
    record = parse_line(line)
    return {} if record is None else dict(record["result"])


def _columns(
    share: Share,
    found: Gathered,
    merged: Mapping[int, list[int]],
    facts: Mapping[str, NDArray[np.float64]],
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...], tuple[Mixture, ...]]:
    """Return all columns, the names of scores, the first of each kind, and what is mixed."""
    places = np.array(found.places, np.intp)
    codes = share.grid.codes[:, places].astype(np.intp)
    if share.grid.part_axis is not None:
        codes[share.grid.names.index(share.grid.part_axis)] = found.codes
    order = np.lexsort(codes[::-1])
    columns = point_columns(share.grid, codes[:, order])
    for name, column in earlier_column(share.grid, share.is_earlier, places, merged).items():
        columns[name] = column[order]
    mixtures = found.worlds.mixtures(columns[id_name(share.grid)].take(np.argsort(order)))
    if mixtures:
        columns[mixed_name(share.grid)] = texts(found.worlds.named(mixtures)).take(order)
    names = own_names(share.grid)
    own = own_columns(share.table, facts, places, merged)
    results = found.rows.columns(order)
    shown = set_apart(results, {*columns, *names.values()}, OF_RESULT)
    columns |= {shown[name]: column for name, column in results.items()}
    columns |= {names[name]: column.take(order) for name, column in own.items()}
    scores = {shown[name] for some in found.metrics for name in some if name in shown}
    first = {next((shown[name] for name in some if name in shown), "") for some in found.metrics}
    metrics = tuple(name for name in columns if name in scores)
    return columns, metrics, tuple(name for name in metrics if name in first), mixtures


def what_is_gone(
    pool: Path,
    lost: Sequence[str],
    damaged: Sequence[tuple[Path, int]],
    unreadable: Sequence[str] = (),
) -> list[str]:
    """Return a line for the person about results that are not on disk, or cannot be read.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    lost : sequence of str
        Ids of tasks that are done without a result on disk.
    damaged : sequence of (Path, int)
        File and number of lines that cannot be read.
    unreadable : sequence of str
        Ids of tasks with a result that is whole, but none that the runner can read.
    """
    lines = []
    if damaged:
        places = listing((f"{path} line {number}" for path, number in damaged), most=5)
        lines.append(f"{count(len(damaged), 'damaged line')} left out: {places}")
    if unreadable:
        what = f"left out, which this version cannot read: of {listing(unreadable)}"
        lines.append(f"{count(len(unreadable), 'result')} {what}; see: jobpool log {quoted(pool)}")
    if lost:
        what = f"done without a result on disk: {listing(lost)}"
        lines.append(f"{count(len(lost), 'task')} {what}; run: jobpool doctor {quoted(pool)}")
    return lines
