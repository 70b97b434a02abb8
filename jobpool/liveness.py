"""Which claims are dead, and what becomes of them.

A worker shows that it lives by touching its file in ``workers/``. Ages are taken between two
modification times, both given by the file server, never between the clocks of two hosts.

A claim is taken back when its worker is dead. If the worker had already written a result or the
end of the attempt, that word stands; if not, the finder writes ``lost`` in its place.
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from jobpool.attempts import Attempt, attempts_of, write_attempt
from jobpool.files import checked_line, create_exclusively, read_json
from jobpool.pool import Pool
from jobpool.results import results_of
from jobpool.state import Record
from jobpool.task import Cause, TaskState
from jobpool.workerfiles import worker_file, worker_name

FORMAT = 1


class Life(StrEnum):
    """Whether a worker lives, as far as can be told."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCard:
    """What a worker says of itself in ``workers/xx/ID.json``; its mtime is the heartbeat."""

    host: str
    pid: int
    started: float
    space: str = ""  # where the process number means something
    start_ticks: int | None = None  # tells the process from a later one with the same number
    end: float | None = None  # when SLURM ends the job, seconds since the epoch
    cores: int
    memory_mb: int | None = None
    node: str | None = None  # as SLURM calls it
    job: str | None = None  # SLURM's job, with the array task
    cluster: str | None = None
    restarts: int = 0
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    version: str = ""

    def write(self, pool: Path, name: str) -> Path:
        """Make the worker's file, and return its path."""
        path = worker_file(pool, "workers", name)
        path.parent.mkdir(exist_ok=True)
        create_exclusively(path, checked_line({"format": FORMAT, **_plain(asdict(self))}))
        return path


def _plain(card: dict[str, Any]) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in card.items()}


def own_card(**known: Any) -> WorkerCard:
    """Return the card of this very process."""
    pid = os.getpid()
    return WorkerCard(
        host=socket.gethostname(),
        pid=pid,
        space=process_space(),
        start_ticks=start_ticks(pid),
        **known,
    )


def read_card(pool: Path, name: str) -> WorkerCard | None:
    """Return a worker's card, or None if it is missing or damaged."""
    with suppress(OSError):
        line: dict[str, Any] | None = read_json(worker_file(pool, "workers", name))
        if line is not None:
            known = {
                field.name: line[field.name] for field in fields(WorkerCard) if field.name in line
            }
            return WorkerCard(**known | {"only": tuple(line["only"]), "skip": tuple(line["skip"])})
    return None


def beat(card_path: Path) -> float:
    """Touch a worker's file, and return the file server's time in seconds since the epoch."""
    os.utime(card_path)
    return card_path.stat().st_mtime


def judge(pool: Pool, name: str, server_time: float, *, patient: bool = False) -> Life:
    """Say whether a worker lives.

    Parameters
    ----------
    pool : Pool
        The worker's pool; its `lost_after_s` is the age at which a heartbeat is too old.
    name : str
        The worker.
    server_time : float
        What the file server's clock says now: the return value of `beat`.
    patient : bool
        Do not conclude from an old heartbeat: nobody could beat for a while.
    """
    try:
        beaten = worker_file(pool.folder, "workers", name).stat().st_mtime
    except FileNotFoundError:
        return Life.DEAD  # a worker makes its file before it claims anything
    except OSError:
        return Life.UNKNOWN
    life = Life.ALIVE
    if server_time - beaten > pool.info.lost_after_s:
        if not patient:
            return Life.DEAD
        life = Life.UNKNOWN
    card = read_card(pool.folder, name)
    return Life.DEAD if card is not None and _is_gone(card) else life


def process_space() -> str:
    """Name the run of the kernel and the space of process numbers that this process is in.

    Empty where the system does not tell. A host name is no such proof: containers and clusters of
    virtual machines share them.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot, or None if that is hidden."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])
    return None


def _is_gone(card: WorkerCard) -> bool:
    """Say whether the worker's process is certainly no more; False if that cannot be seen here."""
    if not card.space or card.space != process_space():
        return False
    try:
        os.kill(card.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return start_ticks(card.pid) not in {None, card.start_ticks}


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """A claim that ended because its worker was dead."""

    position: int
    worker: str
    cause: Cause


def take_back_dead(
    pool: Pool,
    finder: str,
    server_time: float,
    *,
    patient: bool = False,
    now: Callable[[], float] = time.time,
) -> list[TakenBack]:
    """End the claims of dead workers, and write how they ended.

    Parameters
    ----------
    pool : Pool
        Opened by the finder.
    finder : str
        The worker that looks; it writes, into its own file, the attempts it ends.
    server_time : float
        What the file server's clock says now: the return value of `beat`.
    patient : bool
        Take back only from workers whose process is certainly gone.
    now : callable
        The clock for the attempt's end.

    Returns
    -------
    list of TakenBack
        In the order of the tasks.
    """
    lives: dict[int, Life] = {pool.worker: Life.ALIVE}
    taken = []
    for position, record in pool.running():
        if record.owner not in lives:
            owner = worker_name(record.owner)
            lives[record.owner] = judge(pool, owner, server_time, patient=patient)
        if lives[record.owner] is not Life.DEAD:
            continue
        name = worker_name(record.owner)
        if record.state is not TaskState.RUNNING:
            # who ended it was killed before the index followed; a visit mends that
            pool.take_back(position, record.fence, Cause.LOST)
            cause = record.cause or Cause.LOST
            taken.append(TakenBack(position=position, worker=name, cause=cause))
            continue
        cause, written = _last_word(pool, position, record)
        attempt = _attempt(pool, position, record, cause, finder, now())
        write = partial(write_attempt, pool.folder, attempt)
        if pool.take_back(position, record.fence, cause, (lambda: None) if written else write):
            taken.append(TakenBack(position=position, worker=name, cause=cause))
    return taken


def _last_word(pool: Pool, position: int, record: Record) -> tuple[Cause, bool]:
    """Return how the claim ended, and whether its own worker wrote so."""
    task, name = pool.grid.id(position), worker_name(record.owner)
    written = [
        attempt.cause
        for attempt in attempts_of(pool.folder, name)
        if (attempt.task, attempt.worker, attempt.fence) == (task, name, record.fence)
    ]
    for result in results_of(pool.folder, name):
        if (result.task, result.fence) == (task, record.fence):
            return Cause.DONE, bool(written)
    if written and written[-1] is not Cause.DONE:
        return written[-1], True
    return Cause.LOST, False


def _attempt(
    pool: Pool, position: int, record: Record, cause: Cause, finder: str, ended: float
) -> Attempt:
    name = worker_name(record.owner)
    card = read_card(pool.folder, name)
    return Attempt(
        task=pool.grid.id(position),
        fence=record.fence,
        worker=name,
        cause=cause,
        started=record.changed_ms / 1000,
        ended=ended,
        cores=card.cores if card else None,
        memory_mb=card.memory_mb if card else None,
        node=(card.node or card.host) if card else None,
        job=card.job if card else None,
        error="the worker died without a word" if cause is Cause.LOST else None,
        found_by=finder,
    )
