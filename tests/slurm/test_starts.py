"""Jobs that cannot start on a real cluster, and what `submit` makes of them."""

import os
import time
from pathlib import Path

import pytest

from jobpool.journal.starts import FOLDER
from jobpool.pool import Pool
from jobpool.task import TaskState
from tests.slurm.cluster import Cluster, ClusterError
from tests.slurm.study import Study, new_study

pytestmark = pytest.mark.slurm

EXPERIMENT = """\
name: mystudy
runner: function
seed: 1
axes:
  number: {from: 1, to: 6}
  until: [go]
path: [code]
function:
  call: lab:waits
passes:
  first: {memory_gb: 0.5, walltime: 30m}
"""


def a_study(slurm: Cluster, folder: Path, text: str = EXPERIMENT) -> Study:
    study = new_study(slurm, folder)
    study.make_pool(text)
    return study


def ended(study: Study) -> None:
    study.slurm.wait_for(lambda: not jobs_of(study), "the jobs to end", timeout_s=60)


def jobs_of(study: Study) -> list[str]:
    jobs = study.slurm.squeue("--name", study.job_name("first"))
    return [job.job_id for job in jobs if not job.has_ended]


def keep_full(study: Study, *words: str) -> str:
    program = ("jobpool", "submit", "pool", "--keep-full", "--jobs", "3", *words)
    return study.slurm.run("env", "-u", "PYTHONPATH", *program, cwd=study.folder)


def test_a_job_needs_no_variable_to_find_the_code_of_its_tasks(
    slurm: Cluster, tmp_path: Path
) -> None:
    study = a_study(slurm, tmp_path)
    (study.folder / "go").touch()

    keep_full(study)
    ended(study)

    assert study.count(TaskState.DONE) == 6
    left = {path.name.partition("@")[0] for path in (study.pool / FOLDER).iterdir()}
    assert left == {study.job_name("first")}


def test_jobs_that_cannot_start_are_sent_no_second_time(slurm: Cluster, tmp_path: Path) -> None:
    study = a_study(slurm, tmp_path)
    keep_full_without = ("env", "JOBPOOL=/nowhere/jobpool", "jobpool", "submit", "pool")
    slurm.run(*keep_full_without, "--keep-full", "--jobs", "3", cwd=study.folder)
    ended(study)

    with pytest.raises(ClusterError, match="3 jobs could not start, the last on"):
        keep_full(study)

    assert "3 jobs could not start" in study.jobpool("status", "pool")
    assert "'/nowhere/jobpool' does not run on" in study.jobpool("errors", "pool")
    study.jobpool("release", "pool", "--starts")
    (study.folder / "go").touch()
    keep_full(study)
    ended(study)
    assert study.count(TaskState.DONE) == 6


def test_jobs_that_slurm_ends_before_their_script_are_told_by_the_next_submission(
    slurm: Cluster, tmp_path: Path
) -> None:
    passes = 'walltime: 30m, sbatch: ["--output=/nowhere/x.log"]'
    study = a_study(slurm, tmp_path, EXPERIMENT.replace("walltime: 30m", passes))
    keep_full(study)
    ended(study)
    for path in (study.pool / FOLDER).glob("*.sent"):
        os.utime(path, (time.time() - 120, time.time() - 120))

    with pytest.raises(ClusterError, match="ended before its script ran: FAILED"):
        keep_full(study)

    assert "3 jobs could not start" in study.jobpool("status", "pool")


def test_held_jobs_are_no_work_in_the_queue(slurm: Cluster, tmp_path: Path) -> None:
    study = a_study(slurm, tmp_path)
    keep_full(study)
    study.wait_until_running(3)
    first = {job.partition("_")[0] for job in jobs_of(study)}
    slurm.run("scontrol", "requeuehold", *first)
    reason = ("squeue", "--noheader", "--array", "--format=%r", "--name", study.job_name("first"))
    slurm.wait_for(lambda: slurm.run(*reason).count("held") == 3, "the jobs to be held")

    keep_full(study)
    shown = study.jobpool("plan", "pool")

    assert len(jobs_of(study)) == 6
    assert "not counted as in the queue: 3 jobs stuck, held after it was requeued" in shown
    study.jobpool("cancel", "pool")
    ended(study)


def test_a_pass_of_a_partition_that_is_down_waits_with_the_reason(
    slurm: Cluster, tmp_path: Path
) -> None:
    passes = "walltime: 30m, partition: long"
    study = a_study(slurm, tmp_path, EXPERIMENT.replace("walltime: 30m", passes))
    slurm.run("scontrol", "update", "partitionname=long", "state=drain")

    try:
        with pytest.raises(ClusterError, match="6 tasks for it: partition long is drained"):
            keep_full(study)
    finally:
        slurm.run("scontrol", "update", "partitionname=long", "state=up")

    assert jobs_of(study) == []


def test_a_hidden_partition_can_be_used(slurm: Cluster, tmp_path: Path) -> None:
    passes = "walltime: 30m, partition: long"
    study = a_study(slurm, tmp_path, EXPERIMENT.replace("walltime: 30m", passes))
    (study.folder / "go").touch()
    slurm.run("scontrol", "update", "partitionname=long", "hidden=yes")

    try:
        keep_full(study)
        slurm.wait_for(lambda: not Pool(study.pool).counts()[TaskState.WAITING], "all to be taken")
    finally:
        slurm.run("scontrol", "update", "partitionname=long", "hidden=no")
        ended(study)

    assert study.count(TaskState.DONE) == 6
