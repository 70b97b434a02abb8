"""The feedback from an ended attempt is the same, whoever reads it."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from jobpool.checks.evidence import gather
from jobpool.errors import SchedulerError
from jobpool.execution.attempt import AttemptRunner
from jobpool.execution.deadline import JobEnd
from jobpool.execution.supervisor import Outcome
from jobpool.journal.attempts import write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import WorkerRecord, own_worker_record
from jobpool.liveness.postmortem import DeadClaim, postmortem_of
from jobpool.pool import Pool
from jobpool.scheduler.slurm.jobs import SlurmStatus
from jobpool.scheduler.status import JobStatus
from jobpool.table.records import Record
from jobpool.task import Cause, Claim, Feedback
from tests.support.builders import a_pool

WORKER, FINDER = 7, worker_name(8)
END_S = 3600.0  # from the start of an attempt to the end of its worker's job


@dataclass(frozen=True, slots=True)
class Ends:
    """Runs a task that ends at once, in the way a test wants."""

    outcome: Outcome
    pool: Path
    leaves: bool = False  # a finished piece
    job_end: JobEnd = field(default_factory=lambda: JobEnd(None))

    def run(self, request: Mapping[str, Any]) -> Outcome:
        if self.leaves:
            leave_a_piece(self.pool, request["checkpoint"])
        return self.outcome


def leave_a_piece(pool: Path, folder: str) -> None:
    pieces = pool / "checkpoints" / folder
    pieces.mkdir(parents=True)
    piece = pieces / f"{worker_name(WORKER)}.jsonl"
    piece.touch()
    os.utime(piece, (time.time() + 1, time.time() + 1))  # file systems know less than a clock


def a_claim(folder: Path) -> tuple[Pool, Claim, WorkerRecord]:
    now = time.time()
    worker_record = own_worker_record(cores=2, memory_mb=4096, started=now, end=now + END_S)
    worker_record.write(folder, worker_name(WORKER))
    pool = Pool(folder, worker=WORKER, durable=False)
    shard, slot = pool.locate(0)
    with shard.transaction() as transaction:
        claim = pool.claim_in(transaction, slot)
    assert claim is not None
    return pool, claim, worker_record


def a_runner(pool: Pool, worker_record: WorkerRecord, ends: "Ends", **of_end: Any) -> AttemptRunner:
    ending = replace(ends, job_end=JobEnd(worker_record.end, **of_end))
    return AttemptRunner(
        pool, worker_record, ending, refine=lambda cause: cause, report=lambda _: None
    )


def a_dead_claim(
    pool: Pool, claim: Claim, worker_record: WorkerRecord, seen: JobStatus | None
) -> DeadClaim:
    record = pool.record(0)
    return DeadClaim(
        task=claim.id,
        checkpoint=pool.grid.checkpoint_of(0, record.fence),
        fence=record.fence,
        claimed=record.changed_ms / 1000,
        worker=worker_name(WORKER),
        worker_record=worker_record,
        beaten=time.time(),
        end_slack_s=0.0,
        seen=seen,
    )


def by_doctor(pool: Pool, cause: Cause) -> tuple[int, int]:
    """Return bounds and error as the doctor makes them from the files."""
    (seen,) = gather(pool).attempts[0]
    return Record().learned(cause, seen.feedback)


def learned(cause: Cause, feedback: Feedback) -> tuple[int, int]:
    return Record().learned(cause, feedback)


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(cause=Cause.MEMORY, error="killed"),
        Outcome(cause=Cause.TIME, error="stopped"),
        Outcome(cause=Cause.ERROR, error="ValueError: 3", traceback="no traceback"),
        Outcome(cause=Cause.STORAGE, error="disk full"),
        Outcome(cause=Cause.CANCELLED),
    ],
    ids=lambda outcome: str(outcome.cause),
)
def test_worker_finder_and_doctor_learn_the_same_from_an_end(
    fast_path: Path, outcome: Outcome, leaves: bool
) -> None:
    pool, claim, worker_record = a_claim(a_pool(fast_path, 3))
    ends = Ends(outcome, pool.folder, leaves)
    runner = a_runner(pool, worker_record, ends)

    ending = runner.run(claim, time.time() - 1)
    found = postmortem_of(pool.folder, a_dead_claim(pool, claim, worker_record, None))

    of_worker = learned(ending.cause, ending.feedback)
    assert learned(found.cause, found.feedback) == of_worker
    assert by_doctor(pool, ending.cause) == of_worker


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("state", ["OUT_OF_MEMORY", "TIMEOUT", "FAILED", "NODE_FAIL", "PREEMPTED"])
def test_finder_and_doctor_learn_the_same_from_a_death(
    fast_path: Path, state: str, leaves: bool
) -> None:
    pool, claim, worker_record = a_claim(a_pool(fast_path, 3))
    if leaves:
        leave_a_piece(pool.folder, claim.id)
    seen = SlurmStatus(job="12", state=state, node="n7").status()

    found = postmortem_of(pool.folder, a_dead_claim(pool, claim, worker_record, seen))
    assert found.attempt is not None
    write_attempt(pool.folder, replace(found.attempt, found_by=FINDER))

    assert by_doctor(pool, found.cause) == learned(found.cause, found.feedback)


def test_the_doctor_leaves_a_task_that_made_progress_to_jobs_of_the_same_size(
    fast_path: Path,
) -> None:
    pool, claim, worker_record = a_claim(a_pool(fast_path, 3))
    ends = Ends(Outcome(cause=Cause.TIME), pool.folder, leaves=True)
    a_runner(pool, worker_record, ends).run(claim, 0.0)

    assert by_doctor(pool, Cause.TIME) == (0, 0)


@pytest.mark.parametrize(
    ("believed_s", "asked_s", "bound_s"),
    [
        (300, None, 300),  # stopped shortly before the end: it had all of that time
        (18_000, None, 0),  # stopped long before the end: it had what it took
        (18_000, 5, 5),  # the limit was shortened
        (18_000, 18_000, 0),
    ],
)
def test_a_task_is_known_to_need_more_than_the_time_that_it_really_had(
    fast_path: Path,
    believed_s: float,
    asked_s: float | None,
    bound_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobpool.execution.deadline.SOON_S", 0.0)
    pool, claim, worker_record = a_claim(a_pool(fast_path, 1))
    now = time.time()

    def ask(_patience_s: float) -> float:
        if asked_s is None:
            raise SchedulerError("the controller is away")
        return now + asked_s

    record = replace(worker_record, cores=1, end=now + believed_s)
    runner = a_runner(pool, record, Ends(Outcome(cause=Cause.TIME), pool.folder), ask=ask)

    ending = runner.run(claim, now)

    assert ending.feedback.core_s == pytest.approx(bound_s, abs=2)
