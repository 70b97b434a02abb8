"""`jobpool cancel` ends this pool's jobs alone, and their tasks wait again at once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.admin.cancel import Cancelled, cancel
from jobpool.errors import RequestError, SchedulerError
from jobpool.experiment.config import Pass
from jobpool.journal.attempts import all_attempts
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import own_worker_record, start_ticks
from jobpool.pool import Ending, Pool
from jobpool.scheduler.base import Order, fill_name, job_name, job_prefix
from jobpool.scheduler.none import ThisMachine
from jobpool.scheduler.simulated import SimulatedScheduler
from jobpool.task import Cause, Claim, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import SimulatedWorker

CANCELLER = 0xCA
FIRST = Pass(name="first", cores=1, memory_gb=1, walltime_s=3600)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_pool(tmp_path, 6)


@pytest.fixture
def scheduler() -> SimulatedScheduler:
    return SimulatedScheduler()


def submit(scheduler: SimulatedScheduler, pool: Path, name: str | None = None, n: int = 2) -> str:
    """Submit jobs, by default under the name of those of the first pass."""
    shown = name or f"{job_prefix(pool, 'test')}first"
    order = Order(size=FIRST, jobs=n, pool=pool, name=shown, program="jobpool")
    (batch,) = scheduler.submit(scheduler.submissions(order, 10))
    return batch


def claim_in_job(
    pool: Path, job: str, position: int = 0, number: int = 1, cluster: str = "hpc"
) -> Claim:
    worker_record = own_worker_record(
        started=time.time(), cores=1, job=job, cluster=cluster, scheduler="simulated"
    )
    replace(worker_record, space="another machine").write(pool, worker_name(number))
    return SimulatedWorker(pool, number).claim(position)


def run_cancel(
    pool: Path,
    scheduler: SimulatedScheduler,
    *,
    pass_name: str | None = None,
    dry_run: bool = False,
) -> Cancelled:
    opened = Pool(pool, worker=CANCELLER)
    return cancel(opened, scheduler, pass_name=pass_name, dry_run=dry_run, patience_s=0.1)


def test_waiting_jobs_are_ended_by_one_call(folder: Path, scheduler: SimulatedScheduler) -> None:
    batches = tuple(submit(scheduler, folder) for _ in range(3))

    found = run_cancel(folder, scheduler)

    assert (found.n_waiting, found.n_running, found.batches) == (6, 0, batches)
    assert scheduler.cancelled == [batches]


def test_a_task_whose_worker_is_killed_waits_again_at_once(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    batch = submit(scheduler, folder)
    scheduler.start(batch)
    claim_in_job(folder, f"{batch}_0")

    found = run_cancel(folder, scheduler)

    record = Pool(folder).record(0)
    (attempt,) = all_attempts(folder)
    assert (found.n_running, found.n_requeued, found.n_left) == (2, 1, 0)
    assert (record.state, record.attempts, record.cause) == (
        *(TaskState.WAITING, 0),
        Cause.CANCELLED,
    )
    assert (attempt.cause, attempt.found_by) == (Cause.CANCELLED, worker_name(CANCELLER))


def test_the_checkpoint_of_a_cancelled_task_is_kept(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    batch = submit(scheduler, folder)
    scheduler.start(batch)
    claim = claim_in_job(folder, f"{batch}_0")
    piece = folder / "checkpoints" / claim.id / f"{worker_name(1)}.jsonl"
    piece.parent.mkdir(parents=True)
    piece.write_text("{}\n")

    run_cancel(folder, scheduler)

    assert piece.exists()


class Obeyed(SimulatedScheduler):
    """Ends jobs whose worker returns its task."""

    claim: Claim
    pool: Path

    def cancel(self, batches: Collection[str]) -> None:
        super().cancel(batches)
        Pool(self.pool, worker=1).end(Ending(claim=self.claim, cause=Cause.CANCELLED))


def test_a_worker_that_returned_its_task_has_the_last_word(folder: Path) -> None:
    scheduler = Obeyed()
    batch = submit(scheduler, folder)
    scheduler.start(batch)
    scheduler.pool, scheduler.claim = folder, claim_in_job(folder, f"{batch}_0")

    found = run_cancel(folder, scheduler)

    assert (found.n_requeued, list(all_attempts(folder))) == (1, [])


def test_jobs_of_another_pool_are_left_alone(folder: Path, scheduler: SimulatedScheduler) -> None:
    submit(scheduler, folder, "another-1a2b-first")
    own = submit(scheduler, folder)

    run_cancel(folder, scheduler)

    assert scheduler.cancelled == [(own,)]


def test_a_script_submitted_by_hand_is_known_by_its_worker(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    batch = submit(scheduler, folder, "first_pass")
    submit(scheduler, folder, "first_pass")
    scheduler.start(batch)
    claim_in_job(folder, f"{batch}_1")

    found = run_cancel(folder, scheduler)

    assert (found.batches, found.n_jobs, found.n_requeued) == ((batch,), 2, 1)


def test_a_job_that_has_the_name_of_one_on_another_cluster_is_left_alone(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    batch = submit(scheduler, folder, "quite something else")
    scheduler.start(batch)
    claim_in_job(folder, f"{batch}_0", cluster="elsewhere")

    found = run_cancel(folder, scheduler)

    assert (found.n_jobs, scheduler.cancelled) == (0, [])


def test_a_task_that_runs_on_another_cluster_is_left_to_its_worker(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    batch = submit(scheduler, folder)
    scheduler.start(batch)
    claim_in_job(folder, f"{batch}_0", cluster="elsewhere")

    found = run_cancel(folder, scheduler)

    assert (found.n_jobs, found.n_requeued) == (2, 0)
    assert Pool(folder).record(0).state is TaskState.RUNNING


def test_one_pass_alone_is_cancelled(folder: Path, scheduler: SimulatedScheduler) -> None:
    submit(scheduler, folder)
    second = submit(scheduler, folder, f"{job_prefix(folder, 'test')}second")

    run_cancel(folder, scheduler, pass_name="second")

    assert scheduler.cancelled == [(second,)]


def test_a_pass_is_known_by_the_name_in_the_experiment(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    first = submit(scheduler, folder, job_name(job_prefix(folder, "test"), "first pass"))

    run_cancel(folder, scheduler, pass_name="first pass")

    assert scheduler.cancelled == [(first,)]


def test_a_fill_of_the_pools_cache_is_cancelled_with_its_workers(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    workers = submit(scheduler, folder)
    fill = submit(scheduler, folder, fill_name(job_prefix(folder, "test")))

    run_cancel(folder, scheduler)

    assert scheduler.cancelled == [(workers, fill)]


def test_a_fill_of_the_pools_cache_is_of_no_pass(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    workers = submit(scheduler, folder)
    submit(scheduler, folder, fill_name(job_prefix(folder, "test")))

    run_cancel(folder, scheduler, pass_name="first")

    assert scheduler.cancelled == [(workers,)]


def test_a_fill_of_another_pools_cache_is_left_alone(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    submit(scheduler, folder, fill_name(job_prefix(folder.with_name("other"), "test")))

    run_cancel(folder, scheduler)

    assert scheduler.cancelled == []


def test_a_pass_without_jobs_is_named_beside_those_that_have_some(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    submit(scheduler, folder)

    with pytest.raises(
        RequestError, match="of pass 'second'; those that wait or run are of: first"
    ):
        run_cancel(folder, scheduler, pass_name="second")


def test_a_dry_run_ends_nothing(folder: Path, scheduler: SimulatedScheduler) -> None:
    batch = submit(scheduler, folder)
    scheduler.start(batch)
    claim_in_job(folder, f"{batch}_0")

    found = run_cancel(folder, scheduler, dry_run=True)

    assert (found.n_jobs, found.n_requeued, scheduler.cancelled) == (2, 1, [])
    assert Pool(folder).record(0).state is TaskState.RUNNING


def test_no_job_is_no_call(folder: Path, scheduler: SimulatedScheduler) -> None:
    assert run_cancel(folder, scheduler) == Cancelled()
    assert scheduler.cancelled == []


def test_a_scheduler_that_does_not_answer_is_an_error(
    folder: Path, scheduler: SimulatedScheduler
) -> None:
    scheduler.answers = False

    with pytest.raises(SchedulerError, match="did not answer"):
        run_cancel(folder, scheduler)


@pytest.fixture
def local_worker(tmp_path: Path) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """A pool, and a worker on this machine that runs one of its tasks."""
    pool = a_pool(tmp_path, 2, call="tests.support.tasks:sleeps")
    command = [sys.executable, "-m", "jobpool", "work", str(pool)]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not Pool(pool).counts()[TaskState.RUNNING] and time.monotonic() < end:
        time.sleep(0.05)
    yield pool, worker
    worker.kill()
    worker.wait()


def test_without_a_scheduler_the_workers_on_this_machine_are_ended(
    local_worker: tuple[Path, "subprocess.Popen[bytes]"], jobpool: Jobpool
) -> None:
    pool, worker = local_worker

    done = jobpool("cancel", pool, "--json", JOBPOOL_SCHEDULER="none", PATH=os.defpath)

    found = json.loads(done.stdout)
    assert (found["running"], found["requeued"], found["stopping"]) == (1, 1, 0)
    assert worker.wait(timeout=30) == 0
    assert Pool(pool).counts()[TaskState.WAITING] == 2


def test_without_a_scheduler_nothing_is_said_of_jobs_elsewhere(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    done = jobpool("cancel", a_pool(tmp_path, 2), JOBPOOL_SCHEDULER="none")

    said = "nothing to cancel: no worker of this pool runs on this machine; its SLURM jobs: run"
    assert done.stdout == f"{said} this where SLURM's commands work\n"


def test_where_no_job_is_queued_the_workers_on_this_machine_are_mentioned(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\n", encoding="utf-8")
    squeue.chmod(0o755)

    done = jobpool(
        "cancel", a_pool(tmp_path, 2), JOBPOOL_SCHEDULER="slurm", PATH=f"{squeue.parent}:/bin"
    )

    said = "nothing to cancel: you have no job of this pool, waiting or running; workers on this"
    assert done.stdout == f"{said} machine: set JOBPOOL_SCHEDULER=none\n"


@pytest.mark.parametrize(("mode", "n_ended"), [(0o600, 1), (0o660, 0)])
def test_a_job_that_others_could_have_named_is_left_alone(
    folder: Path, scheduler: SimulatedScheduler, mode: int, n_ended: int
) -> None:
    batch = submit(scheduler, folder, "of_something_else")
    scheduler.start(batch)
    claim_in_job(folder, f"{batch}_0")
    next((folder / "workers").rglob("*.json")).chmod(mode)

    found = run_cancel(folder, scheduler)

    assert len(found.batches) == n_ended


def test_a_process_that_others_could_have_named_is_no_worker(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 1)
    path = own_worker_record(cores=1, started=time.time()).write(pool, "00000000000a")
    own = [job.label for job in ThisMachine().queued(pool, "p-")]
    path.chmod(0o660)

    assert own == [f"{os.getpid()}.{start_ticks(os.getpid())}"]
    assert ThisMachine().queued(pool, "p-") == ()
