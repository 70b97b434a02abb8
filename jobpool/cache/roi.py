"""ROI values, computed once per parcellation and shared by all workers of a pool.

    roi/KK/KEY.npy     values of all participants, one row each, read by memory map
    roi/KK/KEY.json    format, shape, type and CRC-32 of the values: written last

KEY is the SHA-256 of what made the values, KK its first two digits. Whoever is killed when, a
reader finds values that are whole or none: both files get their names when they are complete, and
values count only once the JSON is there and its checksum fits. A file with a name is never
replaced, as another worker may have it mapped; only a damaged one is removed.
"""

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.brain.reduction import REDUCTION
from jobpool.files import checked_line, create_exclusively, read_json, storage_error
from jobpool.task import Json

FORMAT = 1


def roi_key(*, maps: str, parcellation: str, divisor: float) -> str:
    """Return the key of the values that these make: 32 hexadecimal digits.

    Parameters
    ----------
    maps : str
        `Maps.identity`.
    parcellation : str
        `Parcellation.digest`.
    divisor : float
        The stored value that stands for 1.
    """
    made_of = json.dumps([FORMAT, REDUCTION, maps, parcellation, float(divisor)])
    return hashlib.sha256(made_of.encode()).hexdigest()[:32]


class RoiCache:
    """The ROI values of a pool."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "roi"

    def values(
        self, key: str, about: Mapping[str, Json], compute: Callable[[], Array]
    ) -> tuple[Array, bool]:
        """Return the values of `key`, mapped from disk, and whether they were there already.

        Parameters
        ----------
        key : str
            From `roi_key`.
        about : mapping
            For people who look into the folder; means nothing to jobpool.
        compute : callable
            Makes the values, called only if they are not there.

        Raises
        ------
        StorageError
            If the disk is full, over quota or failing.
        """
        found = self._load(key)
        if found is not None:
            return found, True
        values = np.ascontiguousarray(compute())
        self._store(key, about, values)
        stored = self._load(key)
        return (values if stored is None else stored), False

    def _paths(self, key: str) -> tuple[Path, Path]:
        folder = self._folder / key[:2]
        return folder / f"{key}.npy", folder / f"{key}.json"

    def _load(self, key: str) -> Array | None:
        data, record = self._paths(key)
        try:
            header = read_json(record)
            values = np.load(data, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError):  # cut short, or no .npy at all
            header, values = None, None
        if header is None or values is None or not _fits(header, values):
            self._remove(key)
            return None
        loaded: Array = values
        return loaded

    def _store(self, key: str, about: Mapping[str, Json], values: Array) -> None:
        data, record = self._paths(key)
        try:
            data.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, data.parent) from error
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        header = {**_header(values), "about": dict(about)}
        # another worker may have been faster: the same key means the same values
        with suppress(FileExistsError):
            create_exclusively(data, buffer.getvalue())
        with suppress(FileExistsError):
            create_exclusively(record, checked_line(header))

    def _remove(self, key: str) -> None:
        for path in reversed(self._paths(key)):  # first the record: it alone makes values count
            path.unlink(missing_ok=True)


def _header(values: Array) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "shape": list(values.shape),
        "dtype": values.dtype.str,
        "values_crc": zlib.crc32(values.data),
    }


def _fits(header: Mapping[str, Json], values: Array) -> bool:
    found = _header(values)
    return all(header.get(name) == expected for name, expected in found.items())
