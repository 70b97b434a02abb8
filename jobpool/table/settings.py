"""``pool.json``: what kind of pool a folder is, and the settings that all its workers share.

Written when the pool is made, and by ``jobpool doctor --repair`` where another lock holds.
"""

import os
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jobpool.disk.causes import access_error
from jobpool.disk.files import checked_line, newer_format, parse_line, replace_whole
from jobpool.disk.inside import POOL_FILE, read_inside
from jobpool.disk.locks import LOCKS
from jobpool.disk.validation import (
    has_shape,
    is_number,
    is_text,
    is_whole,
    list_of,
    one_of,
    optional,
)
from jobpool.errors import AccessError, PoolError, RequestError, as_typed
from jobpool.table.code_files import EXPERIMENT, OWNER_WRITES, TASKS

FORMAT = 2  # 1: no tasks superseded, no bounds in the records
# how files are read; a pool keeps to the way in which it was made
READING = 2  # 1: scalars as in YAML 1.1, tables as pandas reads them
PRIVATE, GROUP = "private", "group"
_UMASKS = {PRIVATE: 0o077, GROUP: 0o007}
_LISTS = ("path", "environment", "experiment_sha256", "tasks_sha256")

_SHAPE = {
    "format": is_whole,
    **dict.fromkeys(("name", "runner", "folder", "version"), is_text),
    "lock": one_of(LOCKS),
    **dict.fromkeys(("created", "heartbeat_s", "lost_after_s", "grace_s"), is_number),
    **dict.fromkeys(("hung_after_s", "ask_slurm_s"), optional(is_number)),
    "park_after": optional(is_whole),
    "shared": optional(one_of(frozenset(_UMASKS))),
    "same_inputs": optional(is_number),
    "reading": optional(is_whole),
    **dict.fromkeys(_LISTS, optional(list_of(is_text))),
    "section_sha256": optional(is_text),
}
_ON_DISK = {"ask_scheduler_s": "ask_slurm_s"}  # fields whose key is another
_FIRST = ("name", "runner", "folder", "lock", "created", "version")
_FORMER_HUNG_S = 540.0  # of pools that do not say it


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How workers show that they live, when they count as lost, and when a task is parked."""

    heartbeat_s: float = 20.0
    lost_after_s: float = 180.0
    grace_s: float = 10.0  # between asking a task to stop and killing it
    lock: str = "auto"  # of a pool: the one that was found to hold
    hung_after_s: float | None = None  # silence of a job that seems to run; see `hung`
    ask_scheduler_s: float = 60.0  # between two queries by the whole pool
    park_after: int = 3  # as many equal errors in a row park a task
    shared: str = PRIVATE
    same_inputs: float = 0.75  # the share of claims that first look for the inputs of the last

    @property
    def hung(self) -> float:
        """Return `hung_after_s`, by default three times `lost_after_s`."""
        return 3 * self.lost_after_s if self.hung_after_s is None else self.hung_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolInfo(WorkerSettings):
    """What ``pool.json`` says: the settings, and whose they are."""

    name: str
    runner: str
    folder: str  # where relative paths of the experiment start
    created: float
    version: str  # of the jobpool that made it
    reading: int = 1
    path: tuple[str, ...] = ()  # searched for the modules of tasks
    environment: tuple[str, ...] = ()  # of tasks, each as NAME=value
    # of the two other files that say which code runs; two of each while an extension is made
    experiment_sha256: tuple[str, ...] = ()  # empty in a pool of an older jobpool
    tasks_sha256: tuple[str, ...] = ()
    section_sha256: str = ""  # of what finished results depend on in the experiment

    def digests_of(self, name: str) -> tuple[str, ...]:
        """Return the digests that a file may have; empty where none is known."""
        return {EXPERIMENT: self.experiment_sha256, TASKS: self.tasks_sha256}[name]

    def write(self, pool: Path) -> None:
        """Replace ``pool.json`` in the folder `pool`."""
        values = {_ON_DISK.get(name, name): value for name, value in asdict(self).items()}
        first = {name: values[name] for name in _FIRST}  # at the top of the file
        line = checked_line({"format": FORMAT, **first, **values})
        replace_whole(pool / POOL_FILE, line, OWNER_WRITES)


def set_umask(shared: str) -> int:
    """Let the files that this process makes be its owner's alone, or its group's, too.

    Returns
    -------
    int
        The mask before.
    """
    return os.umask(_UMASKS[shared])


def read_info(pool: Path, read: Callable[[], bytes] | None = None) -> PoolInfo:
    """Return what ``pool.json`` says.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    read : callable, optional
        Returns the content of the file; by default it is read from the folder.

    Raises
    ------
    RequestError
        If there is no pool.
    AccessError
        If it cannot be read.
    PoolError
        If it is damaged, or of a newer format.
    """
    try:
        line = parse_line(read_inside(pool / POOL_FILE) if read is None else read())
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "not a pool" if pool.exists() else "no such folder"
        step = as_typed("jobpool", "init", "CONFIG", pool)
        raise RequestError(pool, f"{what}; make one with: {step}") from error
    except PermissionError as error:
        raise AccessError(pool, f"cannot be read: {error.strerror}; ask its owner") from error
    except OSError as error:
        error.filename = error.filename or str(pool)
        raise access_error(error) from error
    if line is not None and is_whole(line.get("format")) and int(str(line["format"])) > FORMAT:
        raise PoolError(pool, newer_format(line["format"], FORMAT))
    if line is None or not has_shape(line, _SHAPE):
        raise PoolError(pool, "pool.json is damaged; restore it from a backup")
    known: dict[str, Any] = {
        field.name: line[key]
        for field in fields(PoolInfo)
        if line.get(key := _ON_DISK.get(field.name, field.name)) is not None
        or field.default is MISSING
    }
    known |= {name: tuple(known[name]) for name in _LISTS if name in known}
    return PoolInfo(**{"hung_after_s": _FORMER_HUNG_S, **known})
