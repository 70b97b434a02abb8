"""Patience with the pool's disk: what it refuses is done again when it answers.

A worker holds a task, and often hours of work, when a file server changes over or a ticket expires.
It waits with growing pauses, goes on with its heartbeat, and repeats what was refused.
"""

from collections.abc import Callable
from pathlib import Path
from select import select as wait_for_input
from typing import TypeVar

from jobpool.disk.causes import storage_error
from jobpool.disk.files import takes_writes
from jobpool.errors import StorageError
from jobpool.execution.supervisor import StopSignals

BACK_OFF_BEATS = (1, 2, 4, 8, 16)  # heartbeats to wait while the disk refuses writes
MOST_REPEATED = 5  # times that one thing is done again
MOST_REFUSED = 2  # refusals without a finished task in between after which a worker leaves
PROBE_BYTES = 1 << 20
Returned = TypeVar("Returned")


class Patience:
    """Waits until a disk answers again, for one worker.

    Parameters
    ----------
    signals : StopSignals
        End the waiting.
    beat : callable
        Sends a heartbeat.
    beat_s : float
        Seconds between two of them.
    report : callable
        Takes a line for the log.
    """

    def __init__(
        self,
        signals: StopSignals,
        beat: Callable[[], object],
        beat_s: float,
        report: Callable[[str], None],
    ) -> None:
        self._signals, self._beat, self._beat_s, self._report = signals, beat, beat_s, report
        self.record = Path()  # of the worker, which was written when it began
        self._n_refused = 0
        self._is_lost = False  # it was waited for in vain

    def forget(self) -> None:
        """Begin anew: the disk took all that belongs to a task."""
        self._n_refused = 0

    def outlast(self, act: Callable[[], Returned]) -> Returned:
        """Return what `act` returns, done again when the disk answers.

        Raises
        ------
        StorageError
            If the disk refuses it for minutes, or again when it answers; or if a signal came.
        """
        for _ in range(MOST_REPEATED):
            try:
                return act()
            except (StorageError, OSError) as error:
                refused = self._refusal(error)
                self._report(f"{refused.file}: {refused.reason}: waiting for the disk")
                if not self._recovers():
                    raise refused from error
                self._report("the disk answers again")
        return act()

    def goes_on(self) -> bool:
        """Say, after the disk refused what belongs to a task, whether to take another one."""
        self._n_refused += 1
        return self._n_refused <= MOST_REFUSED and self._recovers()

    def _refusal(self, error: StorageError | OSError) -> StorageError:
        """Return the error of the disk; any other one is raised."""
        if isinstance(error, OSError):  # this process could read and write the pool when it began
            file = Path(str(error.filename or self.record.parent))
            found = storage_error(error, file, own=True)
            if not isinstance(found, StorageError):
                raise error
            return found
        return error

    def _recovers(self) -> bool:
        """Wait with growing pauses until the disk accepts a write; False if it does not."""
        for beats in () if self._is_lost else BACK_OFF_BEATS:
            self.pause(beats * self._beat_s)
            if self._signals.received is not None:
                break
            self._beat()
            if takes_writes(self.record, PROBE_BYTES):
                return True
        self._is_lost = True
        return False

    def pause(self, seconds: float) -> None:
        """Wait, but for a signal."""
        wait_for_input([self._signals.descriptor], [], [], seconds)
