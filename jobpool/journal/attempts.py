"""Attempts: one line per attempt that ended, with its cause; the pool's memory of what happened.

A worker writes its own attempts. What a dead worker could not write is written, into its own
file, by the worker that finds it dead.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jobpool.disk.files import intact_body
from jobpool.disk.inside import paths_in
from jobpool.journal.fingerprints import short_fingerprint
from jobpool.journal.jsonl import (
    SHAPES,
    all_lines,
    append_line,
    checked_record,
    raw_lines,
    records_about,
    records_of,
    worker_file,
    worker_files,
)
from jobpool.task import NO_FEEDBACK, AnyCause, Cause, Feedback, cause_of

FORMAT = 1
# a task that is stopped so shortly before the end of its job had all of the time until then
BEFORE_END_S = 600.0
LOST = "lost"  # one fingerprint for all, however the evidence is worded
Key = tuple[str, int, str]  # task, fence, worker

# how lines say it, as `write_attempt` writes them; inside a text the quotes have backslashes
_DONE, _FOUND = b'"cause":"done"', b'"found_by":'
_NODE = re.compile(rb'"node":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How one run of a task by one worker ended."""

    task: str
    fence: int
    worker: str  # who ran it
    cause: AnyCause
    started: float | None  # seconds since the epoch; None where only the worker knew
    ended: float
    cores: int | None = None
    memory_mb: int | None = None  # what the worker had, not what it used
    cpu_s: float | None = None
    peak_memory_mb: float | None = None
    read_mb: float | None = None
    written_mb: float | None = None
    error: str | None = None  # one line: what went wrong
    traceback: str | None = None
    node: str | None = None
    job: str | None = None  # as the scheduler names it
    found_by: str | None = None  # the worker that found the owner dead
    clock_jump_s: float | None = None  # by which its host's clock was set meanwhile

    @property
    def seconds(self) -> float | None:
        """Return how long the attempt ran."""
        return None if self.started is None else self.ended - self.started


_ROUNDED = (
    *("started", "ended", "cpu_s", "peak_memory_mb", "read_mb", "written_mb", "clock_jump_s"),
)
_KNOWN = {field.name for field in fields(Attempt)} - {"cause", "worker"}


def write_attempt(pool: Path, attempt: Attempt) -> None:
    """Append `attempt` to the file of the worker that saw its end.

    Raises
    ------
    StorageError
        If the disk refuses it; nothing of the line remains.
    """
    writer = attempt.found_by or attempt.worker
    line = {key: value for key, value in asdict(attempt).items() if value is not None}
    for key in _ROUNDED:
        if key in line:
            line[key] = round(line[key], 3)
    append_line(worker_file(pool, "attempts", writer), {"format": FORMAT, **line})


def attempts_of(pool: Path, worker: str) -> Iterator[Attempt]:
    """Yield the undamaged attempts that one worker wrote."""
    yield from map(attempt_from, records_of(pool, "attempts", worker))


def all_attempts(pool: Path) -> Iterator[Attempt]:
    """Yield every undamaged attempt in the pool, each once; see `attempt_records`."""
    yield from map(attempt_from, attempt_records(pool))


def attempts_about(pool: Path, task: str, workers: Iterable[str] | None = None) -> list[Attempt]:
    """Return the attempts of one task, each once, in the order of their claims.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    task : str
        Its id.
    workers : iterable of str, optional
        Whose files to read; by default those of all workers.
    """
    records = [record for _, record in records_about(pool, "attempts", task, workers)]
    own = {_key(record) for record in records if record.get("found_by") is None}
    counting = [r for r in records if r.get("found_by") is None or _key(r) not in own]
    return sorted(map(attempt_from, counting), key=lambda one: (one.fence, one.ended))


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What all attempts of a pool say together: those that did not end well, one by one."""

    failed: tuple[Attempt, ...]
    n_done: Mapping[str, int]  # attempts that ended well on each node; "" where that is not known
    n_damaged: int  # lines that cannot be read


def survey(pool: Path) -> Survey:
    """Return what all attempts say: those that ended well are counted, and not looked into.

    In most pools these are nearly all: an eighth of the time of `all_attempts`.
    """
    failed, done_on, n_damaged = list[Attempt](), Counter[bytes](), 0
    found: list[dict[str, Any]] = []
    for path in worker_files(pool, "attempts"):
        for raw in raw_lines(path):
            if _DONE in raw and _FOUND not in raw:
                if intact_body(raw) is None:
                    n_damaged += 1
                else:
                    node = _NODE.search(raw)
                    done_on[node[1] if node else b'""'] += 1
                continue
            record = checked_record(raw, SHAPES["attempts"])
            if record is None:
                n_damaged += 1
            elif record.get("found_by") is None:
                failed.append(attempt_from(record))
            else:
                found.append(record)
    n_done = Counter[str]()
    for node_text, n in done_on.items():
        n_done[_text_in(node_text)] += n
    for attempt in map(attempt_from, _not_told(pool, found)):
        if attempt.cause is Cause.DONE:
            n_done[attempt.node or ""] += 1
        else:
            failed.append(attempt)
    return Survey(failed=tuple(failed), n_done=n_done, n_damaged=n_damaged)


def _text_in(value: bytes) -> str:
    """Return a text in JSON; empty if it is none: a line with a checksum may hold anything."""
    try:
        found = json.loads(value)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def _not_told(pool: Path, found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ends written by finders, without those that the worker wrote after all."""
    by_key = {_key(record): record for record in found}
    workers = {worker for _, _, worker in by_key}
    records = (record for worker in workers for record in records_of(pool, "attempts", worker))
    own = {_key(record) for record in records if record.get("found_by") is None}
    return [record for key, record in by_key.items() if key not in own]


def attempt_records(pool: Path) -> Iterator[dict[str, Any]]:
    """Yield what every undamaged line of attempts says, each attempt once.

    Where a worker thought dead wrote the end of its attempt after all, its own line counts.
    """
    found: list[dict[str, Any]] = []
    for _, line in all_lines(pool, "attempts"):
        if line.record is None:
            continue
        if line.record.get("found_by") is None:
            yield _timed(line.record)
        else:
            found.append(line.record)
    yield from map(_timed, _not_told(pool, found))


def _timed(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without its start if it ended before: a clock was wrong, which is unknown."""
    started = record.get("started")
    return record if started is None or started <= record["ended"] else {**record, "started": None}


def _key(record: Mapping[str, Any]) -> Key:
    return record["task"], record["fence"], record["worker"]


def damaged_attempts(pool: Path) -> list[tuple[Path, int]]:
    """Return file and line number of every damaged line."""
    lines = all_lines(pool, "attempts")
    return [(path, line.number) for path, line in lines if line.record is None]


def feedback_of(
    pool: Path,
    attempt: Attempt,
    *,
    checkpoint: Callable[[], str],
    end: float | None,
    since: float | None = None,
) -> Feedback:
    """Return what an attempt that ended says about its task.

    The one place that says so: for its own worker, for the worker that finds that one dead, and
    for a repair long after.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    attempt : Attempt
        How it ended.
    checkpoint : callable
        Returns the folder of the task's finished pieces, below ``checkpoints/``.
    end : float, optional
        When the job of its worker was to end, in seconds since the epoch, or None. It had the time
        until then if it was stopped shortly before; if not, it had what it took: the limit of a job
        can be shortened or extended.
    since : float, optional
        When it began by the file server's clock; None: as the attempt says.
    """
    cause, started = attempt.cause, attempt.started
    if cause is Cause.MEMORY:
        return Feedback(memory_mb=attempt.memory_mb)
    if cause is Cause.TIME and started is not None and attempt.clock_jump_s is None:
        # an attempt that made progress shows that the next one may finish in the same time
        since = started if since is None else since
        if made_progress(pool, checkpoint(), since, attempt.worker):
            return NO_FEEDBACK
        until = end if end is not None and 0 <= end - attempt.ended <= BEFORE_END_S else None
        return Feedback(core_s=(attempt.cores or 1) * ((until or attempt.ended) - started))
    if cause is Cause.LOST:
        return Feedback(error=short_fingerprint(LOST))
    if cause.is_poison or _is_of_task_alone(attempt):
        return Feedback(error=short_fingerprint(attempt.error, attempt.traceback, attempt.node))
    return NO_FEEDBACK


def _is_of_task_alone(attempt: Attempt) -> bool:
    """Say whether a disk failed in the task's own code, where no file of the pool was refused."""
    error = attempt.error or ""
    own = attempt.traceback and not error.startswith("jobpool.errors.StorageError")
    is_signal = error.startswith("the task process")
    return attempt.cause is Cause.STORAGE and bool(own or is_signal)


def made_progress(pool: Path, folder: str, since: float, worker: str = "") -> bool:
    """Say whether finished pieces of a task were added.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    folder : str
        Of the task, below ``checkpoints/``.
    since : float
        When the attempt began, in seconds since the epoch by the file server's clock.
    worker : str
        Count only what this worker wrote; by default what any worker wrote.
    """
    for path in paths_in(pool / "checkpoints" / folder, f"{worker}*.jsonl"):
        with suppress(OSError):
            if path.stat().st_mtime >= since:
                return True
    return False


def attempt_from(line: dict[str, Any]) -> Attempt:
    """Return the attempt of an undamaged line."""
    known = {key: value for key, value in _timed(line).items() if key in _KNOWN}
    known.setdefault("started", None)
    return Attempt(cause=cause_of(line["cause"]), worker=line["worker"], **known)
