"""Least squares over the vertices: how much of each signed parcel a map is made of.

The coefficients b minimise ||map - W b||, W being the weights (vertices, parcels), all parcels
together. They solve the normal equations W'W b = W'map, so that one factor of W'W serves all maps
and W is never dense: by Cholesky, or where W'W is singular to working precision by its Hermitian
pseudo-inverse, which gives the b of least norm. Each map is solved by itself, so that its values
do not depend on which maps are solved together.
"""

from typing import Any

import numpy as np
from scipy import linalg

from jobpool.brain.arrays import Array, FloatArray

_DENSE = 0.1  # share of weights that are not 0 above which dense products are faster
_ROWS = 4096  # vertices that are dense at one time


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
