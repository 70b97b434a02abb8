"""Where each worker's own files lie: one writer each, spread so that folders stay small.

    workers/xx/ID.json, attempts/xx/ID.jsonl, results/xx/ID.jsonl

ID is the worker's number as 12 hex digits, and xx its first two.
"""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobpool.disk.validation import (
    Kind,
    is_fence,
    is_mapping,
    is_number,
    is_text,
    is_whole,
    is_word,
    is_worker,
    optional,
)
from jobpool.journal.jsonl import Line, read_lines

KINDS = {"workers": ".json", "attempts": ".jsonl", "results": ".jsonl"}
SHAPES: Mapping[str, Mapping[str, Kind]] = {
    "attempts": {
        "task": is_text,
        "fence": is_fence,
        "worker": is_worker,
        "cause": is_word,  # of a newer jobpool, maybe one that this one does not know
        "started": optional(is_number),
        "ended": is_number,
        "cores": optional(is_whole),
        **dict.fromkeys(("memory_mb", "cpu_s", "peak_memory_mb"), optional(is_number)),
        **dict.fromkeys(("read_mb", "written_mb"), optional(is_number)),
        **dict.fromkeys(("error", "traceback", "node", "job"), optional(is_text)),
        "found_by": optional(is_worker),
    },
    "results": {
        "task": is_text,
        "fence": is_fence,
        "axes": is_mapping,
        "started": is_number,
        "ended": is_number,
        "result": is_mapping,
    },
}


def new_worker_number() -> int:
    """Return a random number of 48 bits that names a worker, never zero."""
    return secrets.randbits(48) | 1


def worker_name(number: int) -> str:
    """Return the name of a worker from its number.

    Examples
    --------
    >>> worker_name(255)
    '0000000000ff'
    """
    return f"{number:012x}"


def worker_file(pool: Path, kind: str, name: str) -> Path:
    """Return the file of one kind that belongs to the worker called `name`."""
    return pool / kind / name[:2] / (name + KINDS[kind])


def worker_files(pool: Path, kind: str) -> list[Path]:
    """Return the files of one kind of all workers there have been."""
    return sorted((pool / kind).glob(f"??/*{KINDS[kind]}"))


def all_lines(pool: Path, kind: str) -> Iterator[tuple[Path, Line]]:
    """Yield file and line of every line of attempts or results."""
    for path in worker_files(pool, kind):
        for line in read_lines(path, SHAPES[kind]):
            yield path, line


def lines_of(pool: Path, kind: str, name: str) -> Iterator[Line]:
    """Yield the lines of one worker's file of attempts or results."""
    return read_lines(worker_file(pool, kind, name), SHAPES[kind])


def records_of(pool: Path, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield what every undamaged line of one worker's file says."""
    return (line.record for line in lines_of(pool, kind, name) if line.record is not None)
