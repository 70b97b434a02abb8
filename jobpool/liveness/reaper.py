"""Which claims are dead, and what becomes of them.

A worker shows that it is alive by touching its file in ``workers/``. Ages are differences of two
modification times, both from the file server, never of the clocks of two hosts. A worker that
misses three heartbeats is suspect, and the scheduler is asked (`jobpool.scheduler.polling`).

A claim is taken back when its worker is dead. If the worker had already written a result or the
end of the attempt, that record stands; if not, the finder writes the cause that the evidence shows.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from jobpool.journal.attempts import write_attempt
from jobpool.journal.jsonl import size_of, worker_file, worker_name
from jobpool.journal.workers import WorkerRecord, beat, read_worker_record
from jobpool.liveness.judge import (
    MISSING,
    UNSEEN,
    Life,
    Observation,
    life_of,
    observe,
    run_of,
    status_at_death,
    suspect_after_s,
)
from jobpool.liveness.postmortem import DeadClaim, postmortem_of
from jobpool.pool import Pool
from jobpool.scheduler.base import Scheduler
from jobpool.scheduler.detect import scheduler_named
from jobpool.scheduler.polling import (
    FRESH,
    STOPPED_S,
    JobStatusCache,
    StatusPoller,
    answer_about,
    read_statuses,
)
from jobpool.scheduler.status import JobRun, JobStatus
from jobpool.table.records import Record
from jobpool.task import Cause, TaskState

POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """A claim that ended because its worker was dead."""

    position: int
    worker: str
    cause: Cause
    why: str = ""  # the evidence; empty: the worker recorded the end itself


class Reaper:
    """Takes back the tasks of dead workers, for one worker.

    Parameters
    ----------
    pool : Pool
        Opened by the worker; attempts that it ends for others go into its own file.
    worker_record : WorkerRecord
        What the worker says of itself.
    scheduler : Scheduler, optional
        Is asked about jobs; by default the one that the record names.
    """

    def __init__(
        self, pool: Pool, worker_record: WorkerRecord, *, scheduler: Scheduler | None = None
    ) -> None:
        self._pool, self._worker_record, self._name = pool, worker_record, worker_name(pool.worker)
        # the worker sends no heartbeat while it waits for an answer
        patience_s = min(20.0, max(1.0, pool.info.lost_after_s / 6))
        self._poller = StatusPoller(
            pool.folder,
            scheduler or scheduler_named(worker_record.scheduler),
            worker_record.cluster,
            interval_s=pool.info.ask_scheduler_s,
            patience_s=patience_s,
        )
        # last heartbeat of each, and when it was first observed
        self._seen: dict[str, tuple[float, float]] = {}
        self.suspects = 0  # workers that may be dead: not decided yet
        self.n_workers = 0  # that held tasks at the last observation

    def reap(self, server_time: float, *, patient: bool = False) -> list[TakenBack]:
        """End the claims of dead workers, and write how they ended.

        Parameters
        ----------
        server_time : float
            The file server's clock now: the return value of `beat`.
        patient : bool
            Conclude nothing from old heartbeats: for a while no worker could send one.

        Returns
        -------
        list of TakenBack
            In the order of the tasks.
        """
        running = [one for one in self._pool.running() if one[1].owner != self._pool.worker]
        observations = {
            owner: observe(self._pool.folder, worker_name(owner))
            for owner in {record.owner for _, record in running}
        }
        self.n_workers = len(observations)
        self._note(observations.values(), server_time, patient=patient)
        self._ask(observations.values(), server_time)
        answers = JobStatusCache(
            self._pool.folder, server_time - FRESH * self._pool.info.ask_scheduler_s
        )
        lives = {
            owner: self._life(observation, answers, server_time)
            for owner, observation in observations.items()
        }
        self.suspects = sum(life is Life.UNKNOWN for life in lives.values())
        taken = [
            self._take_back(position, record, observations[record.owner], answers)
            for position, record in running
            if lives[record.owner] is Life.DEAD
        ]
        return [one for one in taken if one is not None]

    def why_stopped(self, server_time: float) -> Cause | None:
        """Return why the scheduler stops the job of this worker, or None if it does not say.

        Called after a signal. Of all workers that are stopped at once, one asks for all, and the
        others wait for its answer for a few seconds.

        Parameters
        ----------
        server_time : float
            The file server's clock now.
        """
        worker_record, start = self._worker_record, time.monotonic()
        cluster = self._poller.cluster
        own = run_of(worker_record)
        if own is None or worker_record.cluster is None or not self._poller.covers(cluster):
            return None
        with suppress(OSError):  # the period of an election follows from the time of now
            server_time = beat(worker_file(self._pool.folder, "workers", self._name))
        while (waited_s := time.monotonic() - start) < STOPPED_S:
            known = answer_about(read_statuses(self._pool.folder, cluster), own)
            if known is not None and known.status.cause is not None:
                return known.status.cause
            runs = partial(self._runs_of_all, own)
            if self._poller.ask_stopped(runs, server_time + waited_s):
                known = answer_about(read_statuses(self._pool.folder, cluster), own)
                return None if known is None else known.status.cause
            time.sleep(POLL_S)
        return None

    def _runs_of_all(self, own: JobRun) -> set[JobRun]:
        """Return the jobs of all workers of this cluster that run a task."""
        owners = {worker_name(record.owner) for _, record in self._pool.running()}
        worker_records = (read_worker_record(self._pool.folder, name) for name in owners)
        here = (
            worker_record
            for worker_record in worker_records
            if worker_record is not None and worker_record.cluster == self._worker_record.cluster
        )
        return {own, *filter(None, map(run_of, here))}

    def _note(
        self, observations: Iterable[Observation], server_time: float, *, patient: bool
    ) -> None:
        """Remember since when each heartbeat is the same."""
        before = {} if patient else self._seen
        self._seen = {}
        for observation in observations:
            beaten, since = before.get(observation.name, (UNSEEN, server_time))
            self._seen[observation.name] = (
                observation.beaten,
                since if beaten == observation.beaten else server_time,
            )

    def _ask(self, observations: Iterable[Observation], server_time: float) -> None:
        silence_s = suspect_after_s(self._pool.info)
        suspects = [
            observation
            for observation in observations
            if observation.run is not None
            and (observation.is_gone or server_time - observation.beaten > silence_s)
        ]
        if not suspects or not self._poller.find_cluster():
            return
        runs = {
            observation.run
            for observation in suspects
            if observation.run and self._poller.covers(observation.cluster)
        }
        if runs:
            self._poller.ask(runs, server_time)

    def _life(self, observation: Observation, answers: JobStatusCache, server_time: float) -> Life:
        beaten, since = self._seen[observation.name]
        info = self._pool.info
        # a worker whose file is missing makes it again, unless something holds it up for long
        watched_s = info.lost_after_s if beaten == MISSING else suspect_after_s(info)
        can_ask = observation.run is not None and (
            self._poller.covers(observation.cluster) or answers.is_fresh(observation.cluster)
        )
        return life_of(
            observation,
            answers.about(observation.cluster, observation.run),
            self._pool.info,
            server_time,
            can_ask=can_ask,
            is_steady=server_time - since >= watched_s,
        )

    def _take_back(
        self, position: int, record: Record, observation: Observation, answers: JobStatusCache
    ) -> TakenBack | None:
        pool = self._pool
        if record.state is not TaskState.RUNNING:
            # its end was recorded, but not in the index; a transaction repairs that
            pool.take_back(position, record.fence, Cause.LOST)
            return TakenBack(
                position=position, worker=observation.name, cause=record.cause or Cause.LOST
            )
        if observe(pool.folder, observation.name).beaten != observation.beaten:
            return None  # it went on while the scheduler was asked
        return take_back(
            pool,
            position,
            record,
            observation,
            status_at_death(observation, answers.about(observation.cluster, observation.run)),
        )


def take_back(
    pool: Pool, position: int, record: Record, observation: Observation, seen: JobStatus | None
) -> TakenBack | None:
    """End the claim of a worker that is gone, and write how it ended unless the worker did.

    Parameters
    ----------
    pool : Pool
        Opened by the one that found it, into whose file the attempt is written.
    position : int
        The task.
    record : Record
        The claim; a later one is left alone.
    observation : Observation
        What is seen of the worker.
    seen : JobStatus or None
        What is known of the end of its job.

    Returns
    -------
    TakenBack or None
        None if the claim stood no more, or the worker is not gone after all: what it wrote
        meanwhile is looked at the next time.
    """
    before = _traces(pool, observation.name)
    found = postmortem_of(
        pool.folder,
        DeadClaim(
            task=pool.grid.id(position),
            checkpoint=pool.grid.checkpoint_of(position, record.fence),
            fence=record.fence,
            claimed=record.changed_ms / 1000,
            worker=observation.name,
            worker_record=observation.worker_record,
            beaten=observation.beaten,
            end_slack_s=suspect_after_s(pool.info),
            seen=seen,
        ),
    )

    def write() -> None:
        if _traces(pool, observation.name) != before:  # it hung, and goes on
            raise _NotGoneError
        if found.attempt is not None:
            attempt = replace(found.attempt, found_by=worker_name(pool.worker))
            write_attempt(pool.folder, attempt)

    try:
        if not pool.take_back(position, record.fence, found.cause, write, found.feedback):
            return None
    except _NotGoneError:
        return None
    return TakenBack(position=position, worker=observation.name, cause=found.cause, why=found.why)


class _NotGoneError(Exception):
    """A worker that seemed to be gone has written something."""


def _traces(pool: Pool, name: str) -> tuple[float, ...]:
    """Return what shows that a worker goes on: its heartbeat, and the sizes of what it writes."""
    sizes = (size_of(worker_file(pool.folder, kind, name)) for kind in ("results", "attempts"))
    return observe(pool.folder, name).beaten, *sizes
