"""Making values: span by span from the maps, then packed by parcellation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial

from jobpool.brain.arrays import Array
from jobpool.brain.maps import CONTENTS
from jobpool.cache.roi.blocks import Block, Blocks
from jobpool.cache.roi.extraction import Extraction, FilesChangedError, Filler, Loader
from jobpool.cache.roi.keys import Layout, Span
from jobpool.cache.roi.store import Store
from jobpool.cache.work_sharing import Kind, share
from jobpool.disk.coordination import Leases
from jobpool.errors import Fault, JobpoolError, StorageError
from jobpool.task import Json

_WORK = "fill the ROI cache"
_ROUNDS = 5  # damaged blocks are removed and computed again in each


class _DamagedBlockError(JobpoolError):
    """A block does not hold what was written; it is removed. Never leaves this module."""

    fault = Fault.BUG
    advice = "report this with the traceback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the cache is filled, by all processes together."""

    spans: int
    n_spans: int
    packed: int
    n_parcellations: int
    n_participants: int  # in all spans together


OnProgress = Callable[[Progress], None]


class Maker:
    """Makes what a layout lacks, together with other processes."""

    def __init__(
        self, made_of: Extraction, loader: Loader, store: Store, blocks: Blocks, leases: Leases
    ) -> None:
        self._made_of, self._filler = made_of, Filler(made_of, loader)
        self._store, self._blocks, self._leases = store, blocks, leases
        self.n_participants = self.n_packed = 0  # done by this process

    def make(
        self, layout: Layout, wanted: Sequence[str], deadline: float | None, on_progress: OnProgress
    ) -> None:
        """Return once the packed values of parcellations are there.

        Parameters
        ----------
        layout : Layout
            Of the study.
        wanted : sequence of str
            Digests of the parcellations.
        deadline : float, optional
            Seconds since the epoch, after which no work is started.
        on_progress : callable
            Called with the progress.

        Raises
        ------
        DataError
            If a map cannot be used.
        OutOfTimeError
            If something is missing at the deadline.
        StorageError
            If the disk is full, over quota or failing.
        FilesChangedError
            If a file changed since the layout was made.
        """
        n_spans, n_wanted = len(layout.spans), len(wanted)

        def count(left: int, to_pack: int) -> None:
            on_progress(
                Progress(
                    spans=n_spans - left,
                    n_spans=n_spans,
                    packed=n_wanted - to_pack,
                    n_parcellations=n_wanted,
                    n_participants=layout.spans[-1].stop,
                )
            )

        computing = Kind(
            work=_WORK,
            name=lambda span: span.key,
            is_open=lambda span: self._lacks(layout, span, wanted),
            do=partial(self._compute, layout),
        )
        packing = Kind(
            work=_WORK,
            name=lambda digest: layout.keys[digest],
            is_open=lambda digest: not self._store.has(layout.keys[digest]),
            do=partial(self._pack, layout),
        )
        for _ in range(_ROUNDS):
            share(
                layout.spans,
                computing,
                self._leases,
                deadline,
                lambda n: count(n, n_wanted),
            )
            with suppress(_DamagedBlockError):
                share(wanted, packing, self._leases, deadline, lambda n: count(0, n))
                break
        else:
            path, _ = self._store.paths(layout.keys[wanted[0]])
            raise StorageError(path, "what was read back differs from what was written")
        self._drop_packed(layout)

    def _lacks(self, layout: Layout, span: Span, digests: Sequence[str]) -> bool:
        return next(self._lacking(layout, span, digests), None) is not None

    def _lacking(self, layout: Layout, span: Span, digests: Sequence[str]) -> Iterator[str]:
        """Yield the parcellations whose values are neither in a block of the span nor packed.

        In this order: blocks are removed after what they hold is packed.
        """
        there = {digest for block in self._blocks.of(span.key) for digest in block.pieces}
        for digest in digests:
            if digest not in there and not self._store.has(layout.keys[digest]):
                yield digest

    def _compute(self, layout: Layout, span: Span) -> None:
        """Write a block of all parcellations of the study that lack the span."""
        # sorted, so that two processes that do the same write the same file
        lacking = tuple(sorted(self._lacking(layout, span, tuple(layout.keys))))
        if not lacking:
            return
        names = {digest: layout.names[digest] for digest in lacking}
        n_rows = span.stop - span.start
        # another process may have done the same work: its file then holds the same values
        with (
            suppress(FileExistsError),
            self._blocks.create(span.key, lacking, n_rows) as writer,
        ):
            self._filler.fill((span.start, span.stop), names, writer)
            if self._made_of.maps.identity(span.start, span.stop) != span.identity:
                raise FilesChangedError
        self.n_participants += n_rows

    def _pack(self, layout: Layout, digest: str) -> None:
        blocks = [self._block(span, digest) for span in layout.spans]
        summary = layout.summaries[layout.names[digest]]
        dropped: dict[str, Json] = {
            str(who): why for block in blocks for who, why in block.dropped.items()
        }
        pieces = [block.pieces[digest] for block in blocks]
        shape = (sum(piece.shape[0] for piece in pieces), pieces[0].shape[1])
        about: dict[str, Json] = {
            "matrix": {
                "kind": summary.kind,
                "n_parcels": summary.n_parcels,
                "n_empty": summary.n_empty,
                "n_non_finite": sum(piece.n_non_finite for piece in pieces),
                "dropped": dropped,
            },
            "maps": _content(blocks),
            "parcellation": digest,
            "source": self._made_of.parcellations[layout.names[digest]],  # for people
        }
        key = layout.keys[digest]
        self._store.write(key, (self._rows(block, digest) for block in blocks), shape, about)
        if self._store.load(key, hit=False) is None:  # it was damaged and removed: make it again
            raise _DamagedBlockError
        self.n_packed += 1

    def _block(self, span: Span, digest: str) -> Block:
        for block in self._blocks.of(span.key):
            if digest in block.pieces:
                return block
        raise _DamagedBlockError  # or another process packed and removed it

    def _rows(self, block: Block, digest: str) -> Array:
        rows = block.rows(digest)
        if rows is None:
            self._blocks.remove(block)
            raise _DamagedBlockError
        return rows

    def _drop_packed(self, layout: Layout) -> None:
        """Remove the blocks whose values are all packed."""
        is_packed = cache(
            lambda digest: digest in layout.keys and self._store.has(layout.keys[digest])
        )
        for span in layout.spans:
            for block in self._blocks.of(span.key):
                if all(map(is_packed, block.pieces)):
                    self._blocks.remove(block)


def _content(blocks: Sequence[Block]) -> str:
    """Return the digest of the maps of all spans; empty if some are of an older jobpool."""
    found = [block.content for block in blocks if block.content is not None]
    return f"{sum(found) % CONTENTS:064x}" if len(found) == len(blocks) else ""
