"""Files that hold a table, and those that do not."""

import datetime
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobpool.disk.tables import read_table
from jobpool.errors import DataError


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("study.txt", b"x", "cannot be read as a table; save it as one of: .csv"),
        ("study.csv", b"", "cannot be read as a table"),
        ("study.csv", b"a,b\n1,2\n\xff,4\n", "line 3, column 'a': the byte 0xFF is no utf-8"),
        ("study.csv", b"a,b\n1,2\n4,5,6,7\n", "line 3 has 4 fields, the header 2"),
        ("study.csv", b"a,b\n1,2\n\n4\n", "line 4 has 1 fields, the header 2"),
        ("study.csv", b"a,b\n1,2,\n3,4\n", "line 2 has 3 fields, the header 2; give each row"),
        ("study.csv", b"a,b\nx,1,2\ny,3,4\n", "(so 2 lines: 2, 3)"),
        ("study.csv", b"a,b\nx,1,2\ny,3,4\n", "as R writes it, name this column"),
        ("study.csv", b"a\n\xff\xfe\n", "cannot be read as a table"),
        (
            "study.csv",
            b"size,score,score\n1,2,3\n",
            "has 2 columns 'score'; keep one, or rename the others (they are the columns 2, 3)",
        ),
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

    assert read_table(path, once=["size", "score"]).texts("score") == ["2"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: no such file; correct the path"):
        read_table(tmp_path / "nothing.csv")


def test_a_comma_at_the_end_of_all_rows_shifts_no_column(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("id,age\nann,40,\nbob,50,\n", encoding="utf-8")

    table = read_table(path)

    assert table.frame().to_dict("list") == {"id": ["ann", "bob"], "age": [40, 50]}


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("id,age\nann,40\n", encoding="utf-8-sig")

    assert read_table(path).header == ("id", "age")


def test_a_table_is_checked_without_a_copy_of_its_text(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    path.write_text("x,y\n" + "0.123456,0.654321\n" * 100_000, encoding="utf-8")
    tracemalloc.start()

    read_table(path).frame()

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * path.stat().st_size


def test_whole_numbers_beside_fractions_stay_whole_in_the_text_of_a_parquet_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.parquet"
    pd.DataFrame({"site": [1, 2], "age": [40.5, None]}).to_parquet(path)

    table = read_table(path)

    assert table.texts("site") == ["1", "2"]
    assert table.texts("age") == ["40.5", None]


def written(folder: Path, text: str | bytes, name: str = "study.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def kinds(path: Path) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in read_table(path).frame().dtypes.items()}


def test_what_counts_as_missing_is_said_by_the_caller(tmp_path: Path) -> None:
    path = written(tmp_path, "answer,size\nNA,1\nn/a,-9\nx,\n")

    usual, own = read_table(path), read_table(path, missing=["NA", "-9.0"])

    assert usual.texts("answer") == ["NA", None, "x"]
    assert own.texts("answer") == [None, "n/a", "x"]
    assert own.frame()["size"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize("word", ["NA", "None", "NULL", "null", "n/a", "nan", ""])
def test_among_numbers_a_word_can_only_be_a_missing_value(word: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, f"a,b\nx,2.5\nx,{word}\n"))

    assert table.frame()["b"].isna().tolist() == [False, True]
    assert table.texts("b") == ["2.5", None]


@pytest.mark.parametrize("word", ["NA", "None", "NULL", "null", "Null", "none", "."])
def test_among_texts_a_word_is_a_text(word: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, f"a,b\nx,EU\nx,{word}\n"))

    assert table.frame()["b"].tolist() == ["EU", word]
    assert table.texts("b") == ["EU", word]


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ("1 2 3", "int64", [1, 2, 3]),
        ("1.0 2. 3e0", "int64", [1, 2, 3]),
        ("1.0 NA 3", "Int64", [1, None, 3]),
        ("9007199254740993 1 2", "int64", [9007199254740993, 1, 2]),
        ("0.1 -.5 1e-3", "float64", [0.1, -0.5, 0.001]),
        ("99999999999999999999 1 2", "float64", [1e20, 1.0, 2.0]),
        ("TRUE false True", "bool", [True, False, True]),
        ("TRUE false n/a", "boolean", [True, False, None]),
        ("007 010 1", "object", ["007", "010", "1"]),
        ("1_0 2 3", "object", ["1_0", "2", "3"]),
        ("0x1F 2 3", "object", ["0x1F", "2", "3"]),
        ("1:30 2 3", "object", ["1:30", "2", "3"]),
        ("inf 2 3", "object", ["inf", "2", "3"]),
        ("2020-01-31 2 3", "object", ["2020-01-31", "2", "3"]),
    ],
)
def test_a_column_has_the_type_that_a_person_reads(
    cells: str, kind: str, values: list[object], tmp_path: Path
) -> None:
    rows = "".join(f"{one}\tx\n" for one in cells.split())
    path = written(tmp_path, f"a\tb\n{rows}", "study.tsv")

    column = read_table(path).frame()["a"]

    found = column.astype(object).where(column.notna(), None).tolist()
    assert (str(column.dtype), found) == (kind, values)


def test_the_last_digit_of_a_number_is_right(tmp_path: Path) -> None:
    texts = [
        "-0.7261815484216284",
        "0.30000000000000004",
        "8.41245687489e-310",
        "123456789.1234567",
    ]

    column = read_table(written(tmp_path, "x\n" + "\n".join(texts) + "\n")).frame()["x"]

    assert column.tolist() == [float(text) for text in texts]


def test_an_id_stays_as_it_is_written_but_for_what_nobody_sees(tmp_path: Path) -> None:
    cells = ["007", "1.0", "1.50", "Mu\u0308ller", "a\u00a0 b", "c\u200bd", "9007199254740993"]
    path = written(tmp_path, "id\n" + "\n".join(cells) + "\n")

    found = read_table(path).texts("id")

    assert found == ["007", "1", "1.50", "M\u00fcller", "a b", "cd", "9007199254740993"]


def test_parquet_columns_keep_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "study.parquet"
    frame = pd.DataFrame(
        {
            "whole": [9007199254740993, 2],
            "gaps": pd.array([9007199254740993, None], dtype="Int64"),
            "floats": [1.0, None],
            "single": np.array([0.1, 0.2], "f4"),
            "day": [datetime.date(2020, 1, 31), None],
            "time": pd.to_datetime(["2020-01-31", "2020-02-01"]),
            "category": pd.Categorical([10, 9]),
            "decimal": [Decimal("1.50"), Decimal("2.00")],
            "yes": [True, None],
            "text": ["9", "10"],
            "bytes": [b"a", b"\xc3\xa9"],
        }
    )
    frame.to_parquet(path)

    table = read_table(path)

    assert {name: table.texts(name) for name in table.header} == {
        "whole": ["9007199254740993", "2"],
        "gaps": ["9007199254740993", None],
        "floats": ["1", None],
        "single": ["0.1", "0.2"],
        "day": ["2020-01-31", None],
        "time": ["2020-01-31", "2020-02-01"],
        "category": ["10", "9"],
        "decimal": ["1.5", "2"],
        "yes": ["True", None],
        "text": ["9", "10"],
        "bytes": ["a", "é"],
    }
    assert kinds(path)["text"] == kinds(path)["category"] == kinds(path)["whole"] == "int64"


def test_an_id_that_lost_its_last_digits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.parquet"
    pd.DataFrame({"id": [9007199254740993, None]}).to_parquet(path)

    with pytest.raises(DataError, match=r"'id', row 1: 9007199254740992.0 has lost its last dig"):
        read_table(path).texts("id")


@pytest.mark.parametrize(
    ("index", "header"),
    [
        (pd.Index(["s1", "s2"], name="subject"), ("subject", "age")),
        (pd.RangeIndex(2, name="subject"), ("subject", "age")),
        (pd.RangeIndex(2), ("age",)),
        (pd.Index(["s1", "s2"]), ("age",)),
    ],
)
def test_an_index_is_a_column_if_it_has_a_name(
    index: "pd.Index[Any]", header: tuple[str, ...], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"age": [20.5, 31.0]}, index=index)
    frame.to_parquet(tmp_path / "study.parquet")
    frame.to_csv(tmp_path / "study.csv")

    tables = [read_table(tmp_path / name) for name in ("study.parquet", "study.csv")]

    assert [table.header for table in tables] == [header, header]
    assert tables[0].texts(header[0]) == tables[1].texts(header[0])


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le-mark", "utf-16-be-mark"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_is_read_in_every_encoding_that_says_what_it_is(
    encoding: str, end: str, tmp_path: Path
) -> None:
    text = f"id,stadt{end}1,Köln{end}2,Zürich{end}"
    if encoding.endswith("-mark"):
        text, encoding = f"\ufeff{text}", encoding.removesuffix("-mark")

    table = read_table(written(tmp_path, text.encode(encoding)))

    assert table.header == ("id", "stadt")
    assert table.texts("stadt") == ["Köln", "Zürich"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,stadt\n1,Köln\n".encode("latin-1"), "line 2, column 'stadt': the byte 0xF6 is no utf"),
        ("id,größe\n1,2\n".encode("latin-1"), "line 1: the byte 0xF6 is no utf-8; save it as UTF"),
        ("id,a\n1,2\n".encode("utf-16-le"), "line 1: NUL characters, as in a file of UTF-16"),
        (b"id,a\n1,\x00\n", "line 2: NUL characters"),
        (b'id,a\n1,2\n2,"3\n4,5\n', "line 3: a quote is opened and never closed; close it"),
        (b'id,a\n"1,2\n2,3\n4",5\n', "line 2: a quote is opened and closed 2 lines later"),
        (b'id,a\n1,"b"c\n', "line 2: there is text behind a closing quote"),
        (b"id,a, a\n1,2,3\n", "has 2 columns 'a'; keep one"),
        (b"id,a,a\xc2\xa0\n1,2,3\n", "has 2 columns 'a'; keep one"),
        (b"id,,a\n1,2,3\n", "line 2: column 2 has no name, but the value '2'; name it"),
        (b"id;age, in years;a\n1;2;3\n", "its columns are separated by ';'"),
    ],
)
def test_a_text_that_could_be_read_in_two_ways_is_refused(
    content: bytes, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(written(tmp_path, content))

    assert said in str(caught.value)


def test_a_value_may_go_over_several_lines(tmp_path: Path) -> None:
    rows = '1,"one\ntwo",30,"a, b\nc, d"\n2,x,31,\n'
    path = written(tmp_path, f"id,note,age,more\n{rows}")

    table = read_table(path)

    assert table.frame()["age"].tolist() == [30, 31]
    assert table.place(1) == "line 5"


def test_a_blank_before_a_quote_is_no_part_of_the_value(tmp_path: Path) -> None:
    path = written(tmp_path, 'id, name\n1, "Smith, A"\n2,"Smith, A"\n')

    assert read_table(path).texts("name") == ["Smith, A", "Smith, A"]


def test_columns_without_name_or_value_are_left_aside(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, ",id,age,,\n1,s1,30,,\n")).header == ("id", "age")


def test_only_the_columns_that_are_wanted_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path, "id,age,iq\n1,30,100\n")

    table = read_table(path, wanted={"age"})

    assert table.header == ("id", "age", "iq")
    assert list(table.frame().columns) == ["age"]


SHORT_NUMBERS = [(np.float16, 2**11), (np.float32, 2**24)]


def short_numbers(folder: Path, kind: type, number: int) -> Path:
    frame = pd.DataFrame({"id": np.array([1, number], kind)})
    frame.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.parametrize(("kind", "most"), SHORT_NUMBERS)
def test_an_id_in_short_numbers_is_the_whole_number(kind: type, most: int, tmp_path: Path) -> None:
    file = short_numbers(tmp_path, kind, most - 1)

    assert read_table(file).texts("id") == ["1", str(most - 1)]


@pytest.mark.parametrize(("kind", "most"), SHORT_NUMBERS)
def test_an_id_in_short_numbers_that_lost_its_last_digits_is_refused(
    kind: type, most: int, tmp_path: Path
) -> None:
    file = short_numbers(tmp_path, kind, most)

    with pytest.raises(DataError, match=r"row 2.* lost its last digits"):
        read_table(file).texts("id")


def test_an_index_of_rows_that_were_taken_out_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": np.arange(10.0)}, index=pd.RangeIndex(10, name="id"))
    whole = pa.Table.from_pandas(frame)
    pq.write_table(whole.slice(7), tmp_path / "part.parquet")

    with pytest.raises(DataError, match="has 3 rows, but says that its index 'id' has 10"):
        read_table(tmp_path / "part.parquet")


def test_a_decimal_of_many_digits_is_read_whole(tmp_path: Path) -> None:
    cells = pa.array([Decimal(10) ** 30, Decimal(7)], pa.decimal128(38, 0))
    pq.write_table(pa.table({"id": cells}), tmp_path / "t.parquet")

    assert read_table(tmp_path / "t.parquet").texts("id") == [str(10**30), "7"]


@pytest.mark.parametrize("cell", ["9" * 350, "1e999"])
def test_digits_that_no_number_holds_are_text(cell: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, f"a\n{cell}\n1\n"))

    assert table.frame()["a"].tolist() == [cell, "1"]
