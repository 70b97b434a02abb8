"""The participants table: who there is, and which group each belongs to."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from jobpool.errors import DataError, listing
from jobpool.extras import missing

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_table(path: Path, texts: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the table in a ``.csv``, ``.tsv`` or ``.parquet`` file.

    Parameters
    ----------
    path : Path
        Its ending says what it is. ``n/a`` and empty cells are missing values.
    texts : tuple of str
        Columns to keep as text, so that ``007`` stays what it is.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            if why := missing("pyarrow"):
                raise DataError(path, why)
            frame = pd.read_parquet(path)
            return frame.rename(columns=str)
        if path.suffix not in _SEPARATORS:
            known = ".csv, .tsv, .parquet"
            raise DataError(path, f"is no table that can be read; save it as one of: {known}")
        return pd.read_csv(
            path, sep=_SEPARATORS[path.suffix], dtype=dict.fromkeys(texts, str), low_memory=False
        )
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read as a table: {error}") from error


def text_column(frame: pd.DataFrame, name: str) -> tuple[str, ...]:
    """Return a column as text, without blanks around it.

    Raises
    ------
    DataError
        If values are missing.
    """
    column = frame[name]
    # "family 1" with a blank after it is no other family
    values = tuple("" if pd.isna(value) else str(value).strip() for value in column.tolist())
    missing = np.flatnonzero([not value for value in values])
    if missing.size:
        rows = listing((missing + 1).tolist(), most=5)
        what = f"{missing.size} of {len(column)} values are missing (rows {rows}); fill them in"
        raise DataError(name, what)
    return values


def unique_column(frame: pd.DataFrame, name: str) -> tuple[str, ...]:
    """Return a column as text in which no value stands twice.

    Raises
    ------
    DataError
        If values are missing, or stand twice.
    """
    values = text_column(frame, name)
    twice = [one for one, count in Counter(values).items() if count > 1]
    if twice:
        what = f"{len(twice)} stand more than once ({listing(twice, most=5)}); give each one row"
        raise DataError(name, what)
    return values
