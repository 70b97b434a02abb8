"""The file of a bucket of fits: records one after another, behind a line that names the file.

    {"format":1,"bucket":NAME,"copy":RANDOM,"crc":...}    checked JSON
    records, see `jobpool.cache.fits.records`

Readers take no lock. They remember how far they have read and read on from there; by the random
number in the first line they see that the file was replaced. Writers append under the lock, and
cut what a killed writer left behind the last whole record.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from jobpool.cache.fits.records import Entry, scan, unpack
from jobpool.disk.files import (
    checked_line,
    create_exclusively,
    newer_format,
    parse_line,
    replace_whole,
    storage_error,
)
from jobpool.disk.locks import LOCKS, Held, file_system, look_afresh
from jobpool.errors import BrokenLockError, PoolError, StorageError
from jobpool.task import Json

FORMAT = 1
_CHUNK = 1 << 20  # read at a time
HEAD_LIMIT = 1 << 16  # of the first line
_TRIES = 100


class BucketFile:
    """A bucket's file, and where in it the fits are, as far as this process has read.

    Parameters
    ----------
    path : Path
        Need not exist.
    lock : str
        The kind of lock.
    name : str
        Of the bucket; written when the file is made.
    """

    def __init__(self, path: Path, lock: str, name: str = "") -> None:
        self.path, self.name, self._kind = path, name, lock
        self.places: dict[str, tuple[int, int]] = {}  # of whole fits, by key
        self.end = 0  # behind the last whole record
        self._size = 0  # under the lock
        self._head = b""  # of the file that the places are in

    def look(self) -> None:
        """Read what is new, without the lock.

        Raises
        ------
        PoolError
            If a newer jobpool wrote the file.
        """
        try:
            with self._opened() as descriptor:
                self._read_on(descriptor, is_locked=False)
        except FileNotFoundError:
            self._forget(b"")

    def load(self, key: str) -> Entry | None:
        """Return a fit from where it is known to be; None if it is not there any more."""
        start, stop = self.places[key]
        try:
            with self._opened() as descriptor:
                if not self._is_same(descriptor):
                    return None
                entry = unpack(os.pread(descriptor, stop - start, start), key)
        except FileNotFoundError:
            return None
        if entry is None:
            del self.places[key]
        return entry

    @contextmanager
    def locked(self, *, create: bool = True) -> Iterator[Held]:
        """Hold the lock, having read what is new.

        Parameters
        ----------
        create : bool
            Make the file if it is missing.

        Raises
        ------
        FileNotFoundError
            If it is missing and must not be made.
        StorageError
            If the disk is full, over quota or failing.
        """
        with ExitStack() as stack:
            yield self._enter(stack, create=create)

    def _enter(self, stack: ExitStack, *, create: bool) -> Held:
        try:
            for _ in range(_TRIES):  # it may be replaced or removed while the lock is waited for
                if create and not self.path.exists():
                    self._create()
                with suppress(FileNotFoundError), ExitStack() as trying:
                    held = trying.enter_context(LOCKS[self._kind](self.path, True))
                    if self._read_locked(held):
                        stack.push(trying.pop_all())
                        return held
                if not create and not self.path.exists():
                    raise FileNotFoundError(self.path)
        except OSError as error:
            raise storage_error(error, self.path) from error
        raise StorageError(self.path, "it is replaced again and again")

    def append(self, held: Held, key: str, record: bytes) -> None:
        """Write a record behind the last whole one, and return when it is on disk.

        Raises
        ------
        StorageError
            If the disk is full, over quota or failing; nothing of the record remains.
        BrokenLockError
            If somebody else wrote meanwhile.
        """
        start, stop = self.end, self.end + len(record)
        if os.fstat(held.descriptor).st_size != self._size:
            raise self._broken()
        try:
            os.ftruncate(held.descriptor, start)  # what a killed writer left
            written = 0
            while written < len(record):
                written += os.pwrite(held.descriptor, record[written:], start + written)
            os.fsync(held.descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(held.descriptor, start)
            raise storage_error(error, self.path) from error
        held.written = True
        self._size = os.fstat(held.descriptor).st_size
        if self._size != stop or os.pread(held.descriptor, len(record), start) != record:
            raise self._broken()
        self.places[key], self.end = (start, stop), stop

    def _broken(self) -> BrokenLockError:
        pool = self.path.parents[3]
        return BrokenLockError(pool, str(self.path.relative_to(pool)), file_system(self.path))

    def rewrite(self, held: Held) -> None:
        """Replace the file by one that holds the whole fits alone."""
        whole = [
            os.pread(held.descriptor, stop - start, start)
            for start, stop in sorted(self.places.values())
        ]
        record = parse_line(self._head)
        name = self.name if record is None else str(record["bucket"])
        replace_whole(self.path, b"".join([_first_line(name), *whole]))
        self._give_up(held)

    def remove(self, held: Held) -> None:
        """Remove the file."""
        self.path.unlink()
        self._give_up(held)

    def _give_up(self, held: Held) -> None:
        """Let those who wait for the lock of a file without a name see that it is none."""
        with suppress(OSError):
            os.ftruncate(held.descriptor, 0)
            held.written = True
        self._forget(b"")

    def _is_same(self, descriptor: int) -> bool:
        """Say whether this is the file that the places are in."""
        return bool(self._head) and os.pread(descriptor, len(self._head), 0) == self._head

    def _read_on(self, descriptor: int, *, is_locked: bool) -> None:
        """Read what is new."""
        if not self._is_same(descriptor) or os.fstat(descriptor).st_size < self.end:
            beginning = os.pread(descriptor, HEAD_LIMIT, 0)
            self._forget(beginning[: beginning.find(b"\n") + 1])
        # closefd: with lockf, closing any descriptor of the file would let go of the lock
        with open(descriptor, "rb", _CHUNK, closefd=False) as stream:
            self._scan(stream, is_locked=is_locked)

    def _scan(self, stream: IO[bytes], *, is_locked: bool) -> None:
        is_past = True
        for one in scan(stream, self.end):
            if one.good:
                self.places[one.key] = (one.start, one.stop)
            # what looks damaged without the lock may be half of what is being written
            is_past = is_past and (one.good or is_locked)
            if is_past:
                self.end = one.stop

    def _forget(self, head: bytes) -> None:
        record = parse_line(head)
        if record is not None and record["format"] != FORMAT:
            raise PoolError(self.path, newer_format(record["format"], FORMAT))
        self.places, self._head = {}, head
        self.end = 0 if record is None else len(head)  # behind a damaged head are whole records

    def _create(self) -> None:
        with suppress(FileExistsError):  # another was faster
            create_exclusively(self.path, _first_line(self.name))

    def _read_locked(self, held: Held) -> bool:
        """Read on under the lock; return False if the file has lost its name to another."""
        here, there = os.fstat(held.descriptor), self.path.stat()
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino) or not here.st_size:
            return False
        self._read_on(held.descriptor, is_locked=True)
        self._size = here.st_size
        return True

    @contextmanager
    def _opened(self) -> Iterator[int]:
        afresh = self._kind in ("fresh", "exclusive") and os.access(self.path, os.W_OK)
        descriptor = os.open(self.path, os.O_RDWR if afresh else os.O_RDONLY)
        try:
            if afresh:
                look_afresh(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)


def _first_line(name: str) -> bytes:
    """Return the first line of a new file."""
    record: dict[str, Json] = {"format": FORMAT, "bucket": name, "copy": secrets.token_hex(8)}
    return checked_line(record)
