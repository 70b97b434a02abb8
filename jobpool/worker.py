"""The worker: what a job runs. It pulls tasks until none fits, or until it is stopped.

    workers/xx/ID.json     its record; touched every few seconds while it is alive
    workers/xx/ID.use      the memory mark of its task, for the worker that finds it dead

For each task: run it in the child, write the result, write the attempt, then end the task and
claim the next in one transaction. In whichever of these steps it dies, nothing is lost: the next
worker that looks for dead ones finds a result without an end.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from jobpool.disk.causes import cause_in_text
from jobpool.disk.inside import remove_folder
from jobpool.disk.waiting import LONG_S, Watch
from jobpool.errors import StartError, StorageError
from jobpool.execution.attempt import AttemptRunner
from jobpool.execution.claiming import ClaimResult, Puller
from jobpool.execution.health import FailureMonitor
from jobpool.execution.matching import TaskMatcher
from jobpool.execution.patience import Patience
from jobpool.execution.supervisor import Outcome, StopSignals, Supervisor
from jobpool.execution.surroundings import Surroundings
from jobpool.journal.workers import WorkerRecord
from jobpool.liveness.heartbeat import Heartbeat
from jobpool.liveness.reaper import Reaper
from jobpool.liveness.waits import WaitReport
from jobpool.pool import Ending, Pool
from jobpool.table.selection import select
from jobpool.task import Cause, Claim

REAPERS = 64  # with more workers, each looks for dead ones less often


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a worker stops by itself."""

    max_tasks: int | None = None
    stop_after_s: float | None = None  # takes no new task after so many seconds


@dataclass(slots=True)
class Summary:
    """What a worker did, and why it left."""

    causes: dict[Cause, int] = field(default_factory=dict)
    reason: str = ""

    @property
    def n_tasks(self) -> int:
        """Return how many tasks it ran."""
        return sum(self.causes.values())

    def count(self, cause: Cause) -> None:
        """Count an attempt."""
        self.causes[cause] = self.causes.get(cause, 0) + 1


class Worker:
    """Pulls tasks from a pool and runs them, one after the other.

    Parameters
    ----------
    pool : Pool
        Opened with the worker's number.
    worker_record : WorkerRecord
        What the worker says of itself.
    make_supervisor : callable
        Given the function that sends a heartbeat, returns the supervisor that runs the tasks.
    signals : StopSignals
        Make the worker leave.
    rng : random.Random
        Draws the tasks.
    report : callable
        Takes a line for the log.
    """

    def __init__(
        self,
        pool: Pool,
        worker_record: WorkerRecord,
        make_supervisor: Callable[[Callable[[], object]], Supervisor],
        *,
        signals: StopSignals,
        rng: random.Random,
        report: Callable[[str], None],
    ) -> None:
        self._pool, self._worker_record, self._rng = pool, worker_record, rng
        self._signals, self._report = signals, report
        self._heartbeat = Heartbeat(pool, self._peak_memory, report, self._end_of_job)
        self._supervisor = make_supervisor(self._heartbeat.beat)
        self._reaper = Reaper(pool, worker_record)
        self._matcher = TaskMatcher(pool, worker_record, self._supervisor.job_end)
        self._failures = FailureMonitor(
            pool.folder, worker_record.node or worker_record.host, now=pool.now
        )
        self._surroundings = Surroundings()
        self._disk = Patience(signals, self._heartbeat.beat, pool.info.heartbeat_s, report)
        self._attempts = AttemptRunner(
            pool,
            worker_record,
            self._supervisor,
            refine=self._refine,
            report=report,
            outlast=self._disk.outlast,
        )
        self._failed: set[int] = set()
        self._reaped_at = 0.0

    def work(self, limits: Limits, started: Callable[[], object] = lambda: None) -> Summary:
        """Run tasks until none is left, a limit is reached, or a signal comes.

        Parameters
        ----------
        limits : Limits
            When to leave before that.
        started : callable
            Called once, when tasks can be run here.

        Raises
        ------
        StartError
            If tasks cannot be run here; none was claimed.
        SurroundingsGoneError
            If Python or the folder for temporary files was removed.
        SelectionError
            If the worker's selection does not fit the pool.
        StorageError
            If the disk keeps refusing writes; the running task was returned if possible.
        """
        puller = self._make_puller()
        summary = Summary(reason=self._failures.why_not_start())
        self._disk.record = self._heartbeat.start(self._worker_record)
        waits = WaitReport(self._pool, self._report, self._heartbeat.beat)
        long_s = min(LONG_S, self._pool.info.heartbeat_s)
        with Watch(self._pool.waiting, waits.waits, waits.got, long_s=long_s):
            try:
                self._pull(puller, summary, limits, started)
            except (StartError, ImportError, OSError):
                self._surroundings.check()  # the reason behind it, if that is gone
                raise
        return summary

    def _pull(
        self, puller: Puller, summary: Summary, limits: Limits, started: Callable[[], object]
    ) -> None:
        ending: Ending | None = None
        try:
            self._supervisor.start()
            if self._signals.received is None:
                started()
            since = time.monotonic()  # its time to take tasks begins when it can run them
            outlast = self._disk.outlast
            while not outlast(lambda: self._why_leave(summary, limits, time.monotonic() - since)):
                outlast(self._reap)
                outlast(partial(self._refresh, puller))
                if ending is not None and not self._goes_on(ending):
                    # the task process is gone: start another before the next claim
                    failed, ending = ending, None
                    self._end(failed)
                    self._supervisor.start()
                ended, ending = ending, None
                claim = self._next(puller, ended)
                if claim is None:
                    if outlast(self._has_more):
                        puller = self._make_puller()
                        continue
                    summary.reason = "no task is left for this worker"
                    break
                ending = self._run(claim, summary)
                if ending is not None and ending.cause is not Cause.DONE:
                    self._failed.add(claim.position)
                    puller.leave_out(claim.position)
        finally:
            self._supervisor.stop()
            if ending is not None:  # also after an error
                self._end(ending)

    def _refresh(self, puller: Puller) -> None:
        self._matcher.refresh(puller.restrict, self._heartbeat.server_time)

    def _goes_on(self, ending: Ending) -> bool:
        """Say whether the process of a task that ended can take the next at once."""
        return ending.cause is Cause.DONE and self._supervisor.is_ready()

    def _make_puller(self) -> Puller:
        chosen = select(self._pool.grid, self._worker_record.only, self._worker_record.skip)
        chosen[list(self._failed)] = False
        self._matcher.forget()
        return Puller(
            self._pool, self._rng, None if np.all(chosen) else chosen, self._matcher.limits
        )

    def _next(self, puller: Puller, ending: Ending | None) -> Claim | None:
        n_tries = 0

        def pull() -> ClaimResult:
            nonlocal n_tries
            n_tries += 1
            if n_tries > 1:
                self._return_strays(ending)
            return puller.next(ending)

        result = self._disk.outlast(pull)
        if ending is not None:
            self._after(ending, accepted=bool(result.accepted))
        return result.claim

    def _return_strays(self, ending: Ending | None) -> None:
        """Return the tasks that are claimed for this worker though the disk refused to say so."""
        known = None if ending is None else ending.claim.position
        for position, record in self._pool.running():
            if record.owner == self._pool.worker and position != known:
                point = self._pool.grid.point(position)
                stray = Claim(
                    position=position, point=point, fence=record.fence, attempts=record.attempts
                )
                self._attempts.return_stray(stray)

    def _run(self, claim: Claim, summary: Summary) -> Ending | None:
        """Run a task; None if the disk refused its output, and accepts writes again."""
        try:
            ending = self._attempts.run(claim, self._heartbeat.server_time)
        except StorageError:
            summary.count(Cause.STORAGE)
            if self._disk.goes_on():
                self._disk.outlast(self._attempts.end_again)
                return None
            raise
        summary.count(ending.cause)
        self._failures.note(claim, ending)
        if ending.cause is Cause.STORAGE:
            self._end(ending)
            self._surroundings.check()
            if not self._disk.goes_on():
                summary.reason = "the disk refused a task's output"
            return None
        if ending.cause is Cause.DONE:
            self._disk.forget()
        return ending

    def _end(self, ending: Ending) -> None:
        accepted = self._disk.outlast(lambda: self._pool.end(ending))
        self._after(ending, accepted=accepted)

    def _after(self, ending: Ending, *, accepted: bool) -> None:
        task = ending.claim.id
        if not accepted:
            self._report(f"task {task}: the pool had requeued it; another attempt counts")
        elif ending.cause is Cause.DONE and self._disk.outlast(
            lambda: self._attempts.is_all_done(ending.claim.position)
        ):
            # no attempt will continue them
            for folder in self._attempts.checkpoints_of(ending.claim):
                remove_folder(self._pool.folder / "checkpoints" / folder)

    def _why_leave(self, summary: Summary, limits: Limits, seconds: float) -> bool:
        """Say whether to take no more tasks, and record the reason."""
        if summary.reason:
            return True
        if self._signals.received is not None:
            summary.reason = f"stopped by {self._signals.received.name}"
        elif limits.max_tasks is not None and summary.n_tasks >= limits.max_tasks:
            summary.reason = f"it ran the requested number of tasks, {summary.n_tasks}"
        elif limits.stop_after_s is not None and seconds >= limits.stop_after_s:
            summary.reason = "its time for new tasks is over"
        elif self._matcher.time_is_up():
            summary.reason = "its job ends soon"
        else:
            summary.reason = self._failures.why_leave()
        return bool(summary.reason)

    def _end_of_job(self) -> float | None:
        return self._supervisor.job_end.end

    def _peak_memory(self) -> tuple[str | None, float]:
        """Return the running task, and its peak memory in MB."""
        return self._attempts.running, self._supervisor.peak_mb

    def _refine(self, outcome: Outcome) -> Outcome:
        """Return an outcome with the cause that is seen from outside of the task's process."""
        if outcome.cause is Cause.CANCELLED:
            with suppress(OSError, StorageError):  # what is not known now changes nothing
                seen = self._reaper.why_stopped(self._heartbeat.server_time)  # by the scheduler
                return replace(outcome, cause=seen or outcome.cause)
        if outcome.cause is Cause.ERROR and (gone := self._surroundings.gone()):
            # without its traceback: the task is not to be known by what failed
            error = f"{gone}; {outcome.error}"
            return replace(outcome, cause=Cause.STORAGE, error=error, traceback=None)
        if outcome.cause is Cause.ERROR and outcome.traceback is None:
            return replace(outcome, cause=cause_in_text(outcome.error or "") or Cause.ERROR)
        return outcome

    def _reap(self, every_s: float | None = None) -> bool:
        """Take back the tasks of dead workers, no more often than is useful."""
        usual_s = self._pool.info.lost_after_s / 3 * max(1, self._reaper.n_workers / REAPERS)
        interval = usual_s if every_s is None else every_s
        if time.monotonic() - self._reaped_at < interval:
            return False
        self._heartbeat.beat()
        taken = self._reaper.reap(self._heartbeat.server_time, patient=self._heartbeat.is_patient)
        self._reaped_at = time.monotonic()
        for one in taken:
            why = f": {one.why}" if one.why else ""
            self._report(
                f"task {self._pool.grid.id(one.position)}: worker {one.worker} is dead; "
                f"the task ended as {one.cause}{why}"
            )
        return any(one.cause is not Cause.DONE for one in taken)

    def _has_more(self) -> bool:
        """Say whether there may be tasks again: added ones, or those of dead workers."""
        grew = self._pool_grew()
        if grew:  # the task process knows only the old axes
            self._supervisor.stop()
            self._supervisor.start()
        return self._reap(every_s=0) or grew or self._suspects_were_dead()

    def _suspects_were_dead(self) -> bool:
        """Wait, a few minutes at most, until it is clear which suspects are dead."""
        info = self._pool.info
        longest_s = info.lost_after_s + info.ask_scheduler_s + 4 * info.heartbeat_s
        end = time.monotonic() + longest_s
        while self._reaper.suspects and self._signals.received is None and time.monotonic() < end:
            self._disk.pause(info.heartbeat_s / 2)
            if self._reap(every_s=0):
                return True
        return False

    def _pool_grew(self) -> bool:
        """Say whether the pool was extended since it was opened, and read its new tasks."""
        if not self._pool.has_grown():
            return False
        self._pool.reload()
        return True
