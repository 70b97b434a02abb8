"""A job that cannot work here: it fails at once, its log says why, and no task was touched."""

from dataclasses import dataclass

import pytest

from jobpool.task import TaskState
from tests.slurm.cluster import Cluster, Job
from tests.slurm.study import FIRST_PASS, Study, new_study

pytestmark = pytest.mark.slurm

EXPERIMENT = """\
name: mystudy
runner: function
seed: 1
axes:
  number: [1, 2, 3]
  until: [study.yaml]
function:
  call: lab:waits
passes:
  first: {memory_gb: 0.5, walltime: 30m}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A job that has ended, and what its log says."""

    job: Job
    log: str


@pytest.fixture(scope="module")
def study(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = new_study(slurm, tmp_path_factory.mktemp("refusals"))
    study.make_pool(EXPERIMENT)
    return study


def refuse(study: Study, *words: str) -> Refused:
    (job,) = study.wait_for_jobs(study.sbatch(*words))
    return Refused(job=job, log=study.log_of(job.job_id))


def is_untouched(study: Study) -> bool:
    return study.attempts() == () and study.count(TaskState.WAITING) == 3


def test_a_job_without_the_program_says_what_to_set(study: Study) -> None:
    refused = refuse(study, "--export=ALL,JOBPOOL=/nowhere/jobpool", FIRST_PASS, "pool")

    assert (refused.job.state, refused.job.exit_code) == ("FAILED", "1:0")
    assert "'/nowhere/jobpool' does not run on" in refused.log
    assert "or export JOBPOOL=/path/bin/jobpool" in refused.log
    assert is_untouched(study)


def test_a_job_without_the_labs_module_names_it(study: Study) -> None:
    refused = refuse(study, "--export=ALL,PYTHONPATH=/nowhere", FIRST_PASS, "pool")

    assert (refused.job.state, refused.job.exit_code) == ("FAILED", "1:0")
    assert "'lab:waits': cannot be imported: No module named 'lab'" in refused.log
    assert "Traceback" not in refused.log
    assert is_untouched(study)


def test_a_job_with_a_wrong_selection_says_what_is_right(study: Study) -> None:
    refused = refuse(study, FIRST_PASS, "pool", "--only", "numbr=1")

    assert (refused.job.state, refused.job.exit_code) == ("FAILED", "1:0")
    assert "did you mean 'number'" in refused.log
    assert is_untouched(study)


def test_a_job_without_a_pool_says_where_it_looked(study: Study) -> None:
    (job,) = study.wait_for_jobs(study.sbatch(FIRST_PASS, "pol"))

    log = study.folder / f"jobpool-{job.job_id}.log"  # there is no pool for it to be moved into
    assert job.exit_code == "1:0"
    assert f"no pool at 'pol', seen from {study.folder}" in log.read_text(encoding="utf-8")


def test_submit_sends_jobs_to_the_program_that_is_asked_for(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBPOOL", "/nowhere/jobpool")

    _, array = study.submit("--pass", "first")
    (job,) = study.wait_for_jobs(array)

    assert job.exit_code == "1:0"
    log = study.log_of(f"{array}_0", study.job_name("first"))
    assert "'/nowhere/jobpool' does not run on" in log
    assert is_untouched(study)


def test_a_job_too_small_for_the_program_says_that_memory_lacked(
    slurm_with_memory_limits: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    study = new_study(slurm_with_memory_limits, tmp_path_factory.mktemp("small"))
    study.jobpool("init", "study.yaml", "pool")

    refused = refuse(study, "--mem=90M", FIRST_PASS, "pool")

    assert study.attempts() == ()
    assert (refused.job.state, refused.job.exit_code) == ("OUT_OF_MEMORY", "0:125")
    assert "too little memory to start the task process; request more" in refused.log
    assert "out-of-memory" in refused.log
