"""Clocks that are set while a task runs: its time is measured by another, and teaches nothing."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobpool.collect.attempts import attempts_frame
from jobpool.execution.attempt import AttemptRunner
from jobpool.execution.deadline import JobEnd
from jobpool.execution.supervisor import Outcome
from jobpool.journal.attempts import Attempt, all_attempts, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import all_results
from jobpool.journal.workers import own_worker_record
from jobpool.liveness.heartbeat import Heartbeat
from jobpool.liveness.judge import observe
from jobpool.liveness.reaper import take_back
from jobpool.needs.samples import read_new
from jobpool.overview.history import history
from jobpool.pool import Ending, Pool
from jobpool.task import Cause, Feedback
from tests.support.builders import a_pool

TEN_HOURS_S = 36_000.0


class ClockSetter:
    """Runs a task during which somebody sets the clock."""

    peak_mb = 0.0

    def __init__(self, cause: Cause, by_s: float) -> None:
        self.cause, self.by_s, self.offset_s = cause, by_s, 0.0
        self.job_end = JobEnd(time.time() + 60)

    def now(self) -> float:
        return time.time() + self.offset_s

    def run(self, _request: Mapping[str, Any]) -> Outcome:
        self.offset_s = self.by_s
        return Outcome(cause=self.cause, result={} if self.cause is Cause.DONE else None)


def run_one(folder: Path, by_s: float, cause: Cause = Cause.DONE) -> Ending:
    setter = ClockSetter(cause, by_s)
    pool = Pool(folder, worker=7, durable=False, now=setter.now)
    record = own_worker_record(cores=2, started=time.time(), end=time.time() + 60)
    runner = AttemptRunner(pool, record, setter, refine=lambda c: c, report=lambda _: None)
    shard, slot = pool.locate(0)
    with shard.transaction() as transaction:
        claim = pool.claim_in(transaction, slot)
    assert claim is not None
    return runner.run(claim, time.time())


@pytest.mark.parametrize("by_s", [TEN_HOURS_S, -TEN_HOURS_S])
def test_an_attempt_whose_clock_jumped_has_the_time_that_it_took(
    fast_path: Path, by_s: float
) -> None:
    folder = a_pool(fast_path, 1)

    run_one(folder, by_s)

    (attempt,), (result,) = all_attempts(folder), all_results(folder)
    assert attempt.clock_jump_s == pytest.approx(by_s, abs=1)
    assert attempt.seconds == pytest.approx(0, abs=1)
    assert result.ended - result.started == pytest.approx(0, abs=1)


def test_a_clock_that_goes_right_leaves_no_mark(fast_path: Path) -> None:
    folder = a_pool(fast_path, 1)

    run_one(folder, 0.5)

    (attempt,) = all_attempts(folder)
    assert attempt.clock_jump_s is None


def test_a_lack_of_time_by_a_clock_that_jumped_teaches_nothing(fast_path: Path) -> None:
    ending = run_one(a_pool(fast_path, 1), TEN_HOURS_S, Cause.TIME)

    assert ending.feedback == Feedback()


def test_estimates_learn_no_time_from_a_clock_that_jumped(fast_path: Path) -> None:
    folder = a_pool(fast_path, 1)
    run_one(folder, TEN_HOURS_S, Cause.TIME)

    (sample,), _ = read_new(folder, {})

    assert sample.seconds == 0  # not known


def test_the_history_of_a_task_says_that_the_clock_jumped(fast_path: Path) -> None:
    folder = a_pool(fast_path, 1)
    run_one(folder, -TEN_HOURS_S)

    told = [event.what for event in history(Pool(folder))]

    assert any("the clock of its host was set by -36,000 s meanwhile" in what for what in told)


@pytest.mark.parametrize("by_s", [TEN_HOURS_S, -TEN_HOURS_S])
def test_the_start_of_a_dead_worker_with_a_wrong_clock_is_not_known(
    fast_path: Path, by_s: float
) -> None:
    folder = a_pool(fast_path, 1)
    dead = Pool(folder, worker=7, durable=False, now=lambda: time.time() + by_s)
    said = list[str]()
    heartbeat = Heartbeat(dead, lambda: (None, 0.0), said.append)
    heartbeat.start(own_worker_record(cores=1, started=dead.now()))
    shard, slot = dead.locate(0)
    with shard.transaction() as transaction:
        dead.claim_in(transaction, slot)

    finder = Pool(folder, worker=8)
    take_back(finder, 0, finder.record(0), observe(folder, worker_name(7)), None)

    (attempt,) = all_attempts(folder)
    assert attempt.started is None
    assert attempt.ended == pytest.approx(time.time(), abs=60)
    assert f"the clock of this host is {by_s:+,.0f} s off the file server's" in said


def test_an_attempt_that_ends_before_it_began_has_no_start(fast_path: Path) -> None:
    folder = a_pool(fast_path, 1)
    task = Pool(folder).grid.id(0)
    past = Attempt(
        task=task, fence=1, worker=worker_name(7), cause=Cause.LOST, started=900.0, ended=100.0
    )
    write_attempt(folder, past)

    (read,), frame = all_attempts(folder), attempts_frame(Pool(folder))

    assert (read.started, read.seconds) == (None, None)
    assert frame["seconds"].isna().all()
