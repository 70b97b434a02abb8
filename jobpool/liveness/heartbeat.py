"""A worker's heartbeat, and its record of the memory that its task uses.

workers/xx/ID.json    touched: its modification time is the heartbeat
workers/xx/ID.use     the peak memory of the running task, for the worker that finds it dead
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from jobpool.errors import PoolGoneError, StorageError
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import WorkerRecord, beat, write_memory_mark
from jobpool.pool import Pool

STEP_S = 5.0  # smaller steps keep a clock right
SAID_AFTER = 3  # missed heartbeats: from then on others find the worker silent
GROWTH = 1.05  # of the peak memory, before it is written again


class Heartbeat:
    """Sends the heartbeat of one worker.

    Parameters
    ----------
    pool : Pool
        Opened with the worker's number.
    peak_memory : callable
        Returns the running task, or None, and its peak memory in MB so far.
    report : callable
        Takes a line for the log.
    end : callable, optional
        Returns when the worker's job ends, as far as is known now.
    """

    def __init__(
        self,
        pool: Pool,
        peak_memory: Callable[[], tuple[str | None, float]],
        report: Callable[[str], None],
        end: Callable[[], float | None] | None = None,
    ) -> None:
        self._pool, self._peak_memory, self._report = pool, peak_memory, report
        self._end = end
        self._worker_record: WorkerRecord | None = None
        self._name = worker_name(pool.worker)
        self._path = Path()
        self._patient_until = 0.0
        self._gone_since: float | None = None  # by this process's clock
        self._n_missed = 0  # heartbeats in a row
        self._marked: tuple[str | None, float] = (None, 0.0)
        self._ahead_s = 0.0  # how far this host's clock is ahead of the file server's
        self.server_time = 0.0  # the file server's clock at the last heartbeat

    def start(self, worker_record: WorkerRecord) -> Path:
        """Write the worker record, send one heartbeat, and return the path of the record."""
        self._worker_record = worker_record
        self._path = worker_record.write(self._pool.folder, self._name)
        self.server_time = self._touch()
        self._write_clock()
        return self._path

    @property
    def is_patient(self) -> bool:
        """Say whether old heartbeats prove nothing: for a while no worker could send one."""
        return time.monotonic() < self._patient_until

    def beat(self) -> None:
        """Send a heartbeat; a missed one is no reason to lose hours of work.

        Raises
        ------
        PoolGoneError
            If the pool has been away for so long that it has taken the task back, wherever it is.
        """
        try:
            now = self._touch()
        except (OSError, StorageError) as error:
            self._missed(error)
            return
        self._gone_since, self._n_missed = None, 0
        try:
            self._write_memory_mark()
            self._write_end()
        except (OSError, StorageError) as error:
            self._report(f"record of the worker: {error}")
        if now - self.server_time > self._pool.info.lost_after_s / 2:
            # this host slept, or the file server was away
            self._patient_until = time.monotonic() + self._pool.info.lost_after_s
        self.server_time = now
        self._write_clock()

    def _touch(self) -> float:
        """Touch the record, and make it again if it vanished: purged, or an older pool restored."""
        began = time.monotonic()
        try:
            touched = beat(self._path)
            here = self._pool.now()
        except FileNotFoundError:
            if self._worker_record is None or self._pool.is_gone():
                raise
            self._worker_record.write(self._pool.folder, self._name)
            self._report("its record had vanished from the pool, and was made again")
            return beat(self._path)
        if time.monotonic() - began < STEP_S / 5:  # else the answer may have come late
            self._ahead_s = here - touched
        return touched

    def _write_clock(self) -> None:
        """Let the record say how wrong the clock of this host is, if it is wrong."""
        record = self._worker_record
        if record is None or abs(self._ahead_s - (record.clock_ahead_s or 0.0)) <= STEP_S:
            return
        self._worker_record = replace(record, clock_ahead_s=round(self._ahead_s, 1))
        self._report(f"the clock of this host is {self._ahead_s:+,.0f} s off the file server's")
        with suppress(OSError, StorageError):  # as with the heartbeat
            self._worker_record.write_again(self._path)

    def _write_end(self) -> None:
        """Let the record say when the job ends now: others judge and plan by it."""
        if self._end is None or self._worker_record is None:
            return
        end = self._end()
        if end != self._worker_record.end:
            self._worker_record = replace(self._worker_record, end=end)
            self._worker_record.write_again(self._path)

    def _missed(self, error: Exception) -> None:
        if self._pool.is_gone():
            now = time.monotonic()
            self._gone_since = now if self._gone_since is None else self._gone_since
            if now - self._gone_since > self._pool.info.lost_after_s:
                raise PoolGoneError(self._pool.folder)
        self._n_missed += 1
        if self._n_missed == SAID_AFTER:  # once, and not of a moment
            self._report(f"heartbeat: {error}")

    def _write_memory_mark(self) -> None:
        task, peak_mb = self._peak_memory()
        marked, marked_mb = self._marked
        if task is not None and peak_mb and (task != marked or peak_mb > GROWTH * marked_mb):
            write_memory_mark(self._pool.folder, self._name, task, peak_mb)
            self._marked = task, peak_mb
