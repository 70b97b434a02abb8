"""What a fit cache holds, whether it is whole, and what of it may be removed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobpool.cache.fits.cache import FOLDER
from jobpool.cache.fits.file import HEAD_LIMIT, BucketFile, Stretch, count, is_torn, scan
from jobpool.cache.roi.maintenance import Damage, Removed, leftovers, size_of, time_of
from jobpool.disk.coordination import Leases
from jobpool.disk.files import parse_line
from jobpool.disk.inside import paths_below, paths_in, reading, remove

_LINE_BYTES = 4096  # enough for the first line


@dataclass(frozen=True, slots=True, kw_only=True)
class FitsInfo:
    """How many fits there are, and their size."""

    n_buckets: int
    n_fits: int
    n_bytes: int


def look_at_fits(folder: Path) -> FitsInfo:
    """Return how many fits there are in a pool's folder for caches, reading none of them."""
    paths = _buckets(folder)
    return FitsInfo(
        n_buckets=len(paths),
        n_fits=sum(map(_n_fits, paths)),
        n_bytes=fits_bytes(folder),
    )


def fits_bytes(folder: Path) -> int:
    """Return how large the fits in a pool's folder for caches are."""
    return sum(map(size_of, _buckets(folder)))


def _n_fits(path: Path) -> int:
    try:
        with reading(path, 0) as stream:  # a buffer would read what is skipped
            return count(stream, stream.read(_LINE_BYTES).find(b"\n") + 1)
    except FileNotFoundError:  # removed in between
        return 0


def find_damaged_fits(folder: Path, lock: str, *, repair: bool) -> tuple[Damage, ...]:
    """Read all fits, and return what is damaged.

    Parameters
    ----------
    folder : Path
        The pool's folder for caches.
    lock : str
        The kind of lock that the pool uses.
    repair : bool
        Rewrite a damaged file with its whole fits only.
    """
    found: list[Damage] = []
    for path in _buckets(folder):
        try:
            damaged = _damage_in(path)
            if damaged and repair:
                file = BucketFile(path, lock)
                with file.locked(create=False) as held:
                    file.rewrite(held)
        except FileNotFoundError:  # removed in between
            continue
        found += [Damage(path=path, removed=repair, what=_named(one)) for one in damaged]
    return tuple(found)


def _damage_in(path: Path) -> list[Stretch]:
    with reading(path) as stream:
        head = stream.readline(HEAD_LIMIT)
        stop = len(head) if parse_line(head) is not None else 0
        found = list(scan(stream, stop))
        stop = found[-1].stop if found else stop
        size = os.fstat(stream.fileno()).st_size
        damaged = [one for one in found if not one.good]
        if stop < size and not is_torn(
            stream, stop
        ):  # torn: being written, or left by a killed process
            damaged.append(Stretch(start=stop, stop=size, key="", good=False))
        return damaged


def _named(damaged: Stretch) -> str:
    place = f"bytes {damaged.start:,} to {damaged.stop:,}"
    return f"{place}, fit {damaged.key[:12]}" if damaged.key else place


def prune_fits(
    folder: Path, lock: str, limit_bytes: int | None, *, dry_run: bool
) -> tuple[Removed, ...]:
    """Remove what killed processes left and, above a limit, whole buckets.

    A fit does not show whether it will be needed again, so no others are removed.

    Parameters
    ----------
    folder : Path
        The pool's folder for caches.
    lock : str
        The kind of lock that the pool uses.
    limit_bytes : int, optional
        Remove the least recently used buckets, until the others are no larger.
    dry_run : bool
        Remove nothing; return what would be removed.
    """
    removed = []
    root = folder / FOLDER
    leases = map(Leases, paths_in(root / "leases", "??"))
    for path, why in leftovers(root, leases, Leases(root).server_time()):
        removed.append(Removed(path=path, why=why, n_bytes=size_of(path)))
        if not dry_run:
            remove(path)
    for path in _beyond(folder, limit_bytes):
        why = "least recently used fits, above the limit"
        removed.append(Removed(path=path, why=why, n_bytes=size_of(path)))
        if not dry_run:
            _remove(path, lock)
    return tuple(removed)


def _beyond(folder: Path, limit_bytes: int | None) -> Iterator[Path]:
    if limit_bytes is None:
        return
    paths = _buckets(folder)
    total = sum(map(size_of, paths))
    for path in sorted(paths, key=lambda path: (time_of(path), path)):
        if total <= limit_bytes:
            return
        total -= size_of(path)
        yield path


def _remove(path: Path, lock: str) -> None:
    file = BucketFile(path, lock)
    try:
        with file.locked(create=False) as held:
            file.remove(held)
    except FileNotFoundError:  # another process was faster
        return


def _buckets(folder: Path) -> list[Path]:
    return paths_below(folder / FOLDER, "??", "*.fits")
