"""Logistic regression with an elastic net, down to a duality gap: an interior point method.

What is minimised over coefficients w and intercept b, for labels y of 0 and 1 and weights s:

    sum_i s_i log(1 + exp((1 - 2 y_i) (x_i w + b))) + l1 ||w||_1 + l2 / 2 ||w||^2

which is scikit-learn's objective over C. The coefficients are split into positive and negative
parts, kept above zero by a logarithmic barrier [1]_; predictor and corrector set the barrier
[2]_, and a line search makes every step safe. It takes 5 to 60 Newton steps whatever the ranges
of the features are, where methods with cheap steps take thousands. Under a strong penalty few
features count: the problem is solved for those, and the gap of all says whether more must come in.

The linear system of a Newton step is solved in the smaller of participants and features. With A
the features, each row times the root of its participant's curvature and each column over the root
of its diagonal, it all comes down to the inverse of 1 + A A' or 1 + A' A. A large one is factored
in single precision, which takes half the time; two or three steps of conjugate gradients then make
its solution nearly exact.

References
----------
.. [1] Koh, Kim and Boyd, "An interior-point method for large-scale l1-regularized logistic
   regression", J Mach Learn Res 8:1519, 2007.
.. [2] Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J Optim
   2:575, 1992.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack
from scipy.special import expit

from jobpool.brain.arrays import Array, FloatArray

_SIGNS = np.array([[1.0], [-1.0]])
_SHARE = 0.99  # of the way to the nearest bound
_CENTRING = 0.1  # a barrier that vanishes before the slopes are met leaves tiny steps only
_SHORTEST = 1e-12
_PATIENCE = 100  # steps without a smaller gap: as far as the precision of the numbers goes
_LEAST = 1e-7  # of one penalty by the other: the method needs both
_LEAST_CURVATURE = 1e-14  # of the weight, where a participant is far on the right side
_STRONG = 0.05  # an l1 above this share of the one that leaves no feature
_FIRST_FEATURES = 100
_MANY = 0.4  # of the features: solve for all
_LARGE = 500  # below this the correction costs more than single precision saves
_EXACT = 1e-4  # of the right-hand side; what is left is made up by the next Newton step
_CORRECTIONS = 50
_LOST = 1e-13  # of the largest number on the diagonal
Inverse = Callable[[FloatArray], FloatArray]
System = Callable[[FloatArray, float], tuple[FloatArray, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logistic:
    """One problem."""

    X: FloatArray  # (n, n_features), Fortran-ordered
    y: FloatArray  # (n,): 0 or 1, both present
    weights: FloatArray  # (n,): above 0
    l1: float
    l2: float  # not 0 as well

    def loss(self, z: FloatArray) -> float:
        """Return the weighted logistic loss of decision values."""
        return float(self.weights @ np.logaddexp(0.0, (1.0 - 2.0 * self.y) * z))

    def null(self) -> float:
        """Return the intercept that is best without any feature."""
        positive = float(self.weights @ self.y)
        return float(np.log(positive / (float(self.weights.sum()) - positive)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """What was found."""

    coefficients: FloatArray  # (n_features,)
    intercept: float
    converged: bool
    n_steps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Point:
    """Where the method stands."""

    coefficients: FloatArray  # (n_features,)
    intercept: float
    z: FloatArray  # (n,): decision values
    parts: FloatArray  # (2, n_features), above 0: positive and negative part of each coefficient
    slacks: FloatArray  # (2, n_features), above 0: their dual variables


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What the problem looks like from there."""

    residuals: FloatArray  # (n,): derivatives of the loss by the decision values
    curvature: FloatArray  # (n,): second ones
    pull: FloatArray  # (n_features,): derivatives of the loss by the coefficients
    gap: float  # duality gap: how far the objective can be above its minimum
    objective: float


def solve_logistic(problem: Logistic, tolerance: float, max_steps: int) -> Solution:
    """Minimise until the duality gap is at most `tolerance` of the objective."""
    l1, l2 = problem.l1, problem.l2
    problem = replace(problem, l1=max(l1, _LEAST * l2), l2=max(l2, _LEAST * l1))
    n, n_features = problem.X.shape
    w, b = np.zeros(n_features), problem.null()
    view = _look(problem, w, b, np.full(n, b))
    chosen = np.zeros(n_features, dtype=np.bool_)
    strong = problem.l1 > _STRONG * float(np.abs(view.pull).max(initial=0.0))
    size, n_steps = _FIRST_FEATURES if strong else n_features, 0
    while view.gap > tolerance * view.objective and n_steps < max_steps:
        more = _with_more(np.abs(view.pull), chosen, problem.l1, size)
        if more.sum() == chosen.sum():  # all of them were in
            break
        chosen, size = more, 4 * size
        part = replace(problem, X=np.asfortranarray(problem.X[:, chosen]))
        point, steps = _interior(part, tolerance / 2, max_steps - n_steps)
        n_steps += steps
        w[chosen], b = point.coefficients, point.intercept
        view = _look(problem, w, b, point.z)
    converged = view.gap <= tolerance * view.objective
    return Solution(coefficients=w, intercept=b, converged=converged, n_steps=n_steps)


def _with_more(pull: FloatArray, chosen: Array, l1: float, size: int) -> Array:
    """Return the chosen features and those that pull most, or all if that makes many."""
    pulling = (pull > l1) & ~chosen
    count = min(int(pulling.sum()), size)
    if count == 0 or int(chosen.sum()) + count > _MANY * len(pull):
        return np.ones_like(chosen)
    more = chosen.copy()
    more[np.argsort(np.where(pulling, -pull, 0.0), kind="stable")[:count]] = True
    return more


def _look(problem: Logistic, w: FloatArray, b: float, z: FloatArray) -> _View:
    q = expit(z)
    residuals = problem.weights * (q - problem.y)
    pull = problem.X.T @ residuals
    penalty = problem.l1 * np.abs(w) + problem.l2 / 2 * w * w
    beyond = np.maximum(np.abs(pull) - problem.l1, 0.0)
    # each feature's part is 0 or more: the penalty, its conjugate, and their product
    gap = float((penalty + beyond * beyond / (2 * problem.l2) + w * pull).sum())
    return _View(
        residuals=residuals,
        curvature=problem.weights * np.maximum(q * (1.0 - q), _LEAST_CURVATURE),
        pull=pull,
        gap=gap + abs(b * float(residuals.sum())),
        objective=problem.loss(z) + float(penalty.sum()),
    )


def _interior(problem: Logistic, tolerance: float, max_steps: int) -> tuple[_Point, int]:
    """Return the point of the smallest gap, and the number of steps."""
    point = best = _start(problem)
    smallest, since = np.inf, 0
    for step in range(max_steps + 1):
        view = _look(problem, point.coefficients, point.intercept, point.z)
        since += 1
        if view.gap < smallest:
            best, smallest, since = point, view.gap, 0
        if view.gap <= tolerance * view.objective or since > _PATIENCE or step == max_steps:
            break
        try:
            following = _advance(problem, point, view)
        except np.linalg.LinAlgError:
            break
        if following is None:
            break
        point = following
    return best, step


def _start(problem: Logistic) -> _Point:
    n, n_features = problem.X.shape
    z = np.full(n, problem.null())
    view = _look(problem, np.zeros(n_features), problem.null(), z)
    barrier = 0.1 * view.objective / (2 * n_features)
    # a feature of large range starts with a small part
    slacks = np.maximum(problem.l1, 0.01 * np.abs(view.pull))
    return _Point(
        coefficients=np.zeros(n_features),
        intercept=problem.null(),
        z=z,
        parts=np.tile(barrier / slacks, (2, 1)),
        slacks=np.tile(slacks, (2, 1)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Move:
    """A change of a point."""

    parts: FloatArray
    slacks: FloatArray
    coefficients: FloatArray
    intercept: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tangent:
    """The conditions of the minimum, made linear at a point."""

    at: _Point
    slope: FloatArray  # (2, n_features): of the objective by the parts
    excess: float  # the sum of the residuals
    bend: FloatArray  # (n_features,)
    system: System

    def move(self, target: FloatArray) -> _Move:
        """Return the move that brings parts times slacks to change by `target`."""
        parts, slacks = self.at.parts, self.at.slacks
        unmet = self.slope - slacks
        wanted = (_SIGNS * (target - parts * unmet) / slacks).sum(axis=0)
        w, b = self.system(self.bend * wanted, -self.excess)
        d_slacks = unmet + _SIGNS * (self.bend * (wanted - w))
        return _Move(
            parts=(target - parts * d_slacks) / slacks, slacks=d_slacks, coefficients=w, intercept=b
        )


def _advance(problem: Logistic, at: _Point, view: _View) -> _Point | None:
    """Return the next point, or None if no step helps any more."""
    bend = 1.0 / (at.parts / at.slacks).sum(axis=0)
    tangent = _Tangent(
        at=at,
        slope=problem.l1 + _SIGNS * (view.pull + problem.l2 * at.coefficients),
        excess=float(view.residuals.sum()),
        bend=bend,
        system=newton_system(problem.X, view.curvature, problem.l2 + bend),
    )
    move, barrier, descent = _aim(tangent)
    d_z = problem.X @ move.coefficients + move.intercept
    length = min(1.0, _SHARE * _reach(at.parts, move.parts))
    dual_length = min(1.0, _SHARE * _reach(at.slacks, move.slacks))
    slacks = at.slacks + dual_length * move.slacks
    here = _merit(problem, at, barrier)
    allowed = 1e-12 * abs(here)  # what rounding may add
    while length > _SHORTEST:
        w = at.coefficients + length * move.coefficients
        there = _Point(
            coefficients=w,
            intercept=at.intercept + length * move.intercept,
            z=at.z + length * d_z,
            parts=_fitting(at.parts + length * move.parts, w),
            slacks=slacks,
        )
        if _merit(problem, there, barrier) <= here + 1e-4 * length * descent + allowed:
            return there
        length /= 2
    return None


def _fitting(parts: FloatArray, w: FloatArray) -> FloatArray:
    """Return parts whose difference is `w`: two that are large lose it to rounding."""
    positive, negative = parts
    return np.where(w >= 0, (w + negative, negative), (positive, positive - w))


def _aim(tangent: _Tangent) -> tuple[_Move, float, float]:
    """Return the next move, the barrier it is for, and the slope of the merit along it."""
    at = tangent.at
    products = at.parts * at.slacks
    level = float(products.mean())
    ahead = tangent.move(-products)
    parts = at.parts + min(1.0, _reach(at.parts, ahead.parts)) * ahead.parts
    slacks = at.slacks + min(1.0, _reach(at.slacks, ahead.slacks)) * ahead.slacks
    share = min(1.0, max((float((parts * slacks).mean()) / level) ** 3, 1e-4))
    unmet = float((np.abs(tangent.slope - at.slacks) * at.parts).mean())
    barrier = max(share * level, min(level, _CENTRING * unmet))
    descending = tangent.slope - barrier / at.parts
    for correction in (ahead.parts * ahead.slacks, np.zeros_like(products)):
        move = tangent.move(barrier - products - correction)
        descent = float((descending * move.parts).sum()) + tangent.excess * move.intercept
        if descent < 0:
            break
    return move, barrier, descent


def _merit(problem: Logistic, at: _Point, barrier: float) -> float:
    w = at.coefficients
    penalty = problem.l1 * float(at.parts.sum()) + problem.l2 / 2 * float(w @ w)
    return problem.loss(at.z) + penalty - barrier * float(np.log(at.parts).sum())


def _reach(values: FloatArray, change: FloatArray) -> float:
    """Return how far `values` can go until one of them is 0."""
    falling = change < 0
    return float((values[falling] / -change[falling]).min(initial=1.0 / _SHARE))


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
