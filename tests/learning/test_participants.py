from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.disk.tables import read_table
from jobpool.errors import DataError
from jobpool.learning.participants import (
    NOT_FINITE,
    read_participants,
    text_column,
    unique_column,
    usable_participants,
)
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.targets import Target


def test_ids_keep_their_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,age\n007,20\n010,30\n")

    ids = unique_column(read_participants(tmp_path / "t.csv", ["id"], ["age"]).names, "id")

    assert ids == ("007", "010")


def test_a_parquet_table_equals_the_same_tsv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b", "c"], "age": [20.5, None, 31.0]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)

    one, other = (read_table(tmp_path / name).frame() for name in ("t.parquet", "t.tsv"))

    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def test_a_table_of_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="save it as one of"):
        read_table(tmp_path / "t.xlsx")


def test_missing_groups_are_counted_with_their_rows() -> None:
    frame = pd.DataFrame({"family": ["a", None, "b", None]})

    with pytest.raises(DataError, match=r"2 of 4 values are missing \(rows 2, 4\)"):
        text_column(frame, "family")


def test_an_id_that_occurs_twice_is_named() -> None:
    frame = pd.DataFrame({"id": ["a", "b", "a"]})

    with pytest.raises(DataError, match=r"1 occur more than once \(a\).*a stands in rows 1, 3"):
        unique_column(frame, "id")


def test_blanks_around_a_name_make_no_other_group() -> None:
    frame = pd.DataFrame({"family": ["a", "a ", " a", "b"]})

    found = text_column(frame, "family")

    assert found == ("a", "a", "a", "b")


def test_a_name_of_blanks_alone_is_missing() -> None:
    frame = pd.DataFrame({"family": ["a", "  "]})

    with pytest.raises(DataError, match=r"1 of 2 values are missing \(row 2\)"):
        text_column(frame, "family")


def test_each_participant_counts_under_the_first_reason() -> None:
    y = np.array([1.0, np.nan, 3.0, 4.0, 5.0])
    target = Target(name="age", column="age", kind=Kind.REGRESSION, y=y)
    values = np.array([[1.0], [np.nan], [np.nan], [np.nan], [5.0]])

    usable, dropped = usable_participants(target, values, {1: "no map", 2: "no map"})

    assert usable.tolist() == [True, False, False, False, True]
    assert dropped == {"age is missing": 1, "no map": 1, NOT_FINITE: 1}
