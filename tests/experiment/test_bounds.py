"""Experiments that would use up memory or time: refused at once, with what is too much."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool.disk.tables import read_table
from jobpool.errors import ConfigError, DataError
from jobpool.experiment.config import load_experiment

HEAD = "runner: function\nfunction: {call: textwrap:dedent}\n"


def refused(folder: Path, text: str) -> str:
    """Return what is said of an experiment."""
    file = folder / "e.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_experiment(file)
    return str(raised.value)


def grown(levels: int) -> str:
    """Return aliases that stand for 10 to the power of so many values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join([*lines, f"axes: {{text: *a{levels - 1}}}\n"])


def endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def pipe(file: Path) -> None:
    os.mkfifo(file)


@pytest.mark.parametrize("make", [endless, pipe])
def test_a_file_without_end_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "e.yaml")
    make(tmp_path / "e.csv")

    with pytest.raises(ConfigError, match="is no regular file; save the experiment in one"):
        load_experiment(tmp_path / "e.yaml")
    with pytest.raises(DataError, match="is no regular file; save the table in one"):
        read_table(tmp_path / "e.csv")


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.touch()
    os.truncate(file, 1 << 40)

    with pytest.raises(ConfigError, match="is larger than 16 MB; give an experiment file"):
        load_experiment(file)


def test_aliases_that_grow_are_refused_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, grown(12))

    assert "its aliases stand for" in said
    assert "write at most 1,000,000" in said


def test_a_value_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "line 3: a value holds itself" in refused(tmp_path, "axes: &a {text: [*a]}\n")


def test_an_alias_may_be_used_again(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(f"{HEAD}axes: {{a: &a [1, 2], b: *a}}\n")

    assert [axis.values for axis in load_experiment(tmp_path / "e.yaml").axes] == [(1, 2)] * 2


@pytest.mark.parametrize(
    "axes",
    [
        "{a: {from: 1, to: 1000000}, b: {from: 1, to: 1000000}, c: {from: 1, to: 1000000}}",
        "{a: [{from: 0, to: 9999999}, x]}",
    ],
)
def test_more_tasks_than_a_pool_can_hold_are_refused_at_once(tmp_path: Path, axes: str) -> None:
    said = refused(tmp_path, f"axes: {axes}\n")

    assert "tasks; a pool holds at most 10,000,000: make several pools" in said


def test_twenty_thousand_numbers_are_compared_in_one_pass(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(f"{HEAD}axes: {{a: {{from: 1, to: 500000}}}}\n")

    assert len(load_experiment(tmp_path / "e.yaml").axes[0].values) == 500_000


def test_equal_numbers_in_two_spellings_are_found(tmp_path: Path) -> None:
    assert "equals another value" in refused(tmp_path, "axes: {a: [1, 2.0, 1.0]}\n")
