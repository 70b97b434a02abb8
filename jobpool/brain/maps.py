"""Maps: the value of every vertex in every modality, for each participant.

They lie in one array for all participants, or in one file per participant, or in one of either
per modality. Reads, never writes.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.brain.map_files import (
    Drops,
    MapHeader,
    OneEach,
    OneForAll,
    Piece,
    Source,
    check_map_name,
)
from jobpool.brain.spaces import Space, difference, sides
from jobpool.brain.spelt_files import PLACE, SpeltFiles
from jobpool.errors import DataError, listing

Choice = Literal["error", "drop"]

CONTENTS = 1 << 256  # sums of `MapBlock.content` are taken modulo this
_READING = 1  # part of the identity: another number where the same files would give other values
_BLOCK_BYTES = 64 << 20
_SPAN_BYTES = 256 << 20
_MOST_IN_SPAN = 256
_AT_ONCE = 8  # files opened at the same time: most of it is waiting for the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class MapProblems:
    """What to do about maps that cannot be used as they are."""

    missing: Choice = "error"  # a participant without a file
    non_finite: Choice = "error"  # vertices that are NaN or infinite
    space: Choice = "error"  # a participant whose map is in another space than the first one's


@dataclass(frozen=True, kw_only=True, eq=False)
class MapBlock:
    """The maps of some participants, all finite: what was not is 0 here and False in `finite`."""

    start: int  # position of the first of them among all participants
    values: Array  # (participants, vertices, modalities), in the unit and type of the files
    dtype: np.dtype[Any]  # of ROI values made from it, the same for every block of the maps
    finite: Array | None = None  # bool, shape of `values`; None where all of them are
    dropped: Mapping[int, str] = field(default_factory=dict)  # position among all, and why

    @cached_property
    def columns(self) -> FloatArray:
        """Return float64 of shape (vertices, participants * modalities), for sparse products."""
        by_vertex = np.ascontiguousarray(self.values.transpose(1, 0, 2), np.float64)
        return by_vertex.reshape(len(by_vertex), -1)

    def content(self) -> int:
        """Return a number that changes with any value, or what is finite, of any of these maps.

        The sum of one SHA-256 for each participant and position: those of all blocks of some
        maps add up to the same, however the maps are cut into blocks.
        """
        total = 0
        for number, values in enumerate(self.values):
            about = repr((self.start + number, values.shape, self.dtype.str))
            # float64: files of other types in the same block change the type of all
            exact = np.ascontiguousarray(values, np.float64)
            digest = hashlib.sha256(about.encode() + exact.tobytes())
            if self.finite is not None and not self.finite[number].all():
                digest.update(np.packbits(self.finite[number]).tobytes())
            total += int.from_bytes(digest.digest(), "big")
        return total % CONTENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class MapsSeen:
    """What the headers of all maps say."""

    dropped: Mapping[int, str]  # position among all participants, and why
    problems: tuple[DataError, ...]  # maps that cannot be used, one each


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Where the maps of some participants lie, in the order of the participants."""

    sources: tuple[Source, ...]  # their modalities are put one after the other
    participants: tuple[str, ...]
    problems: MapProblems = MapProblems()
    watch: Callable[[MapBlock], None] | None = None  # given each block that is read

    def shape(self) -> tuple[int, int, int]:
        """Return (n_participants, n_vertices, n_modalities) from the header of the first map.

        Raises
        ------
        DataError
            If it is missing or cannot be read, its axes are not those of maps, or modalities are
            in different spaces.
        """
        headers = self._headers()
        n_modalities = sum(header.n_modalities for header in headers)
        return self._count(headers), headers[0].space.n_vertices, n_modalities

    def space(self) -> Space:
        """Return the space of the first map, with as much as any of its modalities says.

        Raises
        ------
        DataError
            As `shape` does.
        """
        return _space(self._headers())

    @property
    def one_each(self) -> bool:
        """Say whether every participant has files of their own."""
        return all(isinstance(source, OneEach) for source in self.sources)

    def find_missing(self) -> tuple[int, ...]:
        """Return the positions of the participants without a file, opening none.

        Raises
        ------
        DataError
            If there are any and they are an error.
        """
        everyone = range(len(self.participants))
        absent = {position: self._absent(position) for position in everyone}
        missing = {position: path for position, path in absent.items() if path is not None}
        if missing and self.problems.missing == "error":
            count = f"{len(missing)} of {len(self.participants)} missing"
            what = f"no such file ({count}); correct the path, or set on_missing_map: drop"
            raise DataError(listing(missing.values(), most=3), what)
        return tuple(missing)

    def _absent(self, position: int) -> Path | None:
        found = (source.absent(position) for source in self.sources)
        return next((path for path in found if path is not None), None)

    def look(self) -> "MapsSeen":
        """Open the header of every map that is there, several at a time.

        Raises
        ------
        DataError
            As `shape` does.
        """
        headers = self._headers()
        drops = self._drops()

        def look_at(position: int) -> str | DataError | None:
            try:
                for source, header in zip(self.sources, headers, strict=True):
                    if why := source.look(position, header, drops):
                        return why
            except DataError as error:
                return error
            return None

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            found = list(threads.map(look_at, range(len(self.participants))))
        return MapsSeen(
            dropped={who: why for who, why in enumerate(found) if isinstance(why, str)},
            problems=tuple(one for one in found if isinstance(one, DataError)),
        )

    def _drops(self) -> Drops:
        return Drops(missing=self.problems.missing == "drop", space=self.problems.space == "drop")

    def spans(self) -> tuple[tuple[int, int], ...]:
        """Return ranges of participants that are best read together, by one process each.

        Raises
        ------
        DataError
            As `shape` does.
        """
        headers = self._headers()
        total = len(self.participants)
        if any(header.scattered for header in headers):
            return ((0, total),)
        size = sum(
            header.space.n_vertices * header.n_modalities * header.dtype.itemsize
            for header in headers
        )
        step = max(1, min(_SPAN_BYTES // max(size, 1), _MOST_IN_SPAN))
        return tuple((start, min(start + step, total)) for start in range(0, total, step))

    def identity(self, start: int = 0, stop: int | None = None) -> str:
        """Return a digest that changes when a file of these participants changes, opening none.

        Made of path, size and time of change of every file, or that it is missing, and of the
        settings that change values. A path alone would take an edited file for the old one, and
        hashing what is inside would read all that a cache saves.

        Parameters
        ----------
        start, stop : int
            A range of participants; by default all. The file that says what the space is, that
            of the first participant who has one, is always part of it.
        """
        last = len(self.participants) if stop is None else stop
        digest = hashlib.sha256(repr((_READING, self.problems, start, last)).encode())
        for source in self.sources:
            digest.update(source.identity(start, last).encode())
        return digest.hexdigest()

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[MapBlock]:
        """Yield the maps of a range of participants in order, at most about 64 MB at a time.

        Raises
        ------
        DataError
            If a file cannot be read or differs from the first one, or a map has a problem that
            is an error.
        """
        headers = self._headers()
        if (count := self._count(headers)) != len(self.participants):
            what = f"holds {count} participants, not {len(self.participants)}"
            raise DataError(self.sources[0].name(0), what)
        n_values = sum(header.space.n_vertices * header.n_modalities for header in headers)
        rows = max(1, _BLOCK_BYTES // (8 * max(n_values, 1)))
        span = (start, len(self.participants) if stop is None else stop)
        drops = self._drops()
        dtype = np.result_type(np.float32, *(header.dtype for header in headers))
        streams = [
            source.pieces(span, rows, header, drops)
            for source, header in zip(self.sources, headers, strict=True)
        ]
        first = span[0]
        for pieces in zip(*streams, strict=True):
            block = self._block(first, pieces, dtype)
            if self.watch is not None:
                self.watch(block)
            yield block
            first += len(block.values)

    def _block(self, start: int, pieces: tuple[Piece, ...], dtype: np.dtype[Any]) -> MapBlock:
        """Put the modalities together, and 0 where there is nothing to be used."""
        dropped: dict[int, str] = {}
        for piece in pieces:
            dropped |= {who: why for who, why in piece.dropped.items() if who not in dropped}
        values = [piece.values for piece in pieces]
        whole = values[0] if len(values) == 1 else np.concatenate(values, axis=2)
        finite = None
        if whole.dtype.kind == "f" and not (is_finite := np.isfinite(whole)).all():
            finite = is_finite
        rows = [position - start for position in dropped]
        if finite is not None:
            finite[rows] = True
            self._check_finite(finite, start)
        if rows or finite is not None:
            whole = whole.copy() if finite is None else np.where(finite, whole, 0)
            whole[rows] = 0
        return MapBlock(start=start, values=whole, dtype=dtype, finite=finite, dropped=dropped)

    def _check_finite(self, finite: Array, start: int) -> None:
        unusable = ~finite.all(axis=1)  # (participants, modalities)
        if self.problems.non_finite == "drop" or not unusable.any():
            return
        row, modality = (int(one) for one in np.argwhere(unusable)[0])
        who = self.participants[start + row]
        what = (
            f"the map of {who} has values that are not finite; repair it, leave {who} out, or set "
            "on_non_finite: drop"
        )
        raise DataError(self._source_of(modality).name(start + row), what)

    def _source_of(self, modality: int) -> Source:
        """Return the source that a modality of all comes from."""
        ends = np.cumsum([header.n_modalities for header in self._headers()])
        return self.sources[int(np.searchsorted(ends, modality, side="right"))]

    def _headers(self) -> list[MapHeader]:
        """Return the header of the first map of each source, all in one space."""
        headers = [source.first() for source in self.sources]
        space = _space(headers)
        for source, header in zip(self.sources, headers, strict=True):
            apart = difference(header.space, space)
            if apart is not None:
                what = f"has {apart} as in another modality; give all in one space"
                raise DataError(source.name(0), what)
        return headers

    def _count(self, headers: list[MapHeader]) -> int:
        """Return how many participants the files hold."""
        counts = {header.n_participants for header in headers} - {None}
        if len(counts) > 1:
            what = f"the modalities hold different numbers of participants: {listing(counts)}"
            raise DataError(self.sources[0].name(0), what)
        return next(iter(counts)) or 0 if counts else len(self.participants)


def _space(headers: list[MapHeader]) -> Space:
    spaces = [header.space for header in headers]
    return next((space for space in spaces if space.informed), spaces[0])


def find_maps(
    given: str | Mapping[str, str],
    folder: Path,
    participants: tuple[str, ...],
    problems: MapProblems | None = None,
) -> Maps:
    """Return the maps of `participants`, opening no map.

    Parameters
    ----------
    given : str or mapping of modality to str
        ``file.npy`` or ``archive.npz:member`` of shape (participants, vertices) or (participants,
        vertices, modalities), its rows in the order of `participants`; or with ``{participant}``
        in its path, one file of shape (vertices,) or (vertices, modalities) for each; or image
        files. ``{hemisphere}`` stands for L, then R. Of a mapping, the modalities are put one
        after the other in its order.
    folder : Path
        Where a relative path starts.
    participants : tuple of str
        Their ids.
    problems : MapProblems, optional
        What to do about maps that cannot be used; by default each is an error.

    Raises
    ------
    DataError
        If a text cannot be a file of maps.
    """
    texts = [given] if isinstance(given, str) else list(given.values())
    if not texts:
        raise DataError("maps", "names no modality; give a file for at least one")
    return Maps(
        sources=tuple(_source(text, folder, participants) for text in texts),
        participants=participants,
        problems=problems or MapProblems(),
    )


def _source(text: str, folder: Path, participants: tuple[str, ...]) -> Source:
    files = sides(text)
    check_map_name(files[0], folder)
    if PLACE not in text:
        return OneForAll(texts=files, folder=folder)
    spelt = [SpeltFiles(file, folder) for file in files]
    each = [tuple(file.of(one) for file in spelt) for one in participants]
    return OneEach(texts=tuple(each), folder=folder)
