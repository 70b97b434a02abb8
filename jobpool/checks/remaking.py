"""Records made anew from results and attempts, where the state table lost them.

Of a whole task and its parts, one stands for the other. Which one is told by the records that
are intact; where there are none, by what was run: parts are only run after the whole was cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jobpool.checks.evidence import Evidence
from jobpool.grid import Grid
from jobpool.records import Record
from jobpool.task import Cause, TaskState, UnknownCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaker:
    """Makes records from what the files of workers say."""

    grid: Grid
    evidence: Evidence
    park_after: int  # equal errors in a row that park a task
    now: float  # seconds since the epoch

    def remake(self, position: int, known: Mapping[int, Record | None]) -> Record:
        """Return the record of a task as results and attempts make it.

        Done if there is a result; parked after too many equal errors; else waiting, or set aside
        where another task stands for it, under a number that no claim had before, so that a
        worker that still holds an older claim is refused.

        Parameters
        ----------
        position : int
            The task.
        known : mapping
            Records of its state file by position; None where they are damaged.
        """
        results = self.evidence.results.get(position)
        is_aside = self._is_aside(position, known)
        learned = self._learned(position)
        if results and not is_aside:
            best = max(results, key=lambda seen: (seen.fence, seen.ended))
            return learned._replace(
                state=TaskState.DONE,
                cause=Cause.DONE,
                fence=best.fence,
                owner=best.worker,
                changed_ms=int(best.ended * 1000),
            )
        state = TaskState.WAITING
        if is_aside:
            state = TaskState.ASIDE
        elif learned.same >= self.park_after:
            state = TaskState.PARKED
        fence = self.evidence.last_fence(position) + 1
        return learned._replace(state=state, fence=fence, changed_ms=int(self.now * 1000))

    def _learned(self, position: int) -> Record:
        """Return failures, last cause, bounds and equal errors, as the pool took them down."""
        record = Record()
        for attempt in self.evidence.history(position):
            if attempt.cause is Cause.DONE or isinstance(attempt.cause, UnknownCause):
                continue  # done without its result, or what only a newer jobpool can judge
            need, same = record.learned(attempt.cause, attempt.lesson)
            attempts = record.attempts + attempt.cause.counts
            record = record._replace(attempts=attempts, cause=attempt.cause, need=need, same=same)
        return record

    def _is_aside(self, position: int, known: Mapping[int, Record | None]) -> bool:
        whole = self.grid.parts.whole_of(position)
        if whole is not None:
            return not self._is_cut(whole, known)
        if position in self.evidence.results:
            return False
        return bool(self.grid.parts.of(position)) and self._is_cut(position, known)

    def _is_cut(self, whole: int, known: Mapping[int, Record | None]) -> bool:
        """Say whether the parts stand for a whole task that has some."""
        record = known.get(whole)
        if record is not None:
            return record.state is TaskState.ASIDE
        parts = self.grid.parts.of(whole)
        intact = [found for part in parts if (found := known.get(part)) is not None]
        if intact and whole not in self.evidence.results:
            return any(found.state is not TaskState.ASIDE for found in intact)
        return self.evidence.shows_cut(whole, parts)
