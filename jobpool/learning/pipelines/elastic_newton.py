"""The linear system of a Newton step, solved in the smaller of participants and features.

With A the features, each row times the root of its participant's curvature and each column over
the root of its diagonal, it all comes down to the inverse of 1 + A A' or 1 + A' A. A large one is
factored in single precision, which takes half the time; two or three steps of conjugate gradients
then make the solution of it nearly exact.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from jobpool.brain.arrays import Array, FloatArray

_LARGE = 500  # below this the correction costs more than single precision saves
_EXACT = 1e-4  # of the right-hand side; what is left is made up by the next Newton step
_CORRECTIONS = 50
_LOST = 1e-13  # of the largest number on the diagonal

Inverse = Callable[[FloatArray], FloatArray]
System = Callable[[FloatArray, float], tuple[FloatArray, float]]


def newton_system(X: FloatArray, curvature: FloatArray, diagonal: FloatArray) -> System:
    """Return what solves for a step in coefficients and intercept.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float64
        Features.
    curvature : ndarray of shape (n,), float64
        Second derivatives of the loss by the decision values, above 0.
    diagonal : ndarray of shape (n_features,), float64
        What the penalty adds to the diagonal, above 0.

    Returns
    -------
    callable
        ``(right, right_b)`` to ``(step, step_b)`` with (X' C X + diagonal) step + X' C step_b =
        right and the sum of C (X step + step_b) = right_b, where C is the curvature.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the numbers are out of any range.
    """
    root = np.sqrt(curvature)
    scale = 1.0 / np.sqrt(diagonal)
    A = X * scale
    A *= root[:, None]
    if X.shape[0] < X.shape[1]:
        inner = _inverse(A)
        through = inner(root)
        of_sums, rest = scale * (A.T @ through), float(root @ through)
    else:
        inner = _inverse(A.T)
        of_sums = scale * inner(A.T @ root)
        rest = float(curvature.sum() - root @ (A @ (of_sums / scale)))
    sums = X.T @ curvature

    def solution(right: FloatArray, right_b: float) -> tuple[FloatArray, float]:
        scaled = scale * right
        if X.shape[0] < X.shape[1]:
            step = scale * (scaled - A.T @ inner(A @ scaled))
        else:
            step = scale * inner(scaled)
        step_b = (right_b - float(sums @ step)) / rest
        return step - step_b * of_sums, step_b

    return solution


def _inverse(A: FloatArray) -> Inverse:
    """Return what multiplies by the inverse of 1 + A A'."""
    if len(A) >= _LARGE:
        with np.errstate(over="ignore"):
            in_single = blas.ssyrk(1.0, A.astype(np.float32), lower=1)
        in_single[np.diag_indices_from(in_single)] += np.float32(1.0)
        factor, failed = lapack.spotrf(in_single, lower=1, overwrite_a=1, clean=0)
        if not failed:
            return _corrected(A, factor, lapack.spotrs)
    B = blas.dsyrk(1.0, A, lower=1)
    B[np.diag_indices_from(B)] += 1.0
    factor, failed = lapack.dpotrf(B, lower=1, clean=0)
    if not failed:
        return lambda right: lapack.dpotrs(factor, right, lower=1)[0]
    # features of very unequal ranges: 1 is lost beside the largest numbers
    B[np.diag_indices_from(B)] += _LOST * float(B.diagonal().max())
    factor, failed = lapack.dpotrf(B, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise np.linalg.LinAlgError("a Newton system is not positive definite")
    return _corrected(A, factor, lapack.dpotrs)


def _corrected(A: FloatArray, factor: Array, solve: Callable[..., Any]) -> Inverse:
    """Return the same from a factor of something near 1 + A A', by conjugate gradients."""

    def multiply(right: FloatArray) -> FloatArray:
        size = float(np.abs(right).max()) or 1.0  # single precision has a small range
        left = right / size
        goal = _EXACT * float(np.linalg.norm(left))
        found, along, old = np.zeros_like(left), np.zeros_like(left), 1.0
        for _ in range(_CORRECTIONS):
            near = solve(factor, left.astype(factor.dtype), lower=1)[0].astype(np.float64)
            new = float(left @ near)
            along = near + (new / old) * along
            image = along + A @ (A.T @ along)
            step = new / (float(along @ image) or 1.0)
            found += step * along
            left -= step * image
            old = new or 1.0
            if float(np.linalg.norm(left)) <= goal:
                break
        return found * size

    return multiply
