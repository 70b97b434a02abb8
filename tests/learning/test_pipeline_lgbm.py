import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from jobpool.brain.arrays import FloatArray
from jobpool.learning.pipelines.base import Candidate, Kind, Predictions, Settings, Solver, Split
from jobpool.learning.pipelines.lgbm import LGBM, LgbmSolver, reaches, surely_constant
from jobpool.learning.pipelines.plain import PlainSolver

PLAIN, FAST = PlainSolver(pipeline=LGBM), LgbmSolver()
KINDS = pytest.mark.parametrize("kind", list(Kind))
N_TRAIN, N_TEST = 400, 80


def a_split(kind: Kind, n_features: int = 12) -> Split:
    """Return features of which one is constant and some are mostly zero."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((N_TRAIN + N_TEST, n_features))
    y = X[:, :5].sum(axis=1) + rng.standard_normal(len(X))
    X[:, 7] = 3.0
    X[:, 8:11] = np.maximum(X[:, 8:11] - [0.5, 1.0, 1.5], 0.0)
    if kind is Kind.BINARY:
        y = (y > 0.8).astype(np.int64)
    return Split(
        X_train=X[:N_TRAIN],
        y_train=y[:N_TRAIN],
        X_test=X[N_TRAIN:],
        kind=kind,
        settings=Settings(),
        seed=2**40 + 1,
    )


def a_candidate(kind: Kind = Kind.REGRESSION, **changed: float | str | None) -> Candidate:
    candidate: dict[str, float | str | None] = {
        "boosting_type": "gbdt",
        "n_estimators": 20,
        "num_leaves": 15,
        "min_child_samples": 10,
        "min_child_weight": 1e-3,
        "subsample": 0.7,
        "colsample_bytree": 0.7,
        "reg_alpha": 0.0,
        "reg_lambda": 0.1,
    }
    return candidate | ({"class_weight": None} if kind is Kind.BINARY else {}) | changed


def short(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return them with few trees."""
    return [{**one, "n_estimators": int(str(one["n_estimators"])) // 8 + 1} for one in candidates]


def solved(solver: Solver, split: Split, candidates: Sequence[Candidate]) -> list[Predictions]:
    return list(solver.solve(solver.prepare(split), candidates))


def decisions(predictions: Sequence[Predictions]) -> FloatArray:
    return np.array([one.decision for one in predictions])


@KINDS
@pytest.mark.parametrize(  # less than participants, more than them
    ("n_features", "n_candidates"), [(12, 60), (450, 12)]
)
def test_predictions_are_those_of_the_plain_estimator_to_the_bit(
    kind: Kind, n_features: int, n_candidates: int
) -> None:
    split = a_split(kind, n_features)
    candidates = short(LGBM.candidates(kind, n_candidates, seed=1))

    plain, fast = solved(PLAIN, split, candidates), solved(FAST, split, candidates)

    assert np.array_equal(decisions(plain), decisions(fast))
    assert np.array_equal([one.predicted for one in plain], [one.predicted for one in fast])


@KINDS
@pytest.mark.parametrize("boosting", ["gbdt", "dart", "goss"])
@pytest.mark.parametrize("min_child_samples", [10, 40, 120])
def test_trees_are_those_of_the_plain_estimator_for_every_way_of_boosting(
    kind: Kind, boosting: str, min_child_samples: int
) -> None:
    split = a_split(kind)
    candidate = a_candidate(kind, boosting_type=boosting, min_child_samples=min_child_samples)

    plain, fast = solved(PLAIN, split, [candidate]), solved(FAST, split, [candidate])

    assert np.array_equal(decisions(plain), decisions(fast))
    assert np.ptp(decisions(fast)) > 0


@KINDS
@pytest.mark.parametrize("boosting", ["gbdt", "dart", "goss"])
@pytest.mark.parametrize(
    "hopeless", [{"min_child_samples": 201}, {"min_child_weight": 201.0}, {"min_child_weight": 1e4}]
)
def test_a_candidate_without_a_split_is_the_constant_of_the_plain_estimator(
    kind: Kind, boosting: str, hopeless: dict[str, float]
) -> None:
    split = a_split(kind)
    candidate = a_candidate(kind, boosting_type=boosting, **hopeless)

    plain, fast = solved(PLAIN, split, [candidate]), solved(FAST, split, [candidate])

    assert np.array_equal(decisions(plain), decisions(fast))
    assert np.ptp(decisions(plain)) == 0
    assert surely_constant(kind, candidate, reaches(split.X_train), N_TRAIN)


def test_class_weights_of_one_candidate_do_not_reach_the_next() -> None:
    split = a_split(Kind.BINARY)
    weighted = a_candidate(Kind.BINARY, class_weight="balanced")
    candidates = [a_candidate(Kind.BINARY), weighted, a_candidate(Kind.BINARY)]

    first, second, third = decisions(solved(FAST, split, candidates))

    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)


@KINDS
def test_a_chunk_gives_the_same_bits_after_other_chunks(kind: Kind) -> None:
    candidates = short(LGBM.candidates(kind, 30, seed=3))
    prepared = FAST.prepare(a_split(kind))
    *others, last = [[candidates[at] for at in chunk] for chunk in FAST.chunks(candidates)]

    alone = list(FAST.solve(pickle.loads(pickle.dumps(prepared)), last))

    before = [list(FAST.solve(prepared, chunk)) for chunk in others]
    assert np.array_equal(decisions(alone), decisions(list(FAST.solve(prepared, last))))
    assert [len(one) for one in before] == [10, 10]


def test_the_order_of_candidates_changes_no_prediction() -> None:
    split = a_split(Kind.REGRESSION)
    candidates = short(LGBM.candidates(Kind.REGRESSION, 30, seed=4))

    given = decisions(solved(FAST, split, candidates))

    assert np.array_equal(given[::-1], decisions(solved(FAST, split, candidates[::-1])))


def test_every_candidate_is_in_one_chunk() -> None:
    candidates = LGBM.candidates(Kind.REGRESSION, 180, seed=1)

    chunks = FAST.chunks(candidates)

    assert sorted(np.concatenate(chunks)) == list(range(180))
    assert len(chunks) == 15


@pytest.mark.parametrize(("boosting", "alive"), [("gbdt", True), ("dart", True), ("goss", False)])
def test_subsample_has_an_effect_wherever_rows_are_bagged(boosting: str, alive: bool) -> None:
    split = a_split(Kind.REGRESSION)
    candidates = [a_candidate(boosting_type=boosting, subsample=one) for one in (0.3, 0.9)]

    few, many = decisions(solved(PLAIN, split, candidates))

    assert np.array_equal(few, many) is not alive


def test_another_seed_draws_other_rows() -> None:
    split = a_split(Kind.REGRESSION)
    other = replace(split, seed=split.seed + 1)

    one = decisions(solved(FAST, split, [a_candidate()]))

    assert not np.array_equal(one, decisions(solved(FAST, other, [a_candidate()])))


@KINDS
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("n_estimators", 3, 500),
        ("num_leaves", 6, 80),
        ("min_child_samples", 10, 500),
        ("min_child_weight", 1e-5, 1e4),
        ("subsample", 0.3, 0.95),
        ("colsample_bytree", 0.3, 0.95),
        ("reg_alpha", 0, 1),
        ("reg_lambda", 0, 1),
    ],
)
def test_candidates_lie_in_the_space_of_the_study(
    kind: Kind, name: str, low: float, high: float
) -> None:
    drawn = [float(str(one[name])) for one in LGBM.candidates(kind, LGBM.n_candidates, seed=1)]

    assert len(drawn) == 180
    assert low <= min(drawn) < max(drawn) <= high


def test_half_of_the_penalties_are_zero() -> None:
    candidates = LGBM.candidates(Kind.REGRESSION, 1000, seed=1)

    zeros = sum(one["reg_alpha"] == 0 for one in candidates)

    assert 450 < zeros < 550


def test_the_reach_of_a_feature_is_the_most_even_split() -> None:
    X = np.array([[1, 0, 5, 0], [2, 0, 5, 0], [3, 0, 5, 1], [4, 1, 5, 1], [5, 0, 5, 1]], np.float64)

    reach = reaches(X)

    assert reach.tolist() == [2, 1, 0, 2]


def test_leaves_just_small_enough_may_grow() -> None:
    split = a_split(Kind.REGRESSION)
    candidate = a_candidate(boosting_type="goss", min_child_samples=N_TRAIN // 2)

    constant = surely_constant(split.kind, candidate, reaches(split.X_train), N_TRAIN)

    assert not constant


def test_bagging_leaves_fewer_rows_for_a_split() -> None:
    split = a_split(Kind.REGRESSION)
    candidate = a_candidate(subsample=0.3, min_child_samples=120)

    constant = surely_constant(split.kind, candidate, reaches(split.X_train), N_TRAIN)

    assert constant
    assert np.ptp(decisions(solved(PLAIN, split, [candidate]))) == 0


def test_lightgbm_is_not_loaded_before_it_is_used() -> None:
    code = "import sys, jobpool.learning.pipelines.lgbm; print('lightgbm' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "False"


def test_dart_predicts_around_the_mean_of_the_target() -> None:
    split = a_split(Kind.REGRESSION)
    far = replace(split, y_train=split.y_train + 1000.0)

    (found,) = solved(FAST, far, [a_candidate(boosting_type="dart")])

    assert abs(found.predicted.mean() - far.y_train.mean()) < split.y_train.std()
