"""Claims that are made beside any worker, and end as a test says."""

import time
from pathlib import Path

from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import own_card
from jobpool.pool import Ending, Pool
from jobpool.task import Cause, Claim, Lesson

WORKER = 0xABC


def claim(folder: Path, position: int) -> Claim:
    """Claim a task for a worker that has a fresh card, and return the claim."""
    pool = Pool(folder, worker=WORKER)
    name = worker_name(WORKER)
    if not (folder / "workers" / name[:2] / f"{name}.json").exists():
        own_card(cores=1, memory_mb=1024, node="n1", job="7_1", started=time.time()).write(
            folder, name
        )
    shard, slot = pool.locate(position)
    with shard.visit() as visit:
        made = pool.claim_in(visit, slot)
    assert made is not None
    return made


def end_claim(
    folder: Path,
    position: int,
    cause: Cause = Cause.DONE,
    lesson: Lesson | None = None,
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
    Pool(folder, worker=WORKER).end(Ending(claim=made, cause=cause, lesson=lesson or Lesson()))
