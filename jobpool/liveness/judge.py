"""Whether a worker lives: what one host can see of it, and what is concluded from that.

A host sees a worker's record, the age of its heartbeat and, if it runs here, its process. Alive,
dead and unknown are three answers. Who looks only asks nobody; a worker may ask the scheduler first
(`jobpool.liveness.reaper`).
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobpool.journal.jsonl import worker_file
from jobpool.journal.workers import WorkerRecord, process_space, read_worker_record, start_ticks
from jobpool.pool import Pool
from jobpool.scheduler.polling import FRESH, Cluster, KnownStatus, read_statuses
from jobpool.scheduler.status import USUAL, JobRun, JobStatus, Phase
from jobpool.table.settings import PoolInfo

UNSEEN = float("inf")
DOUBT_BEATS = 3  # missed in a row: a busy disk delays one


class Life(StrEnum):
    """Whether a worker lives, as far as can be told."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is seen of a worker."""

    name: str
    worker_record: WorkerRecord | None = None  # None: damaged or missing
    beaten: float = UNSEEN  # when it last touched its file, by the file server's clock
    is_gone: bool = False  # its process, for certain

    @property
    def run(self) -> JobRun | None:
        """Return the run of a job that the worker was."""
        if self.worker_record is None or self.worker_record.job is None:
            return None
        return JobRun(self.worker_record.job, self.worker_record.restarts)

    @property
    def cluster(self) -> Cluster:
        """Return the cluster of that job."""
        if self.worker_record is None:
            return Cluster(USUAL, None)
        return Cluster(self.worker_record.scheduler or USUAL, self.worker_record.cluster)


def observe(pool: Path, name: str) -> Observation:
    """Return what can be seen of a worker from here."""
    # read first: a network file system asks its server for the times of a file that is opened
    worker_record = read_worker_record(pool, name)
    try:
        beaten = worker_file(pool, "workers", name).stat().st_mtime
    except FileNotFoundError:
        # a worker makes its file before it claims anything
        return Observation(name=name, beaten=0.0, is_gone=True)
    except OSError:
        return Observation(name=name)
    return Observation(
        name=name,
        worker_record=worker_record,
        beaten=beaten,
        is_gone=worker_record is not None and _is_gone(worker_record),
    )


def _is_gone(worker_record: WorkerRecord) -> bool:
    """Say whether the worker's process is certainly no more; False if that cannot be seen here."""
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
    """Say whether a worker lives, for somebody who only looks: the scheduler is not asked.

    Parameters
    ----------
    pool : Pool
        The worker's pool.
    name : str
        The worker.
    server_time : float
        What the file server's clock says now: the return value of `beat`.
    """
    observation = observe(pool.folder, name)
    silent_s = server_time - observation.beaten
    answer = None
    if observation.run is not None:
        answer = read_statuses(pool.folder, observation.cluster).get(observation.run)
    # where no worker is left, nobody asks the scheduler any more
    has_hope = (
        observation.run is not None and not observation.is_gone and silent_s <= pool.info.hung
    )
    life = life_of(observation, answer, pool.info, server_time, can_ask=has_hope)
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
    """Say whether a worker lives.

    Parameters
    ----------
    observation : Observation
        What is seen of it.
    answer : KnownStatus or None
        What the scheduler last said of its job.
    info : PoolInfo
        The pool's settings.
    server_time : float
        The file server's clock.
    can_ask : bool
        Whether the scheduler can be asked about it, be it by another worker.
    is_steady : bool
        Whether its silence was watched: without that, old heartbeats may all be due to an outage.
    """
    silent_s, doubtful_s = server_time - observation.beaten, doubt_s(info)
    if silent_s <= doubtful_s and not observation.is_gone:
        return Life.UNKNOWN if observation.beaten == UNSEEN else Life.ALIVE
    is_long = silent_s > info.lost_after_s
    word = (
        answer if answer and (answer.asked >= observation.beaten or answer.status.is_over) else None
    )
    if (
        word is not None
        and word.status.is_over
        and (is_long or word.status.phase is not Phase.ENDING)
    ):
        return Life.DEAD
    if observation.is_gone:  # the scheduler's word on the cause is worth waiting for
        has_waited = is_long or (word is not None and word.asked > observation.beaten + doubtful_s)
        return Life.DEAD if has_waited or not can_ask else Life.UNKNOWN
    if word is not None and word.missing_since is not None:
        since = max(word.missing_since, observation.beaten)
        is_dead = is_long and word.asked >= since + info.ask_scheduler_s
    elif word is not None and server_time < word.asked + FRESH * info.ask_scheduler_s:
        is_dead = silent_s > info.hung
    else:
        is_dead = is_long and not can_ask
    return Life.DEAD if is_dead and is_steady else Life.UNKNOWN


def doubt_s(info: PoolInfo) -> float:
    """Return the silence in seconds after which a worker is in doubt."""
    return min(DOUBT_BEATS * info.heartbeat_s, info.lost_after_s)


def word_on(observation: Observation, answer: KnownStatus | None) -> JobStatus | None:
    """Return the scheduler's word on a death; a job may run on while its process is gone."""
    if answer is None or answer.status.is_over:
        return None if answer is None else answer.status
    return None if observation.is_gone or answer.asked < observation.beaten else answer.status
