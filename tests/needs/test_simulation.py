"""The simulated study: what is learned saves most of what random pulling wastes."""

from pathlib import Path

import pytest

from benchmarks.simulate import simulate
from benchmarks.simulate_cluster import Bill


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bill]:
    folder: Path = tmp_path_factory.mktemp("simulated")
    return simulate(0.005, 1, folder)


def test_half_of_the_waste_of_random_pulling_is_gone(bills: dict[str, Bill]) -> None:
    assert bills["jobpool"].wasted < bills["plain pool, checkpoints"].wasted / 2


def test_it_takes_no_longer(bills: dict[str, Bill]) -> None:
    assert bills["jobpool"].ended_at < 1.1 * bills["plain pool"].ended_at


def test_one_command_is_enough(bills: dict[str, Bill]) -> None:
    assert bills["jobpool"].by_hand == 1
