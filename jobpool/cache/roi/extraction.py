"""The values of some participants in many parcellations, from one reading of their maps.

Maps come in blocks of at most 64 MB. Of a block a few columns at a time are multiplied with the
weights of every parcellation: as many as stay in the processor's cache, which makes it twice as
fast as whole blocks. Each parcellation is read once, as far as memory allows. Weights that memory
does not hold all at once are read again for every block, while the maps are read once in any case.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.brain.maps import CONTENTS, MapBlock, Maps
from jobpool.brain.parcellations import (
    Parcellation,
    ParcellationSummary,
    parcellation_stamps,
    read_parcellation,
)
from jobpool.brain.reduction import Reducer
from jobpool.errors import Fault, JobpoolError

_KEPT_BYTES = 256 << 20  # weights that stay in memory
_WEIGHT_BYTES = 256 << 20  # of a group, beside those that the loader keeps
_ROW_BYTES = 128 << 20  # values of a group before they are written
_COLUMNS = 16  # participants times modalities of one product: 8 MB at 65,000 vertices


class FilesChangedError(JobpoolError):
    """A map or parcellation changed since it was read; never leaves this package."""

    fault = Fault.BUG
    advice = "report this with the traceback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What the ROI values of a study are made of."""

    maps: Maps
    parcellations: Mapping[str, str]  # name to source
    folder: Path  # where a relative source starts
    divisor: float = 1.0  # the stored value of a map that stands for 1
    empty: Literal["error", "drop"] = "drop"  # parcels without vertices

    def stamp(self, name: str) -> str:
        """Return text that changes when a file of a parcellation changes, opening none."""
        source = self.parcellations[name]
        return json.dumps([source, self.empty, parcellation_stamps(source, self.folder)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A parcellation ready for use."""

    summary: ParcellationSummary
    parcellation: Parcellation
    divisor: float

    @property
    def n_bytes(self) -> int:
        """Return about how much memory it takes."""
        weights = self.parcellation.weights
        size = int(weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes)
        if self.parcellation.kind == "signed":  # once more by vertex, and all pairs of parcels
            size += size + 2 * 8 * self.parcellation.n_parcels**2
        return size

    @cached_property
    def reducer(self) -> Reducer:
        """Return what reduces maps with it."""
        return Reducer(self.parcellation, self.divisor)

    @cached_property
    def vertices(self) -> Array:
        """Return the vertices that have a weight."""
        return np.unique(self.parcellation.weights.indices)


class Loader:
    """Reads the parcellations of a study."""

    def __init__(self, made_of: Extraction) -> None:
        self._made_of = made_of
        self._summaries: dict[str, ParcellationSummary] = {}  # by stamp
        self._kept: dict[str, Ready] = {}  # by digest
        self._kept_bytes = 0

    def summary(self, name: str) -> ParcellationSummary:
        """Return what a parcellation is; remembered until a file of it changes.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        before = self._made_of.stamp(name)
        if before not in self._summaries:
            self._summaries[before] = self._read(name).summary
        return self._summaries[before]

    def ready(self, digest: str, name: str) -> Ready:
        """Return the parcellation with this digest.

        Raises
        ------
        DataError
            If it cannot be read.
        FilesChangedError
            If its file has another content now.
        """
        if digest in self._kept:
            return self._kept[digest]
        found = self._read(name)
        if found.summary.digest != digest:
            raise FilesChangedError
        return found

    def keeps(self, digest: str) -> bool:
        """Say whether a parcellation stays in memory."""
        return digest in self._kept

    def forget(self) -> None:
        """Free the weights: the process has other work to do."""
        self._kept, self._kept_bytes = {}, 0

    def _read(self, name: str) -> Ready:
        made_of = self._made_of
        found = read_parcellation(made_of.parcellations[name], made_of.folder, made_of.empty)
        summary = found.summary()
        ready = Ready(summary=summary, parcellation=found, divisor=made_of.divisor)
        if self._kept_bytes + ready.n_bytes <= _KEPT_BYTES and summary.digest not in self._kept:
            self._kept[summary.digest] = ready
            self._kept_bytes += ready.n_bytes
        return ready


class Sink(Protocol):
    """Takes the values of a span: a block file, or a comparison."""

    def append(self, parcellation: str, rows: Array, n_non_finite: int) -> None:
        """Take the next rows of a parcellation."""
        ...

    def finish(self, start: int, dropped: Mapping[int, str], content: int) -> None:
        """Take the first participant's position, who has no values, and `MapBlock.content`."""
        ...


class Filler:
    """Computes values, span by span."""

    def __init__(self, made_of: Extraction, loader: Loader) -> None:
        self._made_of, self._loader = made_of, loader

    def fill(self, span: tuple[int, int], parcellations: Mapping[str, str], writer: Sink) -> None:
        """Write the values of a span.

        Parameters
        ----------
        span : tuple of int
            First participant, and the one after the last.
        parcellations : mapping
            Digest to name.
        writer : Sink
            Is given all values and the header.

        Raises
        ------
        DataError
            If a map or a parcellation cannot be read.
        FilesChangedError
            If a parcellation has another content now.
        """
        dropped: dict[int, str] = {}
        content = 0
        for block in self._made_of.maps.blocks(*span):
            dropped |= block.dropped
            content += block.content()
            left_out = None if block.finite is None else (~block.finite).sum(axis=(0, 2))
            for group in self._groups(parcellations, block):
                for ready, rows in zip(group, _reduce(block, group), strict=True):
                    n_left_out = 0 if left_out is None else int(left_out[ready.vertices].sum())
                    writer.append(ready.summary.digest, rows, n_left_out)
        writer.finish(span[0], dropped, content % CONTENTS)

    def _groups(
        self, parcellations: Mapping[str, str], block: MapBlock
    ) -> Iterator[tuple[Ready, ...]]:
        """Yield the parcellations, as many at a time as memory allows."""
        group: list[Ready] = []
        weight_bytes = row_bytes = 0
        n_maps = block.values.shape[0] * block.values.shape[2]
        for digest, name in parcellations.items():
            ready = self._loader.ready(digest, name)
            group.append(ready)
            weight_bytes += 0 if self._loader.keeps(digest) else ready.n_bytes
            row_bytes += n_maps * ready.parcellation.n_parcels * block.dtype.itemsize
            if weight_bytes > _WEIGHT_BYTES or row_bytes > _ROW_BYTES:
                yield tuple(group)
                group, weight_bytes, row_bytes = [], 0, 0
        if group:
            yield tuple(group)


def _reduce(block: MapBlock, group: Sequence[Ready]) -> list[Array]:
    """Return the values of a block for each parcellation of a group."""
    n_participants, _, n_modalities = block.values.shape
    each = [
        np.empty((n_participants, n_modalities * ready.parcellation.n_parcels), block.dtype)
        for ready in group
    ]
    step = max(1, _COLUMNS // n_modalities)
    for first in range(0, n_participants, step):
        part = _part(block, slice(first, first + step))
        for ready, rows in zip(group, each, strict=True):
            rows[first : first + step] = ready.reducer.reduce(part)
    return each


def _part(block: MapBlock, rows: slice) -> MapBlock:
    """Return the maps of a few participants of a block."""
    start = block.start + rows.start
    values = block.values[rows]
    finite = None if block.finite is None else block.finite[rows]
    return replace(
        block,
        start=start,
        values=values,
        finite=None if finite is None or finite.all() else finite,
        dropped={who: why for who, why in block.dropped.items() if 0 <= who - start < len(values)},
    )
