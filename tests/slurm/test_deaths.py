"""Every way in which a job can die: the right cause, the right bound, and the task free again.

The cluster limits memory by cgroups and keeps accounts; `test_deaths_plain.py` has one without.
"""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobpool.task import AnyCause, Cause, TaskState
from tests.slurm.cluster import Cluster
from tests.slurm.deaths import HUNG_S, Victim, new_victim, stand_in

pytestmark = pytest.mark.slurm

OPTIONS = {
    "greedy": ("--mem=400",),
    "limited": ("--mem=300", "--time=1"),
    "warned": ("--mem=300", "--time=1", "--signal=B:USR1@30"),
    "deaf": ("--mem=300", "--time=1", "--cpus-per-task=2"),
    "shot": ("--mem=300",),
    "requeued": ("--mem=300", "--requeue"),
    "stopped": ("--mem=300",),
    "unheard": ("--mem=300",),
}
MB = {"greedy": 1000}
# it is not told of its end, neither by squeue at its start (there is none) nor by a signal then
BEFORE = {"deaf": f"env --block-signal=TERM PATH={Path(sys.executable).parent}"}


@pytest.fixture(scope="module")
def victims(
    slurm_with_memory_limits: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Victim]]:
    """Start one job for each test at once: a time limit takes its time."""
    slurm, parent = slurm_with_memory_limits, tmp_path_factory.mktemp("deaths")
    started = {
        name: new_victim(
            slurm, parent, name, *options, mb=MB.get(name, 0), before=BEFORE.get(name, "")
        )
        for name, options in OPTIONS.items()
    }
    yield started
    slurm.run("scancel", "--quiet", *(one.job for one in started.values()))


def end_of(victim: Victim) -> tuple[AnyCause, TaskState, int]:
    """Return the cause of the only attempt, the task's state, and what counts against it."""
    record = victim.record()
    assert record.cause is victim.attempt().cause
    return victim.attempt().cause, record.state, record.attempts


def test_a_task_that_the_kernel_kills_for_memory_needs_more(victims: dict[str, Victim]) -> None:
    victim = victims["greedy"]

    ended = victim.wait_for_job()

    attempt, record = victim.attempt(), victim.record()
    assert (ended.state, ended.exit_code) == ("OUT_OF_MEMORY", "0:125")
    assert end_of(victim) == (Cause.MEMORY, TaskState.WAITING, 1)
    assert attempt.found_by is None  # its worker lived to tell
    assert record.memory_mb == pytest.approx(400, rel=0.05)
    assert record.core_s is None


def test_a_worker_that_is_shot_dead_loses_its_task(victims: dict[str, Victim]) -> None:
    victim = victims["shot"]
    victim.study.wait_until_running()
    victim.study.slurm.run("scancel", "--batch", "--signal=KILL", victim.job)
    ended = victim.wait_for_job()

    log = victim.look()

    assert (ended.state, ended.exit_code) == ("FAILED", "0:9")
    assert end_of(victim) == (Cause.LOST, TaskState.WAITING, 1)
    assert "is dead; the task ended as lost" in log
    assert victim.attempt().error == (
        f"the scheduler reports job {victim.job} on {ended.node} as FAILED by signal 9"
    )
    assert (victim.record().memory_mb, victim.record().core_s) == (None, None)


def test_a_requeued_job_gives_its_task_back(victims: dict[str, Victim]) -> None:
    victim = victims["requeued"]
    victim.study.wait_until_running()

    victim.study.slurm.run("scontrol", "requeue", victim.job)
    victim.study.slurm.wait_for(lambda: len(victim.attempts()) == 1, "the task to come back")

    assert end_of(victim) == (Cause.PREEMPTED, TaskState.WAITING, 0)
    assert victim.attempt().found_by is None  # SLURM told the worker while it was being stopped


def test_a_stopped_worker_cannot_overwrite_its_successor(victims: dict[str, Victim]) -> None:
    victim = victims["stopped"]
    victim.freeze()
    victim.wait_until_silent(HUNG_S)

    log = victim.look()
    lost = end_of(victim)
    victim.let_tasks_end()
    victim.study.jobpool("work", "pool")
    victim.signal(signal.SIGCONT)
    victim.wait_for_job()

    own, successor = victim.attempts()
    assert "is dead; the task ended as lost" in log
    assert lost == (Cause.LOST, TaskState.WAITING, 1)
    assert {own.cause, successor.cause} == {Cause.DONE}  # its own word, not the finder's
    assert victim.record().fence == 2
    assert "2 rows in" in victim.study.run("sh", "-c", "jobpool collect pool -o all.csv 2>&1")


def test_nobody_is_dead_while_squeue_hangs(victims: dict[str, Victim]) -> None:
    victim = victims["unheard"]
    hangs = stand_in(victim.study, "squeue", '[ "$1" = --version ] || exec sleep 600')
    victim.freeze()
    victim.wait_until_silent(HUNG_S)

    log = victim.look("env", hangs)

    assert "is dead" not in log
    assert (victim.attempts(), victim.record().state) == ((), TaskState.RUNNING)


@pytest.mark.parametrize("name", ["limited", "warned"])
def test_a_job_at_its_time_limit_gives_its_task_back(victims: dict[str, Victim], name: str) -> None:
    victim = victims[name]

    ended = victim.wait_for_job()

    assert ended.state == "COMPLETED"  # it left before SLURM's KILL
    assert end_of(victim) == (Cause.TIME, TaskState.WAITING, 1)
    assert victim.attempt().found_by is None
    assert 30 < (victim.record().core_s or 0) < 90
    assert victim.record().memory_mb is None


def test_a_worker_that_hears_nothing_dies_at_the_time_limit(victims: dict[str, Victim]) -> None:
    victim = victims["deaf"]
    ended = victim.wait_for_job()

    log = victim.look()

    assert ended.state == "TIMEOUT"
    assert end_of(victim) == (Cause.TIME, TaskState.WAITING, 1)
    assert "is dead; the task ended as time" in log
    said = f"the scheduler reports job {victim.job} on {ended.node} as TIMEOUT"
    assert victim.attempt().error == said
    # two cores from the claim to the end, which SLURM may bring late; bounds are rounded up
    given_s = 2 * (victim.attempt().seconds or 0)
    assert 60 < (victim.record().core_s or 0) < 1.2 * given_s
