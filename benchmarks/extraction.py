"""What it costs to get ROI values from maps, and to get them again.

    python -m benchmarks.extraction [--participants 100] [--parcellations 20] [--map-ms 0 5 30]
                                    [--repeat 3] [--folder FOLDER]
    python -m benchmarks.extraction --full

One .npy of 64,984 vertices x 4 modalities (float32) per participant; parcellations of 7 to 6,000
parcels, every tenth of them probabilistic. Each way runs in a process of its own, in turns:

    jobpool      `RoiCache.fill`: each map read once, all parcellations, packed, on disk
    per map      each map read once for each parcellation, a sparse product, kept in memory
    per label    each map read once, then ``map[labels == k].mean(axis=0)`` for every label, in
                 memory; done for two participants and scaled up

``--map-ms`` adds a sleep to each reading of a map, in all ways: the files come from this machine's
memory otherwise, where a cluster's disk takes 30 ms and more for each.

Then a hit, from asking for a matrix to having touched all its values, as the first thing that a
process does (it asks for size and time of all maps) and within a minute after that (it trusts what
it saw), against loading the maps and touching all values.

``--full`` counts opens, files and bytes for 220 parcellations x 1,000 participants of a tenth of
the vertices (parcels of 7 to 600), to fit here.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks.figures import machine, say, table
from jobpool.brain.maps import MapBlock, Maps, find_maps
from jobpool.brain.parcellations import read_parcellation
from jobpool.cache.roi.cache import RoiCache

VERTICES, MODALITIES = 64_984, 4
MOST_PARCELS = 6_000
LOOPED = 2  # participants of the loop over labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Generated files in a folder."""

    folder: Path
    n_participants: int
    sizes: tuple[int, ...]
    n_vertices: int = VERTICES
    map_s: float = 0.0  # added to each reading of a map

    @property
    def sources(self) -> dict[str, str]:
        return {f"p{i:03}": f"p{i:03}.npy" for i in range(len(self.sizes))}

    def map_file(self, one: int) -> Path:
        return self.folder / f"map{one}.npy"

    def write(self) -> None:
        rng = np.random.default_rng(0)
        for one in range(self.n_participants):
            values = rng.standard_normal((self.n_vertices, MODALITIES), np.float32)
            np.save(self.map_file(one), values)
        for i, size in enumerate(self.sizes):
            file = self.folder / f"p{i:03}.npy"
            if i % 10 == 5:  # probabilistic, each vertex in about four parcels
                weights = np.zeros((self.n_vertices, size), np.float32)
                for _ in range(4):
                    columns = rng.integers(0, size, self.n_vertices)
                    weights[np.arange(self.n_vertices), columns] = rng.random(self.n_vertices)
                np.save(file, weights)
            else:
                patch = max(1, self.n_vertices // (4 * (size + 1)))  # four of each parcel
                n_patches = -(-self.n_vertices // patch)
                labels = rng.permutation(np.arange(n_patches) % (size + 1)).repeat(patch)
                np.save(file, labels[: self.n_vertices].astype(np.int32))

    def read_map(self, one: int) -> np.ndarray:
        time.sleep(self.map_s)
        return np.load(self.map_file(one))

    def cache(self) -> RoiCache:
        ids = tuple(str(one) for one in range(self.n_participants))
        plain = find_maps("map{participant}.npy", self.folder, ids)
        known = {field.name: getattr(plain, field.name) for field in fields(Maps)}
        maps = _SlowMaps(**known, map_s=self.map_s)
        return RoiCache(self.folder / "cache", maps, self.sources, self.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SlowMaps(Maps):
    map_s: float

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[MapBlock]:
        for block in Maps.blocks(self, start, stop):
            time.sleep(self.map_s * len(block.values))
            yield block


def by_jobpool(study: Study) -> float:
    report = study.cache().fill()
    if report.n_participants != study.n_participants:
        raise RuntimeError(f"{report.n_participants} participants read")
    return 1.0


def by_map(study: Study) -> float:
    for source in study.sources.values():
        parcellation = read_parcellation(source, study.folder)
        total = parcellation.weights @ np.ones(study.n_vertices)
        for one in range(study.n_participants):
            values = study.read_map(one).astype(np.float64)
            _ = ((parcellation.weights @ values).T / total).astype(np.float32)
    return 1.0


def by_label(study: Study) -> float:
    parcellations = [np.load(study.folder / source) for source in study.sources.values()]
    for one in range(LOOPED):
        values = study.read_map(one)
        for found in parcellations:
            if found.ndim == 1:
                labels = np.unique(found[found > 0])
                _ = np.stack([values[found == k].mean(axis=0) for k in labels])
            else:
                columns = range(found.shape[1])
                _ = np.stack([np.average(values, axis=0, weights=found[:, k]) for k in columns])
    return study.n_participants / LOOPED


def hit(study: Study) -> float:
    cache = study.cache()
    _touch = float(cache.matrix("p010").values.sum())
    return 1.0


def raw(study: Study) -> float:
    for one in range(study.n_participants):
        _touch = float(np.load(study.map_file(one)).sum())
    return 1.0


def _timed(way: Callable[[Study], float], study: Study) -> tuple[float, float]:
    begun = time.perf_counter()
    scale = way(study)
    seconds = (time.perf_counter() - begun) * scale
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(way: Callable[[Study], float], study: Study) -> tuple[float, float]:
    """Return seconds and peak memory in MB of a way, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_timed, way, study).result()


def empty_cache(study: Study) -> None:
    for path in sorted((study.folder / "cache").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def fills(study: Study, repeat: int) -> list[list[object]]:
    """Return a row for each way to get all values."""
    ways = {"jobpool": by_jobpool, "per map": by_map, "per label": by_label}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0.0)
    for turn in range(repeat):
        for name, way in ways.items():
            if name == "per label" and (turn or study.map_s):  # long; the reading is nothing to it
                continue
            say(f"{name}, {study.map_s * 1000:g} ms a map, {turn + 1} of {repeat}")
            empty_cache(study)
            taken, peak = measure(way, study)
            seconds[name].append(taken)
            peaks[name] = max(peaks[name], peak)
    jobpool = statistics.median(seconds["jobpool"])
    n_values = study.n_participants * len(study.sizes)
    rows: list[list[object]] = []
    for name, taken in seconds.items():
        if not taken:
            continue
        median = statistics.median(taken)
        each = f"{median / n_values * 1000:.2f}"
        ratio = f"{median / jobpool:.1f}"
        added = f"{study.map_s * 1000:g}"
        rows.append([name, added, f"{median:.2f}", each, ratio, f"{peaks[name]:.0f}"])
    return rows


def hits(study: Study, map_ms: list[float], repeat: int) -> list[list[object]]:
    """Return a row for the first hit of a process, for the next ones, and for reading the maps."""
    empty_cache(study)
    measure(by_jobpool, study)
    turns = [[measure(way, study)[0] for way in (hit, raw)] for _ in range(repeat)]
    first, maps = (statistics.median(column) * 1000 for column in zip(*turns, strict=True))
    cache = study.cache()
    cache.matrix("p009")
    begun = time.perf_counter()
    _touch = float(cache.matrix("p010").values.sum())
    after = (time.perf_counter() - begun) * 1000
    rows: list[list[object]] = []
    for added in map_ms:
        reading = maps + added * study.n_participants
        ratios = [f"{reading / one:,.0f}" for one in (first, after)]
        times = [f"{one:.2f}" for one in (reading, first, after)]
        rows.append([f"{added:g}", *times, *ratios])
    return rows


_OPENED: list[str] = []


def _count_opens(study: Study) -> int:
    sys.addaudithook(lambda event, args: _OPENED.append(str(args[0])) if event == "open" else None)
    study.cache().fill()
    return sum(Path(path).name.startswith("map") for path in _OPENED)


def count_full(folder: Path) -> str:
    """Fill a large cache, and count what it took."""
    sizes = tuple(int(size) for size in np.geomspace(7, MOST_PARCELS // 10, 220))
    study = Study(folder=folder, n_participants=1000, sizes=sizes, n_vertices=VERTICES // 10)
    say("220 parcellations x 1,000 participants: writing the study")
    study.write()
    say("filling")
    seconds, peak = measure(by_jobpool, study)
    files = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    empty_cache(study)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        opens = pool.submit(_count_opens, study).result()
    values = sum(sizes) * study.n_participants * MODALITIES * 4
    rows: list[list[object]] = [
        ["raw maps opened", f"{opens:,}"],
        ["one opening per map and parcellation", f"{220 * 1000:,}"],
        ["files of the cache", f"{len(files):,}"],
        ["bytes of the cache", f"{size:,}"],
        ["bytes of the values alone", f"{values:,}"],
        ["seconds", f"{seconds:.0f}"],
        ["peak memory, MB", f"{peak:.0f}"],
    ]
    head = "220 parcellations (7 to 600 parcels) x 1,000 participants x 6,498 vertices x 4"
    return head + "\n" + table(("", "found"), rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how ROI values are got from maps.")
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--parcellations", type=int, default=20)
    parser.add_argument("--map-ms", type=float, nargs="*", default=[0.0, 5.0, 30.0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="count opens, files and bytes instead")
    parser.add_argument("--folder", type=Path, help="on the file system to measure")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.full:
            print(count_full(Path(folder)))
            return 0
        sizes = np.geomspace(7, MOST_PARCELS, options.parcellations)
        rows: list[list[object]] = []
        study = Study(
            folder=Path(folder),
            n_participants=options.participants,
            sizes=tuple(int(size) for size in sizes),
        )
        study.write()
        for map_ms in options.map_ms:
            rows += fills(
                Study(
                    folder=study.folder,
                    n_participants=study.n_participants,
                    sizes=study.sizes,
                    map_s=map_ms / 1000,
                ),
                options.repeat,
            )
        header = ("way", "ms added a map", "s", "ms each", "times jobpool", "peak MB")
        print(table(header, rows))
        header = ("ms added a map", "maps ms", "first hit ms", "next hit ms", "times", "times")
        print(table(header, hits(study, options.map_ms, max(options.repeat, 5))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
