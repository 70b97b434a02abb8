"""Whether packed values are those of the files as they are now.

Keys are made of the size and the time of a file, which a copy that keeps times, or an edit within
the clock's tick, does not change. Here all files are read again, and what they give is compared
with what is packed, bit by bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.cache.roi.build import OnProgress, Progress
from jobpool.cache.roi.extraction import Extraction, FilesChangedError, Filler, Loader
from jobpool.cache.roi.keys import Layout, changing
from jobpool.cache.roi.store import Store
from jobpool.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Files that hold something else than when values were made from them."""

    maps: tuple[int, ...]  # positions of participants
    problems: tuple[str, ...]  # files that cannot be used any more, parcellations first
    n_compared: int  # parcellations


class _Comparison:
    """Takes the values of a span as a block file would, and keeps whose rows are others."""

    def __init__(self, packed: Mapping[str, Array], start: int) -> None:
        self._packed = packed
        self._next = dict.fromkeys(packed, start)
        self.others: set[int] = set()

    def append(self, parcellation: str, rows: Array, n_non_finite: int) -> None:  # noqa: ARG002
        """Compare the next rows of a parcellation with those that are packed."""
        first = self._next[parcellation]
        self._next[parcellation] = first + len(rows)
        kept = self._packed[parcellation][first : first + len(rows)]
        same = (kept == rows) | (np.isnan(kept) & np.isnan(rows))
        self.others.update((first + np.flatnonzero(~same.all(axis=1))).tolist())

    def finish(self, start: int, dropped: Mapping[int, str], content: int) -> None:
        """Do nothing: participants without a map are rows of NaN."""


def find_changed(
    store: Store,
    layout: Layout,
    made_of: Extraction,
    on_progress: OnProgress,
) -> Changed:
    """Read all maps, and return what differs from the packed values.

    That a parcellation differs from what is remembered of it stands in the layout.

    Parameters
    ----------
    store : Store
        Of the packed values; damaged ones are passed over.
    layout : Layout
        Of the files as they are.
    made_of : Extraction
        The files.
    on_progress : callable
        Called with the progress.

    Raises
    ------
    DataError
        If files change while they are read.
    """
    packed = {
        digest: found.values
        for digest, key in layout.keys.items()
        if not store.is_damaged(key) and (found := store.load(key, hit=True)) is not None
    }
    others: set[int] = set()
    problems: list[str] = []
    filler = Filler(made_of, Loader(made_of))
    names = {digest: layout.names[digest] for digest in packed}
    for number, span in enumerate(layout.spans if packed else ()):
        on_progress(
            Progress(
                spans=number,
                n_spans=len(layout.spans),
                packed=0,
                n_parcellations=len(packed),
                n_participants=layout.spans[-1].stop,
            )
        )
        comparison = _Comparison(packed, span.start)
        try:
            filler.fill((span.start, span.stop), names, comparison)
        except DataError as error:
            problems.append(str(error))
        except FilesChangedError as error:
            raise changing(made_of) from error
        others |= comparison.others
    return Changed(
        maps=tuple(sorted(others)),
        problems=(*layout.problems.values(), *problems),
        n_compared=len(packed),
    )
