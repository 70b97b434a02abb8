"""What the workers' own files say about each task: the second witness beside the state table."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.checks.findings import Finding, note, problem
from jobpool.journal.attempts import Attempt, attempt_from, lesson_of
from jobpool.journal.jsonl import KINDS, all_lines, read_lines
from jobpool.journal.workers import read_card
from jobpool.pool import Pool
from jobpool.table.grid import Grid
from jobpool.table.task_index import positions_by_id
from jobpool.task import AnyCause, Cause, Lesson, run_of


@dataclass(frozen=True, slots=True)
class ResultSeen:
    """A result on disk."""

    fence: int
    worker: int
    ended: float


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """An attempt on disk."""

    fence: int
    worker: int
    cause: AnyCause
    ended: float
    lesson: Lesson
    found: bool  # written by another worker than the one that ran it


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What results and attempts say, by position in the pool."""

    results: dict[int, list[ResultSeen]]
    attempts: dict[int, list[AttemptSeen]]
    damaged: tuple[tuple[Path, int], ...]  # lines within a file that do not fit their checksum
    torn: tuple[Path, ...]  # files whose last line was cut short
    n_strange: int  # lines about tasks that the pool does not have

    def last_fence(self, position: int) -> int:
        """Return the highest number of a claim that is known to have been on the task."""
        seen: Sequence[ResultSeen | AttemptSeen] = (
            *self.results.get(position, ()),
            *self.attempts.get(position, ()),
        )
        return max((one.fence for one in seen), default=0)

    def history(self, position: int) -> list[AttemptSeen]:
        """Return the attempts of a task in their order, each once: its worker's own word counts."""
        seen = sorted(self.attempts.get(position, ()), key=lambda one: not one.found)
        each = {(one.fence, one.worker): one for one in seen}
        return sorted(each.values(), key=lambda one: (one.fence, one.ended))

    def results_since(self, position: int, run: int) -> list[ResultSeen]:
        """Return the results of a task from one run on: what is computed again begins a new one."""
        return [one for one in self.results.get(position, ()) if run_of(one.fence) >= run]

    def results_before(self, position: int, run: int) -> list[ResultSeen]:
        """Return the results of a task from before a run."""
        return [one for one in self.results.get(position, ()) if run_of(one.fence) < run]

    def shows_cut(self, whole: int, parts: Sequence[int], run: int) -> bool:
        """Say whether a whole task was cut: a part was run, or the whole lacked time at last.

        Parameters
        ----------
        whole, parts : int, sequence of int
            The task and its parts.
        run : int
            The run that they are in; what was before does not count.
        """
        for part in parts:
            seen = (*self.results.get(part, ()), *self.attempts.get(part, ()))
            if any(run_of(one.fence) >= run for one in seen):
                return True
        history = self.history(whole)
        if not history or history[-1].cause is not Cause.TIME:
            return False
        return not self.results_since(whole, run)


class _Places:
    """Positions by id; those of spare parts are made only if they are asked for."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._known: dict[str, int] = {}
        self._learn(~grid.parts.is_spare)
        self._all = len(self._known) == len(grid)

    def _learn(self, wanted: NDArray[np.bool_]) -> None:
        self._known |= positions_by_id(self._grid, wanted)

    def of(self, task: str) -> int | None:
        """Return the position of a task, or None if the pool does not have it."""
        if task not in self._known and not self._all:
            self._learn(self._grid.parts.is_spare)
            self._all = True
        return self._known.get(task)


def gather(pool: Pool) -> Evidence:
    """Read every result and attempt of a pool."""
    places = _Places(pool.grid)

    @cache
    def end_of(worker: str) -> float | None:
        card = read_card(pool.folder, worker)
        return None if card is None else card.end

    results: dict[int, list[ResultSeen]] = {}
    attempts: dict[int, list[AttemptSeen]] = {}
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
            position = places.of(record["task"])
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


def _result(path: Path, record: dict[str, Any]) -> ResultSeen:
    return ResultSeen(record["fence"], int(path.stem, 16), float(record["ended"]))


def _attempt(pool: Pool, position: int, attempt: Attempt, end: float | None) -> AttemptSeen:
    checkpoint = partial(pool.grid.checkpoint_of, position, attempt.fence)
    lesson = lesson_of(pool.folder, attempt, checkpoint=checkpoint, end=end)
    return AttemptSeen(
        fence=attempt.fence,
        worker=int(attempt.worker, 16),
        cause=attempt.cause,
        ended=attempt.ended,
        lesson=lesson,
        found=attempt.found_by is not None,
    )


def examine_lines(pool: Path, evidence: Evidence) -> Iterator[Finding]:
    """Yield what is wrong with the files of results and attempts themselves."""
    for path in evidence.torn:
        what = "its last line was cut short when the worker was killed; it does not count"
        yield note(str(path.relative_to(pool)), what)
    for path, number in evidence.damaged:
        what = f"line {number} is damaged"
        yield problem(str(path.relative_to(pool)), what, repairable=True)
    if evidence.n_strange:
        what = f"{evidence.n_strange:,} of the lines are about tasks that this pool does not have"
        yield note(", ".join(sorted(KINDS)), what)


def set_aside(path: Path, numbers: Sequence[int]) -> bytes:
    """Return the content of a file without some lines, which are kept in ``NAME.damaged``."""
    lines, wanted = list(read_lines(path)), set(numbers)
    with path.with_name(f"{path.name}.damaged").open("ab") as stream:
        stream.writelines(line.raw for line in lines if line.number in wanted)
    return b"".join(line.raw for line in lines if line.number not in wanted)
