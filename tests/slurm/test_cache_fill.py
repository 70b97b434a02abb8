"""`jobpool cache fill --submit` on a real cluster: the jobs of one array share the reading."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from jobpool.admin.create import create_pool
from jobpool.experiment.config import load_experiment
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.scheduler.base import fill_name, job_prefix
from tests.slurm.cluster import Cluster, Job
from tests.support.places import CHECKOUT

pytestmark = pytest.mark.slurm

N, VERTICES = 700, 60  # three spans
CONFIG = {
    "runner": "evaluate",
    "seed": 1,
    "axes": {
        "parcellation": [{"glob": "*_labels.npy"}],
        "pipeline": ["elastic"],
        "target": ["age"],
    },
    "evaluate": {"maps": "maps.npy", "participants": "table.csv", "id": "id"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A pool, and the jobs that filled its cache."""

    pool: Path
    maps: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
    said: str
    jobs: tuple[Job, ...]


def make_study(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    np.save(folder / "maps.npy", rng.normal(size=(N, VERTICES)))
    np.save(folder / "coarse_labels.npy", np.arange(VERTICES) % 4)
    np.save(folder / "fine_labels.npy", np.arange(VERTICES) % 11)
    ids = [f"{one:03}" for one in range(N)]
    pd.DataFrame({"id": ids, "age": rng.normal(size=N)}).to_csv(folder / "table.csv")
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    experiment = load_experiment(file)
    runner = Evaluate(experiment)
    create_pool(folder / "pool", experiment, runner.task_grid(), runner.prepare, now=time.time())
    return folder / "pool"


@pytest.fixture(scope="module")
def filled(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("cache")
    pool = make_study(folder)
    words = ("cache", "fill", str(pool), "--submit", "--jobs", "20")
    before = {job.job_id for job in slurm.squeue()}
    said = slurm.run(sys.executable, "-m", "jobpool", *words, cwd=CHECKOUT)
    (array,) = {job.job_id.split("_")[0] for job in slurm.squeue() if job.job_id not in before}
    return Filled(
        pool=pool, maps=np.load(folder / "maps.npy"), said=said, jobs=slurm.wait_for_job(array)
    )


def test_no_more_jobs_than_spans_are_submitted(filled: Filled) -> None:
    name = fill_name(job_prefix(filled.pool, "study"))
    assert f"--job-name={name} --array=0-2 --cpus-per-task=1 --mem=4096M" in filled.said
    assert len(filled.jobs) == 3


def test_all_jobs_end_well(filled: Filled) -> None:
    assert {(job.state, job.exit_code) for job in filled.jobs} == {("COMPLETED", "0:0")}


def test_the_jobs_leave_a_full_cache(filled: Filled) -> None:
    files = [path for path in (filled.pool / "cache" / "roi").rglob("*") if path.is_file()]

    assert sorted(path.suffix for path in files) == [".json", ".json", ".npy", ".npy"]


def test_the_values_are_those_of_plain_numpy(filled: Filled) -> None:
    labels = np.arange(VERTICES) % 4
    expected = [filled.maps[:, labels == one].mean(axis=1) for one in (1, 2, 3)]

    matrices = [np.load(path) for path in (filled.pool / "cache" / "roi").rglob("*.npy")]

    (found,) = (one for one in matrices if one.shape == (N, 3))
    np.testing.assert_allclose(found, np.stack(expected, axis=1))


def test_each_job_has_its_log_in_the_pool(filled: Filled) -> None:
    logs = sorted((filled.pool / "logs").rglob("study-*.cache-*.log"))

    assert len(logs) == 3
    assert all("2 of 2 parcellations are there" in log.read_text() for log in logs)


def test_the_script_runs_as_it_stands(slurm: Cluster, tmp_path: Path) -> None:
    pool = make_study(tmp_path)
    script = str(CHECKOUT / "sbatch" / "cache_fill.sbatch")

    ended = slurm.wait_for_job(slurm.sbatch("--mem=1G", script, str(pool), cwd=CHECKOUT))

    assert {job.state for job in ended} == {"COMPLETED"}
    assert len(list((pool / "cache" / "roi").rglob("*.npy"))) == 2
