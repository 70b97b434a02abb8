"""Studies with known times, simulated and recorded, on which estimates are measured.

A simulated study is a grid and a time for each task, drawn with a seed. Each has a difficulty that
real ones have: values that grow unevenly, noise that differs, a cache that is cold now and then.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.table.grid import Attribute, Grid, full_product
from jobpool.task import Axis, Value

Floats = NDArray[np.float64]
RECORDED = Path(__file__).parent / "recorded"
Draw = Callable[[Grid, np.random.Generator], Floats]


@dataclass(frozen=True, kw_only=True)
class TimedStudy:
    """A grid, and how long each of its tasks takes on one core."""

    grid: Grid
    seconds: Floats  # (n_tasks,)


def _axes(**values: tuple[Value, ...] | range) -> tuple[Axis, ...]:
    return tuple(Axis(name=name, values=tuple(of)) for name, of in values.items())


def _effect(grid: Grid, axis: str, rng: np.random.Generator, sd: float) -> Floats:
    """Return a random effect of each value of an axis, for each task."""
    found: Floats = rng.normal(0, sd, len(grid.axis(axis).values))[grid.column(axis)]
    return found


def _numbers(grid: Grid, axis: str) -> Floats:
    found: Floats = np.array(grid.axis(axis).values, np.float64)[grid.column(axis)]
    return found


SITES = full_product(
    _axes(site=tuple(f"s{n}" for n in range(101)), factor=range(9), seed=range(30))
)
_SIZES = tuple(int(size) for size in np.geomspace(7, 6000, 60))
PARCELS = full_product(
    _axes(
        parcellation=tuple(f"p{n}" for n in range(60)),
        pipeline=tuple(f"pipeline{n}" for n in range(15)),
        target=("a", "b", "c"),
    ),
    (Attribute(name="parcels", axis="parcellation", values=_SIZES),),
)
MODELS = full_product(
    _axes(
        trees=(3, 10, 30, 100, 200, 300, 500),
        depth=(2, 4, 8, 16, 32),
        rate=(0.01, 0.1, 0.3),
        data=tuple(f"d{n}" for n in range(8)),
        fold=range(5),
    )
)
MANY = full_product(
    _axes(subject=tuple(f"sub-{n:04}" for n in range(1500)), task=("rest", "n", "m"))
)
FEW = full_product(_axes(model=("a", "b", "c", "d"), seed=range(50)))


def sites(grid: Grid, rng: np.random.Generator) -> Floats:
    """Sites differ by a factor of some, a setting takes longer step by step, seeds are alike."""
    steps = np.sort(rng.uniform(0, 1.5, 9))[grid.column("factor")]
    return np.exp(3 + _effect(grid, "site", rng, 0.8) + steps + rng.normal(0, 0.15, len(grid)))


def parcels(grid: Grid, rng: np.random.Generator) -> Floats:
    """Pipelines grow differently with the number of parcels, as in the published study."""
    size = np.log(np.array(_SIZES, np.float64))[grid.column("parcellation")]
    growth = rng.uniform(0.3, 1.1, 15)[grid.column("pipeline")]
    log_s = 2 + _effect(grid, "pipeline", rng, 0.8) + growth * size
    log_s += _effect(grid, "target", rng, 0.3) + rng.normal(0, 0.3, len(grid))
    return np.exp(log_s)


def alike(grid: Grid, rng: np.random.Generator) -> Floats:
    """Every task takes 50 ms, give or take the machine's jitter."""
    return 0.05 * np.exp(np.abs(rng.normal(0, 0.08, len(grid))))


def uneven(grid: Grid, rng: np.random.Generator) -> Floats:
    """Some models always take the same time, others depend on their random start."""
    spread = np.geomspace(0.02, 1.2, len(grid.axes[0].values))[grid.column(grid.names[0])]
    return np.exp(4 + _effect(grid, grid.names[0], rng, 1.0) + spread * rng.normal(0, 1, len(grid)))


def cold(grid: Grid, rng: np.random.Generator) -> Floats:
    """One task in eight finds its data in no cache, and takes ten times as long."""
    log_s = 1 + _effect(grid, "data", rng, 0.5) + rng.normal(0, 0.1, len(grid))
    return np.exp(log_s + np.log(10) * (rng.random(len(grid)) < 0.125))


def early_stop(grid: Grid, rng: np.random.Generator) -> Floats:
    """A third of the settings stops at once; the others take minutes that grow with the trees."""
    settings = np.ravel_multi_index([grid.column(n) for n in ("depth", "rate", "data")], (5, 3, 8))
    stops = (rng.random(120) < 0.33)[settings]
    long = np.log(_numbers(grid, "trees")) + 0.3 * _numbers(grid, "depth") ** 0.5
    return np.exp(np.where(stops, -1.0, long) + rng.normal(0, 0.2, len(grid)))


def sums(grid: Grid, rng: np.random.Generator) -> Floats:
    """Two seconds to start, and then what grows with trees and depth: no product of effects."""
    work = 2e-4 * _numbers(grid, "trees") * _numbers(grid, "depth") ** 1.5
    seconds: Floats = (2.0 + work * np.exp(_effect(grid, "data", rng, 0.5))) * np.exp(
        rng.normal(0, 0.05, len(grid))
    )
    return seconds


def pairs(grid: Grid, rng: np.random.Generator) -> Floats:
    """A setting that is slow on some data only: an effect of each pair of values."""
    both = grid.column("depth") * 8 + grid.column("data")
    return np.exp(2 + rng.normal(0, 1.0, 40)[both] + rng.normal(0, 0.15, len(grid)))


def subjects(grid: Grid, rng: np.random.Generator) -> Floats:
    """Fifteen hundred participants, each of another length, more than get a column each."""
    log_s = 4 + _effect(grid, "subject", rng, 0.5) + _effect(grid, "task", rng, 0.5)
    return np.exp(log_s + rng.normal(0, 0.1, len(grid)))


def tailed(grid: Grid, rng: np.random.Generator) -> Floats:
    """Nearly all are alike, and a few take very much longer or shorter."""
    errors = np.clip(rng.standard_t(2, len(grid)), -15, 15)
    return np.exp(2 + _effect(grid, grid.names[0], rng, 0.5) + 0.15 * errors)


SIMULATED: Mapping[str, tuple[Grid, Draw]] = {
    "sites": (SITES, sites),
    "parcels": (PARCELS, parcels),
    "alike": (FEW, alike),
    "alike-many": (SITES, alike),
    "uneven": (PARCELS, uneven),
    "uneven-few": (FEW, uneven),
    "cold": (MODELS, cold),
    "early-stop": (MODELS, early_stop),
    "sums": (MODELS, sums),
    "pairs": (MODELS, pairs),
    "subjects": (MANY, subjects),
    "tailed": (MODELS, tailed),
    "tailed-few": (FEW, tailed),
}


def simulated(name: str, seed: int) -> TimedStudy:
    """Return one of the simulated studies."""
    grid, draw = SIMULATED[name]
    return TimedStudy(grid=grid, seconds=draw(grid, np.random.default_rng(seed)))


def recorded_names() -> list[str]:
    """Return the names of the recorded studies."""
    return sorted(path.stem for path in RECORDED.glob("*.csv"))


def recorded(name: str) -> TimedStudy:
    """Return one of the studies that jobpool ran; see `benchmarks.recording`."""
    with (RECORDED / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [key for key in rows[0] if key not in {"seconds", "peak_memory_mb"}]
    points = [tuple(_value(row[name]) for name in names) for row in rows]
    columns = list(zip(*points, strict=True))
    axes = {name: tuple(dict.fromkeys(of)) for name, of in zip(names, columns, strict=True)}
    grid = full_product(_axes(**axes))
    seconds = dict(zip(points, (float(row["seconds"]) for row in rows), strict=True))
    every = product(*axes.values())
    return TimedStudy(grid=grid, seconds=np.array([seconds[point] for point in every]))


def _value(text: str) -> Value:
    return int(text) if text.isdecimal() else text


def timed_study(name: str, seed: int) -> TimedStudy:
    """Return a study by its name; a recorded one is the same for each seed."""
    return simulated(name, seed) if name in SIMULATED else recorded(name)
