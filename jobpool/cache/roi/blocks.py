"""Block files: the ROI values of some participants in many parcellations, until they are packed.

    blocks/KK/SPAN-LIST.block

SPAN is the key of a span of participants and what their values are made of, LIST is made of the
digests of the parcellations inside. A file gets its name when it is complete, and never
changes. It begins with the values of each parcellation, one row per participant, then a header of
checked JSON that says where they are and their CRC-32, then the header's length and `MAGIC`.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.disk.files import checked_line, created_whole, parse_line
from jobpool.disk.inside import paths_below, paths_in, reading, remove

FORMAT = 1
MAGIC = b"JPROIBLK"
_END = struct.Struct("<Q8s")  # length of the header, MAGIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Where the values of one parcellation are in a block file."""

    offset: int
    shape: tuple[int, int]  # participants of the span, features
    dtype: str
    crc: int
    n_non_finite: int  # values of the maps that were left out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """One block file, as its header describes it."""

    path: Path
    start: int  # position of the first participant among all
    stop: int
    pieces: Mapping[str, Piece]  # by digest of the parcellation
    dropped: Mapping[int, str]  # position among all participants -> reason
    content: int | None  # of the maps, as `MapBlock.content`; None in a block of an older jobpool

    def rows(self, parcellation: str) -> Array | None:
        """Return the values of a parcellation, or None if they are damaged or gone."""
        piece = self.pieces[parcellation]
        try:
            with reading(self.path) as stream:
                stream.seek(piece.offset)
                count = piece.shape[0] * piece.shape[1]
                values = np.fromfile(stream, piece.dtype, count)
        except FileNotFoundError:
            return None
        if values.size != count or zlib.crc32(values.data) != piece.crc:
            return None
        found: Array = values.reshape(piece.shape)
        return found


class BlockWriter:
    """Takes the values of a span in the order of participants, any parcellation at any time."""

    def __init__(self, stream: IO[bytes], n_rows: int) -> None:
        self._stream, self._n_rows = stream, n_rows
        self._end = 0
        self._pieces: dict[str, Piece] = {}
        self._next: dict[str, int] = {}  # where the next rows of a parcellation go

    def append(self, parcellation: str, rows: Array, n_non_finite: int) -> None:
        """Write the next rows of a parcellation, and count the values left out."""
        data = np.ascontiguousarray(rows)
        if parcellation not in self._pieces:
            self._lay_out(parcellation, data)
        before = self._pieces[parcellation]
        self._stream.seek(self._next[parcellation])
        self._stream.write(data.data)
        self._next[parcellation] += data.nbytes
        self._pieces[parcellation] = Piece(
            offset=before.offset,
            shape=before.shape,
            dtype=before.dtype,
            crc=zlib.crc32(data.data, before.crc),
            n_non_finite=before.n_non_finite + n_non_finite,
        )

    def _lay_out(self, parcellation: str, data: Array) -> None:
        shape = (self._n_rows, data.shape[1])
        self._pieces[parcellation] = Piece(
            offset=self._end, shape=shape, dtype=data.dtype.str, crc=0, n_non_finite=0
        )
        self._next[parcellation] = self._end
        self._end += shape[0] * shape[1] * data.itemsize

    def finish(self, start: int, dropped: Mapping[int, str], content: int) -> None:
        """Write the header once all rows are there; `content` is that of the maps."""
        record: dict[str, Any] = {
            "format": FORMAT,
            "start": start,
            "stop": start + self._n_rows,
            "dropped": {str(who): why for who, why in dropped.items()},
            "maps": f"{content:064x}",
            "pieces": {name: asdict(piece) for name, piece in self._pieces.items()},
        }
        header = checked_line(record)
        self._stream.seek(self._end)
        self._stream.write(header + _END.pack(len(header), MAGIC))


class Blocks:
    """The block files of a cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "blocks"
        self._read: dict[Path, Block] = {}  # a file with its final name does not change

    def of(self, span: str) -> list[Block]:
        """Return the blocks of a span; a damaged one is removed."""
        return [
            block
            for path in paths_in(self._folder / span[:2], f"{span}-*.block")
            if (block := self._known(path)) is not None
        ]

    def files(self) -> list[Path]:
        """Return every block file, of any span."""
        return paths_below(self._folder, "??", "*.block")

    def remove(self, block: Block) -> None:
        """Remove a block file, if it is still there."""
        self._read.pop(block.path, None)
        remove(block.path)

    def _known(self, path: Path) -> Block | None:
        if path not in self._read:
            try:
                block = read_block(path)
            except FileNotFoundError:
                return None
            if block is None:
                remove(path)
                return None
            self._read[path] = block
        return self._read[path]

    @contextmanager
    def create(
        self, span: str, parcellations: tuple[str, ...], n_rows: int
    ) -> Iterator[BlockWriter]:
        """Yield a writer; the file is there when the ``with`` block ends well.

        Raises
        ------
        FileExistsError
            If another process was faster: its file holds the same.
        StorageError
            If the disk is full, over quota or failing; nothing is left behind.
        """
        named = hashlib.sha256("".join(sorted(parcellations)).encode()).hexdigest()[:8]
        with created_whole(self._folder / span[:2] / f"{span}-{named}.block") as stream:
            yield BlockWriter(stream, n_rows)


def read_block(path: Path) -> Block | None:
    """Return what the header of a block file says, or None if it is damaged.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    with reading(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(size - _END.size, 0))
        end = stream.read(_END.size)
        if len(end) != _END.size:
            return None
        length, magic = _END.unpack(end)
        if magic != MAGIC or length > size - _END.size:
            return None
        stream.seek(size - _END.size - length)
        record: dict[str, Any] | None = parse_line(stream.read(length))
    if record is None or record["format"] != FORMAT:
        return None
    pieces = {
        name: Piece(**piece | {"shape": tuple(piece["shape"])})
        for name, piece in record["pieces"].items()
    }
    return Block(
        path=path,
        start=record["start"],
        stop=record["stop"],
        pieces=pieces,
        dropped={int(who): why for who, why in record["dropped"].items()},
        content=int(record["maps"], 16) if "maps" in record else None,
    )
