"""`jobpool submit` on a real cluster: a throttled array on both nodes, shown before it is sent."""

import shlex
from dataclasses import dataclass

import pytest

from jobpool.task import TaskState
from tests.slurm.cluster import Cluster, Job
from tests.slurm.study import Study, new_study

pytestmark = pytest.mark.slurm

N_JOBS = 8
AT_ONCE = 4
# with 8 of a node's 16 cores each, 4 jobs at once need both nodes
EXPERIMENT = f"""\
name: mystudy
runner: function
seed: 1
axes:
  number: {{from: 1, to: 24}}
  until: [go]
function:
  call: lab:waits
passes:
  first:
    cores: 8
    memory_gb: 0.5
    walltime: 30m
    max_running: {AT_ONCE}
"""
WORDS = ("--pass", "first", "--jobs", str(N_JOBS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What was shown, what was sent, and what became of it."""

    study: Study
    shown: str
    sent: str
    array: str
    at_once: tuple[Job, ...]  # what ran while the first tasks waited
    ended: tuple[Job, ...]


@pytest.fixture(scope="module")
def submitted(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    study = new_study(slurm, tmp_path_factory.mktemp("submit"))
    study.make_pool(EXPERIMENT)
    shown = study.jobpool("submit", "pool", *WORDS, "--dry-run")
    sent, array = study.submit(*WORDS)
    study.wait_until_running(AT_ONCE)
    at_once = tuple(one for one in slurm.squeue("--jobs", array) if one.state == "RUNNING")
    (study.folder / "go").touch()
    return Submitted(
        study=study,
        shown=shown,
        sent=sent,
        array=array,
        at_once=at_once,
        ended=study.wait_for_jobs(array),
    )


def test_what_is_shown_is_what_is_sent(submitted: Submitted) -> None:
    assert submitted.shown == submitted.sent


def test_slurm_was_given_the_line_that_was_shown(submitted: Submitted) -> None:
    slurm, array = submitted.study.slurm, submitted.array
    ask = ("sacct", "--noheader", "--parsable2", "--allocations", "--format=SubmitLine")

    given = slurm.run(*ask, f"--jobs={array}_0").strip()

    assert given == " ".join(shlex.split(submitted.shown))


def test_no_more_jobs_run_at_once_than_the_pass_allows(submitted: Submitted) -> None:
    assert len(submitted.at_once) == AT_ONCE


def test_the_jobs_run_on_both_nodes(submitted: Submitted) -> None:
    assert {job.node for job in submitted.at_once} == set(submitted.study.slurm.nodes)


def test_the_pool_is_empty_when_the_array_has_ended(submitted: Submitted) -> None:
    assert submitted.study.count(TaskState.DONE) == 24
    assert {job.state for job in submitted.ended} == {"COMPLETED"}


def test_each_worker_of_the_array_has_its_own_log(submitted: Submitted) -> None:
    name = submitted.study.job_name("first")
    names = {f"0/{name}-{submitted.array}_{i}.log" for i in range(N_JOBS)}

    assert submitted.study.logs() == names


def test_an_attempt_names_its_task_of_the_array(submitted: Submitted) -> None:
    places = {one.job for one in submitted.study.attempts()}

    assert places <= {f"{submitted.array}_{i}" for i in range(N_JOBS)}
    assert len(places) >= AT_ONCE
