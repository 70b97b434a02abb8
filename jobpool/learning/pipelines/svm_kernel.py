"""The Gaussian kernel of a split, shared by candidates that differ in features and width."""

from collections.abc import Iterator

import numpy as np
from scipy.linalg.blas import dgemm, dsyrk

from jobpool.brain.arrays import FloatArray

_BLOCK = 128  # rows of a kernel that are worked on together, to stay in the processor's cache


class GrowingKernel:
    """Inner products of participants over the first features of a ranking, as kernels.

    A product is a sum over features, so that more features are added to it, and none is multiplied
    again. The result depends on the steps in its last digits: the same steps give the same bits.

    Parameters
    ----------
    train : ndarray of shape (n_features, n_train), float64
        The features of the training part, the first to be used first.
    test : ndarray of shape (n_features, n_test), float64
        Those of the test part.
    """

    def __init__(self, train: FloatArray, test: FloatArray) -> None:
        self._features = train, test
        self._used = 0
        n_train, n_test = train.shape[1], test.shape[1]
        self._train = np.zeros((n_train, n_train), order="F")  # the lower triangle only
        self._test = np.zeros((n_train, n_test), order="F")
        self._test_squares = np.zeros(n_test)
        self._kernel = np.zeros((0, 0))

    def grow(self, count: int) -> None:
        """Use the first `count` features, which must not be fewer than before.

        Raises
        ------
        ValueError
            If `count` is smaller than before.
        """
        if count < self._used:
            raise ValueError(f"cannot go back from {self._used} features to {count}")
        if count == self._used:
            return
        # transposed, rows of C-ordered features are the columns that BLAS wants, without a copy
        train, test = (features[self._used : count].T for features in self._features)
        self._train = dsyrk(1.0, train, beta=1.0, c=self._train, lower=1, overwrite_c=1)
        self._test = dgemm(1.0, train, test, beta=1.0, c=self._test, trans_b=1, overwrite_c=1)
        self._test_squares += np.square(test).sum(axis=1)
        self._used = count

    def train(self, gamma: float) -> FloatArray:
        """Return ``exp(-gamma * squared distance)`` of all pairs of the training part.

        Returns
        -------
        ndarray of shape (n_train, n_train), float64
            C-ordered and symmetric; the next call writes to the same memory.
        """
        products = self._train.T  # C-ordered, the upper triangle
        n_train = len(products)
        if not self._kernel.size:
            self._kernel = np.empty((n_train, n_train))
        kernel = self._kernel
        squares = gamma * np.diagonal(products)
        for rows in _blocks(n_train):
            block = kernel[rows, rows.start :]
            _gaussian(
                products[rows, rows.start :], gamma, (squares[rows], squares[rows.start :]), block
            )
            corner = block[:, : len(block)]
            below = np.tril_indices(len(block), -1)
            corner[below] = corner.T[below]
            kernel[rows.stop :, rows] = block[:, len(block) :].T
        return kernel

    def test(self, gamma: float, weights: FloatArray) -> FloatArray:
        """Return the kernel of test and training part, times `weights`.

        Parameters
        ----------
        gamma : float
            The inverse squared width.
        weights : ndarray of shape (n_train,), float64
            Of the participants of the training part.

        Returns
        -------
        ndarray of shape (n_test,), float64
        """
        products = self._test.T
        result = np.empty(len(products))
        squares = gamma * np.diagonal(self._train)
        test_squares = gamma * self._test_squares
        for rows in _blocks(len(products)):
            block = np.empty((rows.stop - rows.start, len(squares)))
            _gaussian(products[rows], gamma, (test_squares[rows], squares), block)
            result[rows] = block @ weights
        return result


def _blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, _BLOCK):
        yield slice(start, min(start + _BLOCK, n_rows))


def _gaussian(
    products: FloatArray, gamma: float, squares: tuple[FloatArray, FloatArray], out: FloatArray
) -> None:
    """Write the kernel; `squares` of rows and columns have been multiplied by `gamma`."""
    np.multiply(products, 2.0 * gamma, out=out)
    out -= squares[0][:, None]
    out -= squares[1]
    np.minimum(out, 0.0, out=out)  # a distance is not negative, whatever rounding says
    np.exp(out, out=out)
