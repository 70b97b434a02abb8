"""The main job, as a user does it: a pool, a loop of sbatch, a second pass, one table.

Each story is told once, in a fixture; the tests look at what it left behind, stage by stage.
"""

import csv
import json
import socket
from dataclasses import dataclass
from typing import Any

import pytest

from jobpool.journal.attempts import Attempt
from jobpool.pool import Pool
from jobpool.task import AnyCause, Cause, Point, TaskState
from tests.slurm.cluster import Cluster, Job
from tests.slurm.study import FIRST_PASS, SECOND_PASS, Study, new_study

pytestmark = pytest.mark.slurm

# a task takes as many MB as it has parcels: 400 do not fit into a job of the first pass
EXPERIMENT = """\
name: mystudy
runner: function
seed: 1
axes:
  pipeline: [elastic, svm]
  parcels: [7, 17, 400]
  target: [age, sex]
function:
  call: lab:fit
"""
ELASTIC = ("--only", "pipeline=elastic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one round of jobs did, and how the pool stood after it."""

    jobs: tuple[Job, ...]
    attempts: tuple[Attempt, ...]  # of these jobs
    tried: set[Point]
    done: set[Point]  # in the whole pool
    status: dict[str, Any]

    @property
    def job_ids(self) -> set[str]:
        return {job.job_id for job in self.jobs}

    def causes(self) -> set[AnyCause]:
        return {attempt.cause for attempt in self.attempts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A study from nothing to its table, in the order in which it happened."""

    study: Study
    first: Stage
    errors: str  # what `jobpool errors` said after the first pass
    second: Stage
    rest: Stage
    rows: list[dict[str, str]]


def work_off(study: Study, n_jobs: int, *words: str) -> Stage:
    """Submit the same line `n_jobs` times, as a loop in the shell does, and wait for the end."""
    before = study.attempts() if (study.pool / "attempts").exists() else ()
    jobs = study.wait_for_jobs(*[study.sbatch(*words) for _ in range(n_jobs)])
    attempts = tuple(one for one in study.attempts() if one not in before)
    return Stage(
        jobs=jobs,
        attempts=attempts,
        tried=study.points_of(attempts),
        done=study.points_in(TaskState.DONE),
        status=json.loads(study.jobpool("status", "pool", "--json")),
    )


def collect(study: Study) -> list[dict[str, str]]:
    study.jobpool("collect", "pool", "-o", "results.csv")
    with (study.folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def story(slurm_with_memory_limits: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The first pass and the second take one pipeline each time; a last job does the rest."""
    study = new_study(slurm_with_memory_limits, tmp_path_factory.mktemp("story"))
    study.make_pool(EXPERIMENT)
    large = ("--partition=long", "--mem=1G", SECOND_PASS, "pool")
    first = work_off(study, 3, "--mem=150M", FIRST_PASS, "pool", *ELASTIC)
    errors = study.jobpool("errors", "pool")
    second = work_off(study, 2, *large, *ELASTIC)
    rest = work_off(study, 1, *large)
    rows = collect(study)
    return Story(study=study, first=first, errors=errors, second=second, rest=rest, rows=rows)


def value_of(point: Point, axis: str) -> object:
    return dict(point)[axis]


def test_the_first_pass_touches_only_what_is_selected(story: Story) -> None:
    tried = story.first.tried

    assert {value_of(point, "pipeline") for point in tried} == {"elastic"}
    assert len(tried) == 6


def test_the_first_pass_does_what_fits_into_its_memory(story: Story) -> None:
    done = story.first.done

    assert {value_of(point, "parcels") for point in done} == {7, 17}
    assert len(done) == 4


def test_what_does_not_fit_returns_with_the_cause_memory(story: Story) -> None:
    failed = [one for one in story.first.attempts if one.cause is not Cause.DONE]

    assert {one.cause for one in failed} == {Cause.MEMORY}
    assert story.study.points_of(tuple(failed)) == story.first.tried - story.first.done


def test_a_worker_outlives_the_task_that_took_too_much_memory(story: Story) -> None:
    jobs = story.first.jobs

    # SLURM marks a job in which the kernel killed something, even if its script ended with 0
    assert {job.state for job in jobs} <= {"COMPLETED", "OUT_OF_MEMORY"}
    assert all("no task is left" in story.study.log_of(job.job_id) for job in jobs)


def test_status_tells_what_returned(story: Story) -> None:
    status = story.first.status
    (pipelines,) = [values for name, values in status["by"].items() if name == "pipeline"]

    assert (status["done"], status["returned"], status["running"]) == (4, 2, 0)
    assert [(one["value"], one["returned"], one["waiting"]) for one in pipelines] == [
        ("elastic", 2, 2),
        ("svm", 0, 6),
    ]


def test_errors_names_the_tasks_that_returned(story: Story) -> None:
    told = story.errors

    assert "the job's memory limit was reached" in told
    assert all(f"parcels=400 target={target}" in told for target in ("age", "sex"))


def test_the_second_pass_runs_exactly_what_returned(story: Story) -> None:
    returned = story.first.tried - story.first.done

    assert story.second.tried == returned
    assert len(story.second.attempts) == len(returned) == 2


def test_the_second_pass_finishes_what_it_runs(story: Story) -> None:
    assert story.second.causes() == {Cause.DONE}
    assert story.second.done == story.first.tried
    assert {job.state for job in story.second.jobs} == {"COMPLETED"}


def test_a_worker_without_a_selection_does_the_rest(story: Story) -> None:
    assert {value_of(point, "pipeline") for point in story.rest.tried} == {"svm"}
    assert story.rest.status["remaining"] == 0


def test_every_task_gives_one_row(story: Story) -> None:
    axes = [(row["pipeline"], int(row["parcels"]), row["target"]) for row in story.rows]

    grid = Pool(story.study.pool).grid
    points = [dict(grid.point(i)) for i in range(len(grid))]
    assert sorted(axes) == sorted((p["pipeline"], p["parcels"], p["target"]) for p in points)
    assert all(float(row["score"]) == 1 / int(row["parcels"]) for row in story.rows)


def test_every_job_has_one_log_in_the_pool(story: Story) -> None:
    first = {f"0/first_pass-{job}.log" for job in story.first.job_ids}
    second = {f"0/second_pass-{job}.log" for job in story.second.job_ids | story.rest.job_ids}

    assert story.study.logs() == first | second
    assert list(story.study.folder.glob("*.log")) == []


def test_an_attempt_names_its_job(story: Story) -> None:
    assert {one.job for one in story.first.attempts} <= story.first.job_ids
    assert {one.job for one in story.second.attempts} <= story.second.job_ids


def test_an_attempt_names_its_node(story: Story) -> None:
    known = {*story.study.slurm.nodes, socket.gethostname()}  # here both nodes are one host

    assert {one.node for one in story.first.attempts} <= known


def test_an_attempt_says_how_much_memory_it_had(story: Story) -> None:
    assert {one.memory_mb for one in story.first.attempts} == {150}
    assert {one.memory_mb for one in story.second.attempts} == {1024}


def test_doctor_finds_nothing_wrong_afterwards(story: Story) -> None:
    story.study.jobpool("doctor", "pool")  # ends with another code than 0 if it does

    assert Pool(story.study.pool).counts()[TaskState.DONE] == 12


@pytest.fixture(scope="module")
def starter(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, Stage, list[dict[str, str]]]:
    """The starter study as it is laid out, on its smallest parcellations."""
    study = new_study(slurm, tmp_path_factory.mktemp("starter"))
    study.jobpool("init", "study.yaml", "pool")
    stage = work_off(study, 1, "--mem=1G", FIRST_PASS, "pool", "--only", "parcels<=17")
    return study, stage, collect(study)


def test_the_starter_study_runs_where_it_is_told_to(
    starter: tuple[Study, Stage, list[dict[str, str]]],
) -> None:
    _, stage, _ = starter

    assert {value_of(point, "parcellation") for point in stage.tried} == {"yeo7", "yeo17"}
    assert stage.causes() == {Cause.DONE}


def test_the_starter_study_gives_scores(
    starter: tuple[Study, Stage, list[dict[str, str]]],
) -> None:
    _, _, rows = starter

    assert {row["parcellation"] for row in rows} == {"yeo7", "yeo17"}
    assert all(0.5 < float(row["roc_auc"]) < 1 for row in rows)
