"""Maps of a few participants and three parcellations on disk, for tests of the ROI cache."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.brain.maps import MapBlock, MapProblems, Maps, find_maps
from jobpool.cache.roi.cache import RoiCache

N, VERTICES, MODALITIES = 12, 500, 2
PER_SPAN, N_SPANS = 3, 4
NAMES = ("hard", "soft", "coarse")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedMaps(Maps):
    """Maps in short spans; a line of a file tells of each span that is read."""

    log: Path
    slow_s: float = 0.0

    def spans(self) -> tuple[tuple[int, int], ...]:
        return tuple((start, start + PER_SPAN) for start in range(0, N, PER_SPAN))

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[MapBlock]:
        with self.log.open("a") as log:
            log.write(f"{start}\n")
        time.sleep(self.slow_s)
        yield from Maps.blocks(self, start, stop)


class CacheStudy:
    """The study in a folder; made there by `write`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.sources = {name: f"{name}.npy" for name in NAMES}

    def write(self) -> "CacheStudy":
        rng = np.random.default_rng(0)
        for one in range(N):
            values = rng.normal(size=(VERTICES, MODALITIES)).astype(np.float32)
            np.save(self.folder / f"map{one:02}.npy", values)
        labels = np.arange(VERTICES, dtype=np.int32) % 401  # parcels up to 400, and background
        np.save(self.folder / "hard.npy", labels)
        np.save(self.folder / "coarse.npy", labels // 100)
        np.save(self.folder / "soft.npy", rng.random((VERTICES, 5)))
        return self

    def maps(self, slow_s: float = 0.0, problems: MapProblems | None = None) -> WatchedMaps:
        ids = tuple(f"{one:02}" for one in range(N))
        found = find_maps("map{participant}.npy", self.folder, ids, problems)
        known = {field.name: getattr(found, field.name) for field in fields(Maps)}
        return WatchedMaps(**known, log=self.log, slow_s=slow_s)

    def cache(self, *names: str, maps: Maps | None = None) -> RoiCache:
        """Return the cache as a process that has just started sees it."""
        sources = {name: self.sources[name] for name in names or self.sources}
        return RoiCache(self.folder / "cache", maps or self.maps(), sources, self.folder)

    def expected(self, name: str) -> Array:
        """Return the values of a parcellation by plain NumPy."""
        each = [np.load(self.folder / f"map{one:02}.npy") for one in range(N)]
        maps = np.stack(each).astype(np.float64)
        found = np.load(self.folder / f"{name}.npy")
        if found.ndim == 1:
            found = (found[:, np.newaxis] == np.unique(found[found > 0])).astype(np.float64)
        means: Array = np.einsum("nvm,vp->nmp", maps, found) / found.sum(axis=0)
        return means.reshape(N, -1)

    def spans_read(self) -> list[int]:
        """Return the first participant of every span that any process began to read."""
        return sorted(map(int, self.log.read_text().split())) if self.log.exists() else []

    def files(self, pattern: str) -> list[Path]:
        return sorted((self.folder / "cache" / "roi").rglob(pattern))

    def edit_map(self, one: int) -> None:
        path = self.folder / f"map{one:02}.npy"
        time_ns = path.stat().st_mtime_ns
        np.save(path, np.load(path) + 1)
        os.utime(path, ns=(time_ns, time_ns + 1_000_000))


def flip(path: Path, position: int) -> None:
    """Change one bit of a file, keeping its times."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def fill_all(folder: Path, slow_s: float) -> None:
    """Ask for every matrix, as a worker does; the main function of a process."""
    study = CacheStudy(folder)
    cache = study.cache(maps=study.maps(slow_s))
    for name in NAMES:
        matrix = cache.matrix(name)
        np.testing.assert_allclose(matrix.values, study.expected(name), rtol=1e-5, atol=1e-7)
