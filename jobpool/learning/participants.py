"""The participants: their table, with the group of each, and which of them a task can use.

Splits are made once for all participants in the table; a participant without the target or without
a map is left out of that task alone, and counted.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.brain.arrays import Array
from jobpool.errors import DataError, listing
from jobpool.learning.targets import Target

NOT_FINITE = "a parcel without finite values"


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
    """Return a column as text in which no value occurs twice.

    Raises
    ------
    DataError
        If values are missing, or occur twice.
    """
    values = text_column(frame, name)
    twice = [one for one, count in Counter(values).items() if count > 1]
    if twice:
        what = f"{len(twice)} occur more than once ({listing(twice, most=5)}); give each one row"
        raise DataError(name, what)
    return values


def usable_participants(
    target: Target, values: Array, dropped: Mapping[int, str]
) -> tuple[NDArray[np.bool_], Mapping[str, int]]:
    """Return which participants have target and map, shape (n,), and how many each reason drops.

    Parameters
    ----------
    target : Target
        Of n participants.
    values : ndarray of shape (n, n_features)
        ROI values; a row with a NaN cannot be used.
    dropped : mapping of int to str
        Positions of participants without a usable map, and why. Those that lack the target as
        well count under the target.
    """
    present = target.present
    counts = Counter(target.dropped)
    without_map = np.zeros(len(present), bool)
    for position, reason in dropped.items():
        without_map[position] = True
        counts[reason] += bool(present[position])
    incomplete = np.isnan(values).any(axis=1) & ~without_map
    counts[NOT_FINITE] += int((incomplete & present).sum())
    usable = present & ~without_map & ~incomplete
    return usable, {reason: count for reason, count in counts.items() if count}
