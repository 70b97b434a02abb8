"""What results and attempts say about each task, read from the files of the workers.

Workers go on writing while these are read. So the reader can look again, at the files that matter
for some tasks only, and reads on where it stopped: cheap enough to be done under the lock of a
state file, before a record of it is changed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.attempts import attempt_from, feedback_of
from jobpool.journal.jsonl import (
    SHAPES,
    Line,
    read_lines,
    size_of,
    worker_file,
    worker_files,
    worker_name,
)
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.table.grid import Grid
from jobpool.table.records import Record
from jobpool.table.task_index import positions_by_id
from jobpool.task import AnyCause, Cause, Feedback, run_of

_FILES = ("results", "attempts")
_STRANGE = -1  # the position of tasks that the pool does not have


@dataclass(frozen=True, slots=True)
class FoundResult:
    """A result on disk."""

    fence: int
    worker: int
    ended: float


@dataclass(frozen=True, slots=True)
class FoundAttempt:
    """An attempt on disk."""

    fence: int
    worker: int
    cause: AnyCause
    ended: float
    feedback: Feedback
    found: bool  # written by another worker than the one that ran it


def names_one_of(record: Record, seen: Iterable[FoundResult | FoundAttempt]) -> bool:
    """Say whether the claim that a record names gave one of some results or attempts."""
    return any((one.fence, one.worker) == (record.fence, record.owner) for one in seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What results and attempts say, by position in the pool."""

    results: dict[int, list[FoundResult]]
    attempts: dict[int, list[FoundAttempt]]
    damaged: tuple[tuple[Path, int], ...]  # lines within a file that do not fit their checksum
    torn: tuple[Path, ...]  # files whose last line was cut short
    n_strange: int  # lines about tasks that the pool does not have

    def last_fence(self, position: int) -> int:
        """Return the highest number of a claim that is known to have been on the task."""
        seen: Sequence[FoundResult | FoundAttempt] = (
            *self.results.get(position, ()),
            *self.attempts.get(position, ()),
        )
        return max((one.fence for one in seen), default=0)

    def history(self, position: int) -> list[FoundAttempt]:
        """Return the attempts of a task in their order, each once; its own worker's line counts."""
        seen = sorted(self.attempts.get(position, ()), key=lambda one: not one.found)
        each = {(one.fence, one.worker): one for one in seen}
        return sorted(each.values(), key=lambda one: (one.fence, one.ended))

    def results_since(self, position: int, run: int) -> list[FoundResult]:
        """Return the results of a task from one run on; a rerun begins a new run."""
        return [one for one in self.results.get(position, ()) if run_of(one.fence) >= run]

    def results_before(self, position: int, run: int) -> list[FoundResult]:
        """Return the results of a task from before a run."""
        return [one for one in self.results.get(position, ()) if run_of(one.fence) < run]

    def shows_split(self, whole: int, parts: Sequence[int], run: int) -> bool:
        """Say whether a whole task was split: a part was run, or its last attempt lacked time.

        Parameters
        ----------
        whole, parts : int, sequence of int
            The task and its parts.
        run : int
            The run that they are in; earlier ones do not count.
        """
        for part in parts:
            seen = (*self.results.get(part, ()), *self.attempts.get(part, ()))
            if any(run_of(one.fence) >= run for one in seen):
                return True
        history = self.history(whole)
        if not history or history[-1].cause is not Cause.TIME:
            return False
        return not self.results_since(whole, run)


class _TaskIndex:
    """Positions by id; those of dormant parts are computed only when needed."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._known: dict[str, int] = {}
        self._learn(~grid.parts.is_dormant)
        self._all = len(self._known) == len(grid)

    def _learn(self, wanted: NDArray[np.bool_]) -> None:
        self._known |= positions_by_id(self._grid, wanted)

    def of(self, task: str) -> int | None:
        """Return the position of a task, or None if the pool does not have it."""
        if task not in self._known and not self._all:
            self._learn(self._grid.parts.is_dormant)
            self._all = True
        return self._known.get(task)


@dataclass(slots=True)
class _File:
    """One file of a worker, as far as it was read."""

    path: Path
    kind: str
    offset: int = 0  # of the first byte that was not read for good
    n_lines: int = 0  # before it
    about: dict[int, list[Any]] = field(default_factory=dict)  # what these say, by position
    doubtful: dict[int, list[Any]] = field(default_factory=dict)  # said behind the offset
    damaged: list[int] = field(default_factory=list)  # numbers of lines
    is_torn: bool = False

    def of(self, position: int) -> list[Any]:
        """Return what the file says about a task."""
        return [*self.about.get(position, ()), *self.doubtful.get(position, ())]

    def new_lines(self) -> Iterator[tuple[Line, dict[int, list[Any]]]]:
        """Yield the lines not read for good, and where to put what they say.

        From a damaged line on all is read again the next time: on a network file system a line
        looks damaged while only a part of it has arrived.
        """
        self.doubtful, self.damaged, self.is_torn = {}, [], False
        if self.offset and size_of(self.path) < self.offset:  # another file has the name now
            self.offset = self.n_lines = 0
            self.about = {}
        before = self.n_lines
        for line in read_lines(self.path, SHAPES[self.kind], self.offset):
            if line.record is None:
                self.is_torn |= line.is_torn
                self.damaged += [] if line.is_torn else [before + line.number]
                continue
            is_for_good = not (self.damaged or self.is_torn)
            yield line, self.about if is_for_good else self.doubtful
            if is_for_good:
                self.offset += len(line.raw)
                self.n_lines += 1


class EvidenceReader:
    """Reads results and attempts of a pool, and reads on where workers went on writing.

    Parameters
    ----------
    pool : Pool
        The pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._index = _TaskIndex(pool.grid)
        self._files: dict[Path, _File] = {}
        self._about: dict[int, set[Path]] = {}  # the files that say something about a task
        self._end_of = cache(self._read_end)

    def read(self, may_write: Callable[[int], bool] = lambda _: True) -> Evidence:
        """Return what all files say.

        Parameters
        ----------
        may_write : callable
            Says of a worker's number whether it may have written since its file was read: only
            then it is read again.
        """
        for kind in _FILES:
            for path in worker_files(self._pool.folder, kind):
                if path not in self._files or may_write(int(path.stem, 16)):
                    self._read_on(path, kind)
        return self._evidence(self._files.values())

    def look_again(self, records: Mapping[int, Record]) -> Evidence:
        """Return what the files say about some tasks at this moment.

        Read again are the files that said something about one of them, and those of the workers
        that the records name: no other can say more as long as these records stand.

        Parameters
        ----------
        records : mapping
            Records by position.
        """
        named = {one.owner for record in records.values() for one in _and_accepted(record)}
        paths = {
            worker_file(self._pool.folder, kind, worker_name(owner)): kind
            for kind in _FILES
            for owner in named
            if owner
        }
        for position in records:
            paths |= {path: self._files[path].kind for path in self._about.get(position, ())}
        for path, kind in paths.items():
            self._read_on(path, kind)
        return self._evidence([self._files[path] for path in paths], records)

    def _read_on(self, path: Path, kind: str) -> None:
        file = self._files.setdefault(path, _File(path, kind))
        for line, about in file.new_lines():
            record = line.record or {}
            position = self._index.of(record["task"])
            if position is not None:
                self._about.setdefault(position, set()).add(path)
            if position is None:
                about.setdefault(_STRANGE, []).append(record)
            elif kind == "results":
                about.setdefault(position, []).append(_result(path, record))
            else:
                about.setdefault(position, []).append(self._attempt(position, record))

    def _evidence(self, files: Iterable[_File], wanted: Collection[int] | None = None) -> Evidence:
        found: dict[str, dict[int, list[Any]]] = {kind: {} for kind in _FILES}
        damaged: list[tuple[Path, int]] = []
        torn: list[Path] = []
        n_strange = 0
        for file in files:
            positions = {*file.about, *file.doubtful} - {_STRANGE} if wanted is None else wanted
            for position in positions:
                if seen := file.of(position):
                    found[file.kind].setdefault(position, []).extend(seen)
            damaged += [(file.path, number) for number in file.damaged]
            torn += [file.path] if file.is_torn else []
            n_strange += len(file.of(_STRANGE))
        return Evidence(
            results=found["results"],
            attempts=found["attempts"],
            damaged=tuple(damaged),
            torn=tuple(torn),
            n_strange=n_strange,
        )

    def _attempt(self, position: int, record: dict[str, Any]) -> FoundAttempt:
        attempt, pool = attempt_from(record), self._pool
        checkpoint = partial(pool.grid.checkpoint_of, position, attempt.fence)
        end = self._end_of(attempt.worker)
        feedback = feedback_of(pool.folder, attempt, checkpoint=checkpoint, end=end)
        return FoundAttempt(
            fence=attempt.fence,
            worker=int(attempt.worker, 16),
            cause=attempt.cause,
            ended=attempt.ended,
            feedback=feedback,
            found=attempt.found_by is not None,
        )

    def _read_end(self, worker: str) -> float | None:
        worker_record = read_worker_record(self._pool.folder, worker)
        return None if worker_record is None else worker_record.end


def gather(pool: Pool) -> Evidence:
    """Read every result and attempt of a pool, once."""
    return EvidenceReader(pool).read()


def _and_accepted(record: Record) -> list[Record]:
    return [record] if record.accepted is None else [record, record.accepted]


def _result(path: Path, record: dict[str, Any]) -> FoundResult:
    return FoundResult(record["fence"], int(path.stem, 16), float(record["ended"]))
