"""What a real SLURM answers about many jobs at once."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jobpool.errors import SchedulerError
from jobpool.scheduler.slurm.jobs import ask
from jobpool.scheduler.status import JobRun, SeenInside
from tests.slurm.cluster import Cluster, ClusterError

pytestmark = pytest.mark.slurm


def states(slurm: Cluster, *runs: JobRun) -> list[str]:
    """Return the state of each run, in the order asked for."""

    def run(command: Sequence[str]) -> str:
        try:
            return slurm.run(*command)
        except ClusterError as error:
            raise SchedulerError(str(error)) from error

    seen = ask(runs, run)
    return [seen[one].state for one in runs]


def test_jobs_of_all_kinds_are_told_apart_in_one_answer(slurm: Cluster) -> None:
    array = slurm.sbatch("--array=3,7", "--output=/dev/null", "--wrap", "sleep 600")
    failed = slurm.sbatch("--output=/dev/null", "--wrap", "exit 3")
    waiting = slurm.sbatch("--hold", "--wrap", "true")
    slurm.wait_for_job(failed)
    slurm.wait_for(lambda: states(slurm, JobRun(f"{array}_7", 0)) == ["RUNNING"], "the array")

    found = states(
        slurm,
        JobRun(f"{array}_3", 0),
        JobRun(failed, 0),
        JobRun(waiting, 0),  # a worker of it must have been in an earlier run
        JobRun(f"{array}_4", 0),
        JobRun("999999", 0),
    )

    slurm.run("scancel", array, waiting)
    assert found == ["RUNNING", "FAILED", "REQUEUED", "", ""]


@pytest.mark.parametrize("unknown", [("999999",), ("999998", "999999"), ("999999_1",)])
def test_jobs_that_slurm_never_had_are_listed_nowhere(
    slurm: Cluster, unknown: tuple[str, ...]
) -> None:
    found = states(slurm, *(JobRun(job, 0) for job in unknown))

    assert found == [""] * len(unknown)


def test_both_runs_of_a_requeued_job_are_told_apart(slurm: Cluster) -> None:
    job = slurm.sbatch("--requeue", "--output=/dev/null", "--wrap", "sleep 600")
    slurm.wait_for(lambda: states(slurm, JobRun(job, 0)) == ["RUNNING"], "the job to run")

    slurm.run("scontrol", "requeue", job)
    slurm.wait_for(lambda: states(slurm, JobRun(job, 1)) == ["RUNNING"], "the job to run again")
    found = states(slurm, JobRun(job, 0), JobRun(job, 1))

    slurm.run("scancel", job)
    assert found == ["REQUEUED", "RUNNING"]


@pytest.mark.parametrize(("command", "state"), [("sleep 600", "RUNNING"), ("exit 3", "FAILED")])
def test_what_slurm_says_of_a_job_counts_for_workers_of_that_job_alone(
    slurm: Cluster, command: str, state: str
) -> None:
    job = slurm.sbatch("--output=/dev/null", "--job-name=study-first", "--wrap", command)
    slurm.wait_for(lambda: states(slurm, JobRun(job, 0)) == [state], "its state")
    own = SeenInside(began=time.time(), uid=os.geteuid(), name="study-first")
    others = (
        replace(own, began=own.began - 86_400),
        replace(own, uid=os.geteuid() + 1),
    )

    found = [states(slurm, JobRun(job, 0, one)) for one in (own, *others)]

    slurm.run("scancel", job)
    assert found == [[state], [""], [""]]
