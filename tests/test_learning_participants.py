from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.errors import DataError
from jobpool.learning.participants import read_table, read_target, text_column, unique_column
from jobpool.learning.pipelines import Kind


def test_ids_keep_their_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,age\n007,20\n010,30\n")

    ids = unique_column(read_table(tmp_path / "t.csv", ("id",)), "id")

    assert ids == ("007", "010")


def test_a_parquet_table_equals_the_same_tsv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b", "c"], "age": [20.5, None, 31.0]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)

    tables = [read_table(tmp_path / name, ("id",)) for name in ("t.parquet", "t.tsv")]

    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_a_table_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="save it as one of"):
        read_table(tmp_path / "t.xlsx")


def test_missing_groups_are_counted_with_their_rows() -> None:
    frame = pd.DataFrame({"family": ["a", None, "b", None]})

    with pytest.raises(DataError, match=r"2 of 4 values are missing \(rows 2, 4\)"):
        text_column(frame, "family")


def test_an_id_that_stands_twice_is_named() -> None:
    frame = pd.DataFrame({"id": ["a", "b", "a"]})

    with pytest.raises(DataError, match=r"1 stand more than once \(a\)"):
        unique_column(frame, "id")


def test_numbers_make_a_regression() -> None:
    target = read_target(pd.DataFrame({"age": [20, 30, 41]}), "age")

    assert target.kind is Kind.REGRESSION
    assert target.y.tolist() == [20.0, 30.0, 41.0]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["no", "yes", "no"], ("no", "yes")),
        ([1, 2, 1], ("1", "2")),
        ([False, True, False], ("False", "True")),
        (pd.Categorical(["no", "yes", "no"]), ("no", "yes")),
    ],
)
def test_two_different_values_make_a_binary_target(
    values: list[object], classes: tuple[str, str]
) -> None:
    target = read_target(pd.DataFrame({"sex": values}), "sex")

    assert (target.kind, target.classes) == (Kind.BINARY, classes)
    assert target.y.tolist() == [0.0, 1.0, 0.0]


def test_a_missing_value_is_not_a_class() -> None:
    target = read_target(pd.DataFrame({"sex": ["f", None, "m"]}), "sex")

    assert target.classes == ("f", "m")
    np.testing.assert_array_equal(target.present, [True, False, True])


def test_three_texts_are_no_target() -> None:
    with pytest.raises(DataError, match="3 different texts"):
        read_target(pd.DataFrame({"site": ["a", "b", "c"]}), "site")


def test_a_constant_is_no_target() -> None:
    with pytest.raises(DataError, match="has 1 different values"):
        read_target(pd.DataFrame({"age": [3, 3, 3]}), "age")


def test_infinite_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="1 values are infinite"):
        read_target(pd.DataFrame({"age": [1.0, 2.0, np.inf]}), "age")
