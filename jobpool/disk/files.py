"""Files that stay whole when a process is killed: replaced as a whole, created once.

A reader of a replaced file sees the old content or the new, never a mixture. The checksum of a
checked line shows whether it is as it was written. No function here knows what the files mean.
"""

import json
import os
import secrets
import socket
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import orjson

from jobpool.disk.causes import outlast_blip, storage_error
from jobpool.disk.inside import make_folder, open_inside, opened_folder, read_inside, remove
from jobpool.task import Json

_ASIDE = b"\x0c taken out by jobpool doctor: no file of a pool\n"
_CRC_START = b',"crc":"'


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where the file system knows how to."""
    opened = opened_folder(folder, os.O_RDONLY | os.O_DIRECTORY)
    # some network file systems answer EINVAL: they need no such call
    with opened as descriptor, suppress(OSError):
        os.fsync(descriptor)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = open_inside(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Return a name in the folder of `path` that no other process on any host uses."""
    unique = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{unique}.tmp")


def replace_whole(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Give `path` the content `data`, at once and durably.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    data : bytes
        The whole new content.
    mode : int
        Its permissions from the first moment on, less those of the process's mask.

    Raises
    ------
    StorageError
        If the disk is full, over quota or failing; the old content is still there.
    """
    try:
        outlast_blip(partial(_replace, path, data, mode))
    except OSError as error:
        raise storage_error(error, path) from error


def _replace(path: Path, data: bytes, mode: int) -> None:
    temporary = temporary_beside(path)
    try:
        _write_new(temporary, data, mode)
        with opened_folder(path.parent) as folder:
            os.replace(temporary.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            remove(temporary)
        raise
    sync_folder(path.parent)


def takes_writes(beside: Path, n_bytes: int) -> bool:
    """Say whether the disk takes a file of some size now, beside another one; it is removed."""
    probe = temporary_beside(beside)
    try:
        _write_new(probe, bytes(n_bytes), 0o600)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            remove(probe)
    return True


def set_aside(path: Path, content: bytes) -> Path:
    """Keep what a repair takes out of a file, for this user alone, and return where.

    What was damaged may be of anyone's making. Its first line is nothing that YAML, JSON or an
    archive may hold: a file of this user's, it could be put in the place of one of these.

    Raises
    ------
    StorageError
        If the disk is full, over quota or failing.
    """
    place, number = path.with_name(f"{path.name}.damaged"), 1
    while True:
        try:
            _write_new(place, _ASIDE + content, 0o600)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise storage_error(error, place) from error
        else:
            return place
        place = path.with_name(f"{path.name}.damaged.{number}")


def create_exclusively(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Make the file `path` with the content `data`; a reader never sees it half-written.

    Raises
    ------
    FileExistsError
        If `path` exists already.
    StorageError
        If the disk is full, over quota or failing; nothing is left behind.
    """
    with created_whole(path, mode) as stream:
        stream.write(data)


@contextmanager
def created_whole(path: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Yield a stream to write; the file gets its name when the ``with`` block ends well.

    Its folder is made if it is missing.

    Raises
    ------
    FileExistsError
        If the name is taken: the file that has it stays.
    StorageError
        If the disk is full, over quota or failing; nothing is left behind.
    """
    temporary = temporary_beside(path)
    try:
        make_folder(path.parent)
        descriptor = open_inside(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with opened_folder(path.parent) as folder:
            # atomic, and fails if the name is taken, also on NFS
            os.link(temporary.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):
            remove(temporary)
    sync_folder(path.parent)


def server_time(folder: Path) -> float:
    """Return the time of the file server that holds a folder, by which heartbeats are judged.

    Where the folder cannot be written, the time of this host stands in for it.
    """
    probe = temporary_beside(folder / "clock")
    try:
        descriptor = open_inside(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            remove(probe)


def checked_line(record: Mapping[str, Json]) -> bytes:
    r"""Return `record` as one JSON line whose last key, ``crc``, is the CRC-32 of the others.

    Examples
    --------
    >>> checked_line({"task": "a"})
    b'{"task":"a","crc":"84f462f3"}\n'
    """
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    # half a surrogate pair, as in a file name that is no UTF-8, becomes JSON's own escape
    body = text.encode("utf-8", "backslashreplace")
    return b'%s%s%08x"}\n' % (body[:-1], _CRC_START, zlib.crc32(body))


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the record of a checked line without its checksum, or None for a damaged line.

    Examples
    --------
    >>> parse_line(checked_line({"task": "a"}))
    {'task': 'a'}
    >>> parse_line(b'{"task":"a","crc":"00000000"}') is None
    True
    """
    body = intact_body(line)
    if body is None:
        return None
    try:
        record = orjson.loads(body)  # three times as fast as Python's
    except orjson.JSONDecodeError:
        record = _parse_other(body)
    return record if isinstance(record, dict) else None


def intact_body(line: bytes) -> bytes | None:
    r"""Return the JSON of a checked line without its checksum, or None for a damaged line.

    Examples
    --------
    >>> intact_body(checked_line({"task": "a"}))
    b'{"task":"a"}'
    """
    body, _, tail = line.rpartition(_CRC_START)
    body += b"}"
    return body if tail.rstrip(b"\n") == b'%08x"}' % zlib.crc32(body) else None


def _parse_other(body: bytes) -> object:
    """Return what Python's parser reads beyond the standard: NaN, and half a surrogate pair."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not written by `checked_line`
        return None


def write_json(path: Path, record: Mapping[str, Json], mode: int = 0o666) -> None:
    """Replace `path` by `record` as checked JSON on one line."""
    replace_whole(path, checked_line(record), mode)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what `write_json` wrote, or None if it is damaged.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    return parse_line(read_inside(path))


def newer_format(found: object, known: object) -> str:
    """Return the message about a file of a format that this version cannot read."""
    return (
        f"written in format {found}, but this jobpool knows formats up to {known}; "
        "install the newer jobpool that made it"
    )
