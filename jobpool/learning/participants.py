"""The participants table: who there is, and which group each belongs to."""

from collections import Counter

import numpy as np
import pandas as pd

from jobpool.errors import DataError, listing


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
