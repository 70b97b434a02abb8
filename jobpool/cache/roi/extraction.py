"""The values of some participants in many parcellations, from one reading of their maps.

Maps come in blocks of at most 64 MB. Of a block a few columns at a time are multiplied with the
weights of every parcellation: as many as stay in the processor's cache, which makes it twice as
fast as whole blocks. Weights that memory does not hold all at once are read again for every
block, while the maps are read once in any case.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.brain.maps import MapBlock
from jobpool.cache.roi.blocks import BlockWriter
from jobpool.cache.roi.loading import Extraction, Loader, Ready

_COLUMNS = 16  # participants times modalities of one product: 8 MB at 65,000 vertices
_WEIGHT_BYTES = 256 << 20  # of a group, beside those that the loader keeps
_ROW_BYTES = 128 << 20  # values of a group before they are written


class Filler:
    """Computes values, span by span."""

    def __init__(self, made_of: Extraction, loader: Loader) -> None:
        self._made_of, self._loader = made_of, loader

    def fill(
        self, span: tuple[int, int], parcellations: Mapping[str, str], writer: BlockWriter
    ) -> None:
        """Write the values of a span.

        Parameters
        ----------
        span : tuple of int
            First participant, and the one after the last.
        parcellations : mapping
            Digest to name.
        writer : BlockWriter
            Is given all values and the header.

        Raises
        ------
        DataError
            If a map or a parcellation cannot be read.
        FilesChangedError
            If a parcellation has another content now.
        """
        dropped: dict[int, str] = {}
        for block in self._made_of.maps.blocks(*span):
            dropped |= block.dropped
            left_out = None if block.finite is None else (~block.finite).sum(axis=(0, 2))
            for group in self._groups(parcellations, block):
                for ready, rows in zip(group, _reduce(block, group), strict=True):
                    n_left_out = 0 if left_out is None else int(left_out[ready.vertices].sum())
                    writer.append(ready.summary.digest, rows, n_left_out)
        writer.finish(span[0], dropped)

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
