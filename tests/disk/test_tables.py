"""Files that hold a table, and those that do not."""

import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from jobpool.disk.tables import read_rows, read_table
from jobpool.errors import DataError


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("study.txt", b"x", "cannot be read as a table; save it as one of: .csv"),
        ("study.csv", b"", "cannot be read as a table"),
        ("study.csv", b"a,b\n1,2\n4,5,6,7\n", "line 3 has 4 fields, the header 2"),
        ("study.csv", b"a,b\n1,2\n\n4\n", "line 4 has 1 fields, the header 2"),
        ("study.csv", b"a,b\n1,2,\n3,4\n", "line 2 has 3 fields, the header 2; give each row"),
        ("study.csv", b"a,b\nx,1,2\ny,3,4\n", "(so 2 lines: 2, 3)"),
        ("study.csv", b"a\n\xff\xfe\n", "cannot be read as a table"),
        ("study.csv", b"size,score,score\n1,2,3\n", "has 2 columns 'score'; keep one"),
        ("study.csv", b"size;score\n1;0,2\n", "are separated by ';'; save it with a comma"),
        ("study.csv", b"size\tscore\n1\t2\n", "are separated by '\\t'; save it with a comma"),
        ("study.tsv", b"size,score\n1,2\n", "(.csv), or a tab (.tsv)"),
        ("study.parquet", b"no parquet", "cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError) as caught:
        read_table(tmp_path / name, once=["size", "score"])

    assert said in str(caught.value)


def test_a_column_that_is_left_aside_may_be_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("size,score,note,note\n1,2,3,4\n", encoding="utf-8")

    assert read_table(path, texts=None, once=["size", "score"])["score"].tolist() == ["2"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: no such file; correct the path"):
        read_table(tmp_path / "nothing.csv")


def test_a_comma_at_the_end_of_all_rows_shifts_no_column(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("id,age\nann,40,\nbob,50,\n", encoding="utf-8")

    frame, rows = read_table(path), read_rows(path)

    assert (frame["id"].tolist(), frame["age"].tolist()) == (["ann", "bob"], [40, 50])
    assert rows.rows == (("ann", "40"), ("bob", "50"))


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("id,age\nann,40\n", encoding="utf-8-sig")

    assert list(read_table(path).columns) == ["id", "age"]
    assert read_rows(path).header == ("id", "age")


def test_a_table_is_checked_without_a_copy_of_its_text(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("x,y\n" + "0.123456,0.654321\n" * 100_000, encoding="utf-8")
    tracemalloc.start()

    read_table(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * path.stat().st_size


def test_whole_numbers_beside_fractions_stay_whole_in_the_text_of_a_parquet_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.parquet"
    pd.DataFrame({"site": [1, 2], "age": [40.5, None]}).to_parquet(path)

    assert read_rows(path).rows == (("1", "40.5"), ("2", ""))


def test_what_counts_as_missing_is_said_by_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("answer\nNA\nn/a\n", encoding="utf-8")

    assert read_table(path)["answer"].isna().tolist() == [True, True]
    assert read_table(path, missing_words=["n/a"])["answer"].tolist()[0] == "NA"
    assert read_table(path, texts=None, missing_words=())["answer"].tolist() == ["NA", "n/a"]
