"""Packed values: one matrix per parcellation, which readers map into memory.

    KK/KEY.npy     values of all participants, one row each
    KK/KEY.json    format, shape, type and CRC-32 of the values, and what they mean: written last

KEY is a hash of what made the values, KK its first two digits. Both files get their names when
they are complete, and values count only once the JSON is there and its checksum matches. A file
that has its name is never replaced, as another process may have it mapped; only a damaged one is
removed.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.brain.reduction import REDUCTION
from jobpool.disk.files import checked_line, create_exclusively, created_whole, read_json
from jobpool.disk.inside import paths_below, reading, remove, touch
from jobpool.errors import StorageError
from jobpool.task import Json

FORMAT = 2


def roi_key(*, maps: str, parcellation: str, divisor: float) -> str:
    """Return the key of the values made from these: 32 hexadecimal digits.

    Parameters
    ----------
    maps : str
        `Maps.identity`, of all participants or of some.
    parcellation : str
        Digest of the parcellation; empty where values of any are meant.
    divisor : float
        The stored value that stands for 1.
    """
    made_of = json.dumps([FORMAT, REDUCTION, maps, parcellation, float(divisor)])
    return hashlib.sha256(made_of.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoiMatrix:
    """The ROI values of one parcellation, and facts about them."""

    key: str  # says what the values were made of
    values: Array  # (participants, modalities * parcels), mapped from disk, read-only
    dropped: Mapping[int, str]  # participants without values, their rows NaN -> reason
    n_non_finite: int  # values of the maps within parcels that were left out of the means
    n_parcels: int
    n_empty: int
    kind: str
    hit: bool  # the values were there already
    maps: str = ""  # SHA-256 of the content of all maps; empty in values of an older jobpool
    parcellation: str = ""  # and of the content of the parcellation


class Store:
    """The packed values of a cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def paths(self, key: str) -> tuple[Path, Path]:
        """Return the files of the values and of their record."""
        folder = self._folder / key[:2]
        return folder / f"{key}.npy", folder / f"{key}.json"

    def has(self, key: str) -> bool:
        """Say whether values are there, without reading them."""
        data, record = self.paths(key)
        return record.exists() and data.exists()

    def every_key(self) -> list[str]:
        """Return the keys of all values, complete or not."""
        files = (
            path
            for ending in ("npy", "json")
            for path in paths_below(self._folder, "??", f"*.{ending}")
        )
        return sorted({path.stem for path in files})

    def load(self, key: str, *, hit: bool) -> RoiMatrix | None:
        """Return values, or None if they are not there or damaged; damaged ones are removed."""
        data, record = self.paths(key)
        if (found := _read(data, record)) is None:
            return None
        header, values = found
        if header is None or values is None or not _matches(header, values):
            self.remove(key)
            return None
        with suppress(OSError):  # no permission to write; the time says when it was last used
            touch(record)
        about: Any = header["matrix"]
        return RoiMatrix(
            key=key,
            values=values,
            dropped={int(who): why for who, why in about["dropped"].items()},
            n_non_finite=about["n_non_finite"],
            n_parcels=about["n_parcels"],
            n_empty=about["n_empty"],
            kind=about["kind"],
            hit=hit,
            maps=str(header.get("maps", "")),
            parcellation=str(header.get("parcellation", "")),
        )

    def is_damaged(self, key: str) -> bool:
        """Say whether values do not match their record; values without a record are not damaged."""
        found = _read(*self.paths(key))
        if found is None:
            return False
        header, values = found
        return header is None or values is None or not _matches(header, values)

    def write(
        self, key: str, rows: Iterable[Array], shape: tuple[int, int], about: Mapping[str, Json]
    ) -> None:
        """Store values that come in pieces; a process that was faster stored the same.

        Parameters
        ----------
        key : str
            From `roi_key`.
        rows : iterable of ndarray
            Consecutive rows, all of one type.
        shape : tuple of int
            Of all of them together.
        about : mapping
            ``matrix`` holds the facts of a `RoiMatrix`; the rest is for human readers.

        Raises
        ------
        StorageError
            If the disk is full, over quota or failing; nothing is left behind.
        """
        data, record = self.paths(key)
        crc, dtype = 0, ""
        with suppress(FileExistsError), created_whole(data) as stream:
            for piece in rows:
                if not dtype:
                    dtype = piece.dtype.str
                    described = {"descr": dtype, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(stream, described)
                stream.write(piece.data)
                crc = zlib.crc32(piece.data, crc)
        header: dict[str, Json] = {
            "format": FORMAT,
            "shape": list(shape),
            "dtype": dtype,
            "values_crc": crc,
        }
        try:
            create_exclusively(record, checked_line({**header, **about}))
        except FileExistsError:
            return
        except StorageError:  # values alone count for nothing, and fill a full disk
            remove(data)
            raise

    def remove(self, key: str) -> None:
        """Remove values: first the record, which alone makes them count."""
        for path in reversed(self.paths(key)):
            remove(path)


def _read(data: Path, record: Path) -> tuple[dict[str, Json] | None, Array | None] | None:
    """Return record and values, each None if it cannot be read; None if one is not there."""
    try:
        header = read_json(record)
        values = _mapped(data)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError):  # cut short, or no .npy at all
        return None, None
    return header, values


def _mapped(path: Path) -> Array:
    """Return the array in a file, mapped into memory for reading."""
    mapping: Any = np.memmap  # its stub wants a stream that writes, too
    with reading(path) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{path}: written in version {version} of the .npy format")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.hasobject:
            raise ValueError(f"{path}: an array of Python objects")
        order = "F" if fortran_order else "C"
        found: np.memmap[Any, Any] = mapping(stream, dtype, "r", stream.tell(), shape, order)
    found.filename = str(path.absolute())  # by which joblib's processes map it, too
    return found


def _matches(header: Mapping[str, Json], values: Array) -> bool:
    """Say whether values are those that their record was written for."""
    found = {"format": FORMAT, "shape": list(values.shape), "dtype": values.dtype.str}
    return all(header.get(name) == expected for name, expected in found.items()) and (
        header.get("values_crc") == zlib.crc32(values.data)
    )
