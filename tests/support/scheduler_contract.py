"""What every scheduler promises: a class of tests, run on each of them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobpool.experiment.config import Pass
from jobpool.scheduler.base import Order, QueuedJob, Scheduler, job_prefix
from jobpool.scheduler.status import JobRun, JobStatus, Phase

PREFIX_NAME = "test"
SMALL = Pass(name="first", cores=1, memory_gb=0.2, walltime_s=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A scheduler with a pool whose tasks never end, and how to let its jobs go on."""

    scheduler: Scheduler
    pool: Path
    unknown: str  # the label of a job that there never was
    start: Callable[[str], None]  # lets the jobs of a batch run, and returns when they do
    settle: Callable[[Callable[[], bool]], None]  # waits until a condition holds

    @property
    def prefix(self) -> str:
        return job_prefix(self.pool, PREFIX_NAME)

    def submit(self) -> str:
        """Submit one job, and return the label of its batch."""
        order = Order(
            size=SMALL,
            jobs=1,
            pool=self.pool,
            name=f"{self.prefix}first",
            program=str(Path(sys.executable).with_name("jobpool")),
        )
        submissions = self.scheduler.submissions(order, self.scheduler.max_array_size())
        (batch,) = self.scheduler.submit(submissions)
        return batch

    def own(self) -> list[QueuedJob]:
        queued = self.scheduler.queued(self.pool, self.prefix)
        return [one for one in queued if one.name.startswith(self.prefix)]

    def batches(self) -> set[str]:
        """Return the batches that have jobs which wait or run, and are not being ended."""
        return {one.batch for one in self.own() if one.phase is not Phase.ENDING}

    def status(self, label: str) -> JobStatus:
        one = JobRun(label, 0)
        return self.scheduler.query([one], 30.0)[one]


class SchedulerContract:
    """Subclasses give a fixture `site`."""

    def test_no_job_to_ask_for_is_no_answer(self, site: Site) -> None:
        assert site.scheduler.query([], 30.0) == {}

    def test_a_job_that_there_never_was_is_unlisted(self, site: Site) -> None:
        assert site.status(site.unknown).phase is Phase.UNLISTED

    def test_a_small_job_is_refused_by_no_limit(self, site: Site) -> None:
        assert site.scheduler.limits().refusal(SMALL) is None

    def test_a_machine_with_a_scheduler_can_ask(self, site: Site) -> None:
        assert site.scheduler.is_available()

    def test_a_submitted_job_is_queued_until_it_is_cancelled(self, site: Site) -> None:
        batch = site.submit()
        (queued,) = site.own()

        site.start(batch)
        running = site.status(queued.label)
        site.scheduler.cancel([batch])
        site.settle(lambda: not site.batches())
        ended = site.status(queued.label)
        site.scheduler.cancel([batch])  # what has ended is no error

        assert queued.batch == batch
        assert (running.phase, running.is_over) == (Phase.RUNNING, False)
        assert ended.is_over or ended.phase is Phase.UNLISTED

    def test_a_job_beside_those_that_are_cancelled_is_left_alone(self, site: Site) -> None:
        batch, other = site.submit(), site.submit()
        site.start(other)

        site.scheduler.cancel([batch])
        site.settle(lambda: batch not in site.batches())
        left = site.batches()
        site.scheduler.cancel([other])
        site.settle(lambda: not site.batches())

        assert left == {other}
