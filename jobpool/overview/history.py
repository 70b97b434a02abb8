"""What happened in a pool, in order: workers, attempts, results, and what runs now."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jobpool.journal.attempts import Attempt, all_attempts, attempts_about
from jobpool.journal.jsonl import records_about, records_of, worker_files, worker_name
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.table.arrays import unchecked_table
from jobpool.table.records import RERUN, Record
from jobpool.table.task_index import positions_by_id
from jobpool.task import CLAIMS_PER_RUN, TaskState, attempt_name
from jobpool.units import count, duration, memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    time: float  # seconds since the epoch
    what: str
    worker: str
    task: str | None = None  # None: it concerns the worker alone


def history(pool: Pool) -> list[Event]:
    """Return all that happened, the oldest first."""
    packed = [pool.records_of(number) for number in range(len(pool.spans))]
    table = np.concatenate([unchecked_table(one) for one in packed])
    # afterwards: what ends meanwhile has an attempt, and is no claim without an end
    attempts = list(all_attempts(pool.folder))
    places = positions_by_id(pool.grid, table["fence"] > 0)
    tasks = {place: task for task, place in places.items()}
    claims = [
        Claimed(tasks[place], int(table["fence"][place]), worker_name(int(table["owner"][place])))
        for place in tasks
    ]
    claims += [
        _claimed(tasks[place], accepted)
        for place in np.flatnonzero(table["cause"] & RERUN > 0).tolist()
        if (accepted := pool.record(place).accepted) is not None
    ]
    events = [*_starts(pool.folder), *_attempts(attempts), *_open_ends(pool, attempts, claims)]
    # some were claimed since the table was read
    events += [
        _running(tasks.get(place) or pool.grid.id(place), record)
        for place, record in _in_hand(pool)
    ]
    return sorted(events, key=lambda event: event.time)


def history_of(pool: Pool, position: int) -> list[Event]:
    """Return what happened to one task, the oldest first; reads only what is about it."""
    task, record = pool.grid.id(position), pool.record(position)
    attempts = attempts_about(pool.folder, task)
    claims = [_claimed(task, one) for one in (record, record.accepted) if one and one.fence]
    events = [*_attempts(attempts), *_open_ends(pool, attempts, claims)]
    events += [_running(task, record)] if record.state is TaskState.RUNNING else []
    return sorted(events, key=lambda event: event.time)


class Claimed(NamedTuple):
    """A claim as the state table names it."""

    task: str
    fence: int
    worker: str


def _claimed(task: str, record: Record) -> Claimed:
    return Claimed(task, record.fence, worker_name(record.owner))


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
            count(record.cores, "core"),
        ]
        words += [memory(record.memory_mb)] if record.memory_mb else []
        words += [f"job {record.job}"] if record.job else []
        words += [f"only {text}" for text in record.only] + [f"not {text}" for text in record.skip]
        what = f"worker started {', '.join(words)}"
        yield Event(time=record.started, what=what, worker=path.stem)


def _attempts(attempts: Iterable[Attempt]) -> Iterator[Event]:
    for attempt in attempts:
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
    if attempt.clock_jump_s is not None:
        words += [f"the clock of its host was set by {attempt.clock_jump_s:+,.0f} s meanwhile"]
    words += [f"peak {memory(attempt.peak_memory_mb)}"] if attempt.peak_memory_mb else []
    words += [f"on {attempt.node}"] if attempt.node else []
    words += [f"job {attempt.job}"] if attempt.job else []
    words += [f"found by {attempt.found_by}"] if attempt.found_by else []
    error = f": {attempt.error}" if attempt.error else ""
    return ", ".join(words) + error


def _open_ends(
    pool: Pool, attempts: Iterable[Attempt], claims: Iterable[Claimed]
) -> Iterator[Event]:
    """Yield the results of claims that have no end in the record: their worker died in between."""
    written = {(one.task, one.fence, one.worker) for one in attempts}
    of_worker: defaultdict[str, set[Claimed]] = defaultdict(set)
    for claim in claims:
        if claim not in written and claim.fence % CLAIMS_PER_RUN:  # else: not claimed in this run
            of_worker[claim.worker].add(claim)
    for worker, some in of_worker.items():
        for line in _results_of(pool, worker, [claim.task for claim in some]):
            if (line["task"], line["fence"], worker) in some:
                what = f"{attempt_name(line['fence'])} wrote its result, and no end"
                yield Event(time=line["ended"], what=what, worker=worker, task=line["task"])


def _results_of(pool: Pool, worker: str, tasks: list[str]) -> Iterator[dict[str, Any]]:
    if len(tasks) > 1:
        return records_of(pool.folder, "results", worker)
    return (line for _, line in records_about(pool.folder, "results", tasks[0], [worker]))


def _running(task: str, record: Record) -> Event:
    what = f"{attempt_name(record.fence)} began; it runs now"
    owner = worker_name(record.owner)
    return Event(time=record.changed_ms / 1000, what=what, worker=owner, task=task)
