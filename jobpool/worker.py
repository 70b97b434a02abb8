"""The worker: what a SLURM job runs. It pulls tasks until none fits, or until it is told to stop.

    workers/xx/ID.json     its card; touched every some seconds while it lives

For each task: run it in the child, write the result, write the attempt, then end the task and
claim the next in one visit to the pool. Whichever of these steps it dies in, nothing is lost: a
result without an end is found by the next worker that looks.
"""

import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jobpool.attempts import Attempt, write_attempt
from jobpool.errors import JobpoolError, StorageError
from jobpool.grid import read_grid
from jobpool.liveness import WorkerCard, beat, take_back_dead
from jobpool.pool import Ending, Pool
from jobpool.puller import Puller
from jobpool.results import Result, write_result
from jobpool.selection import select
from jobpool.supervisor import Outcome, StopSignals, Supervisor
from jobpool.task import Cause, Claim, label
from jobpool.workerfiles import worker_name


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


class Worker:
    """Pulls tasks from a pool and runs them, one after the other.

    Parameters
    ----------
    pool : Pool
        Opened with the worker's number.
    card : WorkerCard
        What the worker says of itself.
    make_supervisor : callable
        Returns the supervisor that runs the tasks; given the function that beats.
    signals : StopSignals
        Tell the worker to leave.
    rng : random.Random
        Draws the tasks.
    report : callable
        Takes a line for the log.
    """

    def __init__(
        self,
        pool: Pool,
        card: WorkerCard,
        make_supervisor: Callable[[Callable[[], object]], Supervisor],
        *,
        signals: StopSignals,
        rng: random.Random,
        report: Callable[[str], None],
    ) -> None:
        self._pool, self._card, self._rng = pool, card, rng
        self._signals, self._report = signals, report
        self._name = worker_name(pool.worker)
        self._supervisor = make_supervisor(self._beat)
        self._failed: set[int] = set()
        self._path = Path()
        self._server_time = 0.0
        self._looked = 0.0
        self._patient_until = 0.0

    def work(self, limits: Limits) -> Summary:
        """Run tasks until none is left, a limit is reached, or a signal comes.

        Raises
        ------
        StartError
            If tasks cannot be run here; none was touched.
        SelectionError
            If the worker's selection does not fit the pool.
        StorageError
            If the disk refuses writes; the task in hand was returned if the disk let it.
        """
        puller = self._make_puller()
        summary = Summary()
        self._path = self._card.write(self._pool.folder, self._name)
        self._server_time = beat(self._path)
        started = time.monotonic()
        try:
            self._supervisor.start()
            ending: Ending | None = None
            while not self._why_leave(summary, limits, time.monotonic() - started):
                self._look_for_dead()
                if ending is not None and ending.cause is not Cause.DONE:
                    # its process may be dead: no claim before there is a new one
                    self._end(ending)
                    ending = None
                    self._supervisor.start()
                claim = self._next(puller, ending)
                ending = None
                if claim is None:
                    grew = self._pool_grew()
                    if grew:  # the task process knows the old axes only
                        self._supervisor.stop()
                        self._supervisor.start()
                    if self._look_for_dead(every_s=0) or grew:
                        puller = self._make_puller()
                        continue
                    summary.reason = "no task is left that this worker may take"
                    break
                ending = self._run_or_return(claim, summary)
                if ending.cause is Cause.STORAGE:
                    summary.reason = "the disk refused what a task wrote"
                    break
                if ending.cause is not Cause.DONE:
                    self._failed.add(claim.position)
                    puller.leave_out(claim.position)
            if ending is not None:
                self._end(ending)
        finally:
            self._supervisor.stop()
        return summary

    def _make_puller(self) -> Puller:
        chosen = select(self._pool.grid, self._card.only, self._card.skip)
        chosen[list(self._failed)] = False
        return Puller(self._pool, self._rng, None if np.all(chosen) else chosen)

    def _next(self, puller: Puller, ending: Ending | None) -> Claim | None:
        turn = puller.next(ending)
        if ending is not None:
            self._after(ending, accepted=bool(turn.accepted))
        return turn.claim

    def _end(self, ending: Ending) -> None:
        self._after(ending, accepted=self._pool.end(ending))

    def _after(self, ending: Ending, *, accepted: bool) -> None:
        task = ending.claim.id
        if not accepted:
            self._report(f"task {task}: the pool had taken it back; another attempt counts")
        elif ending.cause is Cause.DONE:  # nobody will continue it
            shutil.rmtree(self._pool.folder / "checkpoints" / task, ignore_errors=True)

    def _why_leave(self, summary: Summary, limits: Limits, seconds: float) -> bool:
        """Say whether to take no more tasks, and note why."""
        if self._signals.received is not None:
            summary.reason = f"told to stop by {self._signals.received.name}"
        elif limits.max_tasks is not None and summary.n_tasks >= limits.max_tasks:
            summary.reason = f"it ran as many tasks as asked, {summary.n_tasks}"
        elif limits.stop_after_s is not None and seconds >= limits.stop_after_s:
            summary.reason = "its time to take new tasks is over"
        return bool(summary.reason)

    def _run_or_return(self, claim: Claim, summary: Summary) -> Ending:
        """Run one task; an error of this program's own must not keep it from the others."""
        try:
            return self._run(claim, summary)
        except StorageError:
            raise  # the task has ended
        except BaseException:
            with suppress(JobpoolError, OSError):
                self._pool.end(Ending(claim=claim, cause=Cause.ERROR))
            raise

    def _run(self, claim: Claim, summary: Summary) -> Ending:
        """Run one task; write its result, then how it ended."""
        self._report(f"task {claim.id}: {label(claim.point)}")
        started = self._pool.now()
        request = {
            "task": claim.id,
            "point": claim.point,
            "memory_mb": self._card.memory_mb,
            "deadline": self._card.end,
        }
        outcome = self._supervisor.run(request)
        ended = self._pool.now()
        written = False
        try:
            if outcome.result is not None:
                result = Result(
                    task=claim.id,
                    fence=claim.fence,
                    worker=self._name,
                    point=claim.point,
                    started=started,
                    ended=ended,
                    result=outcome.result,
                )
                write_result(self._pool.folder, result)
                written = True
            self._write_attempt(claim, outcome, started, ended)
        except StorageError as error:
            self._give_up(claim, outcome, error, written)
            raise
        summary.causes[outcome.cause] = summary.causes.get(outcome.cause, 0) + 1
        why = f": {outcome.error}" if outcome.error else ""
        self._report(f"task {claim.id}: {outcome.cause} after {ended - started:.1f} s{why}")
        return Ending(claim=claim, cause=outcome.cause)

    def _give_up(self, claim: Claim, outcome: Outcome, error: StorageError, written: bool) -> None:
        """Return a task whose result the disk refused; a full disk takes a change of state."""
        cause = Cause.DONE if written else Cause.STORAGE
        failed = Outcome(cause=cause, error=str(error), usage=outcome.usage)
        now = self._pool.now()
        try:
            self._pool.end(Ending(claim=claim, cause=cause))
            self._report(f"task {claim.id}: ended as {cause}: {error}")
            self._write_attempt(claim, failed, now, now)
        except StorageError as again:
            self._report(f"task {claim.id}: not everything could be written back: {again}")

    def _write_attempt(self, claim: Claim, outcome: Outcome, started: float, ended: float) -> None:
        attempt = Attempt(
            task=claim.id,
            fence=claim.fence,
            worker=self._name,
            cause=outcome.cause,
            started=started,
            ended=ended,
            cores=self._card.cores,
            memory_mb=self._card.memory_mb,
            cpu_s=outcome.usage.cpu_s,
            peak_memory_mb=outcome.usage.peak_memory_mb,
            read_mb=outcome.usage.read_mb,
            written_mb=outcome.usage.written_mb,
            error=outcome.error,
            traceback=outcome.traceback,
            node=self._card.node or self._card.host,
            job=self._card.job,
        )
        write_attempt(self._pool.folder, attempt)

    def _beat(self) -> None:
        try:
            now = beat(self._path)
        except OSError as error:  # a beat missed is no reason to lose hours of work
            self._report(f"heartbeat: {error}")
            return
        if now - self._server_time > self._pool.info.lost_after_s / 2:
            # this host slept, or the file server was away: the others could not beat either
            self._patient_until = time.monotonic() + self._pool.info.lost_after_s
        self._server_time = now

    def _look_for_dead(self, every_s: float | None = None) -> bool:
        """Take back the tasks of dead workers, not more often than they can die."""
        interval = self._pool.info.lost_after_s / 3 if every_s is None else every_s
        if time.monotonic() - self._looked < interval:
            return False
        self._beat()
        patient = time.monotonic() < self._patient_until
        taken = take_back_dead(self._pool, self._name, self._server_time, patient=patient)
        self._looked = time.monotonic()
        for one in taken:
            self._report(
                f"task {self._pool.grid.id(one.position)}: worker {one.worker} is dead; "
                f"the task ended as {one.cause}"
            )
        return any(one.cause is not Cause.DONE for one in taken)

    def _pool_grew(self) -> bool:
        """Say whether the pool was extended since it was opened, and see its new tasks."""
        if len(read_grid(self._pool.folder / "tasks.npz")) == len(self._pool.grid):
            return False
        self._pool.reload()
        return True
