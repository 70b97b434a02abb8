"""The cluster that the other tests stand on does what a real one does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, ClusterError
from tests.slurm.machine import CGROUPS, processes_with
from tests.support.places import CHECKOUT

pytestmark = pytest.mark.slurm

HUNGRY = f"{sys.executable} -c 'x = bytearray(600 << 20)'"
LISTENING = """\
#!/usr/bin/env bash
trap 'echo got USR1; exit 0' USR1
echo ready
while :; do sleep 0.1; done
"""
KEEP_A_CLUSTER = """\
import sys, time
from pathlib import Path
from tests.slurm.cluster import Cluster
Cluster(Path(sys.argv[1]), None).start()
print("up", flush=True)
time.sleep(600)
"""


class ClusterWithoutNodes(Cluster):
    """A cluster whose start fails when most of it is up."""

    def start_node(self, node: str) -> None:
        raise ClusterError(f"{node} has no power")


def processes_of(folder: Path) -> list[int]:
    return list(processes_with(f"SLURM_CONF={folder / 'slurm.conf'}"))


def is_running(cluster: Cluster, job: str) -> bool:
    return [one.state for one in cluster.squeue("--jobs", job)] == ["RUNNING"]


def test_both_nodes_are_idle(slurm: Cluster) -> None:
    states = slurm.run("sinfo", "--noheader", "-N", "-p", "short", "-o", "%N %T")

    assert states.splitlines() == [f"{node} idle" for node in slurm.nodes]


def test_every_task_of_an_array_runs(slurm: Cluster, tmp_path: Path) -> None:
    array = slurm.sbatch(
        "--array=0-7%4", f"--output={tmp_path}/%a", "--wrap", "echo $SLURM_ARRAY_TASK_ID"
    )

    tasks = slurm.wait_for_job(array)

    assert {task.job_id for task in tasks} == {f"{array}_{i}" for i in range(8)}
    assert {task.state for task in tasks} == {"COMPLETED"}
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == [f"{i}\n" for i in range(8)]


def test_accounting_knows_every_task_of_an_array(slurm: Cluster) -> None:
    array = slurm.sbatch("--array=0-1", "--wrap", "exit $SLURM_ARRAY_TASK_ID")

    slurm.wait_for_job(array)

    expected = {f"{array}_0": "COMPLETED", f"{array}_1": "FAILED"}
    slurm.wait_for(lambda: slurm.sacct(array, "--allocations") == expected, "accounting to know")


def test_jobs_run_on_both_nodes(slurm: Cluster, tmp_path: Path) -> None:
    job = slurm.sbatch("-N2", f"--output={tmp_path}/out", "--wrap", "srun printenv SLURMD_NODENAME")

    slurm.wait_for_job(job)

    assert sorted((tmp_path / "out").read_text().split()) == list(slurm.nodes)


def test_the_kernel_kills_only_the_child_that_takes_too_much_memory(
    slurm_with_memory_limits: Cluster, tmp_path: Path
) -> None:
    slurm = slurm_with_memory_limits
    job = slurm.sbatch(
        "--mem=200", f"--output={tmp_path}/out", "--wrap", f"{HUNGRY}; echo child ended with $?"
    )

    ended = slurm.wait_for_job(job)

    assert "child ended with 137" in (tmp_path / "out").read_text()
    assert [(one.state, one.exit_code) for one in ended] == [("OUT_OF_MEMORY", "0:125")]


def test_a_job_within_its_memory_completes(slurm: Cluster) -> None:
    job = slurm.sbatch("--mem=1000", "--wrap", HUNGRY)

    ended = slurm.wait_for_job(job)

    assert [one.state for one in ended] == ["COMPLETED"]


def test_the_batch_script_hears_the_signal_it_asked_for(slurm: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # SLURM may send it up to a minute early; 60 s before the end of one minute is at once
    job = slurm.sbatch("--signal=B:USR1@60", "--time=1", f"--output={out}", script=LISTENING)

    ended = slurm.wait_for_job(job)

    assert out.read_text().splitlines()[:2] == ["ready", "got USR1"]
    assert [one.state for one in ended] == ["COMPLETED"]


def test_a_job_is_requeued_when_its_node_loses_power(slurm: Cluster, tmp_path: Path) -> None:
    node = slurm.nodes[1]
    out = tmp_path / "out"
    run = 'echo ${SLURM_RESTART_COUNT:-0}; test -n "$SLURM_RESTART_COUNT" || sleep 600'
    slurm.sbatch("--requeue", "-w", node, f"--output={out}", "--open-mode=append", "--wrap", run)
    slurm.wait_for(lambda: out.exists() and out.read_text() == "0\n", "the job to run")

    slurm.kill_node(node)
    slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=power")
    slurm.start_node(node)

    slurm.wait_for(lambda: out.read_text() == "0\n1\n", "the job to run again")


def test_a_second_cluster_leaves_the_first_alone(slurm: Cluster, cluster_folder: Path) -> None:
    second = Cluster(cluster_folder, slurm.memory_plugin)
    job = slurm.sbatch("--wrap", "sleep 600")
    slurm.wait_for(lambda: is_running(slurm, job), "the first cluster's job to run")

    second.start()
    same_id = second.sbatch("--wrap", "true")
    ended = second.wait_for_job(same_id)
    second.stop()

    assert [one.state for one in ended] == ["COMPLETED"]
    assert is_running(slurm, job)
    slurm.run("scancel", job)


def test_nothing_is_left_of_a_stopped_cluster(slurm: Cluster, cluster_folder: Path) -> None:
    cluster = Cluster(cluster_folder, slurm.memory_plugin)
    cluster.start()
    job = cluster.sbatch("--wrap", "setsid sleep 600 & sleep 600")
    cluster.wait_for(lambda: is_running(cluster, job), "the job to run")

    cluster.stop()

    assert processes_of(cluster_folder) == []
    assert list(CGROUPS.glob(f"*/*{cluster.name}*")) == []


def test_a_cluster_with_a_suspended_job_stops(slurm: Cluster, cluster_folder: Path) -> None:
    cluster = Cluster(cluster_folder, slurm.memory_plugin)
    cluster.start()
    job = cluster.sbatch("--wrap", "sleep 600")
    cluster.wait_for(lambda: is_running(cluster, job), "the job to run")
    cluster.run("scontrol", "suspend", job)

    cluster.stop()

    assert processes_of(cluster_folder) == []


def test_nothing_is_left_of_a_start_that_fails_half_way(
    slurm: Cluster, cluster_folder: Path
) -> None:
    cluster = ClusterWithoutNodes(cluster_folder, slurm.memory_plugin)

    with pytest.raises(ClusterError, match="has no power"):
        cluster.start()

    assert processes_of(cluster_folder) == []


def test_the_daemons_end_when_the_tests_are_killed(slurm: Cluster, cluster_folder: Path) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", KEEP_A_CLUSTER, str(cluster_folder)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with tests:
        assert tests.stdout is not None
        assert tests.stdout.readline() == "up\n"

        os.kill(tests.pid, signal.SIGKILL)

    slurm.wait_for(lambda: processes_of(cluster_folder) == [], "the daemons to end")


def test_an_error_of_the_cluster_shows_what_its_daemons_said(slurm: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"waited for a miracle(?s:.*)slurmctld \| "):
        slurm.wait_for(lambda: False, "a miracle", timeout_s=0)
