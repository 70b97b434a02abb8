"""The choice of tasks with the same inputs as the one before."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from pathlib import Path

import numpy as np
import pytest

from jobpool.admin.create import create_pool
from jobpool.errors import ConfigError
from jobpool.execution.claiming import Chosen, Puller
from jobpool.execution.matching import Affinity
from jobpool.experiment.config import load_experiment
from jobpool.journal.results import all_results
from jobpool.pool import Ending, Pool
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.table.selection import select
from jobpool.table.settings import WorkerSettings
from jobpool.task import ALL, Axis, Cause, Claim, Feedback
from tests.conftest import Jobpool
from tests.support.builders import an_experiment

N_ROOMS, N_BEDS = 10, 6


class Clock:
    """A clock that goes on by so many seconds with each look at it."""

    def __init__(self, step_s: float) -> None:
        self._now, self._step_s = 0.0, step_s

    def __call__(self) -> float:
        self._now += self._step_s
        return self._now


def a_grid(n_rooms: int = N_ROOMS, n_beds: int = N_BEDS, *others: Axis) -> Grid:
    """Return tasks of beds, which have in common what the room has."""
    beds = Axis(name="bed", values=tuple(f"{r}-{b}" for r in range(n_rooms) for b in range(n_beds)))
    rooms = tuple(str(value).partition("-")[0] for value in beds.values)
    attribute = Attribute(name="room", axis="bed", values=rooms)
    return replace(full_product([beds, *others], [attribute]), inputs="room")


def a_pool(folder: Path, grid: Grid, step_s: float = 1.0, same_inputs: float = 0.75) -> Pool:
    settings = WorkerSettings(same_inputs=same_inputs)
    experiment = an_experiment(folder / "study", *grid.axes, settings=settings)
    create_pool(folder / "pool", experiment, grid, lambda _: None, now=time.time())
    return seen_by(folder, 1, step_s)


def seen_by(folder: Path, worker: int, step_s: float = 1.0) -> Pool:
    return Pool(folder / "pool", worker=worker, durable=False, now=Clock(step_s))


def claims(puller: Puller, cause: Cause = Cause.DONE) -> Iterator[Claim]:
    """Yield one claim after another; each ends with `cause`."""
    claim = puller.next().claim
    while claim is not None:
        yield claim
        claim = puller.next(Ending(claim=claim, cause=cause)).claim


def room(claim: Claim) -> str:
    return str(dict(claim.point)["bed"]).partition("-")[0]


def share_of_same(found: list[Claim]) -> float:
    """Return how often a claim has the inputs of the one before."""
    return float(np.mean([room(one) == room(other) for one, other in pairwise(found)]))


def drained(pool: Pool, chosen: Chosen | None = None) -> list[Claim]:
    return list(claims(Puller(pool, random.Random(1), chosen)))


def test_a_worker_goes_on_with_the_inputs_it_has(fast_path: Path) -> None:
    found = drained(a_pool(fast_path, a_grid()))

    assert len({claim.position for claim in found}) == N_ROOMS * N_BEDS
    assert share_of_same(found) > 0.5


@pytest.mark.parametrize(("step_s", "same_inputs"), [(0.0, 0.75), (1.0, 0.0)])
def test_short_tasks_are_random_as_all_are_if_so_set(
    fast_path: Path, step_s: float, same_inputs: float
) -> None:
    found = drained(a_pool(fast_path / "a", a_grid(), step_s, same_inputs))
    plain = drained(a_pool(fast_path / "b", replace(a_grid(), inputs=None)))

    assert [claim.point for claim in found] == [claim.point for claim in plain]
    assert share_of_same(found) < 0.3


def test_tasks_alike_in_all_else_come_before_others_with_the_same_inputs(
    fast_path: Path,
) -> None:
    pool = a_pool(fast_path, a_grid(4, 5, Axis(name="season", values=("dry", "wet"))))
    season = pool.grid.column("season")

    near = list(Affinity(pool, random.Random(1)).near(0, None))

    alike = (season[near] == season[0]).tolist()
    assert set(alike) == {True, False}
    assert alike == sorted(alike, reverse=True)


def test_parts_of_one_task_are_alike(fast_path: Path) -> None:
    parts = Axis(name="part", values=(ALL, *range(5)))
    grid = split_parts(a_grid(2, 1), parts, np.ones(2, bool))
    pool = a_pool(fast_path, grid)

    near = Affinity(pool, random.Random(1)).near(0, None)

    assert pool.grid.whole(next(near)) == pool.grid.whole(0)


def test_a_selection_is_kept_to(fast_path: Path) -> None:
    pool = a_pool(fast_path, a_grid())

    found = drained(pool, select(pool.grid, ["bed=*-1,*-3"]))

    assert len(found) == 2 * N_ROOMS
    assert {str(dict(claim.point)["bed"])[-1] for claim in found} == {"1", "3"}


@dataclass(frozen=True)
class Likely:
    """Prefers some tasks, and leaves out none."""

    likely: Chosen

    @property
    def split(self) -> Chosen:
        return np.zeros_like(self.likely)

    @property
    def possible(self) -> Chosen:
        return np.ones_like(self.likely)


def test_what_probably_ends_well_comes_first(fast_path: Path) -> None:
    pool = a_pool(fast_path, a_grid())
    puller = Puller(pool, random.Random(1))
    half = len(pool.grid) // 2
    puller.restrict(Likely(np.arange(2 * half) < half))

    found = [claim.position for claim in claims(puller)]

    assert set(found[:half]) == set(range(half))
    assert len(found) == 2 * half


def test_a_task_that_was_too_much_for_a_smaller_worker_comes_soon(fast_path: Path) -> None:
    pool = a_pool(fast_path, a_grid(40, 10))
    small = seen_by(fast_path, worker=2)
    short = Puller(small, random.Random(1)).next().claim
    assert short is not None
    small.end(Ending(claim=short, cause=Cause.MEMORY, feedback=Feedback(memory_mb=1.0)))

    found = [claim.position for claim in claims(Puller(pool, random.Random(1)))]

    assert found.index(short.position) < 20


def test_two_workers_never_claim_the_same_task(fast_path: Path) -> None:
    pools = a_pool(fast_path, a_grid(2, 20)), seen_by(fast_path, worker=2)

    both = zip_longest(*(claims(Puller(pool, random.Random(7))) for pool in pools))

    found = [claim.position for pair in both for claim in pair if claim is not None]
    assert sorted(found) == list(range(40))


def test_no_task_starves_while_there_are_always_others_nearer(fast_path: Path) -> None:
    n_tasks = 41
    beds = Axis(name="bed", values=(*(f"0-{n}" for n in range(n_tasks - 1)), "1-0"))
    rooms = Attribute(name="room", axis="bed", values=("0",) * (n_tasks - 1) + ("1",))
    pool = a_pool(fast_path, replace(full_product([beds], [rooms]), inputs="room"))

    def waited(seed: int) -> int:
        # every task comes back as it was: those near the last one never run out
        found = claims(Puller(pool, random.Random(seed)), Cause.CANCELLED)
        number, claim = next(pair for pair in enumerate(found) if room(pair[1]) == "1")
        pool.end(Ending(claim=claim, cause=Cause.CANCELLED))
        return number

    mean = np.mean([waited(seed) for seed in range(40)])

    # one of four choices is random: four times as long as if all were, on average
    assert n_tasks < mean < 4 * n_tasks * 1.3


def test_a_pool_of_before_has_no_common_inputs(fast_path: Path) -> None:
    grid = full_product([Axis(name="number", values=(1, 2))])

    pool = a_pool(fast_path, grid)

    assert pool.grid.inputs is None
    assert len(drained(pool)) == 2


@pytest.mark.parametrize("share", ["1", "-0.1", "often"])
def test_a_share_that_leaves_nothing_to_chance_is_refused(tmp_path: Path, share: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"runner: function\naxes: {{a: [1]}}\nworkers: {{same_inputs: {share}}}\n")

    with pytest.raises(ConfigError, match=r"workers.same_inputs = .*: must be"):
        load_experiment(file)


def test_real_workers_do_every_task_once(tmp_path: Path, jobpool: Jobpool) -> None:
    (tmp_path / "resting.py").write_text("import time\ndef rest(bed): time.sleep(1)\n")
    grid = a_grid(2, 2)
    settings = WorkerSettings(same_inputs=0.9)
    experiment = an_experiment(
        tmp_path / "study", *grid.axes, call="resting:rest", settings=settings
    )
    create_pool(tmp_path / "pool", experiment, grid, lambda _: None, now=time.time())

    ran = jobpool("run", tmp_path / "pool", "--workers", 2, PYTHONPATH=tmp_path)

    found = Counter((one.worker, dict(one.point)["bed"]) for one in all_results(tmp_path / "pool"))
    assert ran.returncode == 0, ran.stderr
    assert sorted(bed for _, bed in found.elements()) == sorted(map(str, grid.axes[0].values))
