"""``jobpool doctor --nodes 2`` probes from two nodes of a real SLURM."""

import json
import sys
from pathlib import Path

import pytest

from jobpool.checks.probes.run import probe_on_two_nodes
from jobpool.checks.probes.talk import ProbeError
from jobpool.scheduler.slurm.scheduler import Slurm
from tests.slurm.cluster import Cluster
from tests.support.builders import a_pool

pytestmark = pytest.mark.slurm

JOBPOOL = str(Path(sys.executable).with_name("jobpool"))


def silent(line: str) -> None:
    """Show no progress."""


def test_doctor_probes_from_two_nodes(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path)

    said = slurm.run(JOBPOOL, "doctor", str(pool), "--nodes", "2", "--sbatch=-pshort", "--json")

    found = json.loads(said)
    assert {side["host"] for side in found["probes"]} == set(slurm.nodes)
    assert found["problems"] == 0
    assert list(pool.glob("probe-*")) == []


def test_two_tasks_on_one_node_are_no_answer(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    options = ("--nodes=1", "--ntasks-per-node=2")

    with pytest.raises(ProbeError, match="both tasks of job"):
        probe_on_two_nodes(
            pool, "flock", options, silent, scheduler=Slurm(lambda command: slurm.run(*command))
        )


def test_a_job_that_fails_says_why(slurm: Cluster, tmp_path: Path) -> None:
    pool = a_pool(tmp_path)

    with pytest.raises(ProbeError, match="ended without two reports"):
        probe_on_two_nodes(
            pool,
            "unheard-of",
            (),
            silent,
            scheduler=Slurm(lambda command: slurm.run(*command)),
            ask_every_s=2,
        )
