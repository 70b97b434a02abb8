"""What it saves to go on with tasks whose inputs are at hand, by simulated workers.

    python -m benchmarks.affine [--workers 8 32 100] [--shares 0 0.5 0.75 0.9] [--seeds 2]

The ensembles of the published study (192, on 178 members) with one pipeline and three targets:
claims and ends are the pool's own, on files; the clock and the fits are pretended. A fit takes a
second per 100 parcels and fold; the values of a member are read from the shared disk in as many
seconds as it has hundreds of parcels, and again once `--keep` others were read. A task makes the
fits that nobody has made or is making, then waits for the others, as the fit cache does.
"""

import argparse
import heapq
import random
import re
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.figures import machine, table
from jobpool.admin.create import create_pool
from jobpool.execution.claiming import Puller
from jobpool.experiment.axes import read_axes
from jobpool.experiment.config import Experiment
from jobpool.experiment.reader import Reader
from jobpool.learning.study import Ensemble, find_members
from jobpool.pool import Ending, Pool
from jobpool.table.grid import Attribute, Grid, full_product
from jobpool.table.settings import WorkerSettings
from jobpool.task import Axis, Cause, Value

SETS = {
    "random": {
        "mesh": "m.npy",
        "sizes": [100, 200, 300, 500, 700, 1000, 2000],
        "across": [10, 6000],
        "seeds": [1, 2],
    },
    "counts": [3, 5, 8, 10],
}
FOLDS, INNER = 5, 3
COMBINE_S = 2.0  # what a task takes beside fits
Fit = tuple[str, Value, int, int]  # member, target, fold, part


@dataclass(kw_only=True)
class World:
    """What the simulated workers share, and what they did."""

    now: float = 0.0
    done_at: dict[Fit, float] = field(default_factory=dict)  # when each fit is or will be there
    fitted_s: float = 0.0
    waited_s: float = 0.0
    read_s: float = 0.0
    ends: list[float] = field(default_factory=list)  # when each task was done


def seconds_of(member: str) -> float:
    """Return the seconds of a fit, and of reading the values."""
    return int(re.findall(r"\d+", member)[0]) / 100


def axes(folder: Path) -> tuple[Axis, dict[str, Ensemble]]:
    """Return the axis of all ensembles, and these."""
    np.save(folder / "m.npy", np.zeros((1, 3), int))
    form = {"strategies": ["voted", "stacked", "grid"], "sets": [SETS]}
    reader = Reader(folder / "study.yaml", {"map": [form]}, "axes")
    (axis,) = read_axes(reader, folder)
    reader.finish()
    return axis, dict(find_members(axis).ensembles)


def fits_of(ensemble: Ensemble, target: Value, fold: int) -> list[Fit]:
    """Return the fits that one fold of a task needs."""
    parts = range(1 if ensemble.strategy == "voted" else 1 + INNER)
    return [(member, target, fold, part) for member in ensemble.members for part in parts]


def run_task(
    world: World, ensemble: Ensemble, target: Value, kept: OrderedDict[str, None], most: int
) -> Iterator[float]:
    """Yield the seconds of each step of a task."""
    rng = random.Random(repr((ensemble, target, world.now)))
    for fold in range(FOLDS):
        wanted = fits_of(ensemble, target, fold)
        rng.shuffle(wanted)
        for fit in wanted:
            if fit in world.done_at:
                continue
            read_s, fit_s = 0.0, seconds_of(fit[0])
            if fit[0] not in kept:
                read_s = fit_s
                world.read_s += read_s
            kept[fit[0]] = None
            kept.move_to_end(fit[0])
            while len(kept) > most:
                kept.popitem(last=False)
            world.done_at[fit] = world.now + read_s + fit_s
            world.fitted_s += fit_s
            yield read_s + fit_s
        wait_s = max(0.0, max(world.done_at[fit] for fit in wanted) - world.now)
        world.waited_s += wait_s
        yield wait_s
    yield COMBINE_S


def work(
    world: World, folder: Path, number: int, ensembles: dict[str, Ensemble], most: int
) -> Iterator[float]:
    """Yield the seconds of each step of a worker's life."""
    pool = Pool(folder, worker=number, durable=False, now=lambda: world.now)
    puller = Puller(pool, random.Random(f"{folder} {number}"))
    kept: OrderedDict[str, None] = OrderedDict()
    claim = puller.next().claim
    while claim is not None:
        point = dict(claim.point)
        yield from run_task(world, ensembles[str(point["map"])], point["target"], kept, most)
        world.ends.append(world.now)
        claim = puller.next(Ending(claim=claim, cause=Cause.DONE)).claim


def simulate(folder: Path, share: float, n_workers: int, seed: int, most: int) -> World:
    """Return what so many workers did with all tasks."""
    axis, ensembles = axes(folder)
    grid = a_grid(axis, ensembles)
    file = folder / "study.yaml"
    file.write_text("")
    experiment = Experiment(
        name="affine",
        file=file,
        folder=folder,
        runner="function",
        seed=seed,
        axes=grid.axes,
        section={},
        passes=(),
        workers=WorkerSettings(same_inputs=share),
    )
    create_pool(folder / "pool", experiment, grid, lambda _: None, now=0.0)
    world = World()
    lives = [
        work(world, folder / "pool", number, ensembles, most) for number in range(1, n_workers + 1)
    ]
    queue = [(0.0, number) for number in range(n_workers)]
    while queue:
        world.now, number = heapq.heappop(queue)
        for step_s in lives[number]:
            heapq.heappush(queue, (world.now + step_s, number))
            break
    return world


def a_grid(axis: Axis, ensembles: dict[str, Ensemble]) -> Grid:
    """Return one task per ensemble and target."""
    inputs = Attribute(
        name="inputs", axis="map", values=tuple(ensembles[str(v)].set for v in axis.values)
    )
    targets = Axis(name="target", values=("age", "sex", "iq"))
    return replace(full_product([axis, targets], [inputs]), inputs="inputs")


def main() -> None:
    """Print one row per number of workers and share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 32, 100])
    parser.add_argument("--shares", type=float, nargs="+", default=[0, 0.5, 0.75, 0.9])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--keep", type=int, default=5, help="members whose values stay in memory")
    options = parser.parse_args()
    print(machine())
    rows = []
    for n_workers in options.workers:
        for share in options.shares:
            found = []
            for seed in range(options.seeds):
                with tempfile.TemporaryDirectory() as name:
                    world = simulate(Path(name), share, n_workers, seed, options.keep)
                half = float(np.median(world.ends))
                found.append((world.now, half, world.fitted_s, world.waited_s, world.read_s))
            hours = np.mean(found, axis=0) / 3600
            rows.append((n_workers, share, *(f"{one:.2f}" for one in hours)))
    header = ("workers", "same_inputs", "hours", "half done", "fitting", "waiting", "reading")
    print(table(header, rows))


if __name__ == "__main__":
    main()
