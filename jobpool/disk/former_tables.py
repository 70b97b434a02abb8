"""The participants table as pools read it that were made before there were rules of our own.

Such a pool knows its ids, groups and targets by this reading: another would be other data.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from jobpool.disk.text_tables import SEPARATORS
from jobpool.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_formerly(path: Path, texts: Collection[str]) -> "pd.DataFrame":
    """Return the table in a file, its types and missing values by the rules of pandas.

    Parameters
    ----------
    path : Path
        Its ending says what it is.
    texts : collection of str
        Columns of a text file that stay text.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    import pandas as pd  # noqa: PLC0415 - half a second, for old pools only

    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).rename(columns=str).reset_index(drop=True)
        separator, kinds = SEPARATORS[path.suffix], dict.fromkeys(texts, str)
        return pd.read_csv(path, sep=separator, dtype=kinds, index_col=False, low_memory=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(path, f"cannot be read as a table: {error}") from error
