"""The files of a pool that say which code its tasks run: read once, checked on the open file.

    pool.json          settings: where modules are searched, and the digests of the two others
    experiment.yaml    the function that tasks call, the options of jobs
    tasks.npz          what it is called with

Owner and permissions are asked of the open file that is then read, so no other file can take its
place between the look and the reading. What a worker has read it hands over to the process of its
tasks, which opens none of them again.
"""

import hashlib
import os
import pwd
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from jobpool.disk.causes import access_error
from jobpool.disk.inside import POOL_FILE, is_gone, reading
from jobpool.errors import (
    AccessError,
    JobpoolError,
    PoolError,
    PoolGoneError,
    RequestError,
    as_typed,
)

EXPERIMENT, TASKS = "experiment.yaml", "tasks.npz"
OF_OWNER = (POOL_FILE, EXPERIMENT, TASKS)
OWNER_WRITES = 0o644  # their permissions, less those of the mask: from the first moment on
_OTHERS_WRITE = 0o022
_LENGTHS = struct.Struct(f"<{len(OF_OWNER)}Q")


class CodeFiles:
    """Reads the files of a pool that say which code runs, each once.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    trusted : collection of str, optional
        The names of users who may own the files, beside this one; None for a process that runs
        nothing of what they say, and may read everyone's.
    contents : mapping, optional
        What another process has read and checked; then nothing is opened here.

    Attributes
    ----------
    are_named : bool
        Whether ``pool.json`` must have their digests: not for an extension, which renews these.
    """

    def __init__(
        self,
        pool: Path,
        trusted: Collection[str] | None = None,
        contents: Mapping[str, bytes] | None = None,
    ) -> None:
        self._pool, self._trusted = pool, trusted
        self._contents = dict(contents or {})
        self._is_given = contents is not None
        self.are_named = True

    def content(self, name: str) -> bytes:
        """Return the content of one of `OF_OWNER`.

        Raises
        ------
        PoolError
            If its owner is not trusted, others can change it, or it is missing.
        AccessError
            If this user may not read it.
        OSError
            If there is no ``pool.json``, or it cannot be read.
        """
        if name not in self._contents:
            self._contents[name] = self._read(name)
        return self._contents[name]

    def _read(self, name: str) -> bytes:
        file = self._pool / name
        try:
            with reading(file, 0) as stream:
                if self._trusted is not None:
                    check_status(file, os.fstat(stream.fileno()), self._trusted)
                return stream.read()
        except FileNotFoundError as error:
            if name == POOL_FILE:  # no pool at all
                raise
            raise missing(self._pool, name) from error
        except PermissionError as error:
            if name == POOL_FILE:
                raise
            raise AccessError(file, "cannot be read: Permission denied; ask its owner") from error
        except OSError as error:
            if name == POOL_FILE:
                raise
            error.filename = error.filename or str(file)  # a stream has no name
            raise access_error(error) from error

    def renewed(self) -> "CodeFiles":
        """Return the files to be read again, as they are now; those handed over stay the same."""
        if self._is_given:
            return self
        found = CodeFiles(self._pool, self._trusted)
        found.are_named = self.are_named
        return found

    def write_to(self, descriptor: int) -> None:
        """Write all of them to an open file, for the process that runs the tasks."""
        contents = [self.content(name) for name in OF_OWNER]
        data = memoryview(b"".join([_LENGTHS.pack(*map(len, contents)), *contents]))
        os.ftruncate(descriptor, 0)
        written = 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], written)


def handed_over(pool: Path, descriptor: int) -> CodeFiles:
    """Return what `CodeFiles.write_to` wrote to an open file, and close it."""
    with os.fdopen(descriptor, "rb") as stream:
        stream.seek(0)
        lengths = _LENGTHS.unpack(stream.read(_LENGTHS.size))
        contents = [stream.read(length) for length in lengths]
    return CodeFiles(pool, (), dict(zip(OF_OWNER, contents, strict=True)))


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of a file's content, as ``pool.json`` holds it."""
    return hashlib.sha256(content).hexdigest()


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
    files = CodeFiles(pool, trusted)
    for name in OF_OWNER:
        files.content(name)


def check_own(pool: Path) -> None:
    """Refuse to change the files of another user's pool: their new owner would be trusted by none.

    Raises
    ------
    RequestError
        If ``pool.json`` belongs to another user.
    """
    with suppress(OSError):  # no pool: that is told where it is read
        owner = (pool / POOL_FILE).lstat().st_uid
        if owner != os.geteuid():
            raise RequestError(pool, f"belongs to {_user_name(owner)}, who alone extends it")


def missing(pool: Path, name: str) -> JobpoolError:
    """Return the error for a file that every pool has."""
    if is_gone(pool):
        return PoolGoneError(pool)
    return PoolError(pool / name, "missing; restore it from a backup")


def check_status(file: Path, found: os.stat_result, trusted: Collection[str]) -> None:
    """Refuse an open file that is not the user's own, or a trusted user's, alone to change."""
    if found.st_mode & _OTHERS_WRITE:
        what = "can be changed by others, and says which code tasks run"
        raise PoolError(file, f"{what}; run: {as_typed('chmod', 'go-w', file)}")
    owner = found.st_uid
    if owner != os.geteuid() and _user_name(owner) not in trusted:
        what = f"belongs to {_user_name(owner)}, whose pool says which code its tasks run; if "
        what += f"you trust that, say so: {as_typed('--trust', _user_name(owner))}"
        raise PoolError(file, what)


def changed_experiment(pool: Path) -> PoolError:
    """Return the error for a copy of the experiment that says something else than was agreed."""
    what = "was edited in the pool, and not only in its passes and estimates: the results that are "
    what += "there depend on the rest; put the file back that the pool was made from: "
    return PoolError(pool / EXPERIMENT, what + as_typed("jobpool", "extend", "CONFIG", pool))


def changed_tasks(pool: Path) -> PoolError:
    """Return the error for a grid that is not the one that ``pool.json`` names."""
    what = "damaged, or not the file that pool.json names; restore both from one backup, or, if an "
    what += "older jobpool extended the pool: "
    return PoolError(pool / TASKS, what + as_typed("jobpool", "extend", "CONFIG", pool))


def _user_name(number: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return str(number)
