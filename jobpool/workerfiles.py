"""Where each worker's own files lie: one writer each, spread so that folders stay small.

    workers/xx/ID.json, attempts/xx/ID.jsonl, results/xx/ID.jsonl

ID is the worker's number as 12 hex digits, and xx its first two.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

from jobpool.files import read_lines
from jobpool.task import Json

KINDS = {"workers": ".json", "attempts": ".jsonl", "results": ".jsonl"}


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


def all_lines(pool: Path, kind: str) -> Iterator[tuple[Path, int, dict[str, Json] | None]]:
    """Yield file, line number and record of every line; None where a line is damaged."""
    for path in worker_files(pool, kind):
        for number, record in read_lines(path):
            yield path, number, record
