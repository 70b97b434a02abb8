"""Reads a table from a file, and says what is wrong with a file that holds none."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from jobpool.errors import DataError
from jobpool.extras import missing

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OTHER_SEPARATORS = (";", "\t", ",", "|")


def read_sheet(path: Path, names: Collection[str]) -> pd.DataFrame:
    """Return the table in a ``.csv``, ``.tsv`` or ``.parquet`` file; text stays as it is written.

    Parameters
    ----------
    path : Path
        The file.
    names : collection of str
        Columns that must not be there twice.

    Raises
    ------
    DataError
        If it cannot be read, has no rows, or has one of `names` twice.
    """
    try:
        if path.suffix == ".parquet":
            if why := missing("pyarrow"):
                raise DataError(path, why)
            frame = pd.read_parquet(path).rename(columns=str)
            _check_header(path, list(frame.columns), names)
        elif path.suffix in _SEPARATORS:
            frame = _read_text(path, _SEPARATORS[path.suffix], names)
        else:
            what = "is no table that can be read; save it as one of: .csv, .tsv, .parquet"
            raise DataError(path, what)
    except FileNotFoundError as error:
        raise DataError(path, "no such file; correct the path") from error
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read as a table: {error}") from error
    if frame.empty:
        raise DataError(path, "has no rows; give one per parcellation, pipeline and target")
    return frame.reset_index(drop=True)


def _read_text(path: Path, separator: str, names: Collection[str]) -> pd.DataFrame:
    # the header apart: a table's own would rename the second of two columns of one name
    first = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
    header = [str(name) for name in first.iloc[0]]
    others = [one for one in _OTHER_SEPARATORS if len(header) == 1 and one in header[0]]
    if others:
        what = f"its columns are separated by {others[0]!r}; save it with a comma between them"
        raise DataError(path, f"{what} (.csv), or a tab (.tsv)")
    _check_header(path, header, names)
    # as text: an error shows the value as it was written
    return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)


def _check_header(path: Path, header: list[str], names: Collection[str]) -> None:
    twice = [name for name in dict.fromkeys(header) if name in names and header.count(name) > 1]
    if twice:
        what = f"has {header.count(twice[0])} columns {twice[0]!r}; keep one, or rename the others"
        raise DataError(path, what)
