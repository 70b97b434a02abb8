"""Which process does what: one for all, or several that share work instead of repeating it.

    turns/NAME-NUMBER    made by the process that is elected to do NAME in the period NUMBER
    leases/NAME.json     host, process and start of the holder; its time of change is the heartbeat

Both are advice that rests on exclusive creation alone, which every file system known to us keeps
atomic, and on the file server's clock. Whichever process is killed, and whenever:

1. In one period one process is elected at most. If it dies, the next period elects another one.
2. A lease without a heartbeat is taken over. A process that loses its lease while it works, or
   takes over the lease of a process that lives, repeats work: both come to the same files.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobpool.disk.causes import outlast_blip, storage_error
from jobpool.disk.files import checked_line, server_time
from jobpool.disk.inside import (
    make_folder,
    names_in,
    open_inside,
    paths_in,
    read_inside,
    reading,
    remove,
    touch,
)

ELECTIONS = "turns"  # the folder, as older versions call it
LEASE_S = 60.0  # a lease not refreshed for so long belonged to a process that died
_BEATS = 4  # heartbeats in that time; a library that computes lets the thread run every 0.4 s
_CLOCK_S = 60.0  # for so long a process trusts its own clock to run like the file server's
FORMAT = 1


def win_election(pool: Path, name: str, period_s: float, server_time: float) -> bool:
    """Say whether this process is elected to do something for all in the present period.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    name : str
        What is to be done.
    period_s : float
        Seconds between two elections.
    server_time : float
        The file server's clock, in seconds since the epoch: the same for all hosts.

    Returns
    -------
    bool
        True for one process per period at most; False where the disk refuses a file.
    """
    folder, number = pool / ELECTIONS, int(server_time // period_s)
    mark = folder / f"{name}-{number}"
    try:
        make_folder(folder)
        os.close(open_inside(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except OSError:
        return False
    others = [_number(other, name) for other in names_in(folder, f"{name}-*")]
    for other in others:
        if other < number:
            with suppress(OSError):
                remove(folder / f"{name}-{other}")
    return all(other <= number for other in others)  # else this process is late: its period is over


def _number(mark: str, name: str) -> int:
    found, _, number = mark.rpartition("-")
    return int(number) if found == name and number.isdecimal() else -1


class Leases:
    """The leases in one folder.

    Parameters
    ----------
    folder : Path
        Made when the first lease is taken.
    lease_s : float
        Seconds without a heartbeat after which another process may take a lease.
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
                if read_inside(path) == owner:
                    remove(path)

    def is_free(self, name: str) -> bool:
        """Say whether no living process holds the lease `name`."""
        return self._is_stale(self._folder / f"{name}.json")

    def _claim(self, path: Path) -> bytes | None:
        """Return the content of the lease that this process now holds, None if another holds it."""
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
            make_folder(path.parent)
        except OSError as error:
            raise storage_error(error, path.parent) from error
        for _ in range(2):
            try:
                _create(path, owner)
            except FileExistsError:
                silent_s = self._silent_s(path)
                if silent_s is not None and silent_s <= self._lease_s:
                    return None
                if silent_s is not None:  # else it was released, or this host cannot see it yet
                    remove(path)
            else:
                return owner
        return None

    def stale(self) -> list[Path]:
        """Return the leases of processes that died."""
        return sorted(path for path in paths_in(self._folder, "*.json") if self._is_stale(path))

    def _is_stale(self, path: Path) -> bool:
        silent_s = self._silent_s(path)
        return silent_s is None or silent_s > self._lease_s

    def _silent_s(self, path: Path) -> float | None:
        """Return the seconds since the last heartbeat of a lease; None if there is none."""
        try:
            with reading(path, 0) as stream:  # NFS shows the newest time of a file just opened
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
        outlast_blip(lambda: _create_once(path, owner))
    except FileExistsError:
        raise
    except OSError as error:
        raise storage_error(error, path) from error


def _create_once(path: Path, owner: bytes) -> None:
    descriptor = open_inside(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        try:
            stream.write(owner)
        except OSError:
            remove(path)
            raise


def _beat(path: Path, ended: threading.Event, every_s: float) -> None:
    while not ended.wait(every_s):
        with suppress(OSError):  # taken by another, or a disk that recovers
            touch(path)
