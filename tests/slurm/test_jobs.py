"""In real jobs: what a worker finds out about its job, and the scripts that start it."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jobpool.installation import asset
from jobpool.journal.attempts import all_attempts
from jobpool.pool import Pool
from jobpool.scheduler.base import job_prefix
from jobpool.task import Cause, TaskState
from tests.slurm.cluster import Cluster, Job
from tests.support.builders import a_pool
from tests.support.places import CHECKOUT

pytestmark = pytest.mark.slurm

LOOK = """\
import json, subprocess, sys
from dataclasses import asdict
from jobpool.scheduler.slurm.environment import oom_kills, read_capacity, read_job
before = oom_kills()
hungry = [sys.executable, "-c", "x = bytearray(600 << 20)"]
code = subprocess.run(hungry).returncode if "hungry" in sys.argv else 0
found = {"job": asdict(read_job()), "capacity": asdict(read_capacity()), "code": code}
print(json.dumps(found | {"kills": [before, oom_kills()]}))
"""
PASSES = "\npasses:\n  first: {cores: 2, memory_gb: 0.5, walltime: 30m, max_running: 2}\n"


def look_inside(slurm: Cluster, folder: Path, *options: str, hungry: str = "") -> dict[str, Any]:
    """Return what a job finds out about itself."""
    out = folder / "out"
    look = shlex.join([sys.executable, "-c", LOOK, hungry])
    job = slurm.sbatch(f"--output={out}", *options, "--wrap", look, cwd=CHECKOUT)
    slurm.wait_for_job(job)
    found: dict[str, Any] = json.loads(out.read_text().splitlines()[0])
    assert found["job"]["label"].partition("_")[0] == job
    return found


def logs_of(pool: Path) -> set[str]:
    return {str(file.relative_to(pool / "logs")) for file in pool.glob("logs/**/*.log")}


def states_of(jobs: tuple[Job, ...]) -> set[str]:
    return {job.state for job in jobs}


def test_a_job_finds_the_memory_that_it_asked_for(slurm: Cluster, tmp_path: Path) -> None:
    found = look_inside(slurm, tmp_path, "--mem=300")

    assert found["capacity"]["memory_mb"] == 300


def test_a_job_finds_the_time_that_it_has_left(slurm: Cluster, tmp_path: Path) -> None:
    before = time.time()

    found = look_inside(slurm, tmp_path, "--time=30")

    assert before < found["capacity"]["end"] < time.time() + 30 * 60


def test_a_job_has_the_cores_that_it_asked_for(slurm: Cluster, tmp_path: Path) -> None:
    found = look_inside(slurm, tmp_path, "--cpus-per-task=1")

    assert found["capacity"]["cores"] == 1


def test_a_task_of_an_array_knows_its_place(slurm: Cluster, tmp_path: Path) -> None:
    job = look_inside(slurm, tmp_path, "--array=7")["job"]

    assert job["cluster"] == slurm.name
    assert job["label"].endswith("_7")
    assert job["node"] in slurm.nodes


def test_the_kernels_kill_is_counted_inside_the_job(
    slurm_with_memory_limits: Cluster, tmp_path: Path
) -> None:
    found = look_inside(slurm_with_memory_limits, tmp_path, "--mem=200", hungry="hungry")

    assert found["code"] == -9
    assert found["kills"] == [0, 1]


def test_a_step_of_the_task_that_is_killed_for_memory_is_lack_of_memory(
    slurm_with_memory_limits: Cluster, tmp_path: Path
) -> None:
    slurm = slurm_with_memory_limits
    pool = a_pool(tmp_path, n_tasks=1, call="tests.support.tasks:runs_a_large_step")

    slurm.wait_for_job(
        slurm.sbatch(str(asset("sbatch/first_pass.sbatch")), str(pool), cwd=CHECKOUT)
    )

    assert [one.cause for one in all_attempts(pool)] == [Cause.MEMORY]


def test_a_script_submitted_in_a_loop_empties_the_pool(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path, n_tasks=20)
    script = str(asset("sbatch/first_pass.sbatch"))

    first, second = (slurm.sbatch("--mem=1G", script, str(pool), cwd=CHECKOUT) for _ in range(2))
    ended = slurm.wait_for_job(first) + slurm.wait_for_job(second)

    assert states_of(ended) == {"COMPLETED"}
    assert Pool(pool).counts()[TaskState.DONE] == 20
    assert logs_of(pool) == {f"0/first_pass-{job}.log" for job in (first, second)}
    assert list(CHECKOUT.glob("jobpool-*.log")) == []


def test_the_second_pass_runs_as_it_stands(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path, n_tasks=2)
    script = str(asset("sbatch/second_pass.sbatch"))

    ended = slurm.wait_for_job(slurm.sbatch("-p", "long", script, str(pool), cwd=CHECKOUT))

    assert states_of(ended) == {"COMPLETED"}
    assert Pool(pool).counts()[TaskState.DONE] == 2


def test_submit_starts_a_throttled_array(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path, n_tasks=3)
    with (pool / "experiment.yaml").open("a", encoding="utf-8") as file:
        file.write(PASSES)

    submit = ("-m", "jobpool", "submit", str(pool), "--pass", "first", "--jobs", "3")
    line = slurm.run(sys.executable, *submit, cwd=CHECKOUT)
    slurm.wait_for(lambda: Pool(pool).counts()[TaskState.DONE] == 3, "the pool to be empty")

    job = max(int(one.job_id.split("_")[0]) for one in slurm.squeue())
    assert "--array=0-2%2" in line
    assert states_of(slurm.wait_for_job(str(job))) == {"COMPLETED"}
    name = f"{job_prefix(pool, 'test')}first"
    assert logs_of(pool) == {f"0/{name}-{job}_{i}.log" for i in range(3)}


def test_a_worker_that_slurm_warns_returns_its_task(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path, n_tasks=1, call="tests.support.tasks:sleeps")
    job = slurm.sbatch(str(asset("sbatch/first_pass.sbatch")), str(pool), cwd=CHECKOUT)
    slurm.wait_for(lambda: Pool(pool).counts()[TaskState.RUNNING] == 1, "the task to run")

    slurm.run("scancel", "--batch", "--signal=USR1", job)
    ended = slurm.wait_for_job(job)

    assert states_of(ended) == {"COMPLETED"}
    assert Pool(pool).counts()[TaskState.WAITING] == 1


def test_a_job_without_jobpool_fails_with_a_line_in_the_pool(
    slurm: Cluster, tmp_path: Path
) -> None:
    pool = a_pool(tmp_path, n_tasks=1)
    script = str(asset("sbatch/first_pass.sbatch"))

    job = slurm.sbatch("--export=ALL,JOBPOOL=/no/such/jobpool", script, str(pool))
    ended = slurm.wait_for_job(job)

    assert [(one.state, one.exit_code) for one in ended] == [("FAILED", "1:0")]
    assert "'/no/such/jobpool' does not run on" in (
        (pool / f"logs/0/first_pass-{job}.log").read_text()
    )
