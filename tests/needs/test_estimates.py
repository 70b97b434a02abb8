"""Suitability: likely, split and possible, for workers of different sizes."""

from dataclasses import dataclass

import numpy as np
import pytest

from jobpool.needs.estimates import Estimates, load_estimates, suitability
from jobpool.needs.learning import learn
from jobpool.pool import Pool
from tests.support.needs_study import LIMIT_S, Diary, Truth, a_study, wholes


@dataclass(frozen=True, kw_only=True)
class Size:
    cores: int = 1
    memory_mb: float | None = 4096
    seconds_left: float | None = LIMIT_S
    seconds_in_all: float | None = LIMIT_S


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    pool = a_study(tmp_path_factory.mktemp("suitability"))
    Diary(pool).run(Truth(pool.grid), wholes(pool.grid)[:150])
    learn(pool, 0.0)
    return pool


@pytest.fixture(scope="module")
def estimates(pool: Pool) -> Estimates:
    found = load_estimates(pool, fewest=1)
    assert found is not None
    return found


def test_likely_tasks_mostly_fit(pool: Pool, estimates: Estimates) -> None:
    truth = Truth(pool.grid)

    found = suitability(estimates, Size())

    fits = (truth.seconds < LIMIT_S) & (truth.memory_mb < 4096)
    assert fits[found.likely].mean() > 0.95
    assert found.likely[fits].mean() > 0.9


def test_a_whole_that_is_too_long_is_split_where_its_part_fits(
    pool: Pool, estimates: Estimates
) -> None:
    found = suitability(estimates, Size(memory_mb=None))

    median, whole = estimates.seconds(1), pool.grid.column("part") == 0
    assert found.split.any()
    assert np.all(whole[found.split])
    assert np.all(median[found.split] > 0.9 * LIMIT_S)
    assert np.all(np.roll(median, -1)[found.split] <= 1.1 * LIMIT_S)


def test_every_whole_task_with_parts_behind_it_can_be_split(
    pool: Pool, estimates: Estimates
) -> None:
    wholes_with_parts = np.flatnonzero(pool.grid.parts.has_dormant)

    assert len(pool.grid.parts.of(int(wholes_with_parts[0]))) == 5
    assert np.array_equal(wholes_with_parts, np.flatnonzero(~pool.grid.parts.is_dormant))


def test_a_whole_that_fits_a_fresh_worker_is_not_split_for_one_near_its_end(
    estimates: Estimates,
) -> None:
    fresh = suitability(estimates, Size())
    late = suitability(estimates, Size(seconds_left=600))

    assert not (late.split & fresh.likely).any()
    assert late.likely.sum() < fresh.likely.sum()


def test_what_is_too_large_for_its_memory_is_not_split(estimates: Estimates) -> None:
    found = suitability(estimates, Size(memory_mb=1))

    assert not (found.likely | found.split | found.possible).any()


def test_a_worker_without_limits_is_given_everything(estimates: Estimates) -> None:
    size = Size(memory_mb=None, seconds_left=None, seconds_in_all=None)

    found = suitability(estimates, size)

    assert found.likely.all()
    assert not found.split.any()


def test_likely_tasks_are_possible(estimates: Estimates) -> None:
    found = suitability(estimates, Size())

    assert np.all(found.possible[found.likely])
    assert found.possible.sum() > found.likely.sum()


def test_a_larger_worker_is_given_more(estimates: Estimates) -> None:
    small = suitability(estimates, Size())
    large = suitability(
        estimates, Size(cores=16, memory_mb=65536, seconds_left=3e5, seconds_in_all=3e5)
    )

    assert np.all(large.likely[small.likely])
    assert large.likely.sum() > small.likely.sum()
