"""From maps to ROI values: the mean of each participant's map in each parcel, or its share there.

Summed in float64, one participant and modality at a time in the order of the vertices, so that
values do not depend on which participants are read together.
"""

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.brain.least_squares import NormalEquations
from jobpool.brain.maps import MapBlock
from jobpool.brain.parcellations import Parcellation
from jobpool.errors import DataError

REDUCTION = "weighted mean or least squares, modality by parcel, 2"  # part of every cache key


class Reducer:
    """Reduces maps with one parcellation; made once for many blocks of maps.

    Parameters
    ----------
    parcellation : Parcellation
        Over the vertices of the maps.
    divisor : float
        The stored value that stands for 1, such as 255 for maps stored as bytes.
    """

    def __init__(self, parcellation: Parcellation, divisor: float = 1.0) -> None:
        self._weights, self._divisor = parcellation.weights, divisor
        signed = parcellation.kind == "signed"
        self._equations = NormalEquations(self._weights) if signed else None
        self._totals = self._weights @ np.ones((parcellation.n_vertices, 1))

    def reduce(self, block: MapBlock) -> Array:
        """Return the ROI values of the maps in a block.

        Parameters
        ----------
        block : MapBlock
            Of n participants.

        Returns
        -------
        ndarray of shape (n_participants, n_modalities * n_parcels)
            All parcels of the first modality, then all of the second, and so on. Unit of the
            maps. float32 for maps of float32 or of small integers, else float64. NaN for
            participants that were dropped, and for a parcel of which a participant has no vertex.

        Raises
        ------
        DataError
            If the vertices differ in number.
        """
        n, n_vertices, _ = block.values.shape
        if n_vertices != self._weights.shape[1]:
            n_other = self._weights.shape[1]
            what = f"have {n_vertices} vertices, the parcellation {n_other}; give it in their space"
            raise DataError("the maps", what)
        sums: FloatArray = self._weights @ block.columns  # (n_parcels, n * n_modalities)
        values = self._equations.solve(sums) if self._equations else sums / self._totals
        if block.finite is not None:
            some = np.flatnonzero(~block.finite.all(axis=1))
            finite = block.finite.transpose(1, 0, 2).reshape(n_vertices, -1)[:, some]
            values[:, some] = self._without(sums[:, some], finite)
        rows: Array = (values / self._divisor).T.reshape(n, -1).astype(block.dtype)
        rows[[position - block.start for position in block.dropped]] = np.nan
        return rows

    def _without(self, sums: FloatArray, finite: Array) -> FloatArray:
        """Return the values of maps that lack some vertices, which are 0 in the sums."""
        if self._equations:
            return self._equations.solve_without(sums, finite)
        totals = self._weights @ finite.astype(np.float64)
        values = np.full(sums.shape, np.nan)
        np.divide(sums, totals, out=values, where=totals > 0)
        return values
