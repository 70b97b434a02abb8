"""What one host can see of a worker: its card, the age of its heartbeat, and its process."""

import os
from dataclasses import dataclass
from pathlib import Path

from jobpool.cards import WorkerCard, process_space, read_card, start_ticks
from jobpool.scheduler.slurm.jobs import JobRun
from jobpool.workerfiles import worker_file

UNSEEN = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is seen of a worker."""

    name: str
    card: WorkerCard | None = None  # None: damaged or missing
    beaten: float = UNSEEN  # when it last touched its file, by the file server's clock
    is_gone: bool = False  # its process, for certain

    @property
    def run(self) -> JobRun | None:
        """Return the run of a SLURM job that the worker was."""
        if self.card is None or self.card.job is None:
            return None
        return JobRun(self.card.job, self.card.restarts)

    @property
    def cluster(self) -> str | None:
        """Return the cluster of that job."""
        return self.card.cluster if self.card is not None else None


def look_at(pool: Path, name: str) -> Look:
    """Return what can be seen of a worker from here."""
    # read first: a network file system asks its server for the times of a file that is opened
    card = read_card(pool, name)
    try:
        beaten = worker_file(pool, "workers", name).stat().st_mtime
    except FileNotFoundError:
        # a worker makes its file before it claims anything
        return Look(name=name, beaten=0.0, is_gone=True)
    except OSError:
        return Look(name=name)
    return Look(name=name, card=card, beaten=beaten, is_gone=card is not None and _is_gone(card))


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
