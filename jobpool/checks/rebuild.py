"""The evidence of results and attempts about each task, and the records rebuilt from it.

Records of the state table are compared with the evidence, and rebuilt from it where the table lost
them. Either a whole task or its parts are offered to workers. The intact records say which; without
any, the attempts do: parts run only after the whole task was split.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.attempts import Attempt, attempt_from, feedback_of
from jobpool.journal.jsonl import all_lines
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.table.grid import Grid
from jobpool.table.records import Record
from jobpool.table.task_index import positions_by_id
from jobpool.task import (
    CLAIMS_PER_RUN,
    AnyCause,
    Cause,
    Feedback,
    TaskState,
    UnknownCause,
    next_run,
    run_of,
)


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


def gather(pool: Pool) -> Evidence:
    """Read every result and attempt of a pool."""
    index = _TaskIndex(pool.grid)

    @cache
    def end_of(worker: str) -> float | None:
        worker_record = read_worker_record(pool.folder, worker)
        return None if worker_record is None else worker_record.end

    results: dict[int, list[FoundResult]] = {}
    attempts: dict[int, list[FoundAttempt]] = {}
    damaged: list[tuple[Path, int]] = []
    torn: list[Path] = []
    strange: Counter[str] = Counter()
    for kind in ("results", "attempts"):
        for path, line in all_lines(pool.folder, kind):
            record = line.record
            if record is None:
                if line.is_torn:
                    torn.append(path)
                else:
                    damaged.append((path, line.number))
                continue
            position = index.of(record["task"])
            if position is None:
                strange[kind] += 1
            elif kind == "results":
                results.setdefault(position, []).append(_result(path, record))
            else:
                attempt = attempt_from(record)
                seen = _attempt(pool, position, attempt, end_of(attempt.worker))
                attempts.setdefault(position, []).append(seen)
    return Evidence(
        results=results,
        attempts=attempts,
        damaged=tuple(damaged),
        torn=tuple(torn),
        n_strange=strange.total(),
    )


def _result(path: Path, record: dict[str, Any]) -> FoundResult:
    return FoundResult(record["fence"], int(path.stem, 16), float(record["ended"]))


def _attempt(pool: Pool, position: int, attempt: Attempt, end: float | None) -> FoundAttempt:
    checkpoint = partial(pool.grid.checkpoint_of, position, attempt.fence)
    feedback = feedback_of(pool.folder, attempt, checkpoint=checkpoint, end=end)
    return FoundAttempt(
        fence=attempt.fence,
        worker=int(attempt.worker, 16),
        cause=attempt.cause,
        ended=attempt.ended,
        feedback=feedback,
        found=attempt.found_by is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilder:
    """Makes records from the evidence."""

    grid: Grid
    evidence: Evidence
    park_after: int  # equal errors in a row that park a task
    now: float  # seconds since the epoch

    def record_of(
        self,
        position: int,
        known: Mapping[int, Record | None],
        accepted: Record | None = None,
    ) -> Record:
        """Return the record of a task that follows from results and attempts.

        Done if there is a result; parked after too many equal errors; else waiting, or superseded
        where another task stands for it, under a number that no claim had before, so that a
        worker that still holds an older claim is refused. Results from before the task was
        returned for a rerun do not end it: the last of them counts until a new one is accepted.

        Parameters
        ----------
        position : int
            The task.
        known : mapping
            Records of its state file by position; None where they are damaged.
        accepted : Record, optional
            The accepted record that stands in its state file, of this run or of one before.
        """
        run = self._run(position, known, accepted)
        results = self.evidence.results_since(position, run)
        is_superseded = self._is_superseded(position, known)
        learned = self._learned(position, run)
        if results and not is_superseded:
            return done_by(learned, results)
        state = TaskState.WAITING
        if is_superseded:
            state = TaskState.SUPERSEDED
        elif learned.same >= self.park_after:
            state = TaskState.PARKED
        earlier = self.evidence.results_before(position, run)
        is_dormant = is_superseded and self.grid.parts.whole_of(position) is not None
        return learned._replace(
            state=state,
            fence=max(self.evidence.last_fence(position), run * CLAIMS_PER_RUN) + 1,
            changed_ms=int(self.now * 1000),
            accepted=None if is_dormant else accepted_by(earlier),
        )

    def _run(
        self, position: int, known: Mapping[int, Record | None], accepted: Record | None = None
    ) -> int:
        """Return how often a task was returned for a rerun, as far as is known."""
        fences = [self.evidence.last_fence(position)]
        if accepted is not None:
            fences.append(next_run([accepted.fence]))
        whole = self.grid.parts.whole_of(position)
        if whole is None:  # its superseded parts follow it into a new run
            parts = [known.get(part) for part in self.grid.parts.of(position)]
            fences += [one.fence for one in parts if one and one.state is TaskState.SUPERSEDED]
        else:
            record = known.get(whole)
            fences.append(record.fence if record else self.evidence.last_fence(whole))
        return run_of(max(fences))

    def _learned(self, position: int, run: int) -> Record:
        """Return failures, last cause, bounds and equal errors, as the pool recorded them."""
        record, before = Record(), 0
        for attempt in self.evidence.history(position):
            if run_of(attempt.fence) > before and run_of(attempt.fence) <= run:
                before = run_of(attempt.fence)
                record = Record(bounds=record.bounds & 0xFFFF)
            if attempt.cause is Cause.DONE or isinstance(attempt.cause, UnknownCause):
                continue  # done without its result, or what only a newer jobpool can judge
            bounds, same = record.learned(attempt.cause, attempt.feedback)
            attempts = record.attempts + attempt.cause.counts
            record = record._replace(
                attempts=attempts, cause=attempt.cause, bounds=bounds, same=same
            )
        return record if before == run else Record(bounds=record.bounds & 0xFFFF)

    def _is_superseded(self, position: int, known: Mapping[int, Record | None]) -> bool:
        whole = self.grid.parts.whole_of(position)
        if whole is not None:
            return not self._is_split(whole, known)
        if self.evidence.results_since(position, self._run(position, known)):
            return False
        return bool(self.grid.parts.of(position)) and self._is_split(position, known)

    def _is_split(self, whole: int, known: Mapping[int, Record | None]) -> bool:
        """Say whether the parts stand for a whole task that has some."""
        record = known.get(whole)
        if record is not None:
            return record.state is TaskState.SUPERSEDED
        parts = self.grid.parts.of(whole)
        intact = [found for part in parts if (found := known.get(part)) is not None]
        run = self._run(whole, known)
        if intact and not self.evidence.results_since(whole, run):
            return any(found.state is not TaskState.SUPERSEDED for found in intact)
        return self.evidence.shows_split(whole, parts, run)


def done_by(record: Record, results: Sequence[FoundResult]) -> Record:
    """Return the record of a task that its latest result ended."""
    best = max(results, key=lambda one: (one.fence, one.ended))
    return record._replace(
        state=TaskState.DONE,
        cause=Cause.DONE,
        fence=best.fence,
        owner=best.worker,
        changed_ms=int(best.ended * 1000),
        accepted=None,
    )


def accepted_by(results: Sequence[FoundResult]) -> Record | None:
    """Return the accepted record that the latest of some results gives, None if there is none."""
    return done_by(Record(), results) if results else None
