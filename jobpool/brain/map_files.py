"""Where maps come from: one file for each participant, or one array for all of them.

Both are read in pieces of shape (participants, vertices, modalities). One participant's file has
the axes (vertices, modalities); a volume is flattened in C order, the vertices of an image being
those of its file. Reads, never writes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jobpool.brain.arrays import (
    Array,
    check_name,
    is_sparse,
    is_there,
    locate,
    path_of,
    read_sparse,
    stamp,
)
from jobpool.brain.image_headers import read_image_header
from jobpool.brain.images import is_image, open_image
from jobpool.brain.spaces import Space, difference, join
from jobpool.disk.npz import split_location
from jobpool.errors import DataError

NO_MAP = "no map"
OTHER_SPACE = "map in another space"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapHeader:
    """What is known of a participant's map before it is read."""

    n_modalities: int
    dtype: np.dtype[Any]  # as stored
    space: Space
    n_participants: int | None = None  # of an array for all
    scattered: bool = False  # to get at one participant, all those before must be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Drops:
    """Which participants may be dropped; any other problem with a map is an error."""

    missing: bool
    space: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """The maps of some participants in the modalities of one source."""

    values: Array  # (participants, vertices, modalities)
    dropped: Mapping[int, str]  # position among all participants, and why; their values are 0


class Source(Protocol):
    """Where the maps of one modality, or of several in one file, come from."""

    def first(self) -> MapHeader:
        """Return the header of the first map that is there."""
        ...

    def name(self, position: int) -> str:
        """Return the file that an error about one participant's map names."""
        ...

    def absent(self, position: int) -> Path | None:
        """Return a file of one participant that is not there, or None."""
        ...

    def look(self, position: int, header: MapHeader, drops: Drops) -> str | None:
        """Open the header of one participant's map, and return why it is dropped, or None."""
        ...

    def identity(self, start: int, stop: int) -> str:
        """Return text that changes when a file of these participants changes, opening none."""
        ...

    def pieces(
        self, span: tuple[int, int], rows: int, header: MapHeader, drops: Drops
    ) -> Iterator[Piece]:
        """Yield the maps of a range of participants, `rows` at a time, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OneEach:
    """One file for each participant, or a pair of hemispheres for each."""

    texts: tuple[tuple[str, ...], ...]  # of each participant: one file, or left and right
    folder: Path

    def first(self) -> MapHeader:
        """Return the header of the first participant's map that is there.

        Raises
        ------
        DataError
            If no participant has a map, or this one cannot be read.
        """
        texts = self._first()
        headers = [read_map_header(text, self.folder) for text in texts]
        return _joined(headers, self.folder / texts[0])

    def _first(self) -> tuple[str, ...]:
        for position, texts in enumerate(self.texts):
            if self.absent(position) is None:
                return texts
        where = self.folder / (self.texts[0][0] if self.texts else "")
        raise DataError(where, "no such file, for any participant; correct the path")

    def name(self, position: int) -> str:
        """Return the file of one participant."""
        return str(self.folder / self.texts[position][0])

    def absent(self, position: int) -> Path | None:
        """Return a file of one participant that is not there, or None."""
        paths = (path_of(text, self.folder) for text in self.texts[position])
        return next((path for path in paths if not is_there(path)), None)

    def identity(self, start: int, stop: int) -> str:
        """Return text that changes when a file of these participants changes, opening none."""
        folder = self.folder.resolve()
        each = [stamp(text, folder) for texts in self.texts[start:stop] for text in texts]
        return repr((each, [stamp(text, folder) for text in self._first()]))

    def pieces(
        self, span: tuple[int, int], rows: int, header: MapHeader, drops: Drops
    ) -> Iterator[Piece]:
        """Yield the maps of a range of participants, `rows` at a time, in order.

        Raises
        ------
        DataError
            If a file cannot be read or has other modalities, or on a problem that is no drop.
        """
        for start in range(span[0], span[1], rows):
            dropped: dict[int, str] = {}
            maps: list[Array] = []
            for position in range(start, min(start + rows, span[1])):
                found = self._one(position, header, drops)
                if isinstance(found, str):
                    dropped[position] = found
                    found = np.zeros((header.space.n_vertices, header.n_modalities), header.dtype)
                maps.append(found)
            yield Piece(values=np.stack(maps), dropped=dropped)

    def look(self, position: int, header: MapHeader, drops: Drops) -> str | None:
        """Open the header of one participant's map, and return why it is dropped, or None.

        Raises
        ------
        DataError
            If it cannot be used, as far as its header and length say.
        """
        if self._is_dropped(position, drops):
            return NO_MAP
        read = [read_map_header(text, self.folder) for text in self.texts[position]]
        widths = [one.n_modalities for one in read]
        return self._compare(position, [one.space for one in read], widths, header, drops)

    def _one(self, position: int, header: MapHeader, drops: Drops) -> Array | str:
        """Return the map of one participant, or why it is dropped."""
        if self._is_dropped(position, drops):
            return NO_MAP
        read = [read_map(text, self.folder) for text in self.texts[position]]
        widths = [values.shape[1] for values, _ in read]
        why = self._compare(position, [space for _, space in read], widths, header, drops)
        if why is not None:
            return why
        return read[0][0] if len(read) == 1 else np.concatenate([values for values, _ in read])

    def _is_dropped(self, position: int, drops: Drops) -> bool:
        """Say whether a file of one participant is not there, where that is no error."""
        absent = self.absent(position)
        if absent is not None and not drops.missing:
            what = "no such file; correct the path, or set on_missing_map: drop"
            raise DataError(absent, what)
        return absent is not None

    def _compare(
        self,
        position: int,
        spaces: list[Space],
        widths: list[int],
        header: MapHeader,
        drops: Drops,
    ) -> str | None:
        """Return why a map that differs from the first one is dropped, or None."""
        texts = self.texts[position]
        apart = difference(join(tuple(spaces), self.folder / texts[0]), header.space)
        if apart is not None:
            if drops.space:
                return OTHER_SPACE
            what = f"has {apart} as in the first map; resample it, or set on_other_space: drop"
            raise DataError(self.folder / texts[0], what)
        for width, text in zip(widths, texts, strict=True):
            if width != header.n_modalities:
                what = f"has {width} modalities, the first map {header.n_modalities}"
                raise DataError(self.folder / text, what)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class OneForAll:
    """One array for all participants, or a pair of hemispheres."""

    texts: tuple[str, ...]
    folder: Path

    def first(self) -> MapHeader:
        """Return the header of the array.

        Raises
        ------
        DataError
            If it cannot be read, or its axes are not those of maps.
        """
        headers = [read_stack_header(text, self.folder) for text in self.texts]
        if len({header.n_participants for header in headers}) > 1:
            counts = [header.n_participants for header in headers]
            what = f"the hemispheres hold {counts[0]} participants, then {counts[1]}"
            raise DataError(self.folder / self.texts[0], what)
        return _joined(headers, self.folder / self.texts[0])

    def name(self, position: int) -> str:  # noqa: ARG002 - the same for all
        """Return the file of the array."""
        return str(self.folder / self.texts[0])

    def absent(self, position: int) -> Path | None:  # noqa: ARG002 - the same for all
        """Return None: where there is no array, no participant can be dropped for it."""
        return None

    def look(self, position: int, header: MapHeader, drops: Drops) -> str | None:  # noqa: ARG002
        """Return None: the header of the array, which `first` reads, is that of all."""
        return None

    def identity(self, start: int, stop: int) -> str:  # noqa: ARG002 - the same for all
        """Return text that changes when the array changes, without opening it."""
        folder = self.folder.resolve()
        return repr([stamp(text, folder) for text in self.texts])

    def pieces(
        self,
        span: tuple[int, int],
        rows: int,
        header: MapHeader,
        drops: Drops,  # noqa: ARG002 - a row of an array is there, in the space of the others
    ) -> Iterator[Piece]:
        """Yield the maps of a range of participants, `rows` at a time, in order.

        Raises
        ------
        DataError
            If a file cannot be read.
        """
        streams = [read_stack(text, self.folder, span, rows) for text in self.texts]
        for blocks in zip(*streams, strict=True):
            parts = [block.reshape(*block.shape[:2], header.n_modalities) for block in blocks]
            values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
            yield Piece(values=values, dropped={})


def _joined(headers: list[MapHeader], where: Path) -> MapHeader:
    """Return the header of two hemispheres, or of the one file there is."""
    first = headers[0]
    return MapHeader(
        n_modalities=first.n_modalities,
        dtype=np.result_type(*(header.dtype for header in headers)),
        space=join(tuple(header.space for header in headers), where),
        n_participants=first.n_participants,
        scattered=any(header.scattered for header in headers),
    )


def check_map_name(text: str, folder: Path) -> None:
    """Refuse a file that can hold no maps by its name.

    Raises
    ------
    DataError
        If it is of no kind that can be read.
    """
    if not is_image(text):
        check_name(text, folder)


def read_map_header(text: str, folder: Path) -> MapHeader:
    """Return what the file of one participant's map says before its values.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes than (vertices,) or (vertices, modalities).
    """
    if is_image(text):
        image = read_image_header(folder / text)
        return MapHeader(n_modalities=image.n_columns, dtype=image.dtype, space=image.space)
    file = locate(text, folder)
    header = file.header()
    n_vertices, n_modalities = _axes(header.shape, str(file))
    space = Space(n_vertices=n_vertices)
    return MapHeader(n_modalities=n_modalities, dtype=header.dtype, space=space)


def read_map(text: str, folder: Path) -> tuple[Array, Space]:
    """Return the map of one participant, shape (n_vertices, n_modalities), and its space.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes than (vertices,) or (vertices, modalities).
    """
    if is_image(text):
        image = open_image(folder / text)
        return image.columns(), image.space
    file = locate(text, folder)
    values = file.read()
    shape = _axes(values.shape, str(file))
    return values.reshape(shape), Space(n_vertices=shape[0])


def _axes(shape: tuple[int, ...], where: str) -> tuple[int, int]:
    if len(shape) not in {1, 2}:
        what = f"has shape {shape}; give (vertices,) or (vertices, modalities)"
        raise DataError(where, what)
    return shape[0], shape[1] if len(shape) == 2 else 1


def read_stack_header(text: str, folder: Path) -> MapHeader:
    """Return what the array of all participants says before its values.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes than those of all participants' maps.
    """
    if is_image(text):
        read_image_header(folder / text)  # it is as long as it says
        image = open_image(folder / text, stream=True)
        return MapHeader(
            n_modalities=1,
            dtype=image.dtype,
            space=image.space,
            n_participants=image.n_columns,
            scattered=image.kind != "volume" or image.path.suffix == ".gz",
        )
    member = split_location(text)[1]
    if member is None and is_sparse(folder / text):
        whole = read_sparse(folder / text)
        shape, dtype, scattered = whole.shape, whole.dtype, True
    else:
        file = locate(text, folder)
        header = file.header()
        shape, dtype, scattered = header.shape, header.dtype, header.fortran or bool(file.member)
    if len(shape) not in {2, 3}:
        what = f"has shape {shape}; give (participants, vertices) or (..., modalities)"
        raise DataError(folder / text, what)
    return MapHeader(
        n_modalities=shape[2] if len(shape) == 3 else 1,
        dtype=dtype,
        space=Space(n_vertices=shape[1]),
        n_participants=shape[0],
        scattered=scattered,
    )


def read_stack(text: str, folder: Path, span: tuple[int, int], rows: int) -> Iterator[Array]:
    """Yield the maps of a range of participants from the array of all, `rows` at a time.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    starts = range(span[0], span[1], rows)
    if is_image(text):
        image = open_image(folder / text, stream=True)
        # a participant's values lie together in a volume only
        whole = None if image.kind == "volume" else image.columns()
        for start in starts:
            stop = min(start + rows, span[1])
            columns = image.columns(start, stop) if whole is None else whole[:, start:stop]
            yield columns.T
    elif split_location(text)[1] is None and is_sparse(folder / text):
        whole = read_sparse(folder / text)
        for start in starts:
            yield whole[start : min(start + rows, span[1])].toarray()
    else:
        yield from locate(text, folder).blocks(rows, *span)
