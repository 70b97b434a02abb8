"""What workers write about themselves while they live.

    workers/xx/ID.json    the worker's record: who it is; its modification time is the heartbeat
    workers/xx/ID.use     the memory mark: the peak of the task in hand, replaced whole now and then

Both are written by their worker alone, so that what a dead worker left behind explains its end.
"""

import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jobpool.disk.files import checked_line, create_exclusively, parse_line, read_json, write_json
from jobpool.disk.inside import make_folder, reading, touch
from jobpool.disk.validation import has_shape, is_number, is_text, is_whole, list_of, optional
from jobpool.journal.jsonl import worker_file

FORMAT = 1
_OWNER_WRITES = 0o644  # less the mask: what a record says of a job, `cancel` believes its owner


_SHAPE = {
    **dict.fromkeys(("host", "space", "version"), is_text),
    **dict.fromkeys(("pid", "cores", "restarts"), is_whole),
    "started": is_number,
    **dict.fromkeys(("start_ticks", "end", "memory_mb", "clock_ahead_s"), optional(is_number)),
    **dict.fromkeys(("node", "job", "job_name", "cluster", "scheduler"), optional(is_text)),
    **dict.fromkeys(("uid", "spare_cores"), optional(is_whole)),
    **dict.fromkeys(("only", "skip"), list_of(is_text)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """What a worker writes about itself in ``workers/xx/ID.json``; its mtime is the heartbeat."""

    host: str
    pid: int
    started: float
    space: str = ""  # where the process number means something
    start_ticks: int | None = None  # tells the process from a later one with the same number
    end: float | None = None  # when the job ends, seconds since the epoch
    cores: int
    spare_cores: int | None = None  # of its job, for which that did not ask
    memory_mb: int | None = None
    node: str | None = None  # as the scheduler calls it
    job: str | None = None  # as the scheduler names it, with its place in an array
    job_name: str | None = None
    uid: int | None = None  # whose job it is
    cluster: str | None = None
    scheduler: str = ""  # whose job it is; empty: before there was another than the usual one
    restarts: int = 0
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    version: str = ""
    clock_ahead_s: float | None = None  # of the file server's, if it was ever far from it

    def write(self, pool: Path, name: str) -> Path:
        """Make the worker's file, and return its path."""
        path = worker_file(pool, "workers", name)
        make_folder(path.parent)
        line = checked_line({"format": FORMAT, **_plain(asdict(self))})
        create_exclusively(path, line, _OWNER_WRITES)
        return path

    def write_again(self, path: Path) -> None:
        """Replace the worker's file: something that it says has changed."""
        write_json(path, {"format": FORMAT, **_plain(asdict(self))}, _OWNER_WRITES)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in record.items()}


def own_worker_record(**known: Any) -> WorkerRecord:
    """Return the worker record of this very process."""
    pid = os.getpid()
    return WorkerRecord(
        host=socket.gethostname(),
        pid=pid,
        space=process_space(),
        start_ticks=start_ticks(pid),
        **known,
    )


def read_worker_record(pool: Path, name: str, *, own: bool = False) -> WorkerRecord | None:
    """Return a worker's record, or None if it is missing or damaged.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    name : str
        Of the worker.
    own : bool
        Return only what a worker of this user wrote, and nobody else can have changed.
    """
    with suppress(OSError), reading(worker_file(pool, "workers", name)) as stream:
        status = os.fstat(stream.fileno())
        if own and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            return None
        line: dict[str, Any] | None = parse_line(stream.read())
        if line is not None and has_shape(line, _SHAPE):
            known = {
                field.name: line[field.name] for field in fields(WorkerRecord) if field.name in line
            }
            return WorkerRecord(
                **known | {"only": tuple(line["only"]), "skip": tuple(line["skip"])}
            )
    return None


def beat(record_path: Path) -> float:
    """Touch a worker's file, and return the file server's time in seconds since the epoch."""
    return touch(record_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMark:
    """The peak memory of the task in a worker's hand, as its worker wrote it last."""

    task: str
    peak_memory_mb: float


def write_memory_mark(pool: Path, name: str, task: str, peak_memory_mb: float) -> None:
    """Write down the peak memory of a task, for the worker that finds this one dead.

    Raises
    ------
    StorageError
        If the disk refuses it; what was written before stands.
    """
    peak_memory_mb = round(peak_memory_mb, 3)
    write_json(
        _mark_file(pool, name), {"format": FORMAT, "task": task, "peak_memory_mb": peak_memory_mb}
    )


def read_memory_mark(pool: Path, name: str) -> MemoryMark | None:
    """Return a worker's memory mark, or None if it is missing or damaged."""
    with suppress(OSError):
        line: dict[str, Any] | None = read_json(_mark_file(pool, name))
        if line is not None and has_shape(line, {"task": is_text, "peak_memory_mb": is_number}):
            return MemoryMark(task=line["task"], peak_memory_mb=line["peak_memory_mb"])
    return None


def _mark_file(pool: Path, name: str) -> Path:
    return worker_file(pool, "workers", name).with_suffix(".use")


def process_space() -> str:
    """Name the run of the kernel and the space of process numbers that this process is in.

    Empty where the system does not say. A host name is no proof: containers and clusters of
    virtual machines share them.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot, or None if that is hidden."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])
    return None
