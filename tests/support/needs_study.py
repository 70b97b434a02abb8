"""What tasks take, as a test says.

A pool whose tasks take the time and memory that a formula gives, with the attempts that show it;
and forecasts that are simply given.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from jobpool.admin.create import create_pool
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.needs.work import N_SUMS, Work
from jobpool.plan.backlog import FloatArray
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


HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Lognormal times and memories, the same on any cores."""

    hours: FloatArray
    gb: FloatArray
    sd: FloatArray
    n_attempts: int = 10_000
    is_vague: bool = False  # whether all this is hardly more than a guess

    def seconds(self, cores: int, quantile: float = 0.5) -> FloatArray:  # noqa: ARG002 - the protocol's
        return self.hours * HOUR_S * self._factor(quantile)

    def memory_mb(self, cores: int, quantile: float = 0.5) -> FloatArray:  # noqa: ARG002 - the protocol's
        return self.gb * 1024 * self._factor(quantile)

    def chance(self, cores: int, seconds: float | None, memory_mb: float | None) -> FloatArray:
        assert seconds is not None
        assert memory_mb is not None
        margins = zip(
            np.log(seconds / self.seconds(cores)) / self.sd,
            np.log(memory_mb / self.memory_mb(cores)) / self.sd,
            strict=True,
        )
        return np.array([NormalDist().cdf(a) * NormalDist().cdf(b) for a, b in margins])

    def vague(self) -> NDArray[np.bool_]:
        return np.full(len(self.sd), self.is_vague)

    def work(self, tasks: NDArray[np.bool_], cores: int, most_s: float) -> Work:
        drawn = np.random.default_rng(3).standard_normal((N_SUMS, len(self.sd))) * self.sd
        times = np.minimum(self.seconds(cores) * np.exp(drawn), most_s)[:, tasks]
        return Work(sums=times.sum(axis=1), longest=float(times.mean(axis=0).max(initial=0.0)))

    def _factor(self, quantile: float) -> FloatArray:
        factor: FloatArray = np.exp(NormalDist().inv_cdf(quantile) * self.sd)
        return factor


def forecast(hours: Sequence[float], gb: Sequence[float] = (1,), sd: float = 0.1) -> Forecast:
    n = len(hours)
    return Forecast(hours=np.array(hours), gb=np.resize(gb, n), sd=np.full(n, sd))
