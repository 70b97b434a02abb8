"""Waiting until nothing of a pool is left to run."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import jobpool as jp
from jobpool.errors import SchedulerError, SchedulerMissingError
from jobpool.journal.jsonl import worker_file
from jobpool.journal.workers import own_worker_record
from jobpool.overview.waiting import POLL_S, Outcome, Waited, WaitSettings, wait_for
from jobpool.pool import Pool
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import SimulatedWorker

QUICK = WorkerSettings(heartbeat_s=0.2, lost_after_s=2, grace_s=0.5)


@dataclass
class Clock:
    """A clock that sleeping moves on."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.slept.append(seconds)


@dataclass
class AgingClock(Clock):
    """A clock by which a worker's heartbeat grows old, too."""

    heartbeat: Path = Path()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        last = self.heartbeat.stat().st_mtime - seconds
        os.utime(self.heartbeat, (last, last))


def waited_for(
    folder: Path,
    count_jobs: Callable[[Pool], int],
    poll_s: float = POLL_S,
    timeout_s: float | None = None,
) -> tuple[Waited, Clock]:
    clock = Clock()
    found = wait_for(
        lambda: Pool(folder),
        WaitSettings(poll_s=poll_s, timeout_s=timeout_s),
        count_jobs=count_jobs,
        sleep=clock.sleep,
        clock=clock.now,
    )
    return found, clock


def no_scheduler(_: Pool) -> int:
    raise SchedulerMissingError("no squeue here")


def test_a_pool_that_is_done_is_not_waited_for(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.do(0, 1, 2)

    done = jobpool("wait", worker.pool.folder)

    assert (done.returncode, done.stdout) == (0, "3 of 3 tasks done\n")
    assert done.stderr == "3 of 3 tasks done, 0 running\n"


def test_tasks_that_are_held_are_an_exit_code(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.do(0, 1)
    jp.open(worker.pool.folder).hold(everything=True)

    done = jobpool("wait", worker.pool.folder)

    assert (done.returncode, done.stdout) == (20, "2 of 3 tasks done; 0 parked, 1 held\n")


def test_what_is_not_selected_is_not_waited_for(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.do(0)
    number = dict(worker.pool.grid.point(0))["number"]

    done = jobpool("wait", worker.pool.folder, "--only", f"number={number}")

    assert (done.returncode, done.stdout) == (0, "1 of 1 tasks done\n")


def test_the_time_that_is_up_is_an_exit_code(fast_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(fast_path, 3)

    done = jobpool("wait", pool, "--timeout", "1s", "--poll", "0.2s")

    assert (done.returncode, done.stdout) == (
        22,
        "0 of 3 tasks done; 3 left when the time was up\n",
    )


def test_a_pool_that_nobody_works_on_is_an_exit_code(fast_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(fast_path, 3, settings=QUICK)

    done = jobpool("wait", pool, "--poll", "0.5s", PATH="/nowhere")

    what = "0 of 3 tasks done; 3 left, without a worker or a job in the queue\n"
    assert (done.returncode, done.stdout) == (21, what)


def test_a_scheduler_that_does_not_exist_is_not_waited_for(
    fast_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(fast_path, 3)

    done = jobpool("wait", pool, "--timeout", "1s", JOBPOOL_SCHEDULER="slrum")

    what = "jobpool: JOBPOOL_SCHEDULER=slrum: there is no such scheduler; write one of: none, slurm"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, what)


def test_workers_are_waited_for(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 4, call="tests.support.tasks:naps", settings=QUICK)
    pool = jp.open(folder)
    with ThreadPoolExecutor() as threads:
        working = threads.submit(pool.run, workers=2)

        waited = pool.wait(timeout="60s", poll=0.2)

        working.result()
    assert waited.is_done
    assert waited.counts.done == 4


def test_jobs_in_the_queue_are_waited_for(fast_path: Path) -> None:
    pool = a_pool(fast_path, 3)
    answers = iter([5, 5, 1, 0, 0, 0, 0])

    waited, clock = waited_for(pool, lambda _: next(answers))

    assert waited.outcome is Outcome.DESERTED
    assert 300 <= clock.seconds <= 420


def test_the_scheduler_is_asked_no_more_often_than_workers_ask_it(fast_path: Path) -> None:
    pool = a_pool(fast_path, 3)
    answers = iter([1] * 11)

    waited, _ = waited_for(pool, lambda _: next(answers), poll_s=1, timeout_s=600)

    assert waited.outcome is Outcome.TIMEOUT


def test_a_scheduler_that_does_not_answer_may_have_jobs(fast_path: Path) -> None:
    def silent(_: Pool) -> int:
        raise SchedulerError("squeue did not answer")

    waited, _ = waited_for(a_pool(fast_path, 3), silent, timeout_s=3600)

    assert waited.outcome is Outcome.TIMEOUT


def test_a_pool_without_a_scheduler_is_given_time_to_start(fast_path: Path) -> None:
    waited, clock = waited_for(a_pool(fast_path, 3), no_scheduler)

    assert waited.outcome is Outcome.DESERTED
    assert clock.seconds >= 180


def test_the_wait_for_another_worker_begins_with_the_last_heartbeat(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.do(0)
    own_worker_record(started=0.0, cores=1).write(worker.pool.folder, worker.name)
    clock = AgingClock(heartbeat=worker_file(worker.pool.folder, "workers", worker.name))

    waited = wait_for(
        lambda: Pool(worker.pool.folder),
        WaitSettings(),
        count_jobs=no_scheduler,
        sleep=clock.sleep,
        clock=clock.now,
    )

    assert waited.outcome is Outcome.DESERTED
    assert 180 <= clock.seconds <= 240


def test_a_wait_ends_when_its_time_is_up(fast_path: Path) -> None:
    _, clock = waited_for(a_pool(fast_path, 3), lambda _: 1, timeout_s=45)

    assert clock.slept == [30, 15]


def test_a_task_that_is_parked_ends_the_wait(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    for _ in range(3):
        worker.fail(0, Cause.ERROR)

    waited, _ = waited_for(worker.pool.folder, no_scheduler)

    assert (waited.outcome, waited.counts.parked) == (Outcome.STUCK, 1)


@pytest.mark.parametrize("given", ["soon", float("nan"), float("inf"), -1])
def test_a_length_of_time_that_is_none_is_refused(fast_path: Path, given: str | float) -> None:
    with pytest.raises(jp.RequestError, match="is not a length of time"):
        jp.open(a_pool(fast_path, 1)).wait(timeout=given)
