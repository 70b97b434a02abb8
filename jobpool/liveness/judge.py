"""Whether a worker is alive: what one host can observe, and what follows from it.

A host sees a worker's record, the age of its heartbeat and, if it runs here, its process. Alive,
dead and unknown are three answers. Commands only read; workers may ask the scheduler first
(`jobpool.liveness.reaper`).
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobpool.journal.jsonl import worker_file
from jobpool.journal.workers import WorkerRecord, process_space, read_worker_record, start_ticks
from jobpool.pool import Pool
from jobpool.scheduler.polling import FRESH, Cluster, KnownStatus, answer_about, read_statuses
from jobpool.scheduler.status import USUAL, JobRun, JobStatus, Phase, SeenInside
from jobpool.table.settings import PoolInfo

UNSEEN = float("inf")
MISSING = 0.0  # the heartbeat of a worker whose file is not there
MISSED_BEATS = 3  # in a row make a worker suspect: a busy disk delays one


class Life(StrEnum):
    """Whether a worker is alive, as far as is known."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one host observes of a worker."""

    name: str
    worker_record: WorkerRecord | None = None  # None: damaged or missing
    beaten: float = UNSEEN  # its last heartbeat, by the file server's clock
    is_gone: bool = False  # its process has certainly ended

    @property
    def run(self) -> JobRun | None:
        """Return the run of the job in which the worker runs."""
        return None if self.worker_record is None else run_of(self.worker_record)

    @property
    def cluster(self) -> Cluster:
        """Return the cluster of that job."""
        if self.worker_record is None:
            return Cluster(USUAL, None)
        return Cluster(self.worker_record.scheduler or USUAL, self.worker_record.cluster)


def run_of(worker_record: WorkerRecord) -> JobRun | None:
    """Return the run of the job in which a worker runs, with what it knew of it."""
    if worker_record.job is None:
        return None
    inside = SeenInside(
        began=worker_record.started, uid=worker_record.uid, name=worker_record.job_name
    )
    return JobRun(worker_record.job, worker_record.restarts, inside)


def observe(pool: Path, name: str) -> Observation:
    """Return what this host observes of a worker."""
    # read first: a network file system asks its server for the times of a file that is opened
    worker_record = read_worker_record(pool, name)
    try:
        beaten = worker_file(pool, "workers", name).stat().st_mtime
    except FileNotFoundError:
        # a living worker makes it again: only if it stays away is the worker dead
        return Observation(name=name, beaten=MISSING)
    except OSError:
        return Observation(name=name)
    return Observation(
        name=name,
        worker_record=worker_record,
        beaten=beaten,
        is_gone=worker_record is not None and _is_gone(worker_record),
    )


def _is_gone(worker_record: WorkerRecord) -> bool:
    """Say whether the worker's process has certainly ended; False if this host cannot see it."""
    if not worker_record.space or worker_record.space != process_space():
        return False
    try:
        os.kill(worker_record.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return start_ticks(worker_record.pid) not in {None, worker_record.start_ticks}


def judge(pool: Pool, name: str, server_time: float) -> Life:
    """Say whether a worker is alive, without asking the scheduler.

    Parameters
    ----------
    pool : Pool
        The worker's pool.
    name : str
        The worker.
    server_time : float
        The file server's clock now: the return value of `beat`.
    """
    observation = observe(pool.folder, name)
    silent_s = server_time - observation.beaten
    answer = None
    if observation.run is not None:
        answer = answer_about(read_statuses(pool.folder, observation.cluster), observation.run)
    # once no worker is left, the scheduler is asked no more
    may_be_asked = (
        observation.run is not None and not observation.is_gone and silent_s <= pool.info.hung
    )
    life = life_of(
        observation,
        answer,
        pool.info,
        server_time,
        can_ask=may_be_asked,
        # a file that is missing now may be there soon
        is_steady=observation.beaten != MISSING,
    )
    if life is Life.UNKNOWN and 0 <= silent_s <= pool.info.lost_after_s:
        return Life.ALIVE
    return life


def life_of(
    observation: Observation,
    answer: KnownStatus | None,
    info: PoolInfo,
    server_time: float,
    *,
    can_ask: bool,
    is_steady: bool = True,
) -> Life:
    """Say whether a worker is alive.

    Parameters
    ----------
    observation : Observation
        What is observed of it.
    answer : KnownStatus or None
        What the scheduler last reported of its job.
    info : PoolInfo
        The pool's settings.
    server_time : float
        The file server's clock.
    can_ask : bool
        Whether the scheduler can be asked about it, by this or another worker.
    is_steady : bool
        Whether its silence was observed: otherwise old heartbeats may be due to an outage.
    """
    silent_s, suspect_s = server_time - observation.beaten, suspect_after_s(info)
    if silent_s <= suspect_s and not observation.is_gone:
        return Life.UNKNOWN if observation.beaten == UNSEEN else Life.ALIVE
    is_long = silent_s > info.lost_after_s
    known = (
        answer if answer and (answer.asked >= observation.beaten or answer.status.is_over) else None
    )
    if (
        known is not None
        and known.status.is_over
        and (is_long or known.status.phase is not Phase.ENDING)
    ):
        return Life.DEAD
    if observation.is_gone:  # wait for the cause that the scheduler reports
        has_waited = is_long or (known is not None and known.asked > observation.beaten + suspect_s)
        return Life.DEAD if has_waited or not can_ask else Life.UNKNOWN
    if known is not None and known.missing_since is not None:
        since = max(known.missing_since, observation.beaten)
        is_dead = is_long and known.asked >= since + info.ask_scheduler_s
    elif known is not None and server_time < known.asked + FRESH * info.ask_scheduler_s:
        is_dead = silent_s > info.hung
    else:
        is_dead = is_long and not can_ask
    return Life.DEAD if is_dead and is_steady else Life.UNKNOWN


def suspect_after_s(info: PoolInfo) -> float:
    """Return the silence in seconds after which a worker is suspected dead."""
    return min(MISSED_BEATS * info.heartbeat_s, info.lost_after_s)


def status_at_death(observation: Observation, answer: KnownStatus | None) -> JobStatus | None:
    """Return the job status that explains a death; a job may outlive the worker's process."""
    if answer is None or answer.status.is_over:
        return None if answer is None else answer.status
    return None if observation.is_gone or answer.asked < observation.beaten else answer.status
