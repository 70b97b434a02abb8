"""The records of the state table held against results and attempts, and against each other.

Each contradiction comes with the record that settles it; a record is changed only if it is still
what it was when it was found wrong.

Of a whole task and its dormant parts exactly one side may be offered to workers. A task is split by
changing all of these records in one transaction; a kill in the middle of it leaves some behind.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from jobpool.checks.findings import Finding, note, problem
from jobpool.checks.rebuild import Evidence, FoundResult, accepted_by, done_by, names_one_of
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
class Contradiction:
    """A record that does not agree with what the workers wrote."""

    position: int
    found: Record
    right: Record | None  # what it must become; None: an attempt is missing, not a record wrong
    finding: Finding


def contradictions(
    pool: Pool,
    records: Sequence[Record | None],
    evidence: Evidence,
    is_alive: Callable[[int], bool],
    now: float,
) -> Iterator[Contradiction]:
    """Yield every contradiction, in the order of the tasks.

    Parameters
    ----------
    pool : Pool
        The pool.
    records : sequence of Record, one per task
        Read before the evidence; None where it is damaged.
    evidence : Evidence
        Results and attempts.
    is_alive : callable
        Says of a worker's number whether it may live.
    now : float
        Seconds since the epoch.
    """
    for position, record in enumerate(records):
        if record is None:
            continue
        settled = _settle(position, record, evidence, is_alive, now)
        if settled is not None and pool.record(position) == record:
            right, finding = settled
            place = f"task {pool.grid.id(position)}"
            yield Contradiction(
                position=position,
                found=record,
                right=right,
                finding=replace(finding, place=place),
            )
        if _lacks_attempt(position, record, evidence):
            what = f"{attempt_name(record.fence)} ended as {record.cause}, but its worker "
            what += f"{worker_name(record.owner)} was killed before it could record that"
            yield Contradiction(
                position=position,
                found=record,
                right=None,
                finding=note(f"task {pool.grid.id(position)}", what, repairable=True),
            )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Right:
    """What a family must become; what is not named is right as it is."""

    what: str
    states: Mapping[int, Record]
    harmless: bool = False


def family_contradictions(
    pool: Pool,
    records: Sequence[Record | None],
    evidence: Evidence,
    is_alive: Callable[[int], bool],
) -> Iterator[Contradiction]:
    """Yield what is wrong between whole tasks and their parts.

    Parameters
    ----------
    pool : Pool
        The pool.
    records : sequence of Record, one per task
        None where it is damaged.
    evidence : Evidence
        Results and attempts.
    is_alive : callable
        Says of a worker's number whether it may live.
    """
    for whole in _suspects(pool.grid, records, evidence):
        parts = pool.grid.parts.of(whole)
        family = {place: found for place in (whole, *parts) if (found := records[place])}
        if len(family) <= len(parts):  # one is damaged: its repair comes first
            continue
        right = _settle_family(whole, family, evidence, is_alive)
        if right is None or any(pool.record(place) != found for place, found in family.items()):
            continue
        for place, record in right.states.items():
            task = f"task {pool.grid.id(place)}"
            finding = note if right.harmless else problem
            yield Contradiction(
                position=place,
                found=family[place],
                right=record,
                finding=finding(task, right.what, repairable=True),
            )


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
) -> _Right | None:
    record = family[whole]
    parts = {place: found for place, found in family.items() if place != whole}
    active = {place: found for place, found in parts.items() if found.state is not _SUPERSEDED}
    match record.state:
        case TaskState.SUPERSEDED:
            return _settle_split(whole, record, parts, evidence)
        case TaskState.DONE:
            idle = {p: found for p, found in active.items() if found.state is not TaskState.RUNNING}
            what = "the whole task is done, but its parts count, too"
            return _Right(what=what, states=_supersede(idle)) if idle else None
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
) -> _Right | None:
    active = {place: found for place, found in parts.items() if found.state is not _SUPERSEDED}
    if not active:
        return None
    busy = {TaskState.RUNNING, TaskState.DONE}
    is_split = any(found.state in busy for found in active.values())
    if is_split or evidence.shows_split(whole, list(parts), run_of(record.fence)):
        return _split(whole, record, parts, evidence)
    what = "both the whole task and its parts wait for workers"
    return _Right(what=what, states=_supersede(active))


def _settle_split(
    whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence
) -> _Right | None:
    if not parts:
        what = "it is superseded, and no other task stands for it"
        return _Right(what=what, states=_activated({whole: record}, evidence))
    states = {found.state for found in parts.values()}
    results = evidence.results_since(whole, run_of(record.fence))
    if results and TaskState.RUNNING not in states and not _all_have_results(parts):
        what = "its result came after it was split into parts; these need not be computed"
        right = {whole: done_by(record, results), **_supersede(parts)}
        return _Right(what=what, states=right, harmless=True)
    dormant = {place: found for place, found in parts.items() if found.state is _SUPERSEDED}
    what = "it was split into parts, but this one is not offered"
    return _Right(what=what, states=_activated(dormant, evidence)) if dormant else None


def _all_have_results(parts: Mapping[int, Record]) -> bool:
    """Say whether each part is done, or was before it was returned to be computed again."""
    return all(
        found.state is TaskState.DONE or found.accepted is not None for found in parts.values()
    )


def _split(whole: int, record: Record, parts: Mapping[int, Record], evidence: Evidence) -> _Right:
    """Let the parts stand for a whole task that is neither done nor superseded."""
    dormant = {place: found for place, found in parts.items() if found.state is _SUPERSEDED}
    states = {**_supersede({whole: record}), **_activated(dormant, evidence)}
    what = "it was split into parts, but the whole task is still offered"
    return _Right(what=what, states=states)


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


def settle(pool: Pool, one: Contradiction, finder: str) -> Finding:
    """Repair a contradiction, and return its finding as repaired.

    Parameters
    ----------
    pool : Pool
        The pool.
    one : Contradiction
        What to repair.
    finder : str
        The name under which a missing attempt is written.
    """
    if one.right is None:
        return _write_missing(pool, one, finder)
    shard, slot = pool.locate(one.position)
    with shard.transaction() as transaction:
        if transaction.record(slot) != one.found:
            return one.finding.done("nothing: the record has changed since")
        transaction.restore(slot, one.right)
    if one.right.state is one.found.state:
        return one.finding.done("its record is corrected")
    return one.finding.done(f"the task is {_became(one.right.state)}")


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


def _write_missing(pool: Pool, one: Contradiction, finder: str) -> Finding:
    record = one.found
    attempt = Attempt(
        task=pool.grid.id(one.position),
        fence=record.fence,
        worker=worker_name(record.owner),
        cause=record.cause or Cause.LOST,
        started=None,
        ended=record.changed_ms / 1000,
        found_by=finder,
    )
    write_attempt(pool.folder, attempt)
    return one.finding.done("the attempt is recorded")
