"""A pool whose tasks take times and memory that a formula gives, and the attempts that tell it."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.admin.create import create_pool
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.pool import Pool
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.task import ALL, Axis, Cause
from tests.support.builders import NOOP, an_experiment

SIZES = tuple(int(size) for size in np.geomspace(10, 6000, 30))
N_PARTS = 5
BEGAN = 1_700_000_000.0
LIMIT_S = 3 * 3600.0


def study_grid(n_methods: int = 4, n_sizes: int = len(SIZES)) -> Grid:
    sizes = SIZES[:n_sizes]
    axes = (
        Axis(name="map", values=tuple(f"map{size}" for size in sizes)),
        Axis(name="method", values=tuple(f"m{number}" for number in range(n_methods))),
        Axis(name="site", values=("a", "b", "c")),
    )
    whole = full_product(axes, (Attribute(name="size", axis="map", values=sizes),))
    parts = Axis(name="part", values=(ALL, *range(N_PARTS)))
    return split_parts(whole, parts, np.zeros(len(whole), bool))


def a_study(folder: Path, grid: Grid | None = None, text: str = NOOP) -> Pool:
    grid = grid or study_grid()
    axes = tuple(axis for axis in grid.axes if axis.name != grid.part_axis)
    experiment = an_experiment(folder / "study", *axes, text=text)
    create_pool(folder / "pool", experiment, grid, lambda _: None, now=time.time())
    return Pool(folder / "pool")


class Truth:
    """What each task takes on one core: methods differ, and grow differently with size."""

    def __init__(self, grid: Grid, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        size = np.log(np.array(grid.attributes[0].values, np.float64))[grid.column("map")]
        method = grid.column("method").astype(float)
        part = np.where(grid.column("part") > 0, -np.log(N_PARTS), 0.0)
        noise = rng.normal(0, 0.3, (2, len(grid)))
        self.expected_s = np.exp(3 + method + (0.6 + 0.15 * method) * (size - 4) + part)
        self.seconds = self.expected_s * np.exp(noise[0])
        self.memory_mb = np.exp(6 + 0.4 * (size - 4) + 0.3 * method + 0.3 * noise[1])


class Diary:
    """Writes the attempts of one worker."""

    def __init__(self, pool: Pool, worker: int = 1, cores: int = 1) -> None:
        self.pool, self.name, self.cores = pool, worker_name(worker), cores
        self.clock = BEGAN + worker

    def write(
        self,
        position: int,
        seconds: float,
        cause: Cause = Cause.DONE,
        *,
        fence: int = 1,
        peak_mb: float = 500.0,
        memory_mb: int = 4096,
    ) -> None:
        attempt = Attempt(
            task=self.pool.grid.id(position),
            fence=fence,
            worker=self.name,
            cause=cause,
            started=self.clock,
            ended=self.clock + seconds,
            cores=self.cores,
            memory_mb=memory_mb,
            peak_memory_mb=peak_mb,
        )
        self.clock += seconds
        write_attempt(self.pool.folder, attempt)

    def run(self, truth: Truth, positions: Iterable[int], limit_s: float = LIMIT_S) -> None:
        """Write how each task ends on this worker within `limit_s`."""
        for position in positions:
            seconds = float(truth.seconds[position]) * self.cores**-0.85
            peak_mb = float(truth.memory_mb[position])
            if seconds > limit_s:
                self.write(position, limit_s, Cause.TIME, peak_mb=peak_mb)
            else:
                self.write(position, seconds, peak_mb=peak_mb)


def wholes(grid: Grid, seed: int = 2) -> NDArray[np.intp]:
    """Return the whole tasks in random order."""
    positions = np.flatnonzero(grid.column("part") == 0)
    return np.random.default_rng(seed).permutation(positions)
