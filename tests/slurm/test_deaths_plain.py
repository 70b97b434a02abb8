"""Deaths on a cluster that keeps no accounts and limits memory by SLURM's own watch alone."""

import signal
from collections.abc import Iterator

import pytest

from jobpool.task import Cause, TaskState
from tests.slurm.cluster import Cluster
from tests.slurm.deaths import HUNG_S, Victim, new_victim

pytestmark = pytest.mark.slurm

LIMIT_MB = 1500
OPTIONS = {
    "greedy": (f"--mem={LIMIT_MB}",),
    "shot": ("--mem=300",),
    "displaced": ("--mem=300", "--requeue", "--cpus-per-task=16"),
    "working": ("--mem=300",),
    "stopped": ("--mem=300",),
}
MB = {"greedy": 1400}  # nearly all, for long enough to be noted; then too much


@pytest.fixture(scope="module")
def victims(
    slurm_without_accounting: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Victim]]:
    slurm, parent = slurm_without_accounting, tmp_path_factory.mktemp("plain")
    started = {}
    for name, options in OPTIONS.items():
        node = f"--nodelist={slurm.nodes[name == 'displaced']}"
        started[name] = new_victim(slurm, parent, name, node, *options, mb=MB.get(name, 0))
    yield started
    slurm.run("scancel", "--quiet", *(one.job for one in started.values()))


def test_a_job_that_slurm_kills_for_memory_as_a_whole_needs_more(
    victims: dict[str, Victim],
) -> None:
    victim = victims["greedy"]
    ended = victim.wait_for_job()

    log = victim.look()

    attempt, record = victim.attempt(), victim.record()
    assert (ended.state, ended.exit_code) == ("FAILED", "0:9")  # nobody was left to report
    assert "is dead; the task ended as memory" in log
    assert (record.cause, record.state, record.attempts) == (Cause.MEMORY, TaskState.WAITING, 1)
    assert record.memory_mb == pytest.approx(LIMIT_MB, rel=0.05)
    assert attempt.peak_memory_mb is not None
    assert attempt.peak_memory_mb > 0.9 * LIMIT_MB


def test_a_worker_that_is_shot_dead_needs_no_more_memory(victims: dict[str, Victim]) -> None:
    victim = victims["shot"]
    victim.study.wait_until_running()
    victim.signal(signal.SIGKILL)
    victim.wait_for_job()

    log = victim.look()

    record = victim.record()
    assert "is dead; the task ended as lost" in log
    assert (record.cause, record.state, record.attempts) == (Cause.LOST, TaskState.WAITING, 1)
    assert (record.memory_mb, record.core_s) == (None, None)


def test_a_job_that_gives_way_to_another_returns_its_task(victims: dict[str, Victim]) -> None:
    victim, slurm = victims["displaced"], victims["displaced"].study.slurm
    victim.study.wait_until_running()

    urgent = slurm.sbatch(
        *("--partition=urgent", "--mem=300", "--cpus-per-task=16"),
        *(f"--nodelist={slurm.nodes[1]}", "--wrap=sleep 1"),
    )
    slurm.wait_for(lambda: len(victim.attempts()) == 1, "the task to come back")
    slurm.wait_for_job(urgent)

    record = victim.record()
    assert victim.attempt().cause is Cause.PREEMPTED
    assert (record.cause, record.attempts) == (Cause.PREEMPTED, 0)
    assert (record.memory_mb, record.core_s) == (None, None)


def test_nobody_is_dead_while_the_controller_is_away(victims: dict[str, Victim]) -> None:
    working, stopped, slurm = victims["working"], victims["stopped"], victims["working"].study.slurm
    working.study.wait_until_running()
    stopped.freeze()
    slurm.stop_controller()
    stopped.wait_until_silent(HUNG_S)

    log_without = stopped.look()
    working.let_tasks_end()
    slurm.wait_for(lambda: working.record().state is TaskState.DONE, "the task to be done")
    slurm.start_controller()
    slurm.wait_for(lambda: bool(slurm.squeue()), "the controller to answer")
    log_with = stopped.look()

    assert "is dead" not in log_without
    assert working.attempt().cause is Cause.DONE
    assert "is dead; the task ended as lost" in log_with
    assert stopped.attempt().error == (
        f"the scheduler reports job {stopped.job} on {slurm.nodes[0]} as RUNNING, "
        "but the worker hangs or is stopped"
    )
