from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef

from jobpool.brain.arrays import FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind, Predictions, Settings, Split
from jobpool.learning.pipelines.elastic import ELASTIC, ElasticSolver
from jobpool.learning.pipelines.logistic import Logistic, solve_logistic
from jobpool.learning.pipelines.plain import PlainSolver
from jobpool.learning.pipelines.scaling import scale

SOLVER = ElasticSolver()
PLAIN = PlainSolver(pipeline=ELASTIC)
SHAPES = [(120, 15), (60, 50), (40, 150)]  # the last: more than two features a participant


def a_split(kind: Kind, n: int, n_features: int, noise: float = 2.0) -> Split:
    """Return features that hang together, one constant and one of them twice."""
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n + 30, 5)) @ rng.standard_normal((5, n_features))
    X += rng.standard_normal(X.shape)
    X[:, 1] *= 100.0
    X[:, 2] = 3.0
    X[:, 4] = X[:, 3]
    signal = X[:, 5] - X[:, 7] + X[:, 3] + noise * rng.standard_normal(n + 30)
    y = signal if kind is Kind.REGRESSION else (signal > 0.5).astype(np.int64)
    return Split(X_train=X[:n], y_train=y[:n], X_test=X[n:], kind=kind, settings=Settings(), seed=1)


def predictions(
    solver: Any, split: Split, candidates: Sequence[Candidate]
) -> tuple[Predictions, ...]:
    return tuple(solver.solve(solver.prepare(split), candidates))


def decisions(found: Sequence[Predictions]) -> FloatArray:
    return np.array([one.decision for one in found])


def saga_to_the_end(split: Split, candidate: Candidate) -> FloatArray:
    scaled = scale(split)
    model = LogisticRegression(
        solver="saga", tol=1e-9, max_iter=200_000, random_state=0, **candidate
    )
    model.fit(scaled.X_train, split.y_train)
    found: FloatArray = model.decision_function(scaled.X_test)
    return found


@pytest.mark.parametrize(("n", "n_features"), SHAPES)
def test_regression_predicts_what_scikit_learn_does(n: int, n_features: int) -> None:
    split = a_split(Kind.REGRESSION, n, n_features)
    candidates = ELASTIC.candidates(Kind.REGRESSION, 60, seed=1)

    fast = predictions(SOLVER, split, candidates)

    plain = predictions(PLAIN, split, candidates)
    np.testing.assert_allclose(decisions(fast), decisions(plain), rtol=1e-8, atol=1e-8)
    assert [one.converged for one in fast] == [one.converged for one in plain]


def test_regression_without_a_gram_matrix_predicts_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = a_split(Kind.REGRESSION, 60, 50)
    candidates = ELASTIC.candidates(Kind.REGRESSION, 10, seed=1)
    with_gram = predictions(SOLVER, split, candidates)
    monkeypatch.setattr("jobpool.learning.pipelines.elastic._GRAM_FEATURES", 49)

    without = predictions(SOLVER, split, candidates)

    np.testing.assert_allclose(decisions(without), decisions(with_gram), rtol=1e-8, atol=1e-8)


def test_a_penalty_that_leaves_no_feature_predicts_the_mean() -> None:
    split = a_split(Kind.REGRESSION, 60, 50)
    candidate = {"alpha": 1e5, "l1_ratio": 0.5}

    (found,) = predictions(SOLVER, split, [candidate])

    assert found.predicted == pytest.approx(np.full(30, split.y_train.mean()))
    assert found.converged


# participants fewer than features can be told apart without error: only the penalty sets an end
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize(
    ("n", "n_features", "strength"), [(120, 15, 5.0), (120, 15, 0.05), (40, 60, 0.5)]
)
def test_a_binary_target_is_decided_as_by_saga_at_its_end(
    n: int, n_features: int, strength: float, class_weight: str | None
) -> None:
    split = replace(a_split(Kind.BINARY, n, n_features), settings=Settings(scaling="standard"))
    candidate = {"C": strength, "l1_ratio": 0.4, "class_weight": class_weight}

    (found,) = predictions(SOLVER, split, [candidate])

    expected = saga_to_the_end(split, candidate)
    assert found.converged
    assert np.abs(found.decision - expected).max() < 1e-3 * np.abs(expected).max()
    clear = np.abs(expected) > 1e-3 * np.abs(expected).max()
    assert (found.predicted == (expected > 0))[clear].all()


@pytest.mark.parametrize(("n", "n_features"), SHAPES)
@pytest.mark.parametrize("l1_ratio", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0, 1e5])
def test_no_small_change_improves_what_was_found(
    n: int, n_features: int, l1_ratio: float, strength: float
) -> None:
    split = a_split(Kind.BINARY, n, n_features)
    X = np.asfortranarray(scale(split).X_train)
    y = split.y_train.astype(np.float64)
    l1, l2 = l1_ratio / strength, (1 - l1_ratio) / strength
    problem = Logistic(X=X, y=y, weights=np.ones(n), l1=l1, l2=l2)

    found = solve_logistic(problem, 1e-7, 1000)

    def objective(w: FloatArray, b: float) -> float:
        return problem.loss(X @ w + b) + l1 * float(np.abs(w).sum()) + l2 / 2 * float(w @ w)

    w, b = found.coefficients, found.intercept
    reached = objective(w, b)
    directions = np.random.default_rng(0).standard_normal((200, n_features))
    sizes = np.abs(w).max() * np.tile([1e-2, 1e-3, 1e-4, 1e-5], 50)
    changes = [objective(w + size * d, b) for size, d in zip(sizes, directions, strict=True)]
    changes += [objective(w * factor, b) for factor in (0.9, 0.99, 1.01, 1.1)]
    changes += [objective(w, b + change) for change in (-0.1, -0.01, 0.01, 0.1)]
    assert found.converged
    assert min(changes) >= reached * (1 - 1e-6)


def test_a_large_problem_is_solved_like_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    split = a_split(Kind.BINARY, 60, 150)
    candidates = ELASTIC.candidates(Kind.BINARY, 20, seed=1)
    in_double = predictions(SOLVER, split, candidates)
    monkeypatch.setattr("jobpool.learning.pipelines.logistic._LARGE", 1)

    in_single = predictions(SOLVER, split, candidates)

    sizes = np.abs(decisions(in_double)).max(axis=1, keepdims=True)
    assert (np.abs(decisions(in_single) - decisions(in_double)) < 1e-3 * sizes).all()
    assert all(one.converged for one in in_single)


def test_binary_scores_are_those_of_the_plain_solver_with_a_tight_tolerance() -> None:
    split = a_split(Kind.BINARY, 120, 15, noise=6.0)
    split = replace(split, settings=Settings(scaling="standard", tolerance=1e-6))
    candidates = ELASTIC.candidates(Kind.BINARY, 20, seed=1)
    y = a_split(Kind.BINARY, 120, 15, noise=6.0).X_test[:, 5] > 0

    fast, plain = (
        [matthews_corrcoef(y, one.predicted) for one in predictions(solver, split, candidates)]
        for solver in (SOLVER, PLAIN)
    )

    assert fast == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_candidate_predicts_the_same_bits_in_any_company(kind: Kind) -> None:
    prepared = SOLVER.prepare(a_split(kind, 40, 150))
    candidates = ELASTIC.candidates(kind, 6, seed=1)
    together = decisions(list(SOLVER.solve(prepared, candidates)))

    alone = decisions([next(SOLVER.solve(prepared, [one])) for one in reversed(candidates)])

    assert (together[::-1] == alone).all()


@pytest.mark.parametrize("kind", list(Kind))
def test_memory_mapped_arrays_predict_the_same_bits(kind: Kind, tmp_path: Any) -> None:
    prepared = SOLVER.prepare(a_split(kind, 40, 150))
    candidates = ELASTIC.candidates(kind, 6, seed=1)
    joblib.dump(prepared, tmp_path / "prepared")
    mapped = joblib.load(tmp_path / "prepared", mmap_mode="r")

    found = decisions(list(SOLVER.solve(mapped, candidates)))

    assert (found == decisions(list(SOLVER.solve(prepared, candidates)))).all()


@pytest.mark.parametrize("kind", list(Kind))
def test_a_fit_that_was_stopped_says_so(kind: Kind) -> None:
    split = replace(a_split(kind, 60, 50), settings=Settings(max_iterations=1))
    weak = {"alpha": 1e-4, "C": 1e4, "l1_ratio": 0.5, "class_weight": None}

    (found,) = predictions(SOLVER, split, [weak])

    assert not found.converged
    assert np.isfinite(found.decision).all()


@pytest.mark.parametrize("kind", list(Kind))
def test_chunks_hold_every_candidate_once(kind: Kind) -> None:
    chunks = SOLVER.chunks(ELASTIC.candidates(kind, 60, seed=1))

    assert sorted(one for chunk in chunks for one in chunk) == list(range(60))
    assert len(chunks) == 12


def test_each_chunk_has_weak_penalties_as_well_as_strong() -> None:
    candidates = ELASTIC.candidates(Kind.REGRESSION, 60, seed=1)

    chunks = SOLVER.chunks(candidates)

    alphas = [[float(candidates[one]["alpha"] or 0) for one in chunk] for chunk in chunks]
    assert max(min(chunk) for chunk in alphas) < 1e-2
    assert min(max(chunk) for chunk in alphas) > 1e2
