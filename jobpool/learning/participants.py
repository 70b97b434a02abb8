"""The participants: their table, with the group of each, and which of them a task can use.

Splits are made once for all participants in the table; a participant without the target or without
a map is left out of that task alone, and counted.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.brain.arrays import Array
from jobpool.disk.tables import places, read_table
from jobpool.disk.text_tables import SEPARATORS
from jobpool.errors import DataError, listing
from jobpool.learning.targets import Target

NOT_FINITE = "a parcel without finite values"
OF_OTHERS = "a parcel of another parcellation without finite values"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParticipantsTable:
    """The columns of the participants table that a study uses; the index is that of the file."""

    file: str  # its name
    header: tuple[str, ...]  # all columns of the file
    names: pd.DataFrame  # ids and groups, as text
    values: pd.DataFrame  # what targets are made from, by its types


def read_participants(
    path: Path,
    names: Collection[str],
    values: Collection[str],
    missing: Collection[str] | None = None,
    *,
    formerly: bool = False,
) -> ParticipantsTable:
    """Return the columns of a participants table that are wanted and there.

    Parameters
    ----------
    path : Path
        The table.
    names : collection of str
        Columns of ids and groups.
    values : collection of str
        Columns that targets are made from.
    missing : collection of str, optional
        The words for a missing value, where the user gave a list.
    formerly : bool
        Read as for pools that were made before there were rules of our own.

    Raises
    ------
    DataError
        If the table cannot be read.
    """
    if formerly:
        frame = _read_formerly(path, names)
        header = tuple(map(str, frame.columns))
        return ParticipantsTable(file=path.name, header=header, names=frame, values=frame)
    table = read_table(path, wanted={*names, *values}, missing=missing)
    there = table.raw.cells
    values_frame = table.frame([one for one in dict.fromkeys(values) if one in there])
    texts = {one: table.texts(one) for one in dict.fromkeys(names) if one in there}
    names_frame = pd.DataFrame(texts, index=values_frame.index, dtype=object)
    return ParticipantsTable(
        file=path.name, header=table.header, names=names_frame, values=values_frame
    )


def _read_formerly(path: Path, texts: Collection[str]) -> pd.DataFrame:
    """Return the table as pools read it that were made before there were rules of our own.

    Such a pool knows its ids, groups and targets by pandas' types and missing values: another
    reading would be other data.
    """
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).rename(columns=str).reset_index(drop=True)
        separator, kinds = SEPARATORS[path.suffix], dict.fromkeys(texts, str)
        return pd.read_csv(path, sep=separator, dtype=kinds, index_col=False, low_memory=False)
    except (OSError, ValueError, KeyError) as error:
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
    missing = np.flatnonzero([not value for value in values]).tolist()
    if missing:
        where = places(frame.index, missing)
        what = f"{len(missing)} of {len(column)} values are missing ({where}); fill them in, or "
        raise DataError(name, f"{what}remove these rows")
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
        rows = [at for at, one in enumerate(values) if one == twice[0]]
        where = places(frame.index, rows)
        what = f"{len(twice)} occur more than once ({listing(twice, most=5)}); give each one row"
        what += f" ({twice[0]} stands in {where})"
        raise DataError(name, what)
    return values


def usable_participants(
    target: Target,
    values: Array,
    dropped: Mapping[int, str],
    common: NDArray[np.bool_] | None = None,
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
    common : ndarray of shape (n,), bool, optional
        Those that every parcellation of the study can use; by default all that this one can.
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
    if common is not None:
        counts[OF_OTHERS] += int((usable & ~common).sum())
        usable &= common
    return usable, {reason: count for reason, count in counts.items() if count}
