"""Lines of JSON with a checksum each: every worker appends to files of its own, anyone reads them.

    workers/xx/ID.json, attempts/xx/ID.jsonl, results/xx/ID.jsonl

ID is the worker's number as 12 hex digits and xx its first two, so that folders stay small.

1. An appended line is on disk when the call returns; a line that could not be written whole is
   taken away again.
2. The checksum distinguishes a whole line from one torn by a crash, or damaged later; a record of
   the wrong shape counts as damaged.

Read fast: a pool of the published study has 148,500 results.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jobpool.disk.causes import outlast_blip, storage_error
from jobpool.disk.files import checked_line, parse_line, sync_folder
from jobpool.disk.inside import make_folder, open_inside, paths_below, reading
from jobpool.disk.validation import (
    Kind,
    has_shape,
    is_fence,
    is_mapping,
    is_number,
    is_text,
    is_whole,
    is_word,
    is_worker,
    optional,
)
from jobpool.task import Json

_PIECE = 1 << 24  # bytes in memory at once
ANY_SHAPE: Mapping[str, Kind] = {}
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
        **dict.fromkeys(("read_mb", "written_mb", "clock_jump_s"), optional(is_number)),
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


class Line(NamedTuple):
    """One line of a file."""

    number: int  # from 1
    raw: bytes  # with its line break
    record: dict[str, Any] | None  # None where it is damaged

    @property
    def is_torn(self) -> bool:
        """Say whether it is damaged because its writing was cut short."""
        return self.record is None and not self.is_whole

    @property
    def is_whole(self) -> bool:
        """Say whether it was written to its end: the last line of a live writer may not be."""
        return self.raw.endswith(b"\n")


def append_line(path: Path, record: Mapping[str, Json]) -> None:
    """Append `record` to a file that has one writer, and return when it is on disk.

    Parameters
    ----------
    path : Path
        The file and its folder are made if they are missing.
    record : mapping
        What JSON can hold.

    Raises
    ------
    StorageError
        If the disk is full, over quota or failing; the part written is taken away again.
    """
    line = checked_line(record)
    try:
        outlast_blip(partial(_append, path, line))
    except OSError as error:
        raise storage_error(error, path, own=True) from error


def _append(path: Path, line: bytes) -> None:
    descriptor = _open_to_append(path)
    try:
        _append_whole(descriptor, line)
    finally:
        os.close(descriptor)


def _open_to_append(path: Path) -> int:
    try:
        return open_inside(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        make_folder(path.parent)
        descriptor = open_inside(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        sync_folder(path.parent)
        return descriptor


def _append_whole(descriptor: int, line: bytes) -> None:
    """Write all of `line` or nothing of it: a short write means that the disk is full."""
    before = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, line)
        while written < len(line):
            written += os.write(descriptor, line[written:])
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            outlast_blip(partial(os.ftruncate, descriptor, before))
        raise


def read_lines(path: Path, shape: Mapping[str, Kind] = ANY_SHAPE, start: int = 0) -> Iterator[Line]:
    """Yield the lines of a file, numbered from the first one that is read.

    Parameters
    ----------
    path : Path
        A file that does not exist has no lines.
    shape : mapping
        What a record must look like, by key; others count as damaged. Anything by default.
    start : int
        The byte at which to begin: where an earlier reader stopped.
    """
    for number, raw in enumerate(raw_lines(path, start), start=1):
        yield Line(number, raw, checked_record(raw, shape))


def raw_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield the lines of a file from a byte on; a file that does not exist has none."""
    try:
        with reading(path) as stream:
            stream.seek(start)
            yield from stream
    except FileNotFoundError:
        return


def checked_record(raw: bytes, shape: Mapping[str, Kind]) -> dict[str, Any] | None:
    """Return what a line says, or None if it is damaged or has another shape."""
    record = parse_line(raw)
    return record if record is not None and has_shape(record, shape) else None


def size_of(path: Path) -> int:
    """Return the size of a file in bytes as the file server knows it; 0 where there is none."""
    try:
        with reading(path, 0) as stream:  # a network file system asks its server when it opens
            return os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        return 0


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
    return paths_below(pool / kind, "??", f"*{KINDS[kind]}")


def all_lines(pool: Path, kind: str) -> Iterator[tuple[Path, Line]]:
    """Yield file and line of every line of attempts or results."""
    for path in worker_files(pool, kind):
        for line in read_lines(path, SHAPES[kind]):
            yield path, line


def lines_of(pool: Path, kind: str, name: str) -> Iterator[Line]:
    """Yield the lines of one worker's file of attempts or results."""
    return read_lines(worker_file(pool, kind, name), SHAPES[kind])


def records_about(
    pool: Path, kind: str, task: str, names: Iterable[str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield worker and record of every undamaged line about one task; no other line is parsed.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    kind : str
        ``attempts`` or ``results``.
    task : str
        Its id.
    names : iterable of str, optional
        The workers whose files to read; by default those of all workers.
    """
    word = b'"task":"%s"' % task.encode()
    known = (path.stem for path in worker_files(pool, kind)) if names is None else names
    for name in known:
        for raw in _lines_with(worker_file(pool, kind, name), word):
            record = checked_record(raw, SHAPES[kind])
            if record is not None and record["task"] == task:
                yield name, record


def _lines_with(path: Path, word: bytes) -> Iterator[bytes]:
    """Yield the lines of a file in which `word` stands, at a gigabyte a second."""
    try:
        with reading(path) as stream:
            rest = b""
            while piece := stream.read(_PIECE):
                data = rest + piece
                end = data.rfind(b"\n") + 1
                yield from _found_in(data, word, end)
                rest = data[end:]
            yield from _found_in(rest, word, len(rest))
    except FileNotFoundError:
        return


def _found_in(data: bytes, word: bytes, end: int) -> Iterator[bytes]:
    place = data.find(word, 0, end)
    while place >= 0:
        start, beyond = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place) + 1
        beyond = beyond or end
        yield data[start:beyond]
        place = data.find(word, beyond, end)


def records_of(pool: Path, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield what every undamaged line of one worker's file says."""
    return (line.record for line in lines_of(pool, kind, name) if line.record is not None)
