"""Elections and leases: one process at a time, and none for ever."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobpool.disk.coordination import Leases, win_election
from jobpool.disk.files import read_json

MANY_TIMES = """
import sys
from pathlib import Path
from jobpool.disk.coordination import win_election
won = [i // 10 for i in range(1000) if win_election(Path(sys.argv[1]), "ask", 10.0, 1000.0 + i)]
print(*won)
"""


def test_an_election_is_won_once_in_its_period(tmp_path: Path) -> None:
    won = [win_election(tmp_path, "ask", 60, second) for second in (600, 601, 659, 660)]

    assert won == [True, False, False, True]


def test_elections_of_other_names_are_others(tmp_path: Path) -> None:
    win_election(tmp_path, "ask", 60, 600)

    assert win_election(tmp_path, "ask-more", 60, 600)


def test_the_marks_of_past_elections_are_removed(tmp_path: Path) -> None:
    win_election(tmp_path, "ask-more", 60, 600)
    win_election(tmp_path, "ask", 60, 600)

    win_election(tmp_path, "ask", 60, 660)

    assert {path.name for path in (tmp_path / "turns").iterdir()} == {"ask-11", "ask-more-10"}


def test_nobody_is_elected_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "turns").write_text("no folder")

    assert not win_election(tmp_path, "ask", 60, 600)


def test_processes_at_the_same_time_elect_one_of_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY_TIMES, str(tmp_path)]

    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    won = [number for process in started for number in process.communicate()[0].split()]

    # a period in which all are late may elect none
    assert 0 < len(won) == len(set(won)) <= 100


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
