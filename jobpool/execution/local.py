"""Workers on this machine, without a scheduler: started, watched, and stopped.

Each is a program of its own, ``jobpool work``, with a log in ``POOL/logs/local``. They are stopped
as a scheduler stops a job, and then return their tasks. If the process that started them is
killed, they continue until no task is left: the pool stays consistent either way.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobpool.disk.inside import make_folder, open_inside, read_inside
from jobpool.errors import Fault, SelectionError
from jobpool.pool import Pool
from jobpool.scheduler.detect import find_scheduler
from jobpool.table.arrays import count_states, n_counted
from jobpool.table.code_files import check_owner
from jobpool.table.selection import select
from jobpool.table.settings import set_umask
from jobpool.task import TaskState
from jobpool.units import time_in_name

POLL_S = 0.5
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
Show = Callable[[Mapping[TaskState, int]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """How many workers, with what, and for which tasks."""

    workers: int = 1
    cores: int = 1  # of each worker
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None  # None: that of this process


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedWorker:
    """A worker that did not leave by itself."""

    said: str  # the last line of its log
    log: Path
    exit_code: int  # one of `Fault`


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """The outcome of a run of local workers."""

    n_done: int
    n_tasks: int  # that were selected
    failed: tuple[FailedWorker, ...]  # one for each different message
    left: tuple[str, ...]  # why the others left

    def __str__(self) -> str:
        return f"{self.n_done:,} of {self.n_tasks:,} tasks done"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Local:
    """A worker on this machine."""

    process: "subprocess.Popen[bytes]"
    log: Path


class LocalWorkers:
    """Completes a pool with workers on this machine.

    Parameters
    ----------
    pool : Pool
        The pool; this process's umask becomes that of the pool.
    settings : LocalSettings
        What to start.

    Raises
    ------
    SelectionError
        If no task is selected, or a condition does not fit the pool.
    PoolError
        If the owner of the pool is not trusted.
    """

    def __init__(self, pool: Pool, settings: LocalSettings) -> None:
        set_umask(pool.info.shared)
        check_owner(pool.folder, settings.trust)
        self._pool, self._settings = pool, settings
        self._chosen = select(pool.grid, settings.only, settings.skip)
        if not self._chosen.any():
            text = " ".join([*settings.only, *settings.skip])
            raise SelectionError(text, "no task is selected")
        self._started: list[_Local] = []
        self._stopped: set[int] = set()  # process ids

    def start(self) -> None:
        """Start the workers; each is recorded at once, so that none is left running."""
        folder = self._pool.folder / "logs" / "local"
        make_folder(folder)
        stamp, command = time_in_name(time.time()), self._command()
        for number in range(1, self._settings.workers + 1):
            path = folder / f"{stamp}-{number}.log"
            with os.fdopen(open_inside(path, _APPEND), "wb") as log:
                # a group of its own: Ctrl-C reaches this process, which then asks the workers
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                    env=self._settings.environment,
                )
            self._started.append(_Local(process=process, log=path))

    def _command(self) -> list[str]:
        settings = self._settings
        command = [sys.executable, "-P", "-m", "jobpool", "work", str(self._pool.folder)]
        command += ["--cores", str(settings.cores)]
        command += [word for text in settings.only for word in ("--only", text)]
        command += [word for text in settings.skip for word in ("--skip", text)]
        command += [word for user in settings.trust for word in ("--trust", user)]
        memory_mb = find_scheduler().capacity().memory_mb
        if memory_mb:  # no worker may count on what another uses
            command += ["--memory-mb", str(max(memory_mb // settings.workers, 1))]
        return command

    def watch(self, show: Show = lambda _: None) -> None:
        """Wait until all workers have left; `show` is given the counts of the selected tasks."""
        while True:
            have_left = all(worker.process.poll() is not None for worker in self._started)
            show(self._counts())
            if have_left:
                return
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop the workers, and wait until they have returned their tasks."""
        for worker in self._started:
            if worker.process.poll() is None:
                self._stopped.add(worker.process.pid)
                with suppress(ProcessLookupError):
                    worker.process.terminate()
        for worker in self._started:
            worker.process.wait()

    def ended(self) -> LocalRun:
        """Return the outcome, once the workers have left."""
        counts = self._counts()
        # workers that fail for one reason give one message
        failed = {_last_line(w.log): w for w in self._started if self._has_failed(w)}
        left = {_last_line(w.log).partition(" left: ")[2] for w in self._started} - {""}
        return LocalRun(
            n_done=counts[TaskState.DONE],
            n_tasks=n_counted(counts),
            failed=tuple(_failed(said, worker) for said, worker in failed.items()),
            left=tuple(sorted(left)),
        )

    def _has_failed(self, worker: _Local) -> bool:
        process = worker.process
        # one that was stopped while it started had no task, and nothing to say
        was_stopped = process.pid in self._stopped and process.returncode == -signal.SIGTERM
        return process.returncode != 0 and not was_stopped

    def _counts(self) -> Mapping[TaskState, int]:
        return count_states(self._pool.index()[self._chosen])


def _failed(said: str, worker: _Local) -> FailedWorker:
    code = worker.process.returncode  # negative: it was killed
    return FailedWorker(said=said, log=worker.log, exit_code=code if code > 0 else Fault.TASK)


def _last_line(log: Path) -> str:
    lines = read_inside(log).decode("utf-8", "replace").splitlines()
    return lines[-1] if lines else "it wrote nothing"
