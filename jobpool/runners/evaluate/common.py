"""The participants that every parcellation of a study can use.

A parcellation loses a participant of whom a parcel has no finite value. Its score would then be one
of other people than the scores beside it, and may be better for that alone. So a participant that
one parcellation loses is left out of all, where the pool compares on common participants.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobpool.cache.roi.cache import RoiCache
from jobpool.errors import DataError, listing

N_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Common:
    """Who can be used by every parcellation, of those with a map."""

    usable: NDArray[np.bool_]  # (n_participants,)
    digest: str


class Commons:
    """Finds them once for the values of a cache as they are."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Common] = {}

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
            The parcellations.
        n_participants : int
            In the table.
        deadline : float, optional
            Seconds since the epoch, after which no work is started.

        Raises
        ------
        DataError
            If there is nobody whom all can use.
        OutOfTimeError
            If the values are not there at the deadline.
        """
        keys, usable_names = [], []
        for name in names:
            try:
                keys.append(roi.key(name))
            except DataError:
                continue
            usable_names.append(name)
        known = self._known.get(tuple(keys))
        if known is None:
            usable = np.ones(n_participants, bool)
            lost = {}
            for name in usable_names:
                incomplete = _incomplete(roi, name, deadline)
                lost[name] = int(incomplete.sum())
                usable &= ~incomplete
            if not usable.any():
                raise DataError("maps", _nobody(lost))
            known = Common(usable=usable, digest=digest_of(usable))
            self._known = {tuple(keys): known}
        return known


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
