"""How a job can end before its task: each time the task is free again, and the log says why."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from jobpool.journal.jsonl import worker_files
from jobpool.journal.workers import WorkerRecord, read_worker_record
from jobpool.pool import Pool
from jobpool.task import AnyCause, Cause, TaskState
from tests.slurm.cluster import Cluster
from tests.slurm.study import FIRST_PASS, PATIENCE_S, Study, new_study

pytestmark = pytest.mark.slurm

HUNG_AFTER_S = 6.0
EXPERIMENT = f"""\
name: mystudy
runner: function
seed: 1
axes:
  number: [1]
  until: [go]
function:
  call: lab:waits
workers:
  heartbeat: 0.5s
  lost_after: 2s
  hung_after: {HUNG_AFTER_S}s
  ask_slurm_every: 1s
  grace: 1s
passes:
  first: {{memory_gb: 0.5, walltime: 30m}}
"""
TIMES = {
    # warned up to a minute before it asks for it, so not before its worker hears it
    "warned": ("--time=2", "--signal=B:USR1@30"),
    "shortened": ("--time=170", "--signal=B:CONT@1"),
    "extended": ("--time=2", "--signal=B:CONT@1"),
}
LIMITS = {"shortened": 1, "extended": 30}  # in minutes, once they run
NAMES = (*TIMES, "cancelled", "killed", "suspended", "unplugged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A study whose only task runs in a job, until something ends it or the file `go` is made."""

    study: Study
    job: str

    def let_tasks_end(self) -> None:
        (self.study.folder / "go").touch()

    def causes(self) -> list[AnyCause]:
        return [one.cause for one in self.study.attempts()]

    def worker_record(self) -> WorkerRecord:
        """Return what the job's worker says of itself."""
        (path,) = worker_files(self.study.pool, "workers")
        worker_record = read_worker_record(self.study.pool, path.stem)
        assert worker_record is not None
        return worker_record

    def silent_s(self) -> float:
        """Return the age of the worker's last sign of life."""
        (path,) = worker_files(self.study.pool, "workers")
        return time.time() - path.stat().st_mtime


@pytest.fixture(scope="module")
def running(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Running]]:
    """Start one job for each test at once: SLURM takes its time to warn and to requeue."""
    parent = tmp_path_factory.mktemp("ends")
    started = {}
    for name in NAMES:
        study = new_study(slurm, parent, name)
        study.make_pool(EXPERIMENT)
        node = slurm.nodes[name == "unplugged"]
        times = TIMES.get(name, ("--time=30",))
        job = study.sbatch(f"--nodelist={node}", *times, FIRST_PASS, "pool")
        started[name] = Running(study=study, job=job)
        if name in LIMITS:
            study.wait_until_running()
            slurm.run("scontrol", "update", f"jobid={job}", f"timelimit={LIMITS[name]}")
    yield started
    slurm.run("scancel", "--quiet", *(one.job for one in started.values()))


def test_a_cancelled_job_returns_its_task(running: dict[str, Running]) -> None:
    one = running["cancelled"]
    one.study.wait_until_running()

    one.study.slurm.run("scancel", one.job)
    (ended,) = one.study.wait_for_jobs(one.job)

    log = one.study.log_of(one.job)
    assert ended.state == "CANCELLED"
    assert (one.causes(), one.study.count(TaskState.WAITING)) == ([Cause.CANCELLED], 1)
    assert Pool(one.study.pool).record(0).attempts == 0
    assert "cancelled after" in log
    assert "left: stopped by SIGTERM" in log


def test_the_task_of_a_killed_job_goes_to_the_next_worker(running: dict[str, Running]) -> None:
    one = running["killed"]
    one.study.wait_until_running()
    os.kill(one.worker_record().pid, signal.SIGKILL)  # scancel --signal=KILL sends TERM first
    (ended,) = one.study.wait_for_jobs(one.job)
    one.let_tasks_end()

    _, second = one.study.submit("--pass", "first")  # it counts the task as one that waits
    one.study.wait_for_jobs(second)

    lost, done = one.study.attempts()
    assert (ended.state, ended.exit_code) == ("FAILED", "0:9")
    assert (lost.cause, lost.job) == (Cause.LOST, one.job)
    assert (done.cause, done.job) == (Cause.DONE, f"{second}_0")
    log = one.study.log_of(f"{second}_0", one.study.job_name("first"))
    assert f"worker {lost.worker} is dead; the task ended as lost" in log


def test_the_task_of_a_suspended_job_goes_to_the_next_worker(running: dict[str, Running]) -> None:
    one = running["suspended"]
    one.study.wait_until_running()
    one.study.slurm.run("scontrol", "suspend", one.job)
    one.study.slurm.wait_for(lambda: one.silent_s() > HUNG_AFTER_S, "the worker to count as hung")
    one.let_tasks_end()

    one.study.wait_for_jobs(one.study.sbatch(FIRST_PASS, "pool"))
    causes = one.causes()
    one.study.slurm.run("scontrol", "resume", one.job)
    one.study.wait_for_jobs(one.job)

    assert causes == [Cause.PREEMPTED, Cause.DONE]  # SLURM says that the job is suspended
    assert one.causes() == [Cause.DONE, Cause.DONE]  # its own word counts, not the finder's
    assert "the pool had requeued it; another attempt counts" in one.study.log_of(one.job)
    assert "1 row in" in one.study.run("sh", "-c", "jobpool collect pool -o results.csv 2>&1")


def test_a_requeued_job_takes_its_task_again(running: dict[str, Running]) -> None:
    one, slurm = running["unplugged"], running["unplugged"].study.slurm
    one.study.wait_until_running()
    node = slurm.nodes[1]

    slurm.kill_node(node)
    one.let_tasks_end()
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=power")
    slurm.start_node(node)
    slurm.wait_for(
        lambda: one.study.count(TaskState.DONE) == 1, "the task to be done", timeout_s=PATIENCE_S
    )
    (ended,) = one.study.wait_for_jobs(one.job)

    assert (ended.state, ended.restarts) == ("COMPLETED", 1)
    assert one.causes() == [Cause.NODE, Cause.DONE]
    record = Pool(one.study.pool).record(0)
    # the task is not to blame
    assert (record.attempts, record.memory_mb, record.core_s) == (0, None, None)
    assert {attempt.job for attempt in one.study.attempts()} == {one.job}
    assert one.study.logs() == {f"0/first_pass-{one.job}{i}.log" for i in ("", "-restart1")}


def test_a_job_near_its_time_limit_returns_its_task(running: dict[str, Running]) -> None:
    one = running["warned"]

    (ended,) = one.study.slurm.wait_for_job(one.job, timeout_s=PATIENCE_S)

    assert ended.state == "COMPLETED"
    assert (one.causes(), one.study.count(TaskState.WAITING)) == ([Cause.TIME], 1)
    assert f"left: stopped by {signal.SIGUSR1.name}" in one.study.log_of(one.job)


def test_a_task_of_a_job_that_was_shortened_needs_more_than_it_had(
    running: dict[str, Running],
) -> None:
    one = running["shortened"]

    one.study.wait_for_jobs(one.job)

    (attempt,) = one.study.attempts()
    bound = Pool(one.study.pool).record(0).core_s
    assert (attempt.cause, bound is not None) == (Cause.TIME, True)
    assert (bound or 0) < 600 * (attempt.cores or 1)  # not the hours that it was to have


def test_a_task_of_a_job_that_was_extended_goes_on(running: dict[str, Running]) -> None:
    one = running["extended"]
    record = one.worker_record()
    one.study.slurm.wait_for(
        lambda: time.time() > record.started + 125, "its first limit to pass", timeout_s=PATIENCE_S
    )

    still_runs = one.study.count(TaskState.RUNNING)
    one.let_tasks_end()
    one.study.wait_for_jobs(one.job)

    assert (still_runs, one.causes()) == (1, [Cause.DONE])
    assert (one.worker_record().end or 0) > record.started + 600
