"""Fits, made once by the first worker that needs them, and used by all.

    fits/KK/BUCKET.fits      all fits of a bucket, one record after another; only ever appended to
    fits/leases/KK/KEY.json  which process makes which fit

BUCKET is a hash of the bucket's name, KK its first two digits. A fit is predictions and a few
facts, no model.

Whichever process is killed, and whenever:

1. A fit that `Bucket.put` returned for is on disk.
2. A reader finds fits that are whole. What a killed writer left at the end of a file does not
   count, and the next writer removes it. A damaged fit is skipped and made again.
3. No two processes make the same fit at the same time: a process finds that a fit is missing, and
   takes its lease, under the lock of the bucket. A process that dies blocks the fit that it was
   making until its lease ends.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from jobpool.brain.arrays import Array
from jobpool.cache.fits.file import BucketFile, Entry, pack
from jobpool.cache.work_sharing import Kind, share
from jobpool.disk.coordination import LEASE_S, Leases
from jobpool.disk.inside import touch
from jobpool.errors import StorageError
from jobpool.task import Json

FOLDER = "fits"
_KEPT = 32  # buckets; the positions of 700 fits take 0.2 MB
_REFRESH_S = 0.1  # between two readings of a file by a process that waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What it took to have all wanted fits."""

    made: int  # by this process
    waited_s: float  # for other processes


class FitCache:
    """The fits of a pool.

    Parameters
    ----------
    folder : Path
        The pool's folder for caches.
    lock : str
        The kind of lock that the pool uses.
    lease_s : float
        How long a process that died keeps others from the fit that it was making.
    """

    def __init__(self, folder: Path, lock: str, lease_s: float = LEASE_S) -> None:
        self._folder, self._lock, self._lease_s = folder / FOLDER, lock, lease_s
        self._buckets: dict[str, Bucket] = {}  # the one used last comes last

    def bucket(self, name: str) -> "Bucket":
        """Return the bucket of this name; its file is made when a fit is first asked for.

        What was read of the buckets used most recently is kept, so that only what is new is read.
        """
        found = self._buckets.pop(name, None) or self._open(name)
        self._buckets[name] = found
        if len(self._buckets) > _KEPT:
            del self._buckets[next(iter(self._buckets))]
        return found

    def _open(self, name: str) -> "Bucket":
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        file = BucketFile(self._folder / digest[:2] / f"{digest}.fits", self._lock, name)
        return Bucket(file, Leases(self._folder / "leases" / digest[:2], self._lease_s))


class Bucket:
    """Fits that are used together. One thread of a process may use it at a time."""

    def __init__(self, file: BucketFile, leases: Leases) -> None:
        self._file, self._leases = file, leases
        self._refreshed_at = float("-inf")
        self._is_marked = False

    @property
    def name(self) -> str:
        """Return its name, as given to `FitCache.bucket`."""
        return self._file.name

    @property
    def path(self) -> Path:
        """Return the file of its fits."""
        return self._file.path

    def get(self, key: str) -> Entry | None:
        """Return a fit, or None if it is not there or damaged; takes no lock.

        Raises
        ------
        PoolError
            If a newer jobpool wrote the bucket.
        """
        for _ in range(2):
            if key in self._file.places:
                found = self._file.load(key)
                if found is not None:
                    self._mark()
                    return found
            self._refresh()
        return self._file.load(key) if key in self._file.places else None

    def put(self, key: str, arrays: Mapping[str, Array], about: Mapping[str, Json]) -> None:
        """Keep a fit, and return when it is on disk; if there is one of this key, do nothing.

        Parameters
        ----------
        key : str
            64 hexadecimal digits: a hash of all that made it.
        arrays : mapping
            Name to an array of numbers or booleans; comes back the same to the bit.
        about : mapping
            What JSON can hold.

        Raises
        ------
        StorageError
            If the disk is full, over quota or failing; nothing of the fit remains.
        BrokenLockError
            If the lock does not lock.
        ValueError
            If the key or an array is of another kind.
        """
        record = pack(key, arrays, about)
        with self._file.locked() as held:
            if key not in self._file.places:
                self._file.append(held, key, record)

    def keys(self) -> frozenset[str]:
        """Return the keys of the fits that are on disk now."""
        self._refresh()
        return frozenset(self._file.places)

    def fill(
        self,
        wanted: Sequence[str],
        do: Callable[[str], None],
        deadline: float | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> Filled:
        """Return once all wanted fits are there: make the free ones, wait for the rest.

        A fit that is damaged after this returned is missing again: `get` then returns None.

        Parameters
        ----------
        wanted : sequence of str
            Keys.
        do : callable
            Makes the fit of a key, and stores it with `put`.
        deadline : float, optional
            Seconds since the epoch, after which no fit is started or waited for.
        on_progress : callable, optional
            Called with the number of fits that are missing.

        Raises
        ------
        OutOfTimeError
            If a fit is missing at the deadline.
        StorageError
            If the disk is full, over quota or failing, or `do` does not store the fit.
        """

        def make(key: str) -> None:
            do(key)
            if key not in self.keys():
                raise StorageError(self.path, "what was read back differs from what was written")

        kind = Kind(
            work="make fits, or to wait for fits that other workers make",
            name=lambda key: key,
            is_open=self._lacks,
            do=make,
        )
        self._refresh()
        shared = share(tuple(dict.fromkeys(wanted)), kind, self, deadline, on_progress)
        return Filled(made=shared.done, waited_s=shared.waited_s)

    def _refresh(self) -> None:
        self._file.refresh()
        self._refreshed_at = time.monotonic()

    def _lacks(self, key: str) -> bool:
        if key not in self._file.places and time.monotonic() - self._refreshed_at > _REFRESH_S:
            self._refresh()
        return key not in self._file.places

    @contextmanager
    def take(self, key: str) -> Iterator[bool]:
        """Hold the lease of a fit inside the ``with`` block.

        Yields
        ------
        bool
            Whether it is held: the fit is missing, and no other process makes it.
        """
        with ExitStack() as stack:
            mine = False
            if self._leases.is_free(key):  # without the lock first, for processes that wait
                with self._file.locked():
                    if key not in self._file.places:
                        mine = stack.enter_context(self._leases.take(key))
            yield mine

    def _mark(self) -> None:
        """Set the time of the file to now: it says when the bucket was used last."""
        if not self._is_marked:
            self._is_marked = True
            with suppress(OSError):  # no permission to write
                touch(self.path)
