"""Records of fits: named arrays and what is said about them, under one key.

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
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.task import Json

MAGIC = b"JPFR"
_HEAD = struct.Struct("<4sIQ32sII")
HEAD_BYTES = _HEAD.size
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """What was put under a key."""

    arrays: Mapping[str, Array]
    about: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A piece of a file: a whole record, or damage with a whole record behind it."""

    start: int
    stop: int
    key: str  # empty if even that cannot be read
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


def checked_key(key: str) -> str:
    """Return a key, or raise what says that it is none.

    Raises
    ------
    ValueError
        If it is not 64 hexadecimal digits in lower case.
    """
    if len(key) == 64 and set(key) <= set("0123456789abcdef"):
        return key
    raise ValueError(f"{key!r} is no key: it must be a SHA-256 as 64 hexadecimal digits")


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
        If the key is none, or an array holds something else than numbers.
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
    """Return what a record holds; None if it is damaged, or another one."""
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

    What follows that is no record: one that is being written, or that a killed process left.
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
    """Say whether what begins at `start` is the beginning of a record, or nothing."""
    stream.seek(start)
    data = stream.read(HEAD_BYTES)
    if len(data) == HEAD_BYTES:
        return _read_head(data) is not None
    return data[: len(MAGIC)] == MAGIC[: len(data)]


def _head_at(stream: IO[bytes], start: int) -> _Head | None:
    stream.seek(start)
    return _read_head(stream.read(HEAD_BYTES))


def _next_head(stream: IO[bytes], start: int) -> int | None:
    """Return where the next undamaged head begins, at `start` or behind it."""
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
