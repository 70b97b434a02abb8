"""Support vectors: the best features by their F score, then a Gaussian kernel of their distances.

libsvm is slow where features are many, as it works through all of them for every pair of
participants, again for every candidate. `SvmSolver` gives it finished kernels, and shares work:

- Features are scaled, tested for variance and ranked by their F score once per split. A percentile
  takes the first so many of the ranking, by scikit-learn's own rule.
- Candidates of a chunk are sorted by percentile, so that each only adds the features by which it
  exceeds the one before.
- Predictions are a product of the kernel and libsvm's weights, without libsvm.

libsvm sees the same kernel but for the last digits, and rounds it to single precision.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.blas import dgemm, dsyrk
from sklearn import config_context
from sklearn.feature_selection import SelectPercentile, VarianceThreshold, f_classif, f_regression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, SVR

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import DataError
from jobpool.learning.pipelines.base import (
    Candidate,
    Dimension,
    Kind,
    Pipeline,
    Predictions,
    Settings,
    Split,
)
from jobpool.learning.pipelines.plain import fit_model
from jobpool.learning.pipelines.scaling import scale

_CHUNK = 10  # candidates; smaller chunks are more work in all: each multiplies the features again
# libsvm's own limit, which scikit-learn lifts: large C with few features may not end in an hour.
# A lower one would stop models that converge, where the last digit of the kernel decides.
_MAX_ITERATIONS = 10_000_000
_BLOCK = 128  # rows of a kernel that are worked on together, to stay in the processor's cache


def make_svm(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:  # noqa: ARG001 (as any `make`)
    """Return the plain estimator, with the tolerance that libsvm has by default."""
    selector = _selector(kind).set_params(percentile=candidate["percentile"])
    return make_pipeline(VarianceThreshold(), selector, _machine(kind, candidate, "rbf"))


def _selector(kind: Kind) -> Any:
    return SelectPercentile(f_regression if kind is Kind.REGRESSION else f_classif)


def _machine(kind: Kind, candidate: Candidate, kernel: str) -> Any:
    drop = {"percentile"} if kernel == "rbf" else {"percentile", "gamma"}
    given = {name: value for name, value in candidate.items() if name not in drop}
    return (SVR if kind is Kind.REGRESSION else SVC)(
        kernel=kernel, max_iter=_MAX_ITERATIONS, **given
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranked:
    """A split with scaled features, the best first; participants are neighbours in memory."""

    train: FloatArray  # (n_features, n_train)
    test: FloatArray  # (n_features, n_test)
    y_train: Array
    kind: Kind
    selector: Any  # fitted; knows how many features a percentile takes

    def count(self, percentile: float) -> int:
        """Return how many features scikit-learn takes, the first of equal ones at the border."""
        selector = copy.copy(self.selector).set_params(percentile=percentile)
        return int(selector.get_support().sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmSolver:
    """Fits candidates on kernels that share what they have in common."""

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        """Return neighbours in percentile."""
        ranked = sorted(range(len(candidates)), key=lambda one: _percentile(candidates[one]))
        return [ranked[start : start + _CHUNK] for start in range(0, len(ranked), _CHUNK)]

    def prepare(self, split: Split) -> Ranked:
        """Return scaled features in the order of their F scores."""
        scaled = scale(split)
        # as VarianceThreshold decides, which raises where nothing varies
        X = scaled.X_train
        varies = np.minimum(X.var(axis=0), np.ptp(X, axis=0)) > 0
        if not varies.any():
            what = "are the same for all participants of a training part; leave svm out here"
            raise DataError("the values of all parcels", what)
        selector = _selector(split.kind).fit(scaled.X_train[:, varies], split.y_train)
        # undefined scores come last, and the first of equal scores first, as in scikit-learn
        order = np.argsort(-np.nan_to_num(selector.scores_, nan=-np.inf), kind="stable")
        best = np.flatnonzero(varies)[order]
        return Ranked(
            train=np.ascontiguousarray(scaled.X_train.T[best]),
            test=np.ascontiguousarray(scaled.X_test.T[best]),
            y_train=split.y_train,
            kind=split.kind,
            selector=selector,
        )

    def solve(self, prepared: Ranked, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        """Yield the predictions of each candidate."""
        found: dict[int, Predictions] = {}
        kernel = GrowingKernel(prepared.train, prepared.test)
        for position in sorted(
            range(len(candidates)), key=lambda one: _percentile(candidates[one])
        ):
            kernel.grow(prepared.count(_percentile(candidates[position])))
            found[position] = _solve_one(prepared, kernel, candidates[position])
        yield from (found[position] for position in range(len(candidates)))


class GrowingKernel:
    """The Gaussian kernel of a split, shared by candidates that differ in features and width.

    It keeps inner products of participants over the first features of a ranking. A product is a sum
    over features, so that more features are added to it, and none is multiplied again. The result
    depends on the steps in its last digits: the same steps give the same bits.

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


def _solve_one(ranked: Ranked, kernel: GrowingKernel, candidate: Candidate) -> Predictions:
    gamma = float(candidate["gamma"])  # type: ignore[arg-type]  # a range of numbers
    machine = _machine(ranked.kind, candidate, "precomputed")
    # what is checked here was checked before: 1 ms of 4 where participants are few
    with config_context(assume_finite=True, skip_parameter_validation=True):
        converged = fit_model(machine, kernel.train(gamma), ranked.y_train)
    weights = np.zeros(len(ranked.y_train))
    weights[machine.support_] = machine.dual_coef_[0]
    decision = kernel.test(gamma, weights) + machine.intercept_[0]
    predicted: Array = decision
    if ranked.kind is Kind.BINARY:  # libsvm takes the second class at 0 itself
        predicted = machine.classes_[(decision >= 0).astype(np.intp)]
    return Predictions(predicted=predicted, decision=decision, converged=converged)


def _percentile(candidate: Candidate) -> float:
    return float(candidate["percentile"])  # type: ignore[arg-type]  # a range of numbers


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


_RANGES = (
    Dimension(name="C", low=1e-4, high=1e4, log=True),
    Dimension(name="gamma", low=1e-6, high=1.0, log=True),
    Dimension(name="percentile", low=50, high=99, whole=True),
)
SVM = Pipeline(
    name="svm",
    spaces={
        Kind.REGRESSION: _RANGES,
        Kind.BINARY: (*_RANGES, Dimension(name="class_weight", choices=(None, "balanced"))),
    },
    make=make_svm,
    solver=SvmSolver(),
    has_unit=True,  # `C`, and the width of the tube, 0.1
)
