"""Leases: who works on what, so that processes share work instead of repeating it.

    leases/NAME.json   host, process and start of the holder; its time of change is a sign of life

A lease is advice and nothing rests on it: who loses one while working, or takes one that was not
dead after all, does work that another does as well, and both come to the same files. Ages are
taken between two modification times, both given by the file server.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobpool.disk.files import checked_line, server_time, storage_error

LEASE_S = 60.0  # a lease not refreshed for so long belonged to a process that died
_BEATS = 4  # signs of life in that time; a library that computes lets the thread run every 0.4 s
_CLOCK_S = 60.0  # for so long a process trusts its own clock to run like the file server's
FORMAT = 1


class Leases:
    """The leases in one folder.

    Parameters
    ----------
    folder : Path
        Made when the first lease is taken.
    lease_s : float
        Seconds after which a lease without a sign of life may be taken by another.
    """

    def __init__(self, folder: Path, lease_s: float = LEASE_S) -> None:
        self._folder, self._lease_s = folder, lease_s
        self._clock: tuple[float, float] | None = None  # this process's time, the server's

    @contextmanager
    def take(self, name: str) -> Iterator[bool]:
        """Hold the lease `name` inside the ``with`` block; yields False if another holds it.

        Raises
        ------
        StorageError
            If the disk is full, over quota or failing.
        """
        path = self._folder / f"{name}.json"
        owner = self._claim(path)
        if owner is None:
            yield False
            return
        ended = threading.Event()
        every_s = self._lease_s / _BEATS
        beating = threading.Thread(target=_beat, args=(path, ended, every_s), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            ended.set()
            beating.join()
            with suppress(OSError):  # a lease that stays is stale soon
                if path.read_bytes() == owner:
                    path.unlink()

    def is_free(self, name: str) -> bool:
        """Say whether nobody who lives holds the lease `name`."""
        return self._is_stale(self._folder / f"{name}.json")

    def _claim(self, path: Path) -> bytes | None:
        """Return what stands in the lease that is now ours, or None if another holds it."""
        owner = checked_line(
            {
                "format": FORMAT,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started": time.time(),
                "token": secrets.token_hex(8),
            }
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, path.parent) from error
        for _ in range(2):
            try:
                _create(path, owner)
            except FileExistsError:
                silent_s = self._silent_s(path)
                if silent_s is not None and silent_s <= self._lease_s:
                    return None
                if silent_s is not None:  # else it was let go, or this host cannot see it yet
                    path.unlink(missing_ok=True)
            else:
                return owner
        return None

    def stale(self) -> list[Path]:
        """Return the leases of processes that died."""
        return sorted(path for path in self._folder.glob("*.json") if self._is_stale(path))

    def _is_stale(self, path: Path) -> bool:
        silent_s = self._silent_s(path)
        return silent_s is None or silent_s > self._lease_s

    def _silent_s(self, path: Path) -> float | None:
        """Return how long a lease has shown no sign of life; None if there is none."""
        try:
            with path.open("rb") as stream:  # NFS shows the newest time of a file just opened
                beaten = os.fstat(stream.fileno()).st_mtime
        except FileNotFoundError:
            return None
        return self.server_time() - beaten

    def server_time(self) -> float:
        """Return the file server's time; this host's where the folder cannot be written."""
        now = time.monotonic()
        if self._clock is None or now - self._clock[0] > _CLOCK_S:
            self._clock = (now, server_time(self._folder))
        return self._clock[1] + now - self._clock[0]


def _create(path: Path, owner: bytes) -> None:
    """Make a lease if there is none; not made durable, as a lease means nothing after a crash."""
    try:
        with path.open("xb", buffering=0) as stream:
            try:
                stream.write(owner)
            except OSError:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise
    except OSError as error:
        raise storage_error(error, path) from error


def _beat(path: Path, ended: threading.Event, every_s: float) -> None:
    while not ended.wait(every_s):
        with suppress(OSError):  # taken by another, or a disk that recovers
            os.utime(path)
