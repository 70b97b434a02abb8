"""Files inside a pool: opened without following a link, and regular files only.

A folder with a ``pool.json`` is a pool, with all that lies below it. The way to the pool may lead
through links; below it none is followed, whoever made it: where a group may write, a link can
take the place of any file or folder between two looks at it. So a path is opened by a call that
follows no link at all or, where there is one above the pool, folder by folder, each from the
descriptor of the one above it; what is done to the names in a folder is done by its descriptor.
Where there is no pool around a file, it is opened as by `os.open`.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from jobpool.disk.causes import outlast_blip
from jobpool.disk.one_call import open_without_links
from jobpool.errors import PoolError, PoolGoneError

POOL_FILE = "pool.json"
# a folder is passed through, not read; other systems than Linux must open it to read
_PASS = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
# a pipe in place of the file must not make its opener wait for the other end
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK
_ODD_ERRNOS = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.ENXIO})


class _NoPoolError(LookupError):
    """A folder lies in no pool."""


@lru_cache(maxsize=256)  # an error is not kept: the folder may become a pool
def _known_pool(folder: str) -> str:
    """Return the folder if it is a pool, or was one when this process looked before."""
    if not os.path.lexists(f"{folder}/{POOL_FILE}"):
        raise _NoPoolError(folder)
    return folder


@lru_cache(maxsize=4096)  # an error is not kept: the folder may become part of a pool
def _place(folder: str) -> tuple[str, tuple[str, ...]]:
    """Return the outermost pool that a folder lies in, and the names of the folders between."""
    above, name = os.path.split(folder)
    if name not in {"", ".", ".."}:
        with suppress(_NoPoolError):
            pool, names = _place(above)
            return pool, (*names, name)
    return _known_pool(folder), ()


def _absolute(folder: str) -> str:
    return folder if folder.startswith("/") else f"{Path.cwd()}/{folder}".rstrip("/")


def remember_pool(folder: Path) -> None:
    """Know from now on that a folder is a pool, also when it is not there any more."""
    with suppress(_NoPoolError):
        _known_pool(_absolute(os.fspath(folder)))


def is_gone(pool: Path) -> bool:
    """Say whether a pool is certainly not there any more: it was moved or deleted.

    A disk that does not answer is no proof.
    """
    try:
        (pool / POOL_FILE).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _open_folder(folder: str, flags: int = _PASS) -> int:
    """Return a descriptor of a folder, in a pool of one that is reached by no link."""
    if (found := open_without_links(folder or ".", flags, 0)) is not None:
        return found
    try:
        pool, names = _place(_absolute(folder))
    except _NoPoolError:
        return os.open(folder or ".", flags)
    descriptor = os.open(pool, _PASS if names else flags)
    for number, name in enumerate(names, start=1):
        above = descriptor
        try:
            last = number == len(names)
            descriptor = os.open(name, (flags if last else _PASS) | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            reached = "/".join((pool, *names[:number]))
            raise _told(error, above, name, reached) from None
        finally:
            os.close(above)
    return descriptor


def _told(error: OSError, above: int, name: str, path: str) -> Exception:
    """Return what to raise where a name cannot be opened: with its whole path, and the reason."""
    if error.errno in _ODD_ERRNOS:
        with suppress(OSError):
            mode = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return not_a_file(path, mode)
    error.filename = path
    return error


def not_a_file(path: str | Path, mode: int) -> PoolError:
    """Return the error for what stands in the place of a file or a folder of a pool."""
    if stat.S_ISLNK(mode):
        what = "is a symbolic link, and none is followed inside a pool; move what it leads to here"
        return PoolError(Path(path), f"{what}, or remove it")
    return PoolError(Path(path), "is no regular file; remove it, or restore it from a backup")


def open_inside(path: str | Path, flags: int, mode: int = 0o666) -> int:
    """Return a descriptor of a file, as `os.open` does; in a pool only of a regular file.

    Raises
    ------
    PoolError
        If there is a link on the way below the pool, or something else than a regular file.
    OSError
        As `os.open` does.
    """
    path = os.fspath(path)
    descriptor = open_without_links(path, flags | _SAFELY, mode)
    if descriptor is None:
        descriptor = _open_by_folders(path, flags, mode)
    found = os.fstat(descriptor).st_mode
    if stat.S_ISREG(found):
        return descriptor
    os.close(descriptor)
    if _is_in_pool(path):
        raise not_a_file(path, found)
    return os.open(path, flags, mode)


def _open_by_folders(path: str, flags: int, mode: int) -> int:
    folder, name = os.path.split(path)
    if not _is_in_pool(path):
        return os.open(path, flags, mode)
    above = _open_folder(folder)
    try:
        return os.open(name, flags | _SAFELY, mode, dir_fd=above)
    except OSError as error:
        raise _told(error, above, name, path) from None
    finally:
        os.close(above)


def _is_in_pool(path: str) -> bool:
    try:
        _place(_absolute(os.path.split(path)[0]))
    except _NoPoolError:
        return False
    return True


def reading(path: str | Path, buffering: int = -1) -> BinaryIO:
    """Return a stream that reads a file, opened as by `open_inside`."""
    return os.fdopen(outlast_blip(lambda: open_inside(path, os.O_RDONLY)), "rb", buffering)


def read_inside(path: str | Path) -> bytes:
    """Return the content of a file, opened as by `open_inside`."""
    return outlast_blip(lambda: _read(path))


def _read(path: str | Path) -> bytes:
    with os.fdopen(open_inside(path, os.O_RDONLY), "rb", 0) as stream:
        return stream.read()


def ensure_file(path: Path) -> None:
    """Make a file without content if there is none, as for a lock."""
    os.close(open_inside(path, os.O_WRONLY | os.O_CREAT))


@contextmanager
def opened_folder(folder: Path, flags: int = _PASS) -> Iterator[int]:
    """Yield a descriptor of a folder: for what is done to the names in it, by ``dir_fd``."""
    descriptor = _open_folder(os.fspath(folder), flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing; one that is there is left as it is.

    A pool is never made again. What lay at the old place of one that was moved or deleted would be
    a ghost: a folder that looks like a pool, holds the last results, and is found by nobody.

    Raises
    ------
    PoolGoneError
        If the pool that it belongs to is not there any more.
    """
    with suppress(_NoPoolError):
        pool = Path(_place(_absolute(os.fspath(path)))[0])
        if is_gone(pool):
            raise PoolGoneError(pool)
    try:
        with opened_folder(path.parent) as above:
            os.mkdir(path.name, dir_fd=above)
    except FileExistsError:
        return
    except FileNotFoundError:
        if path.parent == path or path.parent.is_symlink():  # a link to nothing
            raise
        make_folder(path.parent)
        make_folder(path)


def names_in(folder: Path, pattern: str = "*") -> list[str]:
    """Return the names in a folder that fit a pattern, in order; none where there is no folder."""
    try:
        with opened_folder(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            names = [entry.name for entry in os.scandir(descriptor)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if fnmatchcase(name, pattern))


def paths_in(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the paths of what lies in a folder and fits a pattern; see `names_in`."""
    return [folder / name for name in names_in(folder, pattern)]


def remove(path: Path) -> bool:
    """Remove a name, and say whether it was there; of a link, the link alone."""
    try:
        with opened_folder(path.parent) as above:
            os.unlink(path.name, dir_fd=above)
    except FileNotFoundError:
        return False
    return True


def remove_folder(path: Path) -> None:
    """Remove a folder with all in it, as far as that is allowed; no link is followed."""
    with suppress(OSError), opened_folder(path.parent) as above:
        shutil.rmtree(path.name, ignore_errors=True, dir_fd=above)


def touch(path: Path) -> float:
    """Set the time of change of a file to the file server's present, and return it."""
    with opened_folder(path.parent) as above:
        os.utime(path.name, dir_fd=above, follow_symlinks=False)
        return os.stat(path.name, dir_fd=above, follow_symlinks=False).st_mtime


def paths_below(folder: Path, names: str, pattern: str) -> list[Path]:
    """Return the paths of what fits a pattern in those folders of a folder that fit `names`."""
    return [path for inner in paths_in(folder, names) for path in paths_in(inner, pattern)]
