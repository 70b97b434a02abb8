"""A real SLURM keeps the contract of all schedulers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from jobpool.errors import SchedulerError
from jobpool.scheduler.slurm.scheduler import Slurm
from jobpool.scheduler.status import JobRun, Phase
from tests.slurm.cluster import Cluster, ClusterError
from tests.support.builders import a_pool
from tests.support.scheduler_contract import SchedulerContract, Site

pytestmark = pytest.mark.slurm


class TestSlurm(SchedulerContract):
    @pytest.fixture
    def site(self, slurm: Cluster, tmp_path: Path) -> Site:
        def run(command: Sequence[str]) -> str:
            try:
                return slurm.run(*command)
            except ClusterError as error:
                raise SchedulerError(str(error)) from error

        scheduler = Slurm(run)

        def runs(batch: str) -> bool:
            one = JobRun(f"{batch}_0", 0)
            return scheduler.query([one])[one].phase is Phase.RUNNING

        def settle(condition: Callable[[], bool]) -> None:
            slurm.wait_for(condition, "the jobs to settle")

        return Site(
            scheduler=scheduler,
            pool=a_pool(tmp_path, 2, call="tests.support.tasks:sleeps"),
            unknown="999999",
            start=lambda batch: settle(lambda: runs(batch)),
            settle=settle,
        )
