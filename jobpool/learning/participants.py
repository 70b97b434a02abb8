"""The participants table: who there is, which group each belongs to, and the targets."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.brain.arrays import Array
from jobpool.errors import DataError, listing
from jobpool.learning.pipelines import Kind

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """One column of the table as numbers."""

    name: str
    kind: Kind
    y: Array  # (n,): 0 and 1 if binary, else float64 in the column's own unit; NaN if missing
    classes: tuple[str, ...] = ()  # what 0 and 1 stand for

    @property
    def digest(self) -> str:
        """Return a SHA-256 of the values: another one means other data."""
        values = np.where(np.isnan(self.y), np.inf, self.y).astype("<f8")
        return hashlib.sha256("\n".join(self.classes).encode() + values.tobytes()).hexdigest()

    @property
    def present(self) -> NDArray[np.bool_]:
        """Return which participants have the target, shape (n,)."""
        return ~np.isnan(self.y)


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
    """Return a column as text.

    Raises
    ------
    DataError
        If values are missing.
    """
    column = frame[name]
    missing = np.flatnonzero(column.isna())
    if missing.size:
        rows = listing((missing + 1).tolist(), most=5)
        what = f"{missing.size} of {len(column)} values are missing (rows {rows}); fill them in"
        raise DataError(name, what)
    return tuple(str(value) for value in column.tolist())


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


def read_target(frame: pd.DataFrame, name: str) -> Target:
    """Return a column as a target: binary with two different values, else regression.

    The class that sorts last, such as 1 or ``yes``, is the positive one.

    Raises
    ------
    DataError
        If the column holds neither numbers nor two classes, or infinite numbers.
    """
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    present = column[column.notna()]
    values: list[Any] = sorted(present.unique().tolist(), key=lambda one: (str(type(one)), one))
    if len(values) < 2:
        what = f"has {len(values)} different values; a target needs two classes or numbers"
        raise DataError(name, what)
    if len(values) == 2:
        codes = column.map({value: float(code) for code, value in enumerate(values)})
        classes = tuple(str(value) for value in values)
        y = codes.to_numpy(dtype=np.float64, na_value=np.nan)
        return Target(name=name, kind=Kind.BINARY, y=y, classes=classes)
    if not pd.api.types.is_numeric_dtype(column):
        what = (
            f"holds {len(values)} different texts ({listing(values, most=4)}), neither numbers nor "
            "two classes; recode it in the table"
        )
        raise DataError(name, what)
    y = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(y).any():
        what = f"{int(np.isinf(y).sum())} values are infinite; leave those cells empty"
        raise DataError(name, what)
    return Target(name=name, kind=Kind.REGRESSION, y=y)
