"""The file of a bucket of fits: records one after another, behind a line that names the file.

    {"format":1,"bucket":NAME,"copy":RANDOM,"crc":...}    checked JSON
    records, each of a fit

Readers take no lock. They remember how far they have read, and continue from there; the random
number in the first line shows whether the file was replaced. Writers append under the lock, and
remove what a killed writer left after the last whole record.

A record begins with a head of 56 bytes, little-endian:

    0-3    JPFR
    4-7    length of the JSON
    8-15   length of the data
    16-47  key
    48-51  CRC-32 of JSON and data
    52-55  CRC-32 of bytes 0-51

Then come the JSON, ``{"about": ..., "arrays": [...]}``, and the data of the arrays one after
another. An array is stored in the smallest of a few ways (`_encode`), and one that equals an
earlier array of its record is stored as a reference to that.
"""

import json
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.disk.causes import outlast_blip, storage_error
from jobpool.disk.files import (
    checked_line,
    create_exclusively,
    newer_format,
    parse_line,
    replace_whole,
)
from jobpool.disk.inside import open_inside, remove
from jobpool.disk.locks import LOCKS, Held, drop_cache, file_system
from jobpool.disk.waiting import told
from jobpool.errors import BrokenLockError, PoolError, StorageError
from jobpool.task import Json

FORMAT = 1
HEAD_LIMIT = 1 << 16  # of the first line
MAGIC = b"JPFR"
_HEAD = struct.Struct("<4sIQ32sII")
HEAD_BYTES = _HEAD.size
_CHUNK = 1 << 20  # read at a time
_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """What was put under a key."""

    arrays: Mapping[str, Array]
    about: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A piece of a file: a whole record, or damage with a whole record after it."""

    start: int
    stop: int
    key: str  # empty if it cannot be read either
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    key: str
    json_bytes: int
    data_bytes: int
    crc: int

    @property
    def body_bytes(self) -> int:
        return self.json_bytes + self.data_bytes


class BucketFile:
    """A bucket's file, and the positions of its fits, as far as this process has read.

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
        self.end = 0  # after the last whole record
        self._size = 0  # under the lock
        self._head = b""  # of the file that the positions belong to

    def refresh(self) -> None:
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
        """Return a fit from its known position; None if it is no longer there."""
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
        """Hold the lock, and read what is new.

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
            return outlast_blip(lambda: self._enter_once(stack, create=create))
        except OSError as error:
            raise storage_error(error, self.path) from error

    def _enter_once(self, stack: ExitStack, *, create: bool) -> Held:
        for _ in range(_TRIES):  # it may be replaced or removed while this waits for the lock
            if create and not self.path.exists():
                self._create()
            with suppress(FileNotFoundError), ExitStack() as trying:
                held = trying.enter_context(told(self.path, LOCKS[self._kind](self.path, True)))
                if self._read_locked(held):
                    stack.push(trying.pop_all())
                    return held
            if not create and not self.path.exists():
                raise FileNotFoundError(self.path)
        raise StorageError(self.path, "it is replaced each time it is opened")

    def append(self, held: Held, key: str, record: bytes) -> None:
        """Write a record after the last whole one, and return when it is on disk.

        Raises
        ------
        StorageError
            If the disk is full, over quota or failing; nothing of the record remains.
        BrokenLockError
            If another process wrote at the same time.
        """
        start, stop = self.end, self.end + len(record)
        if os.fstat(held.descriptor).st_size != self._size:
            raise self._broken()
        try:
            outlast_blip(lambda: _write_at(held.descriptor, start, record))
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
        """Replace the file by one that holds only the whole fits."""
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
        remove(self.path)
        self._give_up(held)

    def _give_up(self, held: Held) -> None:
        """Empty a file that lost its name, so that processes waiting for its lock notice."""
        with suppress(OSError):
            os.ftruncate(held.descriptor, 0)
            held.written = True
        self._forget(b"")

    def _is_same(self, descriptor: int) -> bool:
        """Say whether this is the file that the positions belong to."""
        return bool(self._head) and os.pread(descriptor, len(self._head), 0) == self._head

    def _read_on(self, descriptor: int, *, is_locked: bool) -> None:
        """Read what is new."""
        if not self._is_same(descriptor) or os.fstat(descriptor).st_size < self.end:
            beginning = os.pread(descriptor, HEAD_LIMIT, 0)
            self._forget(beginning[: beginning.find(b"\n") + 1])
        # closefd: with lockf, closing any descriptor of the file would release the lock
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
        self.end = (
            0 if record is None else len(head)
        )  # after a damaged head there are whole records

    def _create(self) -> None:
        with suppress(FileExistsError):  # another process was faster
            create_exclusively(self.path, _first_line(self.name))

    def _read_locked(self, held: Held) -> bool:
        """Read on under the lock; return False if the file has lost its name to another."""
        here, there = os.fstat(held.descriptor), self.path.lstat()
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino) or not here.st_size:
            return False
        self._read_on(held.descriptor, is_locked=True)
        self._size = here.st_size
        return True

    @contextmanager
    def _opened(self) -> Iterator[int]:
        fresh = self._kind in ("fresh", "exclusive") and os.access(self.path, os.W_OK)
        descriptor = open_inside(self.path, os.O_RDWR if fresh else os.O_RDONLY)
        try:
            if fresh:
                drop_cache(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)


def _write_at(descriptor: int, start: int, record: bytes) -> None:
    os.ftruncate(descriptor, start)  # what a killed writer left
    written = 0
    while written < len(record):
        written += os.pwrite(descriptor, record[written:], start + written)
    os.fsync(descriptor)


def _first_line(name: str) -> bytes:
    """Return the first line of a new file."""
    record: dict[str, Json] = {"format": FORMAT, "bucket": name, "copy": secrets.token_hex(8)}
    return checked_line(record)


def checked_key(key: str) -> str:
    """Return a key, and refuse what is none.

    Raises
    ------
    ValueError
        If it is not 64 hexadecimal digits in lower case.
    """
    if len(key) == 64 and set(key) <= set("0123456789abcdef"):
        return key
    raise ValueError(
        f"{key!r} is not a key; a key is a SHA-256 in 64 lower-case hexadecimal digits"
    )


def pack(key: str, arrays: Mapping[str, Array], about: Mapping[str, Json]) -> bytes:
    """Return a record.

    Parameters
    ----------
    key : str
        64 hexadecimal digits.
    arrays : mapping
        Name to an array of numbers or booleans, of any shape.
    about : mapping
        What JSON can hold.

    Raises
    ------
    ValueError
        If the key is not one, or an array holds anything but numbers.
    """
    described: list[dict[str, Json]] = []
    pieces: list[bytes] = []
    before: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":
            raise ValueError(f"array {name} holds {array.dtype}, not numbers")
        same = before.setdefault((array.dtype.str, array.shape, array.tobytes()), name)
        if same != name:
            described.append({"name": name, "same": same})
            continue
        coding, data = _encode(array)
        shape: list[Json] = list(array.shape)
        described.append(
            {
                "name": name,
                "dtype": array.dtype.str,
                "shape": shape,
                "coding": coding,
                "bytes": len(data),
            }
        )
        pieces.append(data)
    record = {"about": dict(about), "arrays": described}
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode()
    body = text + b"".join(pieces)
    head = _HEAD.pack(
        MAGIC,
        len(text),
        len(body) - len(text),
        bytes.fromhex(checked_key(key)),
        zlib.crc32(body),
        0,
    )[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little") + body


def unpack(record: bytes, key: str) -> Entry | None:
    """Return what a record holds; None if it is damaged, or has another key."""
    head = _read_head(record[:HEAD_BYTES])
    body = record[HEAD_BYTES:]
    if head is None or head.key != key or len(body) != head.body_bytes:
        return None
    if zlib.crc32(body) != head.crc:
        return None
    known = json.loads(body[: head.json_bytes])
    arrays: dict[str, Array] = {}
    at = head.json_bytes
    for one in known["arrays"]:
        if "same" in one:
            arrays[one["name"]] = arrays[one["same"]].copy()
        else:
            arrays[one["name"]] = _decode(body[at : at + one["bytes"]], one)
            at += one["bytes"]
    return Entry(arrays=arrays, about=known["about"])


def _encode(array: Array) -> tuple[str, bytes]:
    """Return how an array is stored, and the bytes.

    Predictions have random last digits and similar first ones: bytes of the same significance
    next to one another take a fifth less. Positions rise: their steps take a tenth.
    """
    plain = array.tobytes()
    coding, values = "bytes", array.reshape(-1)
    if array.dtype.kind in "iu":
        coding, steps = "steps", values.copy()
        steps[1:] -= values[:-1]
        values = steps
    by_significance = np.frombuffer(values.tobytes(), np.uint8).reshape(-1, array.itemsize).T
    packed = zlib.compress(by_significance.tobytes(), 6)
    return (coding, packed) if len(packed) < len(plain) else ("plain", plain)


def _decode(data: bytes, one: Mapping[str, Any]) -> Array:
    dtype = np.dtype(one["dtype"])
    if one["coding"] != "plain":
        flat = np.frombuffer(zlib.decompress(data), np.uint8)
        data = flat.reshape(dtype.itemsize, -1).T.tobytes()
    values: Array = np.frombuffer(data, dtype).copy()
    if one["coding"] == "steps":
        values = np.cumsum(values, dtype=dtype).astype(dtype)  # sums have the native byte order
    return values.reshape(one["shape"])


def _read_head(data: bytes) -> _Head | None:
    if len(data) != HEAD_BYTES or not data.startswith(MAGIC):
        return None
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    _, json_bytes, data_bytes, key, crc, _ = _HEAD.unpack(data)
    return _Head(key=key.hex(), json_bytes=json_bytes, data_bytes=data_bytes, crc=crc)


def scan(stream: IO[bytes], start: int) -> Iterator[Stretch]:
    """Yield what there is from `start` to the last whole record.

    What follows is incomplete: it is being written, or a killed process left it.
    """
    while True:
        head = _head_at(stream, start)
        if head is None:
            stop = _next_head(stream, start + 1)
            if stop is None:
                return
            yield Stretch(start=start, stop=stop, key="", good=False)
            start = stop
            continue
        stream.seek(start + HEAD_BYTES)
        body = stream.read(head.body_bytes)
        if len(body) < head.body_bytes:
            return
        stop = start + HEAD_BYTES + head.body_bytes
        yield Stretch(start=start, stop=stop, key=head.key, good=zlib.crc32(body) == head.crc)
        start = stop


def count(stream: IO[bytes], start: int) -> int:
    """Return how many records there seem to be, from their heads alone."""
    n, at = 0, start
    while True:
        head = _head_at(stream, at)
        if head is not None:
            n, at = n + 1, at + HEAD_BYTES + head.body_bytes
            continue
        found = _next_head(stream, at + 1)
        if found is None:
            return n
        at = found


def is_torn(stream: IO[bytes], start: int) -> bool:
    """Say whether an incomplete record, or nothing, begins at `start`."""
    stream.seek(start)
    data = stream.read(HEAD_BYTES)
    if len(data) == HEAD_BYTES:
        return _read_head(data) is not None
    return data[: len(MAGIC)] == MAGIC[: len(data)]


def _head_at(stream: IO[bytes], start: int) -> _Head | None:
    stream.seek(start)
    return _read_head(stream.read(HEAD_BYTES))


def _next_head(stream: IO[bytes], start: int) -> int | None:
    """Return where the next undamaged head begins, at `start` or after it."""
    while True:
        stream.seek(start)
        chunk = stream.read(_CHUNK)
        at = chunk.find(MAGIC)
        while at >= 0:
            if _head_at(stream, start + at) is not None:
                return start + at
            at = chunk.find(MAGIC, at + 1)
        if len(chunk) < _CHUNK:
            return None
        start += len(chunk) - len(MAGIC) + 1
