"""A study to simulate: how long its tasks take and how much memory, known to nobody beforehand.

In the shape of the published one: 220 parcellations of 7 to 6,000 parcels, 45 pipelines, 3 targets,
each of 5 folds. Times grow with the parcels, faster for some pipelines, from minutes to 30 hours on
one core; memory likewise, to more than 20 GB.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.admin.create import create_pool
from jobpool.experiment.config import Experiment
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.table.settings import WorkerSettings
from jobpool.task import ALL, Axis

FLOATS = NDArray[np.float64]
N_FOLDS = 5
N_SIZES, N_PIPELINES, N_TARGETS = 220, 45, 3
SHORTEST_S, LONGEST_S = 90.0, 30 * 3600.0


def study_grid(scale: float) -> Grid:
    """Return the whole tasks of the study: all at scale 1, each axis thinned out below."""
    thinner = scale**0.5
    n_sizes, n_pipelines = max(round(N_SIZES * thinner), 4), max(round(N_PIPELINES * thinner), 3)
    sizes = tuple(int(size) for size in np.geomspace(7, 6000, n_sizes).round())
    axes = (
        Axis(name="parcellation", values=tuple(f"p{n}_{size}" for n, size in enumerate(sizes))),
        Axis(name="pipeline", values=tuple(f"pipeline{n}" for n in range(n_pipelines))),
        Axis(name="target", values=tuple(f"target{n}" for n in range(N_TARGETS))),
    )
    return full_product(axes, (Attribute(name="parcels", axis="parcellation", values=sizes),))


def with_parts(grid: Grid) -> Grid:
    """Return the whole tasks and the folds that they can be split into."""
    folds = Axis(name="fold", values=(ALL, *range(N_FOLDS)))
    return split_parts(grid, folds, np.zeros(len(grid), bool))


def new_pool(folder: Path, grid: Grid) -> Path:
    """Make a pool of the tasks of `grid`, and return its folder."""
    folder.mkdir(parents=True)
    file = folder / "experiment.yaml"
    whole = tuple(axis for axis in grid.axes if axis.name != grid.part_axis)
    # the axes are in the pool; the file needs only one to be whole
    file.write_text(f"runner: function\naxes:\n  {whole[0].name}: [{whole[0].values[0]}]\n")
    experiment = Experiment(
        name="simulated",
        file=file,
        folder=folder,
        runner="function",
        seed=1,
        axes=whole,
        section={},
        passes=(),
        workers=WorkerSettings(lock="flock"),
    )
    create_pool(folder / "pool", experiment, grid, lambda _: None, now=0.0)
    return folder / "pool"


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is true of each whole task, in the order of `study_grid`."""

    grid: Grid
    fold_s: FLOATS  # (n_whole, n_folds): on one core
    memory_mb: FLOATS  # (n_whole,)
    speedup: FLOATS  # (n_whole,): time falls with the cores to this power
    killed_at: FLOATS  # (n_whole,): share of a fold after which memory that is too little is full

    @property
    def one_core_s(self) -> float:
        """Return what everything takes on one core."""
        return float(self.fold_s.sum())

    def whole_of(self, grid: Grid) -> NDArray[np.intp]:
        """Return the row of each task of a pool's grid."""
        shape = [len(axis.values) for axis in self.grid.axes]
        rows = [grid.column(axis.name).astype(np.intp) for axis in self.grid.axes]
        return np.asarray(np.ravel_multi_index(rows, shape), np.intp)


def make_study(scale: float, seed: int, noise: float = 1.0) -> Study:
    """Return a study whose pipelines are drawn at random; `noise` is what nothing explains."""
    grid = study_grid(scale)
    rng = np.random.default_rng(seed)
    n_pipelines, n_whole = len(grid.axes[1].values), len(grid)
    parcels = np.log(np.array(grid.attributes[0].values, np.float64))[grid.column("parcellation")]
    grown = (parcels - parcels.min()) / np.ptp(parcels)  # 0 to 1
    pipeline, target = grid.column("pipeline"), grid.column("target")
    offset = rng.permutation(np.linspace(0, 2.5, n_pipelines))
    growth = rng.permutation(np.linspace(2.6, 4.6, n_pipelines))
    log_s = np.log(SHORTEST_S) + offset[pipeline] + growth[pipeline] * grown
    log_s += np.array([0.0, 0.3, -0.2])[target] + rng.normal(0, 0.3 * noise, n_whole)
    whole_s = np.exp(np.minimum(log_s, np.log(LONGEST_S)))
    shares = rng.dirichlet(np.full(N_FOLDS, 60.0), n_whole)
    log_mb = np.log(400) + 2.8 * grown + rng.uniform(-0.2, 0.9, n_pipelines)[pipeline]
    return Study(
        grid=grid,
        fold_s=whole_s[:, None] * shares,
        memory_mb=np.exp(log_mb + rng.normal(0, 0.15 * noise, n_whole)),
        speedup=rng.uniform(0.75, 0.95, n_pipelines)[pipeline],
        killed_at=rng.uniform(0.1, 1.0, n_whole),
    )


if __name__ == "__main__":  # what the study is like
    study = make_study(1.0, 1)
    for name, amounts in (("hours", study.fold_s.sum(1) / 3600), ("GB", study.memory_mb / 1024)):
        found = np.percentile(amounts, [0, 5, 25, 50, 75, 95, 100]).round(2)
        print(f"{name}: {found.tolist()} at 0, 5, 25, 50, 75, 95, 100 %")
    whole = study.fold_s.sum(1)
    print(
        f"{study.one_core_s / 3600:,.0f} core-hours; longer than 3 h: {np.mean(whole > 10800):.1%}"
    )
    print(f"larger than 4 GB: {np.mean(study.memory_mb > 4096):.1%}")
