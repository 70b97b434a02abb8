"""Tables of any content: every one is read, or refused with a reason."""

import io
import tempfile
from pathlib import Path

import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobpool.disk.tables import read_table
from jobpool.errors import DataError
from tests.support.fuzzing import FUZZ, Change, damage, told

TEXT = b'id,family,age,note\n1,"Smith, A",30.5,\n2,Jones,n/a,"two\nlines"\n3,"",1e-3,x\n'
CELLS = st.sampled_from(
    [
        "",
        "1",
        "1.0",
        "007",
        "NA",
        "true",
        '"',
        '""',
        '"a',
        ",",
        ";",
        "\t",
        "\r",
        "\0",
        "\ufeff",
        "é",
    ]
)
FRAME = pd.DataFrame({"id": ["a", "b"], "n": [1, 2], "x": [0.5, None]}, index=["r", "s"])


def parquet() -> bytes:
    buffer = io.BytesIO()
    FRAME.to_parquet(buffer)
    return buffer.getvalue()


PARQUET = parquet()


def is_read_or_refused(content: bytes, ending: str) -> bool:
    def read() -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"table{ending}"
            path.write_bytes(content)
            table = read_table(path)
            texts = [table.texts(name) for name in table.header]
            frame = table.frame()
        return all(len(column) == len(frame) == len(table) for column in texts)

    found = told(read)
    return found is True or (isinstance(found, DataError) and bool(str(found)))


def test_the_tables_that_are_changed_here_are_right(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT)
    (tmp_path / "a.parquet").write_bytes(PARQUET)

    found = [read_table(tmp_path / name).frame().shape for name in ("a.csv", "a.parquet")]

    assert found == [(3, 4), (2, 3)]


@FUZZ
@given(change=damage())
def test_changed_bytes_of_a_text_are_read_or_refused(change: Change) -> None:
    assert is_read_or_refused(change(TEXT), ".csv")


@FUZZ
@given(cells=st.lists(st.lists(CELLS, max_size=4), max_size=6))
@example(cells=[["a", "b"], ['"x', "1"], ['y"', "2"]])
def test_rows_of_any_cells_are_read_or_refused(cells: list[list[str]]) -> None:
    text = "\n".join(",".join(row) for row in cells)

    assert is_read_or_refused(text.encode(), ".csv")


@settings(FUZZ, max_examples=60)
@given(change=damage())
def test_changed_bytes_of_a_parquet_file_are_read_or_refused(change: Change) -> None:
    assert is_read_or_refused(change(PARQUET), ".parquet")
