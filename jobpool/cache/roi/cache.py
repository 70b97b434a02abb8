"""ROI values, computed once per study and shared by all workers of a pool.

    roi/KK/KEY.npy, KEY.json       the values of one parcellation, packed: what readers map
    roi/blocks/KK/SPAN-LIST.block  values of some participants in many parcellations, until packed
    roi/leases/NAME.json           which process computes what
    digests.json                   which parcellation files have which content

Reading the raw maps costs most of the time. A process that lacks values reads the maps of some
participants, a span, and computes every parcellation of the study that lacks them; spans are
divided among all processes that lack values at that time. When all blocks of a parcellation are
there, they are packed into one matrix; a block is removed once everything in it is packed.

Whichever process is killed, and whenever, readers find whole values or none: files get their names
when they are complete, and carry checksums. Everything is named after what it was made of: content
of the parcellation, path, size and time of the maps, divisor, method of reduction. So an edited
file gives other values under another name, and two processes that do the same write the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from jobpool.brain.maps import Maps
from jobpool.cache.roi.blocks import Blocks
from jobpool.cache.roi.build import Maker, OnProgress, Progress
from jobpool.cache.roi.contents import Changed, find_changed
from jobpool.cache.roi.extraction import Extraction, FilesChangedError, Loader
from jobpool.cache.roi.keys import Planner, changing
from jobpool.cache.roi.maintenance import (
    CacheInfo,
    Damage,
    Places,
    Removed,
    describe,
    find_damage,
    prune,
)
from jobpool.cache.roi.store import RoiMatrix, Store
from jobpool.disk.coordination import Leases
from jobpool.errors import DataError, StorageError, listing, nearest

_TRIES = 5
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReport:
    """What this process did, and which parcellations have no values."""

    n_participants: int  # whose maps it read
    n_packed: int
    problems: Mapping[str, str]  # parcellation -> why it has no values


class RoiCache:
    """The ROI values of a pool.

    Parameters
    ----------
    folder : Path
        The pool's folder for caches.
    maps : Maps
        Of all participants.
    sources : mapping
        Name of each parcellation of the study to where it is, as in the experiment file.
    base : Path
        Where relative sources start.
    divisor : float
        The stored value of a map that stands for 1.
    empty : str
        ``drop`` leaves out parcels without vertices, ``error`` refuses such a parcellation.
    """

    def __init__(
        self,
        folder: Path,
        maps: Maps,
        sources: Mapping[str, str],
        base: Path,
        divisor: float = 1.0,
        empty: Literal["error", "drop"] = "drop",
    ) -> None:
        made_of = Extraction(
            maps=maps, parcellations=sources, folder=base, divisor=divisor, empty=empty
        )
        root = folder / "roi"
        self._made_of, self._loader = made_of, Loader(made_of)
        self._planner = Planner(folder, made_of, self._loader)
        self._places = Places(
            root=root, store=Store(root), blocks=Blocks(root), leases=Leases(root / "leases")
        )
        places = self._places
        self._maker = Maker(made_of, self._loader, places.store, places.blocks, places.leases)

    @property
    def participants(self) -> tuple[str, ...]:
        """Return the ids of all participants, one a row."""
        return self._made_of.maps.participants

    def matrix(self, name: str, deadline: float | None = None) -> RoiMatrix:
        """Return the values of one parcellation, mapped from disk.

        If they are missing, this process helps to compute those of all parcellations of the
        study, together with the other processes that need some.

        Parameters
        ----------
        name : str
            A parcellation of the study.
        deadline : float, optional
            Seconds since the epoch, after which no work is started.

        Raises
        ------
        DataError
            If a map or the parcellation cannot be used.
        OutOfTimeError
            If the values are not there at the deadline.
        StorageError
            If the disk is full, over quota or failing.
        """
        known = self._made_of.parcellations
        if name not in known:
            what = f"is not in the study; it has: {listing(known)}{nearest(name, known)}"
            raise DataError(f"parcellation {name}", what)
        found = self._places.store.load(self._planner.key(name), hit=True)
        if found is None:
            return self._retry(partial(self._make, name, deadline))
        self._loader.forget()
        return found

    def key(self, name: str) -> str:
        """Return the key of the values of a parcellation, a hash of all that they are made of.

        Raises
        ------
        DataError
            If the parcellation cannot be read.
        """
        return self._planner.key(name)

    def parcellation(self, name: str) -> str:
        """Return the digest of the content of a parcellation.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        return self._planner.parcellation(name)

    def _make(self, name: str, deadline: float | None) -> RoiMatrix:
        layout = self._planner.layout()
        if name in layout.problems:
            raise DataError(f"parcellation {name}", layout.problems[name])
        digest = layout.summaries[name].digest
        key = layout.keys[digest]
        for _ in range(_TRIES):  # values damaged right after they were packed are made again
            found = self._places.store.load(key, hit=False)
            if found is not None:
                return found
            self._maker.make(layout, (digest,), deadline, _ignore)
        path, _ = self._places.store.paths(key)
        raise StorageError(path, "what was read back differs from what was written")

    def fill(
        self, on_progress: OnProgress | None = None, deadline: float | None = None
    ) -> FillReport:
        """Make what is missing of all parcellations, together with other processes.

        Parameters
        ----------
        on_progress : callable, optional
            Called with the progress.
        deadline : float, optional
            Seconds since the epoch, after which no work is started.

        Raises
        ------
        DataError
            If a map cannot be used. Parcellations that cannot be used are reported.
        OutOfTimeError
            If something is missing at the deadline.
        StorageError
            If the disk is full, over quota or failing.
        """
        return self._retry(partial(self._fill, on_progress or _ignore, deadline))

    def _fill(self, on_progress: OnProgress, deadline: float | None) -> FillReport:
        layout = self._planner.layout()
        maker = self._maker
        before = (maker.n_participants, maker.n_packed)
        maker.make(layout, tuple(layout.keys), deadline, on_progress)
        return FillReport(
            n_participants=maker.n_participants - before[0],
            n_packed=maker.n_packed - before[1],
            problems=layout.problems,
        )

    def _retry(self, do: Callable[[], _Result]) -> _Result:
        for _ in range(_TRIES):
            try:
                return do()
            except FilesChangedError:
                self._planner.forget()
            finally:
                self._loader.forget()
        raise changing(self._made_of)

    def info(self) -> CacheInfo:
        """Return what the cache holds of each parcellation, and its size.

        Raises
        ------
        DataError
            If the first map cannot be read.
        """
        return describe(self._places, self._planner.layout(), self._made_of.parcellations)

    def verify(self, *, repair: bool = False) -> tuple[Damage, ...]:
        """Read all values, and return what is damaged; `repair` removes it."""
        return find_damage(self._places, repair=repair)

    def changed(self, on_progress: OnProgress | None = None) -> Changed:
        """Read all files again, and return which hold something else than what is packed.

        Raises
        ------
        DataError
            If the first map cannot be read, or files change while they are read.
        """
        layout = self._planner.layout()
        return find_changed(self._places.store, layout, self._made_of, on_progress or _ignore)

    def prune(
        self, limit_bytes: int | None = None, *, dry_run: bool = False
    ) -> tuple[Removed, ...]:
        """Remove what no parcellation of the study uses, and what killed processes left behind.

        Parameters
        ----------
        limit_bytes : int, optional
            Also remove values in use, the least recently used first, until the rest is no
            larger. No worker may run then: it may have them mapped.
        dry_run : bool
            Remove nothing; return what would be removed.

        Raises
        ------
        DataError
            If a map or a parcellation cannot be read: what is in use is then unknown.
        """
        layout = self._planner.layout()
        for name, what in layout.problems.items():
            raise DataError(f"parcellation {name}", f"{what}; nothing was removed")
        return prune(self._places, layout, limit_bytes, dry_run=dry_run)


def _ignore(_: Progress) -> None:
    return
