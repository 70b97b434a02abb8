"""On a real cluster: which job a worker is in, and its share of it, whatever it has inherited."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from jobpool.installation import asset
from jobpool.journal.jsonl import worker_files
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.task import TaskState
from tests.slurm.cluster import Cluster
from tests.support.builders import a_pool
from tests.support.places import CHECKOUT

pytestmark = pytest.mark.slurm

LOOK = """\
import json
from dataclasses import asdict
from jobpool.scheduler.slurm.scheduler import Slurm
slurm = Slurm()
job = slurm.own_job()
print(json.dumps({"job": job and asdict(job), **asdict(slurm.capacity())}))
"""
LOOKING = shlex.join([sys.executable, "-c", LOOK])


def look(slurm: Cluster, folder: Path, wrap: str, *options: str) -> list[dict[str, Any]]:
    """Return what each process of a job that prints it finds out about itself."""
    out = folder / "out"
    job = slurm.sbatch(f"--output={out}", *options, "--wrap", wrap, cwd=CHECKOUT)
    slurm.wait_for_job(job)
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_worker_in_a_job_in_an_array_has_its_own_job(slurm: Cluster, tmp_path: Path) -> None:
    pool, number = a_pool(tmp_path, n_tasks=1), tmp_path / "number"
    script = str(asset("sbatch/first_pass.sbatch"))
    inner = shlex.join(["sbatch", "--parsable", "--mem=500", script, str(pool)])

    slurm.sbatch("--array=3", "--output=/dev/null", "--wrap", f"{inner} > {number}", cwd=CHECKOUT)
    slurm.wait_for(lambda: Pool(pool).counts()[TaskState.DONE] == 1, "the task to be done")

    job = number.read_text().strip()
    (worker,) = [file.stem for file in worker_files(pool, "workers")]
    record = read_worker_record(pool, worker)
    assert record is not None
    assert record.job == job
    assert (pool / f"logs/0/first_pass-{job}.log").exists()


def test_the_processes_of_one_srun_share_their_job(slurm: Cluster, tmp_path: Path) -> None:
    found = look(slurm, tmp_path, f"srun {LOOKING}", "--ntasks=2", "--nodes=1", "--mem=400")

    assert [(one["cores"], one["memory_mb"]) for one in found] == [(1, 200), (1, 200)]


def test_a_job_without_memory_of_its_own_does_not_take_that_around_it(
    slurm: Cluster, tmp_path: Path
) -> None:
    inner = shlex.join(["sbatch", "--wait", "--output", str(tmp_path / "in"), "--wrap", LOOKING])
    slurm.wait_for_job(slurm.sbatch("--mem=100", "--output=/dev/null", "--wrap", inner))

    assert json.loads((tmp_path / "in").read_text())["memory_mb"] == 256  # of the partition


def test_variables_of_a_job_that_is_over_are_no_job(slurm: Cluster, tmp_path: Path) -> None:
    over = slurm.sbatch("--output=/dev/null", "--wrap", "true")
    slurm.wait_for_job(over)

    found = slurm.run("env", f"SLURM_JOB_ID={over}", "SLURM_MEM_PER_NODE=9", "bash", "-c", LOOKING)

    assert json.loads(found)["job"] is None
    assert json.loads(found)["memory_mb"] > 9
