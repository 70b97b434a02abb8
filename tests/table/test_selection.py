"""Selections: which tasks a worker is restricted to."""

import numpy as np
import pytest

from jobpool.errors import SelectionError
from jobpool.table.grid import Attribute, Grid, full_product
from jobpool.table.selection import select
from jobpool.task import Axis


@pytest.fixture
def grid() -> Grid:
    axes = [
        Axis(name="atlas", values=("schaefer100", "schaefer400", "yeo7")),
        Axis(name="model", values=("elastic", "svm")),
        Axis(name="seed", values=(1, 2, 3)),
        Axis(name="scaled", values=(True, False)),
    ]
    sizes = Attribute(name="size", axis="atlas", values=(100, 400, 7))
    return full_product(axes, [sizes])


@pytest.mark.parametrize(
    ("only", "n_chosen"),
    [
        ([], 36),
        (["model=elastic"], 18),
        (["model=elastic,svm"], 36),
        (["model != svm"], 18),
        (["atlas=schaefer*"], 24),
        (["atlas!=schaefer*,yeo7", "seed=1"], 0),
        (["size>=100"], 24),
        (["size>100", "seed<=2"], 8),
        (["seed=2"], 12),
        (["scaled=true"], 18),
        (["atlas=schaefer*", "model=svm"], 12),
    ],
)
def test_only_restricts(grid: Grid, only: list[str], n_chosen: int) -> None:
    assert int(select(grid, only).sum()) == n_chosen


def test_skip_takes_away(grid: Grid) -> None:
    chosen = select(grid, ["model=svm"], ["atlas=yeo7", "seed>=2"])

    points = {grid.point(int(i))[0][1] for i in np.flatnonzero(chosen)}
    assert (int(chosen.sum()), points) == (4, {"schaefer100", "schaefer400"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle=svm", "the pool has no 'modle'; it has: atlas, model, seed, scaled, size"),
        ("modle=svm", "did you mean 'model'"),
        ("model=svn", "no value matches 'svn'; there are: elastic, svm; did you mean 'svm'"),
        ("atlas=gordon*", "no value matches"),
        ("model", "write NAME=VALUE"),
        ("model=", "write NAME=VALUE"),
        ("size>=many", "'many' is not a number"),
        ("model>=3", "has no numbers to compare"),
    ],
)
def test_a_wrong_selection_says_what_there_is(grid: Grid, text: str, said: str) -> None:
    with pytest.raises(SelectionError) as raised:
        select(grid, [text])

    assert said in str(raised.value)


def test_a_value_that_holds_a_comma_can_be_selected() -> None:
    grid = full_product([Axis(name="pair", values=("a,b", "a", "c"))])

    assert select(grid, ["pair=a,b"]).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("name=Doe, John", [True, False, False]),
        ('name="Doe, John",Ann', [True, True, False]),
        ('name="Doe, *",Ann', [True, True, False]),
        ('name=say "a", b', [False, False, True]),
        ("name!=Doe, John", [False, True, True]),
    ],
)
def test_values_with_commas_blanks_or_quotes_can_be_selected(text: str, chosen: list[bool]) -> None:
    grid = full_product([Axis(name="name", values=("Doe, John", "Ann", 'say "a", b'))])

    assert select(grid, [text]).tolist() == chosen


def test_a_value_that_was_cut_at_its_comma_says_how_to_write_it() -> None:
    grid = full_product([Axis(name="name", values=("Doe, John", "Ann"))])

    with pytest.raises(SelectionError, match=r'has a comma: name="a,b",c'):
        select(grid, ["name=Doe, John,Ann"])


def selected(value: str | float, condition: str) -> list[bool]:
    axes = (Axis(name="x", values=(value, "other"), sources=(None, None)),)
    return [bool(one) for one in select(full_product(axes), only=[condition])]


@pytest.mark.parametrize(
    ("value", "condition"),
    [
        (0.001, "x=1e-3"),
        (9007199254740993, "x=9007199254740993"),
        (10, "x=10.0"),
        ("007", "x=007"),
        ("M\u00fcller", "x=Mu\u0308ller"),
        ("Mu\u0308ller", "x=M\u00fcl*"),
        ("a b", "x=a\u00a0b"),
        ("010", "x>=9"),
    ],
)
def test_a_value_is_selected_as_it_is_read_elsewhere(value: str | float, condition: str) -> None:
    assert selected(value, condition) == [True, False]


@pytest.mark.parametrize(
    ("value", "condition"), [(7, "x=007"), (10, "x=1_0"), (10, "x>=1_0"), ("007", "x=7")]
)
def test_a_number_that_is_written_in_another_way_is_refused(value: int, condition: str) -> None:
    with pytest.raises(SelectionError):
        selected(value, condition)


def test_a_line_break_in_a_selection_is_an_error_in_a_sentence(grid: Grid) -> None:
    with pytest.raises(SelectionError, match="write it on one line"):
        select(grid, ["model=svm\rlasso"])
