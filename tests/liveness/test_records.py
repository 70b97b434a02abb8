"""The record of a worker that vanishes, or that no longer says what is true."""

import random
import shutil
import time
from pathlib import Path

import pytest

from jobpool.execution.claiming import Puller
from jobpool.journal.jsonl import worker_file, worker_name
from jobpool.journal.workers import own_worker_record, read_worker_record
from jobpool.liveness.heartbeat import Heartbeat
from jobpool.liveness.judge import Life, judge
from jobpool.liveness.reaper import Reaper
from jobpool.pool import Pool
from jobpool.scheduler.simulated import SimulatedScheduler
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause
from tests.support.builders import a_pool

WORKER, FINDER = 7, 8
NAME = worker_name(WORKER)
LOST_S = 60.0
SETTINGS = WorkerSettings(heartbeat_s=1.0, lost_after_s=LOST_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_pool(tmp_path, 3, settings=SETTINGS)


class Beating:
    """A worker that holds a task and sends heartbeats."""

    def __init__(self, folder: Path) -> None:
        self.pool, self.said = Pool(folder, worker=WORKER), list[str]()
        self.record = own_worker_record(started=time.time(), cores=1, end=5000.0)
        self.end: float | None = self.record.end
        self.heartbeat = Heartbeat(
            self.pool, lambda: (None, 0.0), self.said.append, lambda: self.end
        )
        self.path = self.heartbeat.start(self.record)
        self.claim = Puller(self.pool, random.Random(1)).next().claim


def a_reaper(folder: Path) -> Reaper:
    scheduler = SimulatedScheduler()
    scheduler.is_here = False
    record = own_worker_record(started=time.time(), cores=1)
    return Reaper(Pool(folder, worker=FINDER), record, scheduler=scheduler)


@pytest.mark.parametrize(
    "take_away",
    [
        lambda pool: worker_file(pool, "workers", NAME).unlink(),
        lambda pool: shutil.rmtree(pool / "workers"),
    ],
    ids=["its record", "all records"],
)
def test_a_worker_whose_record_vanished_makes_it_again(folder: Path, take_away: object) -> None:
    worker = Beating(folder)
    assert callable(take_away)
    take_away(folder)

    worker.heartbeat.beat()
    worker.heartbeat.beat()

    assert read_worker_record(folder, NAME) == worker.record
    assert worker.said == ["its record had vanished from the pool, and was made again"]


def test_a_record_that_is_missing_is_no_proof_of_death(folder: Path) -> None:
    worker = Beating(folder)
    worker.path.unlink()
    reaper, now = a_reaper(folder), time.time()

    taken = [reaper.reap(now + seconds) for seconds in (0, LOST_S - 1)]

    assert taken == [[], []]
    assert judge(Pool(folder), NAME, now) is Life.UNKNOWN


def test_a_worker_whose_record_stays_away_is_dead(folder: Path) -> None:
    worker = Beating(folder)
    worker.path.unlink()
    reaper, now = a_reaper(folder), time.time()

    reaper.reap(now)
    taken = reaper.reap(now + LOST_S)

    assert [one.cause for one in taken] == [Cause.LOST]


def test_a_record_says_when_the_job_ends_now(folder: Path) -> None:
    worker = Beating(folder)
    worker.end = 9000.0

    worker.heartbeat.beat()

    record = read_worker_record(folder, NAME)
    assert record is not None
    assert record.end == 9000.0
