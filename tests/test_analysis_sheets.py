"""Files that hold a table, and those that do not."""

from pathlib import Path

import pytest

from jobpool.analysis.sheets import read_sheet
from jobpool.errors import DataError


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("study.txt", b"x", "is no table that can be read; save it as one of: .csv"),
        ("study.csv", b"", "cannot be read as a table"),
        ("study.csv", b"a,b\n1,2,3\n4,5,6,7\n", "cannot be read as a table"),
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
        read_sheet(tmp_path / name, ["size", "score"])

    assert said in str(caught.value)


def test_a_column_that_is_left_aside_may_be_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("size,score,note,note\n1,2,3,4\n", encoding="utf-8")

    assert read_sheet(path, ["size", "score"])["score"].tolist() == ["2"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: no such file; correct the path"):
        read_sheet(tmp_path / "nothing.csv", [])
