"""End this pool's jobs, and requeue their tasks at once.

One call asks the scheduler what is queued, one which cluster it is, and one ends the jobs. A worker
that is stopped requeues its task itself, and keeps the checkpoint; if it does not within some
seconds, its end is written here as soon as the scheduler says that its job is over. Either way the
cause is ``cancelled``, and the attempt does not count against the task. If this is killed half-way,
the jobs end all the same, and the next worker requeues what is left.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from jobpool.errors import RequestError, SchedulerError, listing
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import read_worker_record
from jobpool.liveness.judge import Observation, observe
from jobpool.liveness.reaper import take_back
from jobpool.pool import Pool
from jobpool.scheduler.base import QueuedJob, Scheduler, fill_name, job_name, job_prefix
from jobpool.scheduler.none import process_label
from jobpool.scheduler.polling import Cluster
from jobpool.scheduler.status import JobRun, JobStatus, Phase
from jobpool.table.records import Record
from jobpool.task import Cause, TaskState

PATIENCE_S = 10.0  # for workers to return their tasks: a batch job has 30 s before it is killed
POLL_S = 0.2
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What was cancelled, or would be."""

    n_waiting: int = 0  # jobs
    n_running: int = 0
    batches: tuple[str, ...] = ()  # that the scheduler ends
    n_requeued: int = 0  # tasks that wait again, or would
    n_done: int = 0  # tasks that were done in the meantime
    n_left: int = 0  # tasks whose worker is still stopping

    @property
    def n_jobs(self) -> int:
        """Return how many jobs were cancelled."""
        return self.n_waiting + self.n_running


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A task that a worker of one of the jobs holds."""

    position: int
    record: Record
    observation: Observation
    run: JobRun


def cancel(
    pool: Pool,
    scheduler: Scheduler,
    *,
    pass_name: str | None = None,
    dry_run: bool = False,
    patience_s: float = PATIENCE_S,
) -> Cancelled:
    """End the jobs of a pool, waiting or running, and requeue their tasks.

    Parameters
    ----------
    pool : Pool
        Opened with a worker's number: it may write the ends of attempts.
    scheduler : Scheduler
        Whose jobs to end; only those of this user.
    pass_name : str, optional
        Only jobs that were submitted for this pass, or for a size of this name.
    dry_run : bool
        Count only.
    patience_s : float
        Seconds to wait for workers to requeue their tasks themselves.

    Raises
    ------
    SchedulerError
        If it does not answer, or refuses.
    RequestError
        If jobs of this pool are queued, but none of this pass.
    """
    prefix = job_prefix(pool.folder, pool.info.name)
    queued = [one for one in scheduler.queued(pool.folder, prefix) if one.phase is not Phase.ENDING]
    if not queued:
        return Cancelled()
    here = Cluster(scheduler.name, scheduler.cluster(ANSWER_S))
    chosen = _choose(pool, queued, here, pass_name)
    labels = {one.label for one in chosen}
    n_waiting = sum(one.phase is Phase.WAITING for one in chosen)
    found = Cancelled(
        n_waiting=n_waiting,
        n_running=len(chosen) - n_waiting,
        batches=tuple(sorted({one.batch for one in chosen})),
    )
    held = {one.position for one in _held(pool, labels, here)}
    if dry_run or not chosen:
        return replace(found, n_requeued=len(held))
    scheduler.cancel(found.batches)
    end = time.monotonic() + patience_s
    while (left := list(_held(pool, labels, here))) and time.monotonic() < end:
        held |= {one.position for one in left}
        time.sleep(POLL_S)
    held |= {one.position for one in left}
    _take_back(pool, scheduler, left)
    n_left = sum(1 for _ in _held(pool, labels, here))
    n_done = sum(pool.record(position).state is TaskState.DONE for position in held)
    return replace(found, n_requeued=len(held) - n_done - n_left, n_done=n_done, n_left=n_left)


def _choose(
    pool: Pool, queued: Sequence[QueuedJob], here: Cluster, pass_name: str | None
) -> Sequence[QueuedJob]:
    """Return this pool's jobs: by their name, or because a worker of theirs is in the pool.

    Without a pass these are all, jobs that fill its cache included.
    """
    prefix = job_prefix(pool.folder, pool.info.name)
    own = [one for one in queued if one.name.startswith(prefix)]
    fills = [one for one in queued if one.name == fill_name(prefix)]
    if pass_name is not None:
        chosen = [one for one in own if one.name == job_name(prefix, pass_name)]
        if own and not chosen:
            known = listing(sorted({one.name.removeprefix(prefix) for one in own}))
            what = f"none of its jobs is of pass {pass_name!r}; those that wait or run are of: "
            raise RequestError(pool.folder, what + known)
        return chosen
    # a script that was submitted by hand has a name of its own, and an array runs on one pool
    held = _held(pool, {job.label for job in queued}, here)
    workers = {one.run.job for one in held if _says_so_itself(pool, one)}
    batches = {one.batch for one in own + fills}
    batches |= {one.batch for one in queued if one.label in workers}
    return [one for one in queued if one.batch in batches]


def _says_so_itself(pool: Pool, held: _Held) -> bool:
    """Say whether a worker of this user wrote that this is its job: another's word may be wrong."""
    record = read_worker_record(pool.folder, worker_name(held.record.owner or 0), own=True)
    return record is not None and held.run.job in {record.job, process_label(record)}


def _held(pool: Pool, labels: Collection[str], here: Cluster) -> Iterator[_Held]:
    """Yield the tasks that workers of these jobs hold; a label counts on its cluster alone."""
    observations: dict[int, Observation] = {}
    for position, record in pool.running():
        if record.state is not TaskState.RUNNING:
            continue
        if record.owner not in observations:
            observations[record.owner] = observe(pool.folder, worker_name(record.owner))
        observation = observations[record.owner]
        if observation.worker_record is None:
            continue
        run = observation.run or JobRun(process_label(observation.worker_record), 0)
        is_here = observation.run is None or observation.cluster.may_be(here)
        if is_here and run.job in labels:
            yield _Held(position=position, record=record, observation=observation, run=run)


def _take_back(pool: Pool, scheduler: Scheduler, left: Sequence[_Held]) -> None:
    """End the claims whose job is over, and record how, as their workers did not."""
    said: dict[JobRun, JobStatus] = {}
    with suppress(SchedulerError):  # then the other workers of the pool find out
        said = dict(scheduler.query({one.run for one in left}, ANSWER_S))
    for one in left:
        status = said.get(one.run)
        if status is None or not (status.is_over or status.phase is Phase.UNLISTED):
            continue
        seen = replace(
            status, phase=Phase.ENDED, cause=Cause.CANCELLED, word="cancelled by its user"
        )
        take_back(pool, one.position, one.record, one.observation, seen)
