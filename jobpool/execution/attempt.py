"""One run of a task: from a claim to the records of how it ended.

The result is on disk before the attempt, and the attempt before the task's state: a worker that is
killed in between leaves enough for the worker that finds it dead.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from jobpool.errors import JobpoolError, PoolGoneError, StorageError
from jobpool.execution.deadline import JobEnd
from jobpool.execution.supervisor import Outcome
from jobpool.journal.attempts import BEFORE_END_S, Attempt, feedback_of, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import Result, write_result
from jobpool.journal.workers import WorkerRecord
from jobpool.pool import Ending, Pool
from jobpool.task import CLAIMS_PER_RUN, Cause, Claim, Feedback, TaskState, label, run_of
from jobpool.units import duration

STEP_S = 5.0  # clocks are kept right in smaller steps; in a larger one it was not right before


class TaskProcess(Protocol):
    """What runs a task: a supervisor with its child."""

    @property
    def job_end(self) -> JobEnd:
        """When the job ends in which it runs."""
        ...

    def run(self, request: Mapping[str, Any]) -> Outcome:
        """Run one task, and say how it ended."""
        ...


def _stopwatch(now: Callable[[], float]) -> Callable[[], tuple[float, float, float | None]]:
    """Return what tells start, end, and by how much the clock jumped in between, if it did.

    The time in between is that of a clock that nobody sets, whatever the host's clock says.
    """
    began, began_s = now(), time.monotonic()

    def stop() -> tuple[float, float, float | None]:
        ended, elapsed_s = now(), time.monotonic() - began_s
        jump_s = ended - began - elapsed_s
        return ended - elapsed_s, ended, jump_s if abs(jump_s) > STEP_S else None

    return stop


class AttemptRunner:
    """Runs tasks for one worker, and records the results and attempts.

    Parameters
    ----------
    pool : Pool
        Opened with the worker's number.
    worker_record : WorkerRecord
        The worker's resources.
    supervisor : TaskProcess
        Runs the tasks.
    refine : callable
        Given an outcome, returns what evidence from outside of the task's process shows.
    report : callable
        Takes a line for the log.
    outlast : callable
        Calls a function, again if the disk refused what it does; see `Patience.outlast`.
    """

    def __init__(
        self,
        pool: Pool,
        worker_record: WorkerRecord,
        supervisor: TaskProcess,
        *,
        refine: Callable[[Outcome], Outcome],
        report: Callable[[str], None],
        outlast: Callable[[Callable[[], None]], None] = lambda write: write(),
    ) -> None:
        self._pool, self._worker_record, self._supervisor = pool, worker_record, supervisor
        self._job_end = supervisor.job_end
        self._refine, self._report, self._outlast = refine, report, outlast
        self._name = worker_name(pool.worker)
        self.running: str | None = None  # the id of the running task
        self._unended: Ending | None = None  # an end that the disk refused

    def run(self, claim: Claim, server_time: float) -> Ending:
        """Run a task, and return how it ended; after an internal error the task is returned.

        Parameters
        ----------
        claim : Claim
            The worker's hold on the task.
        server_time : float
            The file server's clock.

        Raises
        ------
        StorageError
            If the disk refuses its result or its end; the task was returned if possible.
        """
        self.running = claim.id
        try:
            return self._run(claim, server_time)
        except (StorageError, PoolGoneError):
            raise  # the task has ended, or is nobody's any more
        except BaseException as error:
            self._return_unrun(claim, error)
            raise
        finally:
            self.running = None

    def _run(self, claim: Claim, server_time: float) -> Ending:
        self._report(f"task {claim.id}: {label(claim.point)}")
        stop = _stopwatch(self._pool.now)
        folder = self._pool.grid.checkpoint_of(claim.position, claim.fence)
        request = {
            "task": claim.id,
            "point": claim.point,
            "memory_mb": self._worker_record.memory_mb,
            "deadline": self._job_end.end,
            "checkpoint": folder,
            "writer": self._name,
        }
        outcome = self._supervisor.run(request)
        started, ended, jump_s = stop()
        if self._pool.is_gone():
            raise PoolGoneError(self._pool.folder)
        outcome = self._refine(outcome)
        if outcome.cause is Cause.TIME and (outcome.traceback or self._is_far_from_end()):
            self._job_end.confirm()  # the task saw an end that has moved, or its job was shortened
        attempt = replace(self._attempt(claim, outcome, started, ended), clock_jump_s=jump_s)
        self._write(claim, outcome, attempt, started, ended)
        why = f": {outcome.error}" if outcome.error else ""
        took = duration(max(ended - started, 0.0))
        self._report(f"task {claim.id}: {outcome.cause} after {took}{why}")
        if outcome.left:
            left = f"left {outcome.left}; its process was ended, the next task gets a new one"
            self._report(f"task {claim.id}: {left}")
        return Ending(
            claim=claim,
            cause=outcome.cause,
            feedback=self._feedback(attempt, folder, server_time),
        )

    def _feedback(self, attempt: Attempt, folder: str, since: float) -> Feedback:
        """Return what an attempt says about its task, once the disk tells what it left."""
        found: list[Feedback] = []

        def look() -> None:
            found[:] = [
                feedback_of(
                    self._pool.folder,
                    attempt,
                    checkpoint=lambda: folder,
                    end=self._job_end.end,
                    since=since,
                )
            ]

        self._outlast(look)
        return found[0]

    def _is_far_from_end(self) -> bool:
        return self._job_end.left_s() > BEFORE_END_S

    def _write(
        self, claim: Claim, outcome: Outcome, attempt: Attempt, started: float, ended: float
    ) -> None:
        """Write the result, then the attempt; a disk that answers again gets what is missing."""
        unwritten = [partial(write_attempt, self._pool.folder, attempt)]
        if outcome.result is not None:
            result = self._result(claim, outcome, started, ended)
            unwritten.insert(0, partial(write_result, self._pool.folder, result))
        n_lines = len(unwritten)

        def write() -> None:
            while unwritten:
                unwritten[0]()
                del unwritten[0]

        try:
            self._outlast(write)
        except StorageError as error:
            self._give_up(claim, outcome, error, len(unwritten) < n_lines)
            raise

    def return_stray(self, claim: Claim) -> None:
        """Return a task whose claim was written though the disk refused the transaction.

        Raises
        ------
        StorageError
            If the disk refuses it.
        """
        now = self._pool.now()
        outcome = Outcome(cause=Cause.STORAGE, error="the disk failed while it was claimed")
        write_attempt(self._pool.folder, self._attempt(claim, outcome, now, now))
        self._pool.end(Ending(claim=claim, cause=Cause.STORAGE))

    def _return_unrun(self, claim: Claim, error: BaseException) -> None:
        """Return a task that could not be run, through no fault of its own."""
        now = self._pool.now()
        outcome = Outcome(cause=Cause.CANCELLED, error=f"could not be run: {error}")
        with suppress(JobpoolError, OSError):
            write_attempt(self._pool.folder, self._attempt(claim, outcome, now, now))
        with suppress(JobpoolError, OSError):
            self._pool.end(Ending(claim=claim, cause=Cause.CANCELLED))

    def checkpoints_of(self, claim: Claim) -> list[str]:
        """Return the checkpoint folders of a task: of each earlier run, and of this one."""
        runs = range(run_of(claim.fence) + 1)
        of = self._pool.grid.checkpoint_of
        return [of(claim.position, run * CLAIMS_PER_RUN) for run in runs]

    def is_all_done(self, position: int) -> bool:
        """Say whether the checkpoints of a task that is done are no longer needed.

        Those of a task that was split into parts are needed until all of these are done.
        """
        parts = self._pool.grid.parts
        whole = parts.whole_of(position)
        return whole is None or parts.is_finished(whole, self._is_done)

    def _is_done(self, position: int) -> bool:
        return self._pool.record(position).state is TaskState.DONE

    def _give_up(self, claim: Claim, outcome: Outcome, error: StorageError, written: bool) -> None:
        """Return a task whose result the disk refused; a full disk accepts a new state."""
        cause = Cause.DONE if written else Cause.STORAGE
        failed = Outcome(cause=cause, error=str(error), usage=outcome.usage)
        now = self._pool.now()
        self._unended = Ending(claim=claim, cause=cause)
        try:
            self.end_again()
            self._report(f"task {claim.id}: ended as {cause}: {error}")
            write_attempt(self._pool.folder, self._attempt(claim, failed, now, now))
        except StorageError as again:
            self._report(f"task {claim.id}: not every record could be written: {again}")

    def end_again(self) -> None:
        """End the task whose end the disk refused, if there is one.

        Raises
        ------
        StorageError
            If the disk refuses it again.
        """
        if self._unended is not None:
            self._pool.end(self._unended)
            self._unended = None

    def _result(self, claim: Claim, outcome: Outcome, started: float, ended: float) -> Result:
        return Result(
            task=claim.id,
            fence=claim.fence,
            worker=self._name,
            point=claim.point,
            started=started,
            ended=ended,
            result=outcome.result or {},
        )

    def _attempt(self, claim: Claim, outcome: Outcome, started: float, ended: float) -> Attempt:
        return Attempt(
            task=claim.id,
            fence=claim.fence,
            worker=self._name,
            cause=outcome.cause,
            started=started,
            ended=ended,
            cores=self._worker_record.cores,
            memory_mb=self._worker_record.memory_mb,
            cpu_s=outcome.usage.cpu_s,
            peak_memory_mb=outcome.usage.peak_memory_mb,
            read_mb=outcome.usage.read_mb,
            written_mb=outcome.usage.written_mb,
            error=outcome.error,
            traceback=outcome.traceback,
            node=self._worker_record.node or self._worker_record.host,
            job=self._worker_record.job,
        )
