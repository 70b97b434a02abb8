"""From maps to ROI values: the mean of each participant's map in each parcel, or its share there.

Sums are made in float64, one participant and modality at a time in the order of the vertices, so
that values do not depend on which participants are read together.

A parcellation with negative weights is fitted by least squares. The coefficients b minimise
||map - W b||, W being the weights (vertices, parcels), all parcels together. They solve the normal
equations W'W b = W'map, so that one factor of W'W serves all maps and W is never dense: by
Cholesky, or where W'W is singular to working precision by its Hermitian pseudo-inverse, which gives
the b of least norm. Each map is solved by itself.
"""

from typing import Any

import numpy as np
from scipy import linalg

from jobpool.brain.arrays import Array, FloatArray
from jobpool.brain.maps import MapBlock
from jobpool.brain.parcellations import Parcellation
from jobpool.errors import DataError

_DENSE = 0.1  # share of weights that are not 0 above which dense products are faster
_ROWS = 4096  # vertices that are dense at one time
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


class NormalEquations:
    """The normal equations of some weights.

    Parameters
    ----------
    weights : scipy CSR matrix of shape (n_parcels, n_vertices), float64
        Every parcel has a weight that is not 0.
    """

    def __init__(self, weights: Any) -> None:
        self._by_vertex = weights.tocsc()
        self._products = _multiply(self._by_vertex)
        self._factor = _Factor(self._products)

    def solve(self, sums: FloatArray) -> FloatArray:
        """Return the coefficients of whole maps.

        Parameters
        ----------
        sums : ndarray of shape (n_parcels, n_maps), float64
            W'map of each map.

        Returns
        -------
        ndarray of shape (n_parcels, n_maps), float64
        """
        each = np.ascontiguousarray(sums.T)  # a stride of its own could change how one is summed
        return np.stack([self._factor.solve(one) for one in each], axis=1)

    def solve_without(self, sums: FloatArray, finite: Array) -> FloatArray:
        """Return the coefficients of maps without some vertices, their values there being 0.

        Parameters
        ----------
        sums : ndarray of shape (n_parcels, n_maps), float64
            W'map of each map.
        finite : ndarray of shape (n_vertices, n_maps), bool
            The vertices that each map has.

        Returns
        -------
        ndarray of shape (n_parcels, n_maps), float64
            NaN for a parcel none of whose vertices a map has.
        """
        found = np.full(sums.shape, np.nan)
        factors: dict[bytes, tuple[_Factor, Array]] = {}  # modalities often lack the same vertices
        for one in range(sums.shape[1]):
            key = np.packbits(finite[:, one]).tobytes()
            if key not in factors:
                factors = {key: self._without(finite[:, one])}
            factor, kept = factors[key]
            found[kept, one] = factor.solve(sums[kept, one])
        return found

    def _without(self, finite: Array) -> tuple["_Factor", Array]:
        """Return the factor of the vertices that are finite, and the parcels that have any."""
        present = self._by_vertex[:, np.flatnonzero(finite)]
        kept = np.flatnonzero(np.bincount(present.indices, minlength=present.shape[0]))
        if 2 * int(finite.sum()) < len(finite):
            products = _multiply(present)
        else:
            products = self._products - _multiply(self._by_vertex[:, np.flatnonzero(~finite)])
        return _Factor(products[np.ix_(kept, kept)]), kept


class _Factor:
    """A symmetric matrix, ready to be solved with."""

    def __init__(self, matrix: FloatArray) -> None:
        self._inverse: Any = None
        try:
            self._cholesky = linalg.cho_factor(matrix, lower=True)
            pivots = np.diag(self._cholesky[0]) ** 2
            precision = len(matrix) * np.finfo(np.float64).eps
            if pivots.min(initial=np.inf) > precision * np.diag(matrix).max(initial=0.0):
                return
        except linalg.LinAlgError:
            pass
        self._inverse = linalg.pinvh(matrix)

    def solve(self, right: FloatArray) -> FloatArray:
        if self._inverse is None:
            solved: FloatArray = linalg.cho_solve(self._cholesky, right)
        else:
            solved = self._inverse @ right
        return solved


def _multiply(by_vertex: Any) -> FloatArray:
    """Return the products of all pairs of parcels, from CSC weights (n_parcels, n_vertices)."""
    n_parcels, n_vertices = by_vertex.shape
    if by_vertex.nnz <= _DENSE * n_parcels * n_vertices:
        products: FloatArray = (by_vertex @ by_vertex.T).toarray()
        return products
    products = np.zeros((n_parcels, n_parcels))
    for start in range(0, n_vertices, _ROWS):
        some = by_vertex[:, start : start + _ROWS].toarray()
        products += some @ some.T
    return products
