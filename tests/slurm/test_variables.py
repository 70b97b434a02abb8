"""The user's variables for SLURM's programs, and odd paths, on a real cluster."""

import sys
from pathlib import Path

import pytest

from jobpool.pool import Pool
from jobpool.task import TaskState
from tests.slurm.cluster import Cluster
from tests.support.builders import a_pool
from tests.support.places import CHECKOUT

pytestmark = pytest.mark.slurm

PASSES = "\npasses:\n  first: {cores: 1, memory_gb: 0.2, walltime: 30m}\n"
FILTERS = {
    **{f"SQUEUE_{name}": "nothing" for name in ("PARTITION", "NAMES", "ACCOUNT", "QOS", "USERS")},
    "SQUEUE_STATES": "CANCELLED",
    "SINFO_PARTITION": "nothing",
    "SLURM_TIME_FORMAT": "%H",
}
OPTIONS = {"SBATCH_SIGNAL": "B:TERM@75", "SBATCH_WAIT": "1", "SBATCH_NO_REQUEUE": "1"}


def submit(slurm: Cluster, pool: Path, *words: str, **variables: str) -> str:
    """Run `jobpool submit` as a user does who has such variables."""
    command = (sys.executable, "-m", "jobpool", "submit", str(pool), *words)
    settings = [f"{name}={value}" for name, value in variables.items()]
    return slurm.run("env", *settings, *command, cwd=CHECKOUT)


def a_pool_with_a_pass(folder: Path, call: str = "tests.support.tasks:nothing") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pool = a_pool(folder, n_tasks=2, call=call)
    with (pool / "experiment.yaml").open("a", encoding="utf-8") as file:
        file.write(PASSES)
    return pool


def jobs_of(slurm: Cluster, pool: Path) -> str:
    """Return what the controller knows of the jobs whose logs lie in a pool."""
    lines = slurm.run("scontrol", "show", "job", "--oneliner").splitlines()
    return "\n".join(line for line in lines if f"{pool}/logs" in line.replace("%%", "%"))


def test_filters_that_a_user_set_hide_no_job(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool_with_a_pass(tmp_path, "tests.support.tasks:sleeps")
    full = ("--keep-full", "--jobs", "2")

    submit(slurm, pool, *full, **FILTERS)
    again = submit(slurm, pool, *full, **FILTERS)

    job = jobs_of(slurm, pool).split()[0].removeprefix("JobId=")
    slurm.run("scancel", job)
    assert again == ""  # no further line of sbatch


def test_options_that_a_wrapper_set_reach_no_job(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool_with_a_pass(tmp_path, "tests.support.tasks:sleeps")

    submit(slurm, pool, "--pass", "first", **OPTIONS)

    job = jobs_of(slurm, pool)
    slurm.run("scancel", job.split()[0].removeprefix("JobId="))
    assert " Requeue=1 " in job


@pytest.mark.parametrize("name", ["100%j y", "a\\b"])
def test_a_path_with_signs_of_sbatchs_patterns_is_a_path(
    slurm: Cluster, tmp_path: Path, name: str
) -> None:
    pool = a_pool_with_a_pass(tmp_path / name)

    submit(slurm, pool, "--pass", "first")
    slurm.wait_for(lambda: Pool(pool).counts()[TaskState.DONE] == 2, "the pool to be empty")

    (log,) = (pool / "logs").rglob("*.log")
    assert log.parent.name == "0"
    assert [one.name for one in tmp_path.iterdir()] == [name]
