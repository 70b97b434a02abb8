"""Records made anew from results and attempts, where the state table lost them.

Of a whole task and its parts, one stands for the other. Which one is told by the records that
are intact; where there are none, by what was run: parts are only run after the whole was cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jobpool.checks.consistency import accepted_by, done_by
from jobpool.checks.evidence import Evidence
from jobpool.table.grid import Grid
from jobpool.table.records import Record
from jobpool.task import CLAIMS_PER_RUN, Cause, TaskState, UnknownCause, next_run, run_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaker:
    """Makes records from what the files of workers say."""

    grid: Grid
    evidence: Evidence
    park_after: int  # equal errors in a row that park a task
    now: float  # seconds since the epoch

    def remake(
        self,
        position: int,
        known: Mapping[int, Record | None],
        accepted: Record | None = None,
    ) -> Record:
        """Return the record of a task as results and attempts make it.

        Done if there is a result; parked after too many equal errors; else waiting, or set aside
        where another task stands for it, under a number that no claim had before, so that a
        worker that still holds an older claim is refused. Results from before the task was
        returned to be computed again do not end it: the last of them counts until then.

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
        is_aside = self._is_aside(position, known)
        learned = self._learned(position, run)
        if results and not is_aside:
            return done_by(learned, results)
        state = TaskState.WAITING
        if is_aside:
            state = TaskState.ASIDE
        elif learned.same >= self.park_after:
            state = TaskState.PARKED
        earlier = self.evidence.results_before(position, run)
        is_spare = is_aside and self.grid.parts.whole_of(position) is not None
        return learned._replace(
            state=state,
            fence=max(self.evidence.last_fence(position), run * CLAIMS_PER_RUN) + 1,
            changed_ms=int(self.now * 1000),
            accepted=None if is_spare else accepted_by(earlier),
        )

    def _run(
        self, position: int, known: Mapping[int, Record | None], accepted: Record | None = None
    ) -> int:
        """Return how often a task was returned to be computed again, as far as anything says so."""
        fences = [self.evidence.last_fence(position)]
        if accepted is not None:
            fences.append(next_run([accepted.fence]))
        whole = self.grid.parts.whole_of(position)
        if whole is None:  # what waits in the place of a whole task went on with it
            parts = [known.get(part) for part in self.grid.parts.of(position)]
            fences += [one.fence for one in parts if one and one.state is TaskState.ASIDE]
        else:
            record = known.get(whole)
            fences.append(record.fence if record else self.evidence.last_fence(whole))
        return run_of(max(fences))

    def _learned(self, position: int, run: int) -> Record:
        """Return failures, last cause, bounds and equal errors, as the pool took them down."""
        record, before = Record(), 0
        for attempt in self.evidence.history(position):
            if run_of(attempt.fence) > before and run_of(attempt.fence) <= run:
                before = run_of(attempt.fence)
                record = Record(need=record.need & 0xFFFF)
            if attempt.cause is Cause.DONE or isinstance(attempt.cause, UnknownCause):
                continue  # done without its result, or what only a newer jobpool can judge
            need, same = record.learned(attempt.cause, attempt.lesson)
            attempts = record.attempts + attempt.cause.counts
            record = record._replace(attempts=attempts, cause=attempt.cause, need=need, same=same)
        return record if before == run else Record(need=record.need & 0xFFFF)

    def _is_aside(self, position: int, known: Mapping[int, Record | None]) -> bool:
        whole = self.grid.parts.whole_of(position)
        if whole is not None:
            return not self._is_cut(whole, known)
        if self.evidence.results_since(position, self._run(position, known)):
            return False
        return bool(self.grid.parts.of(position)) and self._is_cut(position, known)

    def _is_cut(self, whole: int, known: Mapping[int, Record | None]) -> bool:
        """Say whether the parts stand for a whole task that has some."""
        record = known.get(whole)
        if record is not None:
            return record.state is TaskState.ASIDE
        parts = self.grid.parts.of(whole)
        intact = [found for part in parts if (found := known.get(part)) is not None]
        run = self._run(whole, known)
        if intact and not self.evidence.results_since(whole, run):
            return any(found.state is not TaskState.ASIDE for found in intact)
        return self.evidence.shows_cut(whole, parts, run)
