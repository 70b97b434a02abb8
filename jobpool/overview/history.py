"""What happened in a pool, in order: workers, attempts, results, and what runs now."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobpool.journal.attempts import Attempt, all_attempts
from jobpool.journal.jsonl import worker_files, worker_name
from jobpool.journal.results import all_results
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.table.records import Record
from jobpool.task import TaskState, attempt_name
from jobpool.units import duration, memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    time: float  # seconds since the epoch
    what: str
    worker: str
    task: str | None = None  # None: it concerns the worker alone


def history(pool: Pool) -> list[Event]:
    """Return all that happened, the oldest first."""
    written: set[tuple[str, int, str]] = set()
    events = [*_starts(pool.folder), *_attempts(all_attempts(pool.folder), written)]
    events += _open_ends(pool, written)
    events += [_running(pool.grid.id(position), record) for position, record in _in_hand(pool)]
    return sorted(events, key=lambda event: event.time)


def _in_hand(pool: Pool) -> Iterator[tuple[int, Record]]:
    for position, record in pool.running():
        if record.state is TaskState.RUNNING:
            yield position, record


def _starts(pool: Path) -> Iterator[Event]:
    for path in worker_files(pool, "workers"):
        record = read_worker_record(pool, path.stem)
        if record is None:
            what = "worker started; its record is damaged"
            yield Event(time=path.stat().st_mtime, what=what, worker=path.stem)
            continue
        words = [
            f"on {record.host}",
            f"process {record.pid}",
            f"{record.cores} cores",
        ]
        words += [memory(record.memory_mb)] if record.memory_mb else []
        words += [f"job {record.job}"] if record.job else []
        words += [f"only {text}" for text in record.only] + [f"not {text}" for text in record.skip]
        what = f"worker started {', '.join(words)}"
        yield Event(time=record.started, what=what, worker=path.stem)


def _attempts(attempts: Iterable[Attempt], written: set[tuple[str, int, str]]) -> Iterator[Event]:
    for attempt in attempts:
        written.add((attempt.task, attempt.fence, attempt.worker))
        if attempt.started is not None:
            what = f"{attempt_name(attempt.fence)} began"
            yield Event(time=attempt.started, what=what, worker=attempt.worker, task=attempt.task)
        yield Event(
            time=attempt.ended, what=_end(attempt), worker=attempt.worker, task=attempt.task
        )


def _end(attempt: Attempt) -> str:
    words = [f"{attempt_name(attempt.fence)} ended: {attempt.cause}"]
    if attempt.seconds is not None:
        words[0] += f" after {duration(attempt.seconds)}"
    words += [f"peak {memory(attempt.peak_memory_mb)}"] if attempt.peak_memory_mb else []
    words += [f"on {attempt.node}"] if attempt.node else []
    words += [f"job {attempt.job}"] if attempt.job else []
    words += [f"found by {attempt.found_by}"] if attempt.found_by else []
    error = f": {attempt.error}" if attempt.error else ""
    return ", ".join(words) + error


def _open_ends(pool: Pool, written: set[tuple[str, int, str]]) -> Iterator[Event]:
    """Yield the results whose attempt has no end in the record: their worker died in between."""
    for result in all_results(pool.folder):
        if (result.task, result.fence, result.worker) not in written:
            what = f"{attempt_name(result.fence)} wrote its result, and no end"
            yield Event(time=result.ended, what=what, worker=result.worker, task=result.task)


def _running(task: str, record: Record) -> Event:
    what = f"{attempt_name(record.fence)} began; it runs now"
    owner = worker_name(record.owner)
    return Event(time=record.changed_ms / 1000, what=what, worker=owner, task=task)
