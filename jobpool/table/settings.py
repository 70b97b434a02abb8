"""``pool.json``: what kind of pool a folder is, and the settings that all its workers share.

Written when the pool is made, and by ``jobpool doctor --repair`` where another lock holds.
"""

import os
import pwd
from collections.abc import Collection
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jobpool.disk.causes import access_error
from jobpool.disk.files import newer_format, read_json, write_json
from jobpool.disk.inside import is_gone
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
from jobpool.errors import AccessError, PoolError, PoolGoneError, RequestError

FORMAT = 2  # 1: no tasks superseded, no bounds in the records
# how files are read; a pool keeps to the way in which it was made
READING = 2  # 1: scalars as in YAML 1.1, tables as pandas reads them
PRIVATE, GROUP = "private", "group"
OF_OWNER = ("pool.json", "experiment.yaml", "tasks.npz")  # they say which code runs, on what
_UMASKS = {PRIVATE: 0o077, GROUP: 0o007}


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
    **dict.fromkeys(("path", "environment"), optional(list_of(is_text))),
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

    def write(self, pool: Path) -> None:
        """Replace ``pool.json`` in the folder `pool`."""
        values = {_ON_DISK.get(name, name): value for name, value in asdict(self).items()}
        first = {name: values[name] for name in _FIRST}  # at the top of the file
        write_json(pool / "pool.json", {"format": FORMAT, **first, **values})
        keep_to_owner(pool / "pool.json")


def keep_to_owner(file: Path) -> None:
    """Let only its owner change a file that says which code runs."""
    file.chmod(file.stat().st_mode & 0o755)


def set_umask(shared: str) -> int:
    """Let the files that this process makes be its owner's alone, or its group's, too.

    Returns
    -------
    int
        The mask before.
    """
    return os.umask(_UMASKS[shared])


def read_info(pool: Path) -> PoolInfo:
    """Return what ``pool.json`` says.

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
        line = read_json(pool / "pool.json")
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "not a pool" if pool.exists() else "no such folder"
        raise RequestError(pool, f"{what}; make one with: jobpool init CONFIG {pool}") from error
    except PermissionError as error:
        raise AccessError(pool, f"cannot be read: {error.strerror}; ask its owner") from error
    except OSError as error:
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
    known |= {name: tuple(known[name]) for name in ("path", "environment") if name in known}
    return PoolInfo(**{"hung_after_s": _FORMER_HUNG_S, **known})


def check_owner(pool: Path, trusted: Collection[str] = ()) -> None:
    """Refuse to run the tasks of a pool that another user made, unless that user is trusted.

    A pool says which functions its tasks call: its author decides what runs here.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    trusted : collection of str
        The names of users whose pools may be run.

    Raises
    ------
    PoolError
        If one of the files that say so belongs to another user, or can be changed by others.
    """
    for name in OF_OWNER:
        file = pool / name
        try:
            found = file.stat()
        except FileNotFoundError as error:
            if is_gone(pool):
                raise PoolGoneError(pool) from error
            raise PoolError(file, "missing; restore it from a backup") from error
        if found.st_mode & 0o022:
            what = "can be changed by others, and says which code tasks run"
            raise PoolError(file, f"{what}; run: chmod go-w {file}")
        owner = found.st_uid
        if owner != os.geteuid() and _user_name(owner) not in trusted:
            what = f"belongs to {_user_name(owner)}, whose pool says which code its tasks run; if "
            what += f"you trust that, say so: --trust {_user_name(owner)}"
            raise PoolError(file, what)


def _user_name(number: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return str(number)
