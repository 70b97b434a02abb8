"""Write a table to a file, as CSV or Parquet, whole or not at all."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jobpool.files import replace_whole
from jobpool.task import Value

Cell = Value | None


def to_frame(columns: Mapping[str, Sequence[Cell]]) -> pd.DataFrame:
    """Return the columns as a data frame, each of one type that knows missing values.

    Whole numbers stay whole where some are missing; a column of mixed types becomes text.

    Examples
    --------
    >>> to_frame({"n": [1, None], "part": ["all", 0]}).dtypes.astype(str).to_list()
    ['Int64', 'string']
    """
    return pd.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: Sequence[Cell]) -> Any:
    given: Any = list(values)
    types = {type(value) for value in values if value is not None}
    if types == {bool}:
        return pd.Series(given, dtype="boolean")
    if types == {int} and all(abs(int(value)) < 2**63 for value in values if value is not None):
        return pd.Series(given, dtype="Int64")
    if types <= {int, float}:
        return pd.Series(given, dtype="float64")
    texts = [None if value is None else str(value) for value in values]
    return pd.Series(texts, dtype="string")


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


WRITERS: Mapping[str, Callable[[pd.DataFrame], bytes]] = {".csv": _csv, ".parquet": _parquet}


def write_table(path: Path, columns: Mapping[str, Sequence[Cell]]) -> None:
    """Replace `path` by the table, in the form that its suffix names.

    Raises
    ------
    StorageError
        If the disk refuses it; a file of this name stays as it was.
    """
    replace_whole(path, WRITERS[path.suffix](to_frame(columns)))
