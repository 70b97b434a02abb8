"""Results: one line per result in the file of the worker that made it, never changed.

A line is on disk before the pool says ``done``. The pool says which line counts for a task:
the one whose fence and worker its record names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobpool.journal.jsonl import all_lines, append_line, records_about, worker_file
from jobpool.task import Json, Point

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What running a task gave, and which claim gave it."""

    task: str
    fence: int
    worker: str
    point: Point
    started: float  # seconds since the epoch
    ended: float
    result: dict[str, Any]


def write_result(pool: Path, result: Result) -> None:
    """Append `result` to its worker's file, and return when it is on disk.

    Raises
    ------
    StorageError
        If the disk refuses it; nothing of the line remains.
    """
    line: dict[str, Json] = {
        "format": FORMAT,
        "task": result.task,
        "fence": result.fence,
        "axes": dict(result.point),
        "started": round(result.started, 3),
        "ended": round(result.ended, 3),
        "result": result.result,
    }
    append_line(worker_file(pool, "results", result.worker), line)


def result_of(pool: Path, task: str, worker: str, fence: int) -> Result | None:
    """Return the result that a claim gave, or None: the claim names the one file to read.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    task : str
        Its id.
    worker : str
        The name of the claim's worker.
    fence : int
        The claim's number.
    """
    for _, line in records_about(pool, "results", task, [worker]):
        if line["fence"] == fence:
            return parse_result(worker, line)
    return None


def all_results(pool: Path) -> Iterator[Result]:
    """Yield every undamaged result in the pool, accepted or not."""
    for path, line in all_lines(pool, "results"):
        if line.record is not None:
            yield parse_result(path.stem, line.record)


def parse_result(worker: str, line: dict[str, Any]) -> Result:
    """Return the result that a line of a worker's file states."""
    return Result(
        task=line["task"],
        fence=line["fence"],
        worker=worker,
        point=tuple(line["axes"].items()),
        started=line["started"],
        ended=line["ended"],
        result=line["result"],
    )
