"""`jobpool plan --submit`, or `jobpool submit --keep-full`, empties a pool on a real cluster."""

from dataclasses import dataclass

import pytest

from jobpool.pool import Pool
from jobpool.scheduler.base import job_prefix
from jobpool.task import Cause, TaskState
from tests.slurm.cluster import Cluster, Job
from tests.slurm.study import Study, new_study

pytestmark = pytest.mark.slurm

N_TASKS = 8
# a task takes as many MB as it has parcels: 600 do not fit into a job of the first pass
EXPERIMENT = """\
name: mystudy
runner: function
seed: 1
axes:
  pipeline: [elastic, svm]
  parcels: [7, 600]
  target: [age, sex]
function:
  call: lab:fit
passes:
  first: {cores: 1, memory_gb: 0.3, walltime: 20m, max_running: 3}
  second: {cores: 2, memory_gb: 4, walltime: 10h, partition: long}
"""
# two such jobs fill the cluster: the third waits
WAITING = """\
name: mystudy
runner: function
seed: 1
axes:
  number: {from: 1, to: 9}
  until: [go]
function:
  call: lab:waits
passes:
  narrow: {cores: 16, memory_gb: 0.5, walltime: 30m}
"""
INITIAL_ESTIMATES = """
needs:
  - {only: ["parcels=7"], time: 30s, memory_gb: 0.05}
  - {only: ["parcels=600"], time: 30s, memory_gb: 0.8}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The jobs of one command, by the pass that they are named after."""

    said: str
    jobs: tuple[Job, ...]
    passes: frozenset[str]


def submitted_by(study: Study, *words: str) -> Round:
    """Run a command that submits, and wait until all its jobs have ended."""
    before = {job.job_id for job in study.slurm.squeue()}
    said = study.jobpool(*words)
    jobs = [job for job in study.slurm.squeue() if job.job_id not in before]
    prefix = job_prefix(study.pool, "mystudy")
    ended = study.wait_for_jobs(*sorted({job.job_id.split("_")[0] for job in jobs}))
    passes = frozenset(job.name.removeprefix(prefix) for job in jobs)
    return Round(said=said, jobs=ended, passes=passes)


@pytest.fixture(scope="module")
def planned(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Round]:
    study = new_study(slurm, tmp_path_factory.mktemp("plan"))
    study.make_pool(EXPERIMENT + INITIAL_ESTIMATES)
    return study, submitted_by(study, "plan", "pool", "--submit")


def test_a_plan_submits_jobs_of_both_sizes(planned: tuple[Study, Round]) -> None:
    _, round_ = planned

    assert round_.passes == {"first", "second"}


def test_a_plan_that_was_submitted_empties_the_pool(planned: tuple[Study, Round]) -> None:
    study, _ = planned

    assert study.count(TaskState.DONE) == N_TASKS


@pytest.fixture(scope="module")
def kept_full(
    slurm_with_memory_limits: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, list[Round]]:
    """Run the same command three times, as cron does, though each time after the jobs' end."""
    study = new_study(slurm_with_memory_limits, tmp_path_factory.mktemp("full"))
    study.make_pool(EXPERIMENT)
    command = ("submit", "pool", "--keep-full", "--jobs", "4")
    return study, [submitted_by(study, *command) for _ in range(3)]


def test_the_first_jobs_are_small(kept_full: tuple[Study, list[Round]]) -> None:
    _, (first, *_) = kept_full

    assert first.passes == {"first"}
    assert len(first.jobs) == 3  # as many as may run


def test_what_failed_for_lack_of_memory_gets_larger_jobs(
    kept_full: tuple[Study, list[Round]],
) -> None:
    study, (_, second, _) = kept_full

    assert second.passes == {"second"}
    assert {one.cause for one in study.attempts()} == {Cause.DONE, Cause.MEMORY}
    assert study.count(TaskState.DONE) == N_TASKS


def test_nothing_is_submitted_once_nothing_is_left(kept_full: tuple[Study, list[Round]]) -> None:
    _, (*_, last) = kept_full

    assert (last.said, last.jobs) == ("", ())


def test_jobs_that_wait_or_run_are_not_submitted_again(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    study = new_study(slurm, tmp_path_factory.mktemp("again"))
    study.make_pool(WAITING)
    command = ("submit", "pool", "--keep-full", "--jobs", "3")
    first = study.jobpool(*command)
    study.wait_until_running(2)

    again = study.jobpool(*command)

    (study.folder / "go").touch()
    jobs = [job for job in slurm.squeue() if job.name == study.job_name("narrow")]
    study.wait_for_jobs(jobs[0].job_id.split("_")[0])
    assert " --array=0-2 " in first
    assert (again, len(jobs)) == ("", 3)


@pytest.fixture(scope="module")
def cancelled(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, str]:
    """Cancel an array whose first two jobs run a task each, while the third waits."""
    study = new_study(slurm, tmp_path_factory.mktemp("cancel"))
    study.make_pool(WAITING)
    _, array = study.submit("--pass", "narrow", "--jobs", "3")
    study.wait_until_running(2)
    said = study.jobpool("cancel", "pool")
    study.wait_for_jobs(array)
    return study, said


def test_cancel_says_what_it_ended(cancelled: tuple[Study, str]) -> None:
    _, said = cancelled

    assert said == "3 jobs cancelled: 1 waiting, 2 running\n2 tasks requeued\n"


def test_the_tasks_of_cancelled_jobs_wait_without_a_count(cancelled: tuple[Study, str]) -> None:
    study, _ = cancelled

    assert study.count(TaskState.RUNNING) == 0
    assert {one.cause for one in study.attempts()} == {Cause.CANCELLED}
    assert {Pool(study.pool).record(i).attempts for i in range(9)} == {0}


def test_no_job_is_left_to_cancel(cancelled: tuple[Study, str]) -> None:
    study, _ = cancelled

    said = study.jobpool("cancel", "pool")

    assert said.startswith("nothing to cancel: you have no job of this pool, waiting or running;")
