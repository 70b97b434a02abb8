import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from jobpool.brain.arrays import FloatArray
from jobpool.errors import DataError
from jobpool.learning.pipelines.base import Candidate, Kind, Predictions, Settings, Solver, Split
from jobpool.learning.pipelines.plain import PlainSolver
from jobpool.learning.pipelines.svm import SVM, GrowingKernel, SvmSolver

PLAIN, FAST = PlainSolver(pipeline=SVM), SvmSolver()
KINDS = pytest.mark.parametrize("kind", list(Kind))
SHAPES = pytest.mark.parametrize("n_features", [20, 300])  # less than participants, more than them
# in spreads of the predictions: libsvm stops at 1e-3 of its own measure, and sees single precision
TOLERANCE = 1e-6
N_TRAIN, N_TEST = 120, 60


def a_split(kind: Kind, n_features: int = 20, scaling: str = "robust") -> Split:
    """Return features with two constant columns, and others that are there twice or negated."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((N_TRAIN + N_TEST, n_features))
    y = X[:, :5].sum(axis=1) + rng.standard_normal(len(X))
    X[:, [7, 11]] = 3.0
    X[:, 12:16] = X[:, 2:6] * [1, 1, -1, -1]
    if kind is Kind.BINARY:
        y = (y > 0.8).astype(np.int64)
    settings = Settings(scaling=scaling)
    return Split(
        X_train=X[:N_TRAIN],
        y_train=y[:N_TRAIN],
        X_test=X[N_TRAIN:],
        kind=kind,
        settings=settings,
        seed=1,
    )


def solved(solver: Solver, split: Split, candidates: Sequence[Candidate]) -> list[Predictions]:
    return list(solver.solve(solver.prepare(split), candidates))


def predicted(predictions: Sequence[Predictions]) -> FloatArray:
    return np.array([one.predicted for one in predictions])


def decisions(predictions: Sequence[Predictions]) -> FloatArray:
    return np.array([one.decision for one in predictions])


def largest_difference(one: Sequence[Predictions], other: Sequence[Predictions]) -> float:
    """Return it in spreads of the predictions of one candidate."""
    left, right = decisions(one), decisions(other)
    spread = np.maximum(left.std(axis=1), 1e-9)
    return float((np.abs(left - right).max(axis=1) / spread).max())


@KINDS
@SHAPES
def test_predictions_equal_those_of_the_plain_pipeline(kind: Kind, n_features: int) -> None:
    split = a_split(kind, n_features)
    candidates = SVM.candidates(kind, 30, seed=1)

    plain, fast = solved(PLAIN, split, candidates), solved(FAST, split, candidates)

    assert largest_difference(plain, fast) < TOLERANCE


def test_classes_equal_those_of_the_plain_pipeline() -> None:
    split = a_split(Kind.BINARY)
    candidates = SVM.candidates(Kind.BINARY, 60, seed=2)

    plain, fast = solved(PLAIN, split, candidates), solved(FAST, split, candidates)

    assert np.array_equal(predicted(plain), predicted(fast))
    assert {one["class_weight"] for one in candidates} == {None, "balanced"}


@pytest.mark.parametrize("percentile", [50, 55, 61, 75, 83, 90, 94, 99])
def test_a_percentile_takes_the_features_that_scikit_learn_takes(percentile: int) -> None:
    split = a_split(Kind.REGRESSION)
    candidate: Candidate = {"C": 1.0, "gamma": 0.01, "percentile": percentile}
    selector = SVM.make(split.kind, candidate, split.settings, 1)[:-1]
    scaled = PLAIN.prepare(split)

    ranked = FAST.prepare(split)

    taken = selector.fit_transform(scaled.X_train, split.y_train)
    used = ranked.train[: ranked.count(percentile)].T
    assert np.array_equal(np.sort(used, axis=1), np.sort(taken, axis=1))


def test_a_decision_of_zero_has_the_class_that_libsvm_gives_it() -> None:
    split = a_split(Kind.BINARY, scaling="none")
    half = replace(split, y_train=np.arange(N_TRAIN) % 2)
    # so narrow that a participant of the test part is far from all: only the intercept is left
    candidate: Candidate = {"C": 0.5, "gamma": 1e3, "percentile": 50, "class_weight": None}

    plain, fast = solved(PLAIN, half, [candidate]), solved(FAST, half, [candidate])

    assert np.array_equal(plain[0].predicted, fast[0].predicted)
    assert set(fast[0].decision) == {0.0}


@KINDS
def test_a_chunk_gives_the_same_bits_after_other_chunks(kind: Kind) -> None:
    candidates = SVM.candidates(kind, 25, seed=3)
    prepared = FAST.prepare(a_split(kind))
    *others, last = [[candidates[at] for at in chunk] for chunk in FAST.chunks(candidates)]

    alone = list(FAST.solve(pickle.loads(pickle.dumps(prepared)), last))

    before = [list(FAST.solve(prepared, chunk)) for chunk in others]
    assert np.array_equal(decisions(alone), decisions(list(FAST.solve(prepared, last))))
    assert [len(one) for one in before] == [10, 10]


def test_candidates_come_back_in_the_order_in_which_they_were_given() -> None:
    split = a_split(Kind.REGRESSION)
    candidates = SVM.candidates(Kind.REGRESSION, 10, seed=4)

    given = decisions(solved(FAST, split, candidates))

    assert np.array_equal(given[::-1], decisions(solved(FAST, split, candidates[::-1])))


def test_every_candidate_is_in_one_chunk() -> None:
    candidates = SVM.candidates(Kind.REGRESSION, 60, seed=1)

    chunks = FAST.chunks(candidates)

    assert sorted(np.concatenate(chunks)) == list(range(60))


@KINDS
@pytest.mark.parametrize(
    ("name", "low", "high"), [("C", 1e-4, 1e4), ("gamma", 1e-6, 1.0), ("percentile", 50, 99)]
)
def test_candidates_lie_in_the_space_of_the_study(
    kind: Kind, name: str, low: float, high: float
) -> None:
    drawn = [float(str(one[name])) for one in SVM.candidates(kind, SVM.n_candidates, seed=1)]

    assert len(drawn) == 60
    assert low <= min(drawn) < max(drawn) <= high


def test_a_fit_that_stops_early_counts_as_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobpool.learning.pipelines.svm._MAX_ITERATIONS", 5)
    split = a_split(Kind.REGRESSION)
    candidates = SVM.candidates(Kind.REGRESSION, 1, seed=1)

    plain, fast = solved(PLAIN, split, candidates), solved(FAST, split, candidates)

    assert [plain[0].converged, fast[0].converged] == [False, False]


def test_a_kernel_grown_in_steps_is_the_kernel_of_all_features() -> None:
    rng = np.random.default_rng(1)
    train, test = rng.standard_normal((30, 300)), rng.standard_normal((30, 150))
    kernel = GrowingKernel(train, test)

    kernel.grow(4)
    kernel.grow(30)

    weights = rng.standard_normal(300)
    assert kernel.train(0.02) == pytest.approx(rbf_kernel(train.T, gamma=0.02), abs=1e-13)
    expected = rbf_kernel(test.T, train.T, gamma=0.02) @ weights
    assert kernel.test(0.02, weights) == pytest.approx(expected, abs=1e-12)


def test_a_kernel_is_exactly_symmetric() -> None:
    kernel = GrowingKernel(np.random.default_rng(1).standard_normal((9, 300)), np.zeros((9, 1)))
    kernel.grow(9)

    found = kernel.train(0.1)

    assert np.array_equal(found, found.T)
    assert np.array_equal(np.diag(found), np.ones(300))


def test_a_kernel_cannot_lose_features() -> None:
    kernel = GrowingKernel(np.ones((3, 4)), np.ones((3, 2)))
    kernel.grow(2)

    with pytest.raises(ValueError, match="from 2 features to 1"):
        kernel.grow(1)


def test_features_that_never_vary_are_an_error_that_says_so() -> None:
    split = Split(
        X_train=np.ones((20, 4)),
        y_train=np.arange(20.0),
        X_test=np.ones((5, 4)),
        kind=Kind.REGRESSION,
        settings=Settings(),
        seed=0,
    )

    with pytest.raises(DataError, match="are the same for all participants"):
        SvmSolver().prepare(split)
