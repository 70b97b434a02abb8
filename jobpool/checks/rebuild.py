"""Records rebuilt from the evidence of results and attempts, where the state table lost them.

Either a whole task or its parts are offered to workers. The intact records say which; without
any, the attempts do: parts run only after the whole task was split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobpool.checks.evidence import Evidence, FoundResult
from jobpool.table.grid import Grid
from jobpool.table.records import Record, parks
from jobpool.task import CLAIMS_PER_RUN, Cause, TaskState, UnknownCause, next_run, run_of


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
        elif parks(learned.cause, learned.attempts, learned.same, self.park_after):
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
