"""Tables as data frames, and their files: CSV or Parquet, whole or not at all.

A Parquet file keeps all of `provenance` in the metadata of its schema, where pandas finds it:
``pd.read_parquet(file).attrs["jobpool"]``. A CSV file has nothing but columns if one line is to
read it, so that it gets some with the same value in each row: pool, experiment, collected.
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from jobpool.axes.columns import OF_SOURCE, OURS, listed, set_apart
from jobpool.files import storage_error, sync_folder, temporary_beside
from jobpool.report.columns import Cell, typed
from jobpool.report.provenance import KEY
from jobpool.task import Json

SUFFIXES = (".csv", ".parquet")
_PANDAS_KEY = "PANDAS_ATTRS"  # under which pandas looks for the attributes of a data frame
_GROUP = 500_000  # rows that are written at once
_PLAIN = pacsv.WriteOptions(include_header=False, quoting_style="none")
_QUOTED = pacsv.WriteOptions(include_header=False, quoting_style="needed")

# types that know missing values, for columns that have some
_WITH_MISSING = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
_TEXT = {pa.string(): pd.StringDtype()}


def to_frame(columns: Mapping[str, Sequence[Cell]]) -> pd.DataFrame:
    """Return the columns as a data frame, each of one type.

    Whole numbers stay whole where some are missing; a column of mixed types becomes text.

    Examples
    --------
    >>> to_frame({"n": [1, None], "m": [1, 2], "part": ["all", 0]}).dtypes.astype(str).to_list()
    ['Int64', 'int64', 'string']
    """
    return frame_of({name: typed(values) for name, values in columns.items()})


def frame_of(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return Arrow arrays as a data frame; a column that is missing as a whole holds NaN."""
    return pd.DataFrame({name: _series(column) for name, column in columns.items()})


def _series(column: Any) -> Any:
    if column.type == pa.null():
        return column.cast(pa.float64()).to_pandas()
    types = {**_TEXT, **_WITH_MISSING} if column.null_count else _TEXT
    return column.to_pandas(types_mapper=types.get)


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Replace `path` by the table, in the form that its suffix names.

    Raises
    ------
    StorageError
        If the disk refuses it; a file of this name stays as it was.
    """
    with _replaced(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            _append_csv(temporary, table, frame.attrs.get(KEY, {}))


def _append_csv(path: Path, table: Any, about: Mapping[str, Any]) -> None:
    """Add a table to a CSV file, with some of its provenance as columns of one value each."""
    if about:
        digest = about["experiment_sha256"][:12]
        short = {
            "pool": about["pool"],
            "experiment": f"sha256:{digest}",  # twelve digits alone could be read as a number
            "collected": about["collected"],
        }
        shown = set_apart(OF_SOURCE, table.column_names, OURS)
        for name, value in listed(OF_SOURCE, short).items():
            table = table.append_column(shown[name], pa.repeat(value, table.num_rows))
    with path.open("ab") as stream:
        if stream.tell() == 0:
            head = io.StringIO()
            csv.writer(head, lineterminator="\n").writerow(table.column_names)
            stream.write(head.getvalue().encode())
        start = stream.tell()
        try:
            pacsv.write_csv(table, stream, _PLAIN)
        except pa.ArrowInvalid:  # a text with a comma, a quote or an end of line: all are quoted
            stream.truncate(start)
            stream.seek(start)
            pacsv.write_csv(table, stream, _QUOTED)


class GrowingFile:
    """A table in a file that grows by pieces, all with the same columns; see `growing_file`."""

    def __init__(self, path: Path, suffix: str, about: Mapping[str, Json]) -> None:
        self._path, self._suffix, self._about = path, suffix, about
        self._waiting: list[Any] = []
        self._writer: Any = None
        self.n_rows = 0

    def add(self, table: Any) -> None:
        """Add an Arrow table."""
        self._waiting.append(table)
        self.n_rows += table.num_rows
        if sum(one.num_rows for one in self._waiting) >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._suffix == ".parquet":
            if self._writer is None:
                about = {_PANDAS_KEY: json.dumps({KEY: self._about})}
                self._writer = pq.ParquetWriter(self._path, table.schema.with_metadata(about))
            self._writer.write_table(table)
            return
        _append_csv(self._path, table, self._about)

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def growing_file(path: Path, about: Mapping[str, Json]) -> Iterator[GrowingFile]:
    """Yield a file to add tables to; it gets its name when the ``with`` block ends well.

    Parameters
    ----------
    path : Path
        Replaced as a whole.
    about : mapping
        What `provenance` returned.

    Raises
    ------
    StorageError
        If the disk refuses it; a file of this name stays as it was.
    """
    with _replaced(path) as temporary:
        file = GrowingFile(temporary, path.suffix, about)
        try:
            yield file
            file.flush()
        finally:
            file.close()


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Yield a name to write to; it replaces `path` when the ``with`` block ends well."""
    temporary = temporary_beside(path)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)
