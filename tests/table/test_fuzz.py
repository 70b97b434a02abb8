"""State files in which any bytes were changed: never a wrong count, never a task done twice."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobpool.admin.transitions import hold
from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.execution.claiming import Puller
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import Result, write_result
from jobpool.pool import Ending, Pool
from jobpool.table.records import Record
from jobpool.task import Cause, Claim, Feedback, TaskState
from tests.support.builders import a_pool
from tests.support.fuzzing import FUZZ, Change, damage, right_or_refused, told

N_TASKS = 40
ENDS = [Cause.DONE] * 12 + [Cause.ERROR] * 5 + [Cause.MEMORY] * 3 + [Cause.CANCELLED] * 2


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool of 40 tasks: done, failed, parked, held, running, not begun."""
    folder = a_pool(tmp_path_factory.mktemp("fuzz"), N_TASKS)
    opened = Pool(folder, worker=1, durable=False)
    puller = Puller(opened, random.Random(1))
    for cause in ENDS:
        end(opened, claimed(puller), cause)
    fresh = np.flatnonzero(opened.index() == 0x80)
    poison, held, running = (np.arange(N_TASKS) == fresh[place] for place in (0, 1, 2))
    for _ in range(3):
        end(opened, claimed(Puller(opened, random.Random(2), poison)), Cause.ERROR)
    hold(opened, held)
    claimed(Puller(opened, random.Random(3), running))
    return folder


def claimed(puller: Puller) -> Claim:
    claim = puller.next().claim
    assert claim is not None
    return claim


def end(pool: Pool, claim: Claim, cause: Cause) -> None:
    """End a claim as a worker does: result first, then the attempt, then the state."""
    name = worker_name(pool.worker)
    common: dict[str, Any] = {"task": claim.id, "fence": claim.fence, "worker": name}
    if cause is Cause.DONE:
        result = Result(**common, point=claim.point, started=1.0, ended=2.0, result={"value": 1})
        write_result(pool.folder, result)
    write_attempt(pool.folder, Attempt(**common, cause=cause, started=1.0, ended=2.0))
    pool.end(Ending(claim=claim, cause=cause, feedback=Feedback(error=7)))


@contextmanager
def damaged(pool: Path, change: Change) -> Iterator[Pool]:
    """Yield the pool while its state file is changed."""
    file = pool / "state" / "00"
    content = file.read_bytes()
    file.write_bytes(change(content))
    try:
        yield Pool(pool, worker=2, durable=False)
    finally:
        file.write_bytes(content)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What an undamaged pool says."""

    counts: object
    running: object
    records: list[Record]


@pytest.fixture(scope="module")
def truth(pool: Path) -> Truth:
    opened = Pool(pool)
    return Truth(
        counts=opened.counts(),
        running=list(opened.running()),
        records=[opened.record(position) for position in range(N_TASKS)],
    )


@FUZZ
@given(change=damage())
def test_counts_of_a_changed_file_are_right_or_refused(
    pool: Path, truth: Truth, change: Change
) -> None:
    with damaged(pool, change) as broken:
        assert right_or_refused(broken.counts, truth.counts)


@FUZZ
@given(change=damage(), position=st.integers(0, N_TASKS - 1))
def test_a_record_of_a_changed_file_is_right_or_refused(
    pool: Path, truth: Truth, change: Change, position: int
) -> None:
    with damaged(pool, change) as broken:
        assert right_or_refused(lambda: broken.record(position), truth.records[position])


@FUZZ
@given(change=damage())
def test_the_running_tasks_of_a_changed_file_are_right_or_refused(
    pool: Path, truth: Truth, change: Change
) -> None:
    with damaged(pool, change) as broken:
        assert right_or_refused(lambda: list(broken.running()), truth.running)


def drain(pool: Pool) -> list[int]:
    """Return the positions that a worker claims until nothing is left, or it is refused."""
    positions: list[int] = []
    told(lambda: positions.extend(c.position for c in iter(lambda: _done(pool), None) if c))
    return positions


def _done(pool: Pool) -> Claim | None:
    claim = Puller(pool, random.Random(4)).next().claim
    if claim is not None:
        pool.end(Ending(claim=claim, cause=Cause.DONE))
    return claim


@settings(FUZZ, max_examples=50)
@given(change=damage())
def test_a_worker_on_a_changed_file_claims_each_free_task_once_at_most(
    pool: Path, truth: Truth, change: Change
) -> None:
    free = {i for i, one in enumerate(truth.records) if one.state is TaskState.WAITING}
    with damaged(pool, change) as broken:
        claims = drain(broken)

    assert len(claims) == len(set(claims))
    assert set(claims) <= free


@settings(FUZZ, max_examples=20)
@given(change=damage())
def test_a_repair_of_a_changed_file_brings_every_end_back(
    pool: Path, truth: Truth, change: Change
) -> None:
    context = RepairContext(is_alive=lambda _: False, server_time=0.0, repair=True, force=True)
    with tempfile.TemporaryDirectory(dir=pool.parent) as folder:
        copy = Path(shutil.copytree(pool, Path(folder) / "pool"))
        with damaged(copy, change) as broken:
            told(lambda: check_pool(broken, context))

            done = [one.state is TaskState.DONE for one in truth.records]
            assert [broken.record(i).state is TaskState.DONE for i in range(N_TASKS)] == done
            assert sum(broken.counts().values()) == N_TASKS
