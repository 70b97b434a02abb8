"""Tables as data frames, and their files: CSV or Parquet, whole or not at all.

A Parquet file keeps all of `provenance` in the metadata of its schema, where pandas finds it:
``pd.read_parquet(file).attrs["jobpool"]``. A CSV file has nothing but columns if one line is to
read it, so that it gets some with the same value in each row: pool, experiment, collected.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from jobpool import __version__
from jobpool.collect.row_columns import TEXT, Cell, Column, typed
from jobpool.disk.causes import storage_error
from jobpool.disk.files import sync_folder, temporary_beside
from jobpool.disk.inside import read_inside
from jobpool.installation import missing
from jobpool.pool import Pool
from jobpool.table.arrays import n_counted
from jobpool.table.columns import OF_SOURCE, OURS, listed, set_apart
from jobpool.task import Json, TaskState
from jobpool.units import utc_iso

KEY = "jobpool"  # under which a data frame and a file keep where they come from

SUFFIXES = (".csv", ".parquet")
_PANDAS_KEY = "PANDAS_ATTRS"  # under which pandas looks for the attributes of a data frame
_GROUP = 500_000  # rows that are written at once


def to_frame(columns: Mapping[str, Sequence[Cell]]) -> pd.DataFrame:
    """Return the columns as a data frame, each of one type.

    Whole numbers stay whole where some are missing; a column of mixed types becomes text.

    Examples
    --------
    >>> to_frame({"n": [1, None], "m": [1, 2], "part": ["all", 0]}).dtypes.astype(str).to_list()
    ['Int64', 'int64', 'string']
    """
    return frame_of({name: typed(values) for name, values in columns.items()})


def frame_of(columns: Mapping[str, Column]) -> pd.DataFrame:
    """Return columns as a data frame; one that is missing as a whole holds NaN.

    Only a column that lacks some values gets a type that knows missing ones.
    """
    return pd.DataFrame({name: _plain(column) for name, column in columns.items()})


def _plain(column: Column) -> Column:
    if column.dtype == object:
        return np.full(len(column), np.nan)
    if isinstance(column, np.ndarray) or column.dtype == TEXT or column.isna().any():
        return column
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column
    return column.to_numpy(column.dtype.numpy_dtype)


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
            _append_csv(temporary, frame, frame.attrs.get(KEY, {}))


class GrowingFile:
    """A table in a file that grows by pieces, all with the same columns; see `growing_file`."""

    def __init__(self, path: Path, suffix: str, about: Mapping[str, Json]) -> None:
        self._path, self._suffix, self._about = path, suffix, about
        self._waiting: list[pd.DataFrame] = []
        self._n_waiting = 0  # rows
        self._writer: Any = None
        self.n_rows = 0

    def add(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        self._waiting.append(frame)
        self.n_rows += len(frame)
        self._n_waiting += len(frame)
        if self._n_waiting >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        frame = pd.concat(self._waiting, ignore_index=True)
        self._waiting, self._n_waiting = [], 0
        if self._suffix == ".parquet":
            self._write_group(frame)
        else:
            _append_csv(self._path, frame, self._about)

    def _write_group(self, frame: pd.DataFrame) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow.parquet import ParquetWriter  # noqa: PLC0415 - as above

        if self._writer is None:
            about = {_PANDAS_KEY: json.dumps({KEY: self._about})}
            schema = pa.Schema.from_pandas(frame, preserve_index=False)
            self._writer = ParquetWriter(self._path, schema.with_metadata(about))
        schema = self._writer.schema
        self._writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))

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


def provenance(pool: Pool, **about: Json) -> dict[str, Json]:
    """Return what a table of this pool came from.

    Parameters
    ----------
    pool : Pool
        The pool.
    **about
        What is known besides, such as the selection.
    """
    seed = pool.experiment().seed
    text = read_inside(pool.folder / "experiment.yaml")
    counts = pool.counts()
    return {
        "pool": pool.folder.resolve().name,
        "experiment": pool.info.name,
        "jobpool": __version__,
        "experiment_sha256": hashlib.sha256(text).hexdigest(),
        "experiment_text": text.decode("utf-8", "replace"),
        "seed": seed,
        "collected": utc_iso(pool.now()),
        "tasks": {
            "done": counts[TaskState.DONE],
            "all": n_counted(counts),
        },
        **about,
    }


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


def _append_csv(path: Path, frame: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Add a table to a CSV file, with some of its provenance as columns of one value each."""
    if about:
        digest = about["experiment_sha256"][:12]
        short = {
            "pool": about["pool"],
            "experiment": f"sha256:{digest}",  # twelve digits alone could be read as a number
            "collected": about["collected"],
        }
        shown = set_apart(OF_SOURCE, frame.columns, OURS)
        made = {shown[name]: one for name, one in listed(OF_SOURCE, short).items()}
        frame = frame.assign(**made)
    with path.open("ab") as stream:
        if stream.tell() == 0:
            head = io.StringIO()
            csv.writer(head, lineterminator="\n").writerow(frame.columns)
            stream.write(head.getvalue().encode())
        if missing("pyarrow"):
            _write_cells(stream, frame)
        else:
            _write_arrow(stream, frame)


def _write_arrow(stream: BinaryIO, frame: pd.DataFrame) -> None:
    """Write rows as CSV in an eighth to a tenth of the time that `_write_cells` takes."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import csv as arrow_csv  # noqa: PLC0415 - as above

    table = pa.Table.from_pandas(frame, preserve_index=False)
    start = stream.tell()
    try:
        plain = arrow_csv.WriteOptions(include_header=False, quoting_style="none")
        arrow_csv.write_csv(table, stream, plain)
    except pa.ArrowInvalid:  # a text with a comma, a quote or an end of line: all are quoted
        stream.truncate(start)
        stream.seek(start)
        quoted = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
        arrow_csv.write_csv(table, stream, quoted)


def _write_cells(stream: BinaryIO, frame: pd.DataFrame) -> None:
    """Write rows as CSV, with the same values as `_write_arrow`."""
    columns = [_cells(column) for _, column in frame.items()]
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
    text.detach()


def _cells(column: "pd.Series[Any]") -> list[str]:
    is_missing = column.isna().tolist()
    values = column.tolist()
    if column.dtype.kind == "b":
        values = [str(value).lower() for value in values]
    elif column.dtype.kind == "M":
        values = (column.dt.strftime("%Y-%m-%d %H:%M:%S.%f").str[:-3] + "Z").tolist()
    elif column.dtype.kind == "f":  # as Arrow writes it: 1, not 1.0
        values = [repr(value).removesuffix(".0") for value in values]
    return ["" if lacks else str(one) for one, lacks in zip(values, is_missing, strict=True)]
