"""Maps: the value of every vertex in every modality, for each participant.

They lie in one array for all participants, or in one file per participant. Reads, never writes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobpool.brain.arrays import Array, ArrayFile, locate
from jobpool.errors import DataError, listing

PLACE = "{participant}"
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Where the maps of some participants lie, in the order of the participants."""

    files: tuple[ArrayFile, ...]  # one for all participants, or one for each
    participants: tuple[str, ...]
    stacked: bool  # one array for all, participants along its first axis

    def shape(self) -> tuple[int, int, int]:
        """Return (n_participants, n_vertices, n_modalities) from the header of the first file.

        Raises
        ------
        DataError
            If a file is missing or cannot be read, or the axes are not those of maps.
        """
        self._find_missing()
        found = self.files[0].header().shape
        if self.stacked:
            if len(found) not in {2, 3}:
                what = f"has shape {found}; give (participants, vertices) or (..., modalities)"
                raise DataError(str(self.files[0]), what)
            return found[0], found[1], found[2] if len(found) == 3 else 1
        if len(found) not in {1, 2}:
            what = f"has shape {found}; give (vertices,) or (vertices, modalities)"
            raise DataError(str(self.files[0]), what)
        return len(self.files), found[0], found[1] if len(found) == 2 else 1

    def _find_missing(self) -> None:
        missing = [str(file.path) for file in self.files if not file.path.exists()]
        if missing:
            what = f"no such file ({len(missing)} of {len(self.files)} missing); correct the path"
            raise DataError(listing(missing, most=3), what)

    def identity(self) -> str:
        """Return a digest that changes when a file changes, without opening any.

        Made of path, size and time of change of every file: a path alone would take an edited
        file for the old one, and hashing what is inside would read all that a cache saves.
        """
        digest = hashlib.sha256()
        for file, name in zip(self.files, self._names(), strict=True):
            try:
                status = file.path.stat()
            except OSError as error:
                raise DataError(file.path, f"cannot be found: {error.strerror}") from error
            path = str(file.path.resolve())
            parts = (name, path, file.member, status.st_size, status.st_mtime_ns)
            digest.update(repr(parts).encode())
        return digest.hexdigest()

    def _names(self) -> tuple[str, ...]:
        return ("",) if self.stacked else self.participants

    def blocks(self) -> Iterator[Array]:
        """Yield arrays of shape (some participants, n_vertices, n_modalities), in order.

        Raises
        ------
        DataError
            If a file cannot be read, or its shape differs from the first one's.
        """
        n_participants, *one = self.shape()
        if n_participants != len(self.participants):
            what = f"holds {n_participants} participants, not {len(self.participants)}"
            raise DataError(str(self.files[0]), what)
        rows = max(1, _BLOCK_BYTES // (8 * max(one[0] * one[1], 1)))
        if self.stacked:
            for block in self.files[0].blocks(rows):
                yield block.reshape(len(block), *one)
            return
        for start in range(0, n_participants, rows):
            files = self.files[start : start + rows]
            yield np.stack([_one_map(file, one) for file in files])


def _one_map(file: ArrayFile, shape: list[int]) -> Array:
    values = file.read()
    found = list(values.shape) if values.ndim == 2 else [*values.shape, 1]
    if found != shape:
        what = f"has {found} (vertices, modalities), but the first participant's map has {shape}"
        raise DataError(str(file), what)
    return values.reshape(shape)


def find_maps(text: str, folder: Path, participants: tuple[str, ...]) -> Maps:
    """Return the maps of `participants`, opening no map.

    Parameters
    ----------
    text : str
        ``file.npy`` or ``archive.npz:member`` of shape (participants, vertices) or (participants,
        vertices, modalities), its rows in the order of `participants`; or with ``{participant}``
        in its path, one file of shape (vertices,) or (vertices, modalities) for each.
    folder : Path
        Where a relative path starts.
    participants : tuple of str
        Their ids.

    Raises
    ------
    DataError
        If `text` cannot be a file of maps.
    """
    if PLACE not in text:
        return Maps(files=(locate(text, folder),), participants=participants, stacked=True)
    files = tuple(locate(text.replace(PLACE, one), folder) for one in participants)
    return Maps(files=files, participants=participants, stacked=False)
