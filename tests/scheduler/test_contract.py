"""A scheduler in memory and this machine keep the contract; SLURM is tried in tests/slurm."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool.errors import SchedulerError
from jobpool.experiment.config import Pass
from jobpool.scheduler.base import Order, Submission
from jobpool.scheduler.none import ThisMachine
from jobpool.scheduler.simulated import SimulatedScheduler
from tests.support.builders import a_pool
from tests.support.scheduler_contract import SchedulerContract, Site


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


class TestSimulated(SchedulerContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        scheduler = SimulatedScheduler()
        return Site(
            scheduler=scheduler,
            pool=a_pool(tmp_path, 2),
            unknown="999999",
            start=scheduler.start,
            settle=wait_until,
        )


class TestThisMachine(SchedulerContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        return Site(
            scheduler=ThisMachine(),
            pool=a_pool(tmp_path, 2, call="tests.support.tasks:sleeps"),
            unknown="1.999999",
            start=lambda _: None,
            settle=wait_until,
        )


def test_more_workers_than_fit_on_this_machine_are_refused(tmp_path: Path) -> None:
    size = Pass(name="first", cores=1, memory_gb=0.1, walltime_s=60)
    order = Order(size=size, jobs=100_000, pool=tmp_path, name="first", program="jobpool")

    with pytest.raises(SchedulerError, match="start fewer, or smaller ones: jobpool run"):
        ThisMachine().submissions(order, 1)


def test_a_program_that_is_not_there_is_named_with_what_was_started_before(tmp_path: Path) -> None:
    true, missing = (
        Submission(command=(program,), log_folder=tmp_path, name="first")
        for program in ("true", "/no/jobpool")
    )

    scheduler = ThisMachine()

    with pytest.raises(SchedulerError, match=r"(?s)/no/jobpool cannot be run.*before that: \d+\."):
        scheduler.submit([true, missing])

    wait_until(lambda: not scheduler.queued(tmp_path, "first"))
