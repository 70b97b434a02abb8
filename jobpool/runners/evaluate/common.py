"""The participants that every parcellation of a study can use.

    POOL/common.json    them, as found by the first task: what is added later finds the same

A parcellation loses a participant of whom a parcel has no finite value. Its score would then be one
of other people than the scores beside it, and may be better for that alone. So a participant that
one parcellation loses is left out of all, where the pool compares on common participants.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.cache.roi.cache import RoiCache
from jobpool.disk.files import checked_line, create_exclusively, read_json
from jobpool.errors import DataError, listing
from jobpool.task import Json

FILE_NAME, FORMAT = "common.json", 1
N_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Common:
    """Who can be used by every parcellation, of those with a map."""

    usable: NDArray[np.bool_]  # (n_participants,)
    digest: str


class Commons:
    """Finds them once for a pool: a parcellation that is added later takes nobody out of it.

    Parameters
    ----------
    pool : Path, optional
        The pool, which keeps them.
    """

    def __init__(self, pool: Path | None) -> None:
        self._file = None if pool is None else pool / FILE_NAME
        self._known: Common | None = None

    def of(
        self, roi: RoiCache, names: Sequence[str], n_participants: int, deadline: float | None
    ) -> Common:
        """Return the participants that all of these parcellations can use.

        Their values are made if they are missing, as for a task. A parcellation that has none,
        because its file cannot be used, leaves nobody out.

        Parameters
        ----------
        roi : RoiCache
            The values.
        names : sequence of str
            The parcellations; not asked for where the pool knows already.
        n_participants : int
            In the table.
        deadline : float, optional
            Seconds since the epoch, after which no work is started.

        Raises
        ------
        DataError
            If there is nobody whom all can use, or the file is damaged.
        OutOfTimeError
            If the values are not there at the deadline.
        StorageError
            If the disk is full, over quota or failing.
        """
        if self._known is None:
            self._known = self._read() or self._keep(_find(roi, names, n_participants, deadline))
        return self._known

    def _read(self) -> Common | None:
        if self._file is None or not self._file.exists():
            return None
        record = read_json(self._file)
        if record is None or record.get("format") != FORMAT:
            what = "damaged, or of a newer format; restore it from a backup, or install a newer"
            raise DataError(self._file, f"{what} jobpool")
        bits = np.frombuffer(bytes.fromhex(record["usable"]), np.uint8)
        usable = np.unpackbits(bits, count=int(record["participants"])).astype(bool)
        return Common(usable=usable, digest=digest_of(usable))

    def _keep(self, found: Common) -> Common:
        """Keep what was found, unless another worker was faster: then that counts."""
        if self._file is None:
            return found
        record: dict[str, Json] = {
            "format": FORMAT,
            "participants": len(found.usable),
            "usable": np.packbits(found.usable).tobytes().hex(),
        }
        try:
            create_exclusively(self._file, checked_line(record))
        except FileExistsError:
            return self._read() or found
        return found


def _find(
    roi: RoiCache, names: Sequence[str], n_participants: int, deadline: float | None
) -> Common:
    usable = np.ones(n_participants, bool)
    lost = {}
    for name in names:
        try:
            roi.key(name)
        except DataError:  # of tasks of this parcellation alone
            continue
        incomplete = _incomplete(roi, name, deadline)
        lost[name] = int(incomplete.sum())
        usable &= ~incomplete
    if not usable.any():
        raise DataError("maps", _nobody(lost))
    return Common(usable=usable, digest=digest_of(usable))


def _incomplete(roi: RoiCache, name: str, deadline: float | None) -> NDArray[np.bool_]:
    """Return which participants have a map, and a parcel without a finite value."""
    matrix = roi.matrix(name, deadline=deadline)
    found: NDArray[np.bool_] = np.zeros(len(matrix.values), bool)
    if matrix.n_non_finite:
        found |= np.isnan(matrix.values).any(axis=1)
        found[list(matrix.dropped)] = False
    return found


def _nobody(lost: dict[str, int]) -> str:
    most = sorted(lost, key=lambda name: -lost[name])[:3]
    which = listing(f"{name} loses {lost[name]:,}" for name in most)
    return (
        "no participant has finite values in every parcel of all parcellations, on which they are "
        f"compared ({which}); leave out what loses most, or set compare_on: own and make a new pool"
    )


def digest_of(usable: NDArray[np.bool_]) -> str:
    """Return the first digits of a SHA-256 of who is usable."""
    return hashlib.sha256(np.packbits(usable).tobytes()).hexdigest()[:N_DIGITS]
