"""One process of the whole pool does some things for all."""

import subprocess
import sys
from pathlib import Path

from jobpool.disk.election import take_turn

MANY_TIMES = """
import sys
from pathlib import Path
from jobpool.disk.election import take_turn
won = [i // 10 for i in range(1000) if take_turn(Path(sys.argv[1]), "ask", 10.0, 1000.0 + i)]
print(*won)
"""


def test_a_turn_is_taken_once_in_its_period(tmp_path: Path) -> None:
    taken = [take_turn(tmp_path, "ask", 60, second) for second in (600, 601, 659, 660)]

    assert taken == [True, False, False, True]


def test_turns_of_other_names_are_others(tmp_path: Path) -> None:
    take_turn(tmp_path, "ask", 60, 600)

    assert take_turn(tmp_path, "ask-more", 60, 600)


def test_the_marks_of_past_turns_are_removed(tmp_path: Path) -> None:
    take_turn(tmp_path, "ask-more", 60, 600)
    take_turn(tmp_path, "ask", 60, 600)

    take_turn(tmp_path, "ask", 60, 660)

    assert {path.name for path in (tmp_path / "turns").iterdir()} == {"ask-11", "ask-more-10"}


def test_nobody_has_a_turn_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "turns").write_text("no folder")

    assert not take_turn(tmp_path, "ask", 60, 600)


def test_processes_at_the_same_time_have_one_turn_between_them(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY_TIMES, str(tmp_path)]

    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    won = [number for process in started for number in process.communicate()[0].split()]

    # a period in which all are late may have no turn
    assert 0 < len(won) == len(set(won)) <= 100
