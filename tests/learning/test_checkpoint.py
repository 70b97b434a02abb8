import math
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool.learning.checkpoint import Checkpoint
from jobpool.task import Json

SCORES: list[Json] = [0.1 + 0.2, 1 / 3, math.pi * 1e-17, None]


def ticking(step_s: float) -> Callable[[], float]:
    """Return a clock that goes on by a step whenever it is looked at."""
    times = iter(range(1_000_000))
    return lambda: next(times) * step_s


def kept(folder: Path, *, every_s: float = 0) -> Checkpoint:
    return Checkpoint(folder, {"seed": 1}, every_s=every_s)


def test_a_number_comes_back_to_the_bit(tmp_path: Path) -> None:
    kept(tmp_path / "task").put("fold 0", {"scores": SCORES})

    found = kept(tmp_path / "task").get("fold 0")

    assert found == {"scores": SCORES}


def test_a_short_task_leaves_no_file(tmp_path: Path) -> None:
    kept(tmp_path / "task", every_s=1000).put("fold 0", 1)

    assert not (tmp_path / "task").exists()


def test_entries_are_written_together_once_their_time_has_come(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, {"seed": 1}, every_s=3, clock=ticking(1))

    checkpoint.put("a", 1)
    checkpoint.put("b", 2)
    early = kept(tmp_path).get("a")
    checkpoint.put("c", 3)

    assert early is None
    assert [kept(tmp_path).get(name) for name in "abc"] == [1, 2, 3]


def test_what_other_data_gave_is_passed_over(tmp_path: Path) -> None:
    kept(tmp_path).put("fold 0", 1)

    other = Checkpoint(tmp_path, {"seed": 2})

    assert other.get("fold 0") is None


def test_two_attempts_write_files_of_their_own(tmp_path: Path) -> None:
    first, second = kept(tmp_path), kept(tmp_path)

    first.put("fold 0", 1)
    second.put("fold 1", 2)

    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert [kept(tmp_path).get(f"fold {one}") for one in (0, 1)] == [1, 2]


@pytest.mark.parametrize("cut", range(2, 40, 3))
def test_a_line_cut_short_is_passed_over(tmp_path: Path, cut: int) -> None:
    checkpoint = kept(tmp_path)
    checkpoint.put("fold 0", 1)
    file = next(tmp_path.glob("*.jsonl"))
    checkpoint.put("fold 1", 2)
    file.write_bytes(file.read_bytes()[:-cut])

    found = kept(tmp_path)

    assert found.get("fold 0") == 1
    assert found.get("fold 1") is None


def test_what_was_finished_before_an_error_is_kept(tmp_path: Path) -> None:
    checkpoint = kept(tmp_path, every_s=1000)
    checkpoint.put("fold 0", 1)

    with pytest.raises(RuntimeError, match="a later fold"), checkpoint.kept_if_it_fails():
        raise RuntimeError("a later fold")

    assert kept(tmp_path).get("fold 0") == 1
