"""Who holds the lock that a process waits for, told in its log and to those who ask for the status.

    turns/lock-NN    written again every half minute while a worker waits for the lock of state/NN

On this host the kernel knows the holder. A holder on another host is known by its silence: all
workers that wait go on sending heartbeats, and one that is stopped does not.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobpool.disk.coordination import ELECTIONS, win_election
from jobpool.disk.files import read_json, server_time, write_json
from jobpool.disk.inside import names_in, remove
from jobpool.disk.validation import has_shape, is_number, is_text
from jobpool.disk.waiting import holder_here
from jobpool.errors import JobpoolError
from jobpool.journal.jsonl import worker_name
from jobpool.liveness.judge import observe, suspect_after_s
from jobpool.pool import Pool
from jobpool.task import Json
from jobpool.units import duration, local_time

FORMAT = 1
_AGAIN_S = (30.0, 300.0, 1800.0)  # after which it is said again, and then every half hour
_BEATS = 3  # between two notes
_NOTE = "lock-"
_LEAST_FRESH_S = 10.0  # a busy host writes late
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLock:
    """A state file whose lock some process does not give back, as a worker that waits wrote it."""

    file: str
    since: float  # seconds since the epoch, by the file server's clock
    holder: str

    def __str__(self) -> str:
        since = f"workers have waited for its lock since {local_time(self.since)}"
        return f"{self.file}: {since}; {self.holder}"


class WaitReport:
    """Tells what one process waits for.

    Parameters
    ----------
    pool : Pool
        As this process has it.
    tell : callable
        Takes a line for a person.
    beat : callable
        Sends the heartbeat that the waiting thread cannot send.
    """

    def __init__(
        self, pool: Pool, tell: Callable[[str], None], beat: Callable[[], object] = lambda: None
    ) -> None:
        self._pool, self._tell, self._beat = pool, tell, beat
        self._say_at_s = 0.0  # how long the wait must have lasted
        self._beaten_s = 0.0  # how long the wait had lasted at the last heartbeat

    def waits(self, path: Path, waited_s: float) -> None:
        """Go on with a wait that has lasted `waited_s` seconds: say so now and then."""
        if waited_s - self._beaten_s >= self._pool.info.heartbeat_s:
            self._beaten_s = waited_s
            with suppress(JobpoolError):  # a pool that is gone: the waiting thread will see it
                self._beat()
            if path.parent.name == "state":
                with suppress(JobpoolError, OSError):  # the same, or a link in its place
                    self._write_note(path, waited_s)
        if waited_s >= self._say_at_s:
            later = (one for one in _AGAIN_S if one > waited_s)
            self._say_at_s = next(later, waited_s + _AGAIN_S[-1])
            held = holder(self._pool, path, waited_s)
            self._tell(
                f"{self._place(path)}: waiting for its lock for {duration(waited_s)}; {held}"
            )

    def got(self, path: Path, waited_s: float) -> None:
        """End a wait that was told."""
        with suppress(JobpoolError, OSError):
            remove(_note(self._pool.folder, path.name))
        self._tell(f"{self._place(path)}: got its lock after {duration(waited_s)}")
        self._say_at_s = self._beaten_s = 0.0

    def _place(self, path: Path) -> Path:
        return path.relative_to(self._pool.folder)

    def _write_note(self, path: Path, waited_s: float) -> None:
        pool, name = self._pool, f"{_NOTE}{path.name}"
        now = server_time(pool.folder / "workers")
        if not win_election(pool.folder, name, _BEATS * pool.info.heartbeat_s, now):
            return
        held = holder(pool, path, waited_s)
        note: dict[str, Json] = {
            "format": FORMAT,
            "since": round(now - waited_s, 3),
            "holder": held,
        }
        with suppress(JobpoolError, OSError):
            write_json(_note(pool.folder, path.name), note)


def held_locks(pool: Pool, server_time: float) -> tuple[HeldLock, ...]:
    """Return the state files for whose lock a worker waits at this time, as its notes say.

    Parameters
    ----------
    pool : Pool
        The pool.
    server_time : float
        The file server's clock, in seconds since the epoch.
    """
    found = []
    for name in names_in(pool.folder / ELECTIONS, f"{_NOTE}*"):
        shard = name.removeprefix(_NOTE)
        if not shard.isdecimal():  # the mark of an election
            continue
        with suppress(OSError, JobpoolError):
            path = _note(pool.folder, shard)
            line = read_json(path)
            fresh_s = max(_LEAST_FRESH_S, 3 * _BEATS * pool.info.heartbeat_s)
            is_old = server_time - path.lstat().st_mtime > fresh_s
            if line and has_shape(line, {"since": is_number, "holder": is_text}) and not is_old:
                one = HeldLock(file=f"state/{shard}", since=line["since"], holder=line["holder"])
                found.append(one)
    return tuple(found)


def holder(pool: Pool, path: Path, waited_s: float) -> str:
    """Return in words who holds the lock of a state file, as far as this host can tell.

    Parameters
    ----------
    pool : Pool
        The pool.
    path : Path
        The state file.
    waited_s : float
        How long the lock has been held at least.
    """
    if here := holder_here(path):
        return here
    silent = _silent(pool, waited_s)
    if not silent:
        return "a process of another host holds it"
    names = ", ".join(silent[:_MOST_NAMED])
    return f"a process of another host holds it, maybe one that is silent: {names}"


def _note(pool: Path, shard: str) -> Path:
    return pool / ELECTIONS / f"{_NOTE}{shard}"


def _silent(pool: Pool, waited_s: float) -> list[str]:
    """Return the workers with tasks that have sent no heartbeat since the wait began."""
    now = server_time(pool.folder / "workers")
    found = []
    with suppress(JobpoolError, OSError):
        for owner in sorted({record.owner for _, record in pool.running()} - {pool.worker}):
            seen = observe(pool.folder, worker_name(owner))
            silent_s, record = now - seen.beaten, seen.worker_record
            if silent_s > max(waited_s, suspect_after_s(pool.info)):
                where = f" on {record.host}, process {record.pid}" if record else ""
                job = f", job {record.job}" if record and record.job else ""
                found.append(f"worker {seen.name}{where}{job}, for {duration(silent_s)}")
    return found
