"""What the cache of ROI values holds, whether it is whole, and what of it may be removed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobpool.cache.roi.blocks import Block, Blocks, read_block
from jobpool.cache.roi.keys import Layout
from jobpool.cache.roi.store import Store
from jobpool.disk.coordination import Leases
from jobpool.disk.inside import remove
from jobpool.units import HOUR_S

COLUMNS = ("parcellation", "kind", "parcels", "size", "state")  # of a table of `ParcellationInfo`
_OLD_S = HOUR_S  # no process works so long on a file without changing it


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The parts of a cache."""

    root: Path
    store: Store
    blocks: Blocks
    leases: Leases


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcellationInfo:
    """What the cache holds of one parcellation."""

    name: str
    kind: str  # empty if it cannot be used
    n_parcels: int
    state: Literal["packed", "part", "none"]
    n_spans: int  # how many have values in a block, if it is not packed
    n_bytes: int
    problem: str = ""  # why it cannot be used


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """What the cache holds."""

    parcellations: tuple[ParcellationInfo, ...]
    n_participants: int
    n_spans: int
    n_files: int
    n_bytes: int
    n_unused: int  # packed values of no parcellation in the study
    unused_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file that does not hold what was written."""

    path: Path
    removed: bool
    what: str = ""  # which part of it; empty for the whole file


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A file that was removed, and why."""

    path: Path
    why: str
    n_bytes: int


def describe(places: Places, layout: Layout, parcellations: Mapping[str, str]) -> CacheInfo:
    """Return what the cache holds of each parcellation, in their order."""
    held = [places.blocks.of(span.key) for span in layout.spans]
    used = set(layout.keys.values())
    unused = [
        path
        for key in places.store.every_key()
        if key not in used
        for path in places.store.paths(key)
        if path.exists()
    ]
    sizes = [size_of(path) for path in places.root.rglob("*") if path.is_file()]
    return CacheInfo(
        parcellations=tuple(_one(places.store, layout, held, name) for name in parcellations),
        n_participants=layout.spans[-1].stop,
        n_spans=len(layout.spans),
        n_files=len(sizes),
        n_bytes=sum(sizes),
        n_unused=len({path.stem for path in unused}),
        unused_bytes=sum(map(size_of, unused)),
    )


def _one(store: Store, layout: Layout, held: list[list[Block]], name: str) -> ParcellationInfo:
    if name in layout.problems:
        return ParcellationInfo(
            name=name,
            kind="",
            n_parcels=0,
            state="none",
            n_spans=0,
            n_bytes=0,
            problem=layout.problems[name],
        )
    summary = layout.summaries[name]
    key = layout.keys[summary.digest]
    packed = store.has(key)
    n_spans = sum(any(summary.digest in one.pieces for one in blocks) for blocks in held)
    return ParcellationInfo(
        name=name,
        kind=summary.kind,
        n_parcels=summary.n_parcels,
        state="packed" if packed else "part" if n_spans else "none",
        n_spans=n_spans,
        n_bytes=sum(map(size_of, store.paths(key))) if packed else 0,
    )


def find_damage(places: Places, *, repair: bool) -> tuple[Damage, ...]:
    """Read all values, used or not, and return what is damaged."""
    found = []
    for key in places.store.every_key():
        if places.store.is_damaged(key):
            found.append(Damage(path=places.store.paths(key)[0], removed=repair))
            if repair:
                places.store.remove(key)
    for path in places.blocks.files():
        if _is_damaged(path):
            found.append(Damage(path=path, removed=repair))
            if repair:
                remove(path)
    return tuple(found)


def _is_damaged(path: Path) -> bool:
    try:
        block = read_block(path)
    except FileNotFoundError:  # packed in between
        return False
    return block is None or any(
        block.rows(digest) is None and path.exists() for digest in block.pieces
    )


def prune(
    places: Places, layout: Layout, limit_bytes: int | None, *, dry_run: bool
) -> tuple[Removed, ...]:
    """Remove what nothing uses; see `RoiCache.prune`."""
    chosen = [*_unused_blocks(places, layout), *_unused_values(places, layout)]
    left = leftovers(places.root, [places.leases], places.leases.server_time())
    chosen += [*left, *_beyond(places, layout, limit_bytes, chosen)]
    removed = []
    for path, why in chosen:
        n_bytes = size_of(path)
        if not dry_run:
            remove(path)
        removed.append(Removed(path=path, why=why, n_bytes=n_bytes))
    return tuple(removed)


Choice = tuple[Path, str]  # a file, and why it may be removed


def _unused_values(places: Places, layout: Layout) -> Iterator[Choice]:
    used = set(layout.keys.values())
    for key in places.store.every_key():
        if key not in used:
            # first the record, which alone makes values count
            for path in reversed(places.store.paths(key)):
                if path.exists():
                    yield path, "of files that changed or are not in the study"


def _unused_blocks(places: Places, layout: Layout) -> Iterator[Choice]:
    """Yield the blocks of spans that no longer exist, or whose values are packed or unused."""
    # listed first: a block that a worker finishes after this is left alone
    there = places.blocks.files()
    needed = {digest for digest, key in layout.keys.items() if not places.store.has(key)}
    used = {
        block.path
        for span in layout.spans
        for block in places.blocks.of(span.key)
        if needed & block.pieces.keys()
    }
    now = places.leases.server_time()
    for path in there:
        # a young one may come from a worker that read files newer than this layout
        if path not in used and is_old(path, now):
            yield path, "values that are packed or unused"


def _beyond(
    places: Places, layout: Layout, limit_bytes: int | None, chosen: list[Choice]
) -> Iterator[Choice]:
    """Yield the least recently used values, as many as exceed the limit."""
    if limit_bytes is None:
        return
    gone = {path for path, _ in chosen}
    files = [path for path in places.root.rglob("*") if path.is_file() and path not in gone]
    total = sum(map(size_of, files))
    records = [places.store.paths(key)[1] for key in layout.keys.values()]
    for record in sorted(set(records) & set(files), key=lambda path: (time_of(path), path)):
        if total <= limit_bytes:
            return
        for path in reversed(places.store.paths(record.stem)):
            total -= size_of(path)
            yield path, "least recently used, above the limit"


def leftovers(root: Path, leases: Iterable[Leases], now: float) -> Iterator[Choice]:
    """Yield what killed processes left under `root`: temporary files and leases."""
    for path in sorted(root.rglob(".*.tmp")):
        if is_old(path, now):
            yield path, "left by a process that was killed while it wrote"
    for one in leases:
        for path in one.stale():
            yield path, "lease of a process that died"


def is_old(path: Path, now: float) -> bool:
    """Say whether a file is so old that no process can still work on it."""
    try:
        return now - path.stat().st_mtime > _OLD_S
    except FileNotFoundError:
        return False


def size_of(path: Path) -> int:
    """Return the size of a file; 0 if it is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def time_of(path: Path) -> float:
    """Return when a file changed; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
