"""Leases: one holder at a time, and none for ever."""

import os
import time
from pathlib import Path

import pytest

from jobpool.disk.files import read_json
from jobpool.disk.leases import Leases


def lease_of(folder: Path) -> Path:
    return folder / "leases" / "span.json"


def make_old(path: Path, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(path, (then, then))


@pytest.fixture
def leases(fast_path: Path) -> Leases:
    return Leases(fast_path / "leases")


def test_a_lease_names_its_holder(fast_path: Path, leases: Leases) -> None:
    with leases.take("span"):
        record = read_json(lease_of(fast_path))

    assert record is not None
    assert (record["format"], record["pid"]) == (1, os.getpid())


def test_a_lease_has_one_holder(fast_path: Path, leases: Leases) -> None:
    other = Leases(fast_path / "leases")

    with leases.take("span") as first, other.take("span") as second:
        held = (first, second)

    assert held == (True, False)


def test_a_lease_that_was_let_go_is_free(leases: Leases) -> None:
    with leases.take("span"):
        pass

    with leases.take("span") as held:
        assert held


def test_leases_leave_no_file(fast_path: Path, leases: Leases) -> None:
    with leases.take("span"), leases.take("span"), leases.take("other"):
        pass

    assert list((fast_path / "leases").iterdir()) == []


def test_an_error_lets_go_of_the_lease(fast_path: Path, leases: Leases) -> None:
    with pytest.raises(KeyError), leases.take("span"):
        raise KeyError

    assert not lease_of(fast_path).exists()


def test_a_lease_without_a_sign_of_life_is_taken_over(fast_path: Path, leases: Leases) -> None:
    with leases.take("span"):
        make_old(lease_of(fast_path), 61)

        with Leases(fast_path / "leases").take("span") as held:
            assert held


def test_a_lease_that_is_young_enough_is_not_stale(fast_path: Path, leases: Leases) -> None:
    with leases.take("span"):
        make_old(lease_of(fast_path), 50)

        assert leases.stale() == []


def test_who_lost_a_lease_leaves_that_of_the_new_holder(fast_path: Path, leases: Leases) -> None:
    other = Leases(fast_path / "leases")
    losing = leases.take("span")
    losing.__enter__()
    make_old(lease_of(fast_path), 61)

    with other.take("span"):
        losing.__exit__(None, None, None)

        assert lease_of(fast_path).exists()


def test_a_holder_shows_that_it_lives(fast_path: Path) -> None:
    leases = Leases(fast_path / "leases", lease_s=0.2)

    with leases.take("span"):
        make_old(lease_of(fast_path), 1000)
        time.sleep(0.2)
        age_s = time.time() - lease_of(fast_path).stat().st_mtime

    assert age_s < 500
