"""Workers without processes: claim and end real tasks in a real pool, writing real files."""

import time
from pathlib import Path

from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_file, worker_name
from jobpool.journal.results import Result, write_result
from jobpool.journal.workers import own_worker_record
from jobpool.pool import Ending, Pool
from jobpool.task import AnyCause, Cause, Claim, Feedback

BEGAN = 1_700_000_000.0
WORKER = 0xABC  # of `claim` and `end_claim`


class SimulatedWorker:
    def __init__(self, folder: Path, number: int = 1, node: str = "node1") -> None:
        self.node = node
        self.pool = Pool(folder, worker=number, durable=False)
        self.name = worker_name(number)
        self.results_file = worker_file(folder, "results", self.name)
        self.attempts_file = worker_file(folder, "attempts", self.name)

    def claim(self, position: int) -> Claim:
        shard, slot = self.pool.locate(position)
        with shard.transaction() as transaction:
            claim = self.pool.claim_in(transaction, slot)
        assert claim is not None
        return claim

    def write_result(self, claim: Claim, **result: object) -> None:
        write_result(
            self.pool.folder,
            Result(
                task=claim.id,
                fence=claim.fence,
                worker=self.name,
                point=claim.point,
                started=BEGAN,
                ended=BEGAN + 10,
                result=result or {"value": claim.position},
            ),
        )

    def write_end(
        self,
        claim: Claim,
        cause: AnyCause,
        error: str | None = None,
        traceback: str | None = None,
        ended: float = BEGAN + 10,
        job: str | None = None,
    ) -> None:
        attempt = Attempt(
            task=claim.id,
            fence=claim.fence,
            worker=self.name,
            cause=cause,
            started=BEGAN,
            ended=ended,
            error=error,
            traceback=traceback,
            peak_memory_mb=100.0,
            node=self.node,
            job=job,
        )
        write_attempt(self.pool.folder, attempt)

    def end(self, claim: Claim, cause: Cause) -> bool:
        return self.pool.end(Ending(claim=claim, cause=cause))

    def finish(self, claim: Claim, **result: object) -> bool:
        self.write_result(claim, **result)
        self.write_end(claim, Cause.DONE)
        return self.end(claim, Cause.DONE)

    def do(self, *positions: int) -> None:
        for position in positions:
            self.finish(self.claim(position))

    def fail(
        self,
        position: int,
        cause: Cause = Cause.ERROR,
        error: str | None = "ValueError: no luck",
        traceback: str | None = None,
        ended: float = BEGAN + 10,
        job: str | None = None,
    ) -> None:
        claim = self.claim(position)
        self.write_end(claim, cause, error, traceback, ended, job)
        self.end(claim, cause)


def a_mixed_pool(folder: Path) -> Path:
    """Make three tasks done and two failed, the others waiting."""
    worker = SimulatedWorker(folder, 7)
    worker.do(0, 3, 5)
    worker.fail(1)
    worker.fail(1)
    worker.fail(8)
    return folder


def claim(folder: Path, position: int) -> Claim:
    """Claim a task for a worker that has a fresh worker record, and return the claim."""
    worker = SimulatedWorker(folder, WORKER)
    if not worker_file(folder, "workers", worker.name).exists():
        worker_record = own_worker_record(
            cores=1, memory_mb=1024, node="n1", job="7_1", started=time.time()
        )
        worker_record.write(folder, worker.name)
    return worker.claim(position)


def end_claim(
    folder: Path,
    position: int,
    cause: Cause = Cause.DONE,
    feedback: Feedback | None = None,
    *,
    seconds: float = 60.0,
    error: str | None = None,
) -> None:
    """Claim a task and end it, with the attempt that a worker would write."""
    made, now = claim(folder, position), time.time()
    attempt = Attempt(
        task=made.id,
        fence=made.fence,
        worker=worker_name(WORKER),
        cause=cause,
        started=now - seconds,
        ended=now,
        cores=1,
        memory_mb=1024,
        peak_memory_mb=200.0,
        node="n1",
        error=error,
    )
    write_attempt(folder, attempt)
    Pool(folder, worker=WORKER).end(
        Ending(claim=made, cause=cause, feedback=feedback or Feedback())
    )
