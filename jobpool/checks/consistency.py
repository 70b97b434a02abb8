"""The records of the state table held against results and attempts.

Each contradiction comes with the record that settles it; a record is changed only if it is still
what it was when it was found wrong.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from jobpool.checks.findings import Finding, note, problem
from jobpool.checks.rebuild import Evidence, ResultSeen, accepted_by, done_by
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.pool import Pool
from jobpool.table.records import Record
from jobpool.task import Cause, TaskState, attempt_name, run_of

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
            what = f"{attempt_name(record.fence)} ended as {record.cause}, and its worker "
            what += f"{worker_name(record.owner)} was killed before it could write so"
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
            what = "its result is on disk, and it waits to be computed again"
            return done_by(record, results), problem("", what, repairable=True)
        case TaskState.RUNNING if results and not is_alive(record.owner):
            what = "its result is on disk, and its worker died before it could say so; the next "
            what += "worker that looks ends it"
            return done_by(record, results), note("", what, repairable=True)
        case TaskState.WAITING | TaskState.RUNNING | TaskState.PARKED | TaskState.HELD:
            return _settle_numbers(record) or _settle_accepted(record, earlier)
        case TaskState.ASIDE:  # held against the tasks that stand for it: families.py
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
    if (record.memory_mb or 0) > MOST_MEMORY_MB:
        wrong.append(f"needs more memory than any machine has ({record.memory_mb:.0f} MB)")
        right = right._replace(need=record.need & ~0xFF)
    return (right, problem("", "; ".join(wrong), repairable=True)) if wrong else None


def _settle_accepted(
    record: Record, earlier: Sequence[ResultSeen]
) -> tuple[Record, Finding] | None:
    """Return the record with an earlier result that is on disk, if the one it names is not."""
    named = record.accepted
    if named is None or any(
        (one.fence, one.worker) == (named.fence, named.owner) for one in earlier
    ):
        return None
    what = f"computed again, and its earlier result, of claim {named.fence}, is not on disk"
    if earlier:
        what += "; another is"
    return record._replace(accepted=accepted_by(earlier)), problem("", what, repairable=True)


def _settle_done(
    record: Record,
    results: Sequence[ResultSeen],
    earlier: Sequence[ResultSeen],
    last_fence: int,
    now: float,
) -> tuple[Record, Finding] | None:
    if any((one.fence, one.worker) == (record.fence, record.owner) for one in results):
        return None
    what = f"done, and the result of claim {record.fence} is not on disk"
    if results:
        return done_by(record, results), problem("", f"{what}; another is", repairable=True)
    right = record._replace(
        state=TaskState.WAITING,
        cause=None,
        fence=max(record.fence, last_fence) + 1,
        owner=0,
        changed_ms=int(now * 1000),
        accepted=accepted_by(earlier),
    )
    if earlier:
        what += "; it is computed again, and its earlier result counts until then"
    return right, problem("", what, repairable=True)


def _lacks_attempt(position: int, record: Record, evidence: Evidence) -> bool:
    if record.cause is None or not record.owner or record.state is TaskState.RUNNING:
        return False
    written = evidence.attempts.get(position, ())
    return all((one.fence, one.worker) != (record.fence, record.owner) for one in written)


def dead_holders(
    records: Sequence[Record | None], is_alive: Callable[[int], bool]
) -> Iterator[Finding]:
    """Yield the dead workers that still hold tasks: normal until the next worker looks."""
    owners = Counter(
        record.owner for record in records if record and record.state is TaskState.RUNNING
    )
    for owner, n_tasks in sorted(owners.items()):
        if not is_alive(owner):
            what = f"is dead and still holds {n_tasks:,} of the tasks; the next worker that looks "
            what += "returns them"
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
    with shard.visit() as visit:
        if visit.record(slot) != one.found:
            return one.finding.done("it changed meanwhile")
        visit.restore(slot, one.right)
    if one.right.state is one.found.state:
        return one.finding.done("its record says what can be true")
    return one.finding.done(f"the task is {_became(one.right.state)}")


def _became(state: TaskState) -> str:
    match state:
        case TaskState.WAITING:
            return "waiting again"
        case TaskState.ASIDE:
            return "set aside"
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
    return one.finding.done("its end is written")
