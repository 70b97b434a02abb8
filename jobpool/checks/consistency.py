"""The records of the state table held against results and attempts, and against each other.

Workers may run beside these checks. What looks wrong is looked at again, the record and the
evidence of that one task, and under the lock of its state file before anything is changed.

Of a whole task and its dormant parts exactly one side may be offered to workers. A task is split by
changing all of these records in one transaction; a kill in the middle of it leaves some behind.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

import numpy as np

from jobpool.checks.evidence import Evidence, EvidenceReader, FoundResult, names_one_of
from jobpool.checks.findings import Finding, note, problem
from jobpool.checks.rebuild import accepted_by, done_by
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.pool import Pool
from jobpool.table.grid import Grid
from jobpool.table.records import Record
from jobpool.task import Cause, TaskState, attempt_name, run_of
from jobpool.units import count, memory

_SUPERSEDED = TaskState.SUPERSEDED  # naming a member of an enum is slow before Python 3.12
MOST_MEMORY_MB = 2.0**26  # 64 TB: a bound above it was never learned from an attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What some records must become, or which attempt is missing; the others are right."""

    finding: Finding
    states: Mapping[int, Record] = field(default_factory=dict)
    attempt_of: Record | None = None  # an attempt is missing, not a record wrong


Decide = Callable[[Mapping[int, Record], Evidence], Right | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """Holds records against the evidence, and repairs them if asked to.

    Workers may change both meanwhile. So whatever looks wrong is looked at once more, record and
    evidence, and before a repair under the lock of the state file: only that decides.

    Parameters
    ----------
    pool : Pool
        The pool.
    reader : EvidenceReader
        Looks again.
    is_alive : callable
        Says of a worker's number whether it may live.
    now : float
        Seconds since the epoch.
    may_repair : bool
        Whether to repair what is found.
    finder : str
        The name under which missing attempts are written.
    """

    pool: Pool
    reader: EvidenceReader
    is_alive: Callable[[int], bool]
    now: float
    may_repair: bool = False
    finder: str = worker_name(0)

    def check_records(
        self, records: Sequence[Record | None], evidence: Evidence
    ) -> Iterator[Finding]:
        """Yield what is wrong between single records and the evidence.

        Parameters
        ----------
        records : sequence of Record, one per task
            None where it is damaged.
        evidence : Evidence
            Results and attempts.
        """
        for position, record in enumerate(records):
            if record is None:
                continue
            for decide in (self._of_record, self._missing_attempt):
                yield from self._settle({position: record}, evidence, decide)

    def check_families(
        self, records: Sequence[Record | None], evidence: Evidence
    ) -> Iterator[Finding]:
        """Yield what is wrong between whole tasks and their parts.

        Parameters
        ----------
        records : sequence of Record, one per task
            None where it is damaged.
        evidence : Evidence
            Results and attempts.
        """
        for whole in _suspects(self.pool.grid, records, evidence):
            places = (whole, *self.pool.grid.parts.of(whole))
            family = {place: found for place in places if (found := records[place])}
            if len(family) == len(places):  # else one is damaged: its repair comes first
                yield from self._settle(family, evidence, self._of_family)

    def _settle(
        self, records: Mapping[int, Record], evidence: Evidence, decide: Decide
    ) -> Iterator[Finding]:
        if decide(records, evidence) is None:
            return
        if self.may_repair:
            yield from self.repair(records, decide)
            return
        records = {place: self.pool.record(place) for place in records}
        right = decide(records, self.reader.look_again(records))
        if right is not None:
            yield from (finding for finding, _ in self._named(right, records))

    def repair(self, positions: Iterable[int], decide: Decide) -> Iterator[Finding]:
        """Repair the records at some positions of one state file, as is decided under its lock.

        Parameters
        ----------
        positions : iterable of int
            The tasks to look at together: one, or a whole task and its parts.
        decide : callable
            Returns what is right by the records and the evidence of this moment; None: as it is.
        """
        places = list(positions)
        shard, _ = self.pool.locate(places[0])
        with shard.transaction() as transaction:
            records = {place: transaction.record(place - shard.first) for place in places}
            right = decide(records, self.reader.look_again(records))
            if right is None:
                return
            for place, record in right.states.items():
                transaction.restore(place - shard.first, record)
            if right.attempt_of is not None:
                self._write_missing(places[0], right.attempt_of)
        for finding, became in self._named(right, records):
            yield finding.done(became)

    def _named(self, right: Right, records: Mapping[int, Record]) -> Iterator[tuple[Finding, str]]:
        """Yield a finding for each record, and what became of it."""
        for place in right.states or list(records)[:1]:
            finding = replace(right.finding, place=f"task {self.pool.grid.id(place)}")
            record = right.states.get(place)
            if record is None:
                yield finding, "the attempt is recorded"
            elif record.state is records[place].state:
                yield finding, "its record is corrected"
            else:
                yield finding, f"the task is {_became(record.state)}"

    def _of_record(self, records: Mapping[int, Record], evidence: Evidence) -> Right | None:
        ((position, record),) = records.items()
        settled = _settle(position, record, evidence, self.is_alive, self.now)
        if settled is None:
            return None
        right, finding = settled
        return Right(finding=finding, states={position: right})

    def _missing_attempt(self, records: Mapping[int, Record], evidence: Evidence) -> Right | None:
        ((position, record),) = records.items()
        if not _lacks_attempt(position, record, evidence):
            return None
        what = f"{attempt_name(record.fence)} ended as {record.cause}, but its worker "
        what += f"{worker_name(record.owner)} was killed before it could record that"
        return Right(finding=note("", what, repairable=True), attempt_of=record)

    def _of_family(self, records: Mapping[int, Record], evidence: Evidence) -> Right | None:
        return _settle_family(min(records), records, evidence, self.is_alive)

    def _write_missing(self, position: int, record: Record) -> None:
        attempt = Attempt(
            task=self.pool.grid.id(position),
            fence=record.fence,
            worker=worker_name(record.owner),
            cause=record.cause or Cause.LOST,
            started=None,
            ended=record.changed_ms / 1000,
            found_by=self.finder,
        )
        write_attempt(self.pool.folder, attempt)


def _settle(
    position: int,
    record: Record,
    evidence: Evidence,
    is_alive: Callable[[int], bool],
    now: float,
) -> tuple[Record, Finding] | None:
    """Return what a record must become, and what is wrong with it; None if nothing is."""
    run = run_of(record.fence)
    results = evidence.results_since(position, run)  # those of an earlier run end nothing
    earlier = evidence.results_before(position, run)
    match record.state:
        case TaskState.DONE:
            return _settle_done(record, results, earlier, evidence.last_fence(position), now)
        case TaskState.WAITING if results:
            what = "its result is on disk, but the task is still waiting"
            return done_by(record, results), problem("", what, repairable=True)
        case TaskState.RUNNING if results and not is_alive(record.owner):
            what = "its result is on disk, but its worker died before it could mark the task as "
            what += "done; the next worker that checks will"
            return done_by(record, results), note("", what, repairable=True)
        case TaskState.WAITING | TaskState.RUNNING | TaskState.PARKED | TaskState.HELD:
            return _settle_numbers(record) or _settle_accepted(record, earlier)
        case (
            TaskState.SUPERSEDED
        ):  # held against the tasks that stand for it: `family_contradictions`
            return _settle_numbers(record) or _settle_accepted(record, earlier)
        case _:
            assert_never(record.state)


def _settle_numbers(record: Record) -> tuple[Record, Finding] | None:
    """Return the record with numbers that can be true, if some cannot."""
    wrong = []
    right = record
    if record.same > record.attempts:
        wrong.append(f"{record.same} equal errors in {record.attempts} failed attempts")
        right = right._replace(same=record.attempts)
    if (needed_mb := record.memory_mb or 0.0) > MOST_MEMORY_MB:
        wrong.append(f"needs more memory than any machine has ({memory(needed_mb)})")
        right = right._replace(bounds=record.bounds & ~0xFF)
    return (right, problem("", "; ".join(wrong), repairable=True)) if wrong else None


def _settle_accepted(
    record: Record, earlier: Sequence[FoundResult]
) -> tuple[Record, Finding] | None:
    """Return the record with an earlier result that is on disk, if the one it names is not."""
    named = record.accepted
    if named is None or names_one_of(named, earlier):
        return None
    what = f"waits to be rerun, but its earlier result, of claim {named.fence}, is not on disk"
    if earlier:
        what += "; another result is"
    return record._replace(accepted=accepted_by(earlier)), problem("", what, repairable=True)


def _settle_done(
    record: Record,
    results: Sequence[FoundResult],
    earlier: Sequence[FoundResult],
    last_fence: int,
    now: float,
) -> tuple[Record, Finding] | None:
    if names_one_of(record, results):
        return None
    what = f"done, but the result of claim {record.fence} is not on disk"
    if results:
        return done_by(record, results), problem("", f"{what}; another result is", repairable=True)
    right = record._replace(
        state=TaskState.WAITING,
        cause=None,
        fence=max(record.fence, last_fence) + 1,
        owner=0,
        changed_ms=int(now * 1000),
        accepted=accepted_by(earlier),
    )
    if earlier:
        what += "; it is rerun, and its earlier result counts until then"
    return right, problem("", what, repairable=True)


def _lacks_attempt(position: int, record: Record, evidence: Evidence) -> bool:
    if record.cause is None or not record.owner or record.state is TaskState.RUNNING:
        return False
    return not names_one_of(record, evidence.attempts.get(position, ()))


def _suspects(grid: Grid, records: Sequence[Record | None], evidence: Evidence) -> list[int]:
    """Return the tasks that need a closer look, together with their parts if they have any."""
    states = np.fromiter((record.state if record else 0 for record in records), np.uint8)
    is_superseded, parts = states == _SUPERSEDED, grid.parts
    n_superseded, n_parts = parts.count(parts.is_dormant & is_superseded), parts.n_dormant
    wrong = np.where(is_superseded, (n_superseded > 0) | (n_parts == 0), n_superseded < n_parts)
    came_late = is_superseded & np.isin(np.arange(len(grid)), list(evidence.results))
    # whole tasks, and parts that entered as such
    found: list[int] = np.flatnonzero(~parts.is_dormant & (wrong | came_late)).tolist()
    return found


def _settle_family(
    whole: int,
    family: Mapping[int, Record],
    evidence: Evidence,
    is_alive: Callable[[int], bool],
) -> Right | None:
    record = family[whole]
    parts = {place: found for place, found in family.items() if place != whole}
    active = {place: found for place, found in parts.items() if found.state is not _SUPERSEDED}
    match record.state:
        case TaskState.SUPERSEDED:
            return _settle_split(whole, record, parts, evidence)
        case TaskState.DONE:
            idle = {p: found for p, found in active.items() if found.state is not TaskState.RUNNING}
            what = "the whole task is done, but its parts count, too"
            return _wrong(what, _supersede(idle)) if idle else None
        case TaskState.RUNNING:
            if not active or is_alive(record.owner):
                return None
            return _split(whole, record._replace(cause=Cause.TIME), parts, evidence)
        case TaskState.WAITING | TaskState.PARKED | TaskState.HELD:
            return _settle_whole(whole, record, parts, evidence)
        case _:
            assert_never(record.state)


def _settle_whole(
    whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence
) -> Right | None:
    active = {place: found for place, found in parts.items() if found.state is not _SUPERSEDED}
    if not active:
        return None
    busy = {TaskState.RUNNING, TaskState.DONE}
    is_split = any(found.state in busy for found in active.values())
    if is_split or evidence.shows_split(whole, list(parts), run_of(record.fence)):
        return _split(whole, record, parts, evidence)
    what = "both the whole task and its parts wait for workers"
    return _wrong(what, _supersede(active))


def _settle_split(
    whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence
) -> Right | None:
    if not parts:
        what = "it is superseded, and no other task stands for it"
        return _wrong(what, _activated({whole: record}, evidence))
    states = {found.state for found in parts.values()}
    results = evidence.results_since(whole, run_of(record.fence))
    if results and TaskState.RUNNING not in states and not _all_have_results(parts):
        what = "its result came after it was split into parts; these need not be computed"
        right = {whole: done_by(record, results), **_supersede(parts)}
        return Right(finding=note("", what, repairable=True), states=right)
    dormant = {place: found for place, found in parts.items() if found.state is _SUPERSEDED}
    what = "it was split into parts, but this one is not offered"
    return _wrong(what, _activated(dormant, evidence)) if dormant else None


def _all_have_results(parts: Mapping[int, Record]) -> bool:
    """Say whether each part is done, or was before it was returned to be computed again."""
    return all(
        found.state is TaskState.DONE or found.accepted is not None for found in parts.values()
    )


def _split(whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence) -> Right:
    """Let the parts stand for a whole task that is neither done nor superseded."""
    dormant = {place: found for place, found in parts.items() if found.state is _SUPERSEDED}
    states = {**_supersede({whole: record}), **_activated(dormant, evidence)}
    what = "it was split into parts, but the whole task is still offered"
    return _wrong(what, states)


def _wrong(what: str, states: Mapping[int, Record]) -> Right:
    return Right(finding=problem("", what, repairable=True), states=states)


def _supersede(records: Mapping[int, Record]) -> dict[int, Record]:
    return {place: found._replace(state=_SUPERSEDED) for place, found in records.items()}


def _activated(records: Mapping[int, Record], evidence: Evidence) -> dict[int, Record]:
    """Let tasks wait for workers, but those that have a result."""
    return {
        place: done_by(found, results)
        if (results := evidence.results_since(place, run_of(found.fence)))
        else found._replace(state=TaskState.WAITING)
        for place, found in records.items()
    }


def dead_holders(
    records: Sequence[Record | None], is_alive: Callable[[int], bool]
) -> Iterator[Finding]:
    """Yield the dead workers that still hold tasks: normal until the next worker checks."""
    owners = Counter(
        record.owner for record in records if record and record.state is TaskState.RUNNING
    )
    for owner, n_tasks in sorted(owners.items()):
        if not is_alive(owner):
            what = f"is dead and still holds {count(n_tasks, 'task')}; the next worker that checks "
            what += "will requeue them"
            yield note(f"worker {worker_name(owner)}", what)


def _became(state: TaskState) -> str:
    match state:
        case TaskState.WAITING:
            return "waiting again"
        case TaskState.SUPERSEDED:
            return "superseded"
        case TaskState.DONE | TaskState.RUNNING | TaskState.PARKED | TaskState.HELD:
            return state.word
        case _:
            assert_never(state)
