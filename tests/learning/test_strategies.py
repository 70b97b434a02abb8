from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike
from sklearn import config_context

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.fits import Fitted
from jobpool.learning.pipelines.base import Kind, Predictions, Settings
from jobpool.learning.splits import deal_groups
from jobpool.learning.strategies import (
    STRATEGIES,
    FoldMembers,
    NothingComparedError,
    TooFewTogetherError,
    grid,
    stacked,
    voted,
)
from tests.support.ensembles import (
    COLUMNS,
    FAMILY,
    GROUPS,
    MEMBERS,
    N_CANDIDATES,
    SEED,
    TARGETS,
    X,
    a_recipe,
    fitted_members,
)
from tests.support.independent import (
    SearchingClassifier,
    SearchingRegressor,
    ensemble,
    steps_of,
)

LINEAR, LOGISTIC, SVM = KINDS = (
    ("elastic", Kind.REGRESSION),
    ("elastic", Kind.BINARY),
    ("svm", Kind.BINARY),  # has no probabilities of its own, which a grid does not need
)
CASES = [(one, *kind) for one in STRATEGIES for kind in KINDS if (one, kind) != ("grid", SVM)]
Y = np.array([3.0, 5, 2, 8, 4, 6, 1, 9, 7, 2, 5, 8])
slow_saga = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def deal(rows: Array, n_folds: int, seed: str) -> Array:
    return deal_groups([GROUPS[row] for row in rows], n_folds, seed)


def splits() -> tuple[Array, Array, dict[bytes, Array]]:
    """Return test part, training part, and the inner folds of whatever is trained on."""
    outer = deal(np.arange(len(X)), 5, f"outer {SEED}")
    train = np.flatnonzero(outer != 0)
    inner = deal(train, 3, f"inner {SEED} 0")
    folds_of = {train.tobytes(): inner}
    for fold in range(3):
        rest = train[inner != fold]
        folds_of[rest.tobytes()] = deal(rest, 3, f"inner {SEED} 0 {fold}")
    return np.flatnonzero(outer == 0), train, folds_of


def in_scikit_learn(strategy: str, pipeline: str, kind: Kind) -> tuple[Array, Array]:
    """Return what the ensemble predicts, and the probability of the positive class if binary."""
    test, train, folds_of = splits()
    candidates = MEMBERS[pipeline].candidates(kind, N_CANDIDATES, SEED)
    searching = SearchingRegressor if kind is Kind.REGRESSION else SearchingClassifier
    steps = steps_of(pipeline, kind, SEED)
    members = [searching(columns, steps, candidates, folds_of) for columns in COLUMNS]
    model = ensemble(strategy, kind, members, folds_of[train.tobytes()])
    with config_context(assume_finite=True, skip_parameter_validation=True):  # half of the time
        model.fit(X[train], TARGETS[kind].y[train])
    predicted = model.predict(X[test])
    return predicted, predicted if kind is Kind.REGRESSION else model.predict_proba(X[test])[:, 1]


def probabilities(predictions: Predictions) -> FloatArray:
    return predictions.decision if predictions.probability is None else predictions.probability


@cache
def members(pipeline: str, kind: Kind) -> FoldMembers:
    return fitted_members(a_recipe(pipeline, kind, plain=True))


@cache
def members_at_the_optimum(kind: Kind) -> FoldMembers:
    """Return plain members whose saga takes as many passes as it likes."""
    settings = Settings(tolerance=1e-5, max_iterations=1_000_000)
    return fitted_members(a_recipe("elastic", kind, plain=True, settings=settings))


@cache
def fast_members(pipeline: str, kind: Kind) -> FoldMembers:
    return fitted_members(a_recipe(pipeline, kind))


@slow_saga
@pytest.mark.parametrize(("strategy", "pipeline", "kind"), CASES)
def test_an_ensemble_of_plain_members_equals_that_of_scikit_learn(
    strategy: str, pipeline: str, kind: Kind
) -> None:
    predicted, probability = in_scikit_learn(strategy, pipeline, kind)

    found = STRATEGIES[strategy](members(pipeline, kind)).predictions

    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(probabilities(found), probability, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("pipeline", "kind"), [LINEAR, SVM])
def test_fast_members_make_the_ensemble_of_plain_ones(
    pipeline: str, kind: Kind, strategy: str
) -> None:
    expected = STRATEGIES[strategy](members(pipeline, kind))

    found = STRATEGIES[strategy](fast_members(pipeline, kind))

    assert found.chosen == expected.chosen
    decisions = found.predictions.decision, expected.predictions.decision
    np.testing.assert_allclose(*decisions, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fast_logistic_members_make_the_ensemble_of_plain_ones_at_the_optimum(
    strategy: str,
) -> None:
    expected = STRATEGIES[strategy](members_at_the_optimum(Kind.BINARY))

    found = STRATEGIES[strategy](fast_members("elastic", Kind.BINARY))

    assert found.chosen == expected.chosen
    decisions = found.predictions.decision, expected.predictions.decision
    np.testing.assert_allclose(*decisions, atol=1e-3)


def test_no_family_is_divided_where_strengths_of_the_penalty_are_compared() -> None:
    fits = fast_members("elastic", Kind.REGRESSION).inners[1]

    families = [set(FAMILY[one.rows].tolist()) for one in fits]

    assert [len(one) for one in families] == [8, 8, 8]
    assert len(set.union(*families)) == 24


def a_fit(rows: Sequence[int], predicted: ArrayLike, *, binary: bool = False) -> Fitted:
    values = np.asarray(predicted, dtype=np.float64)
    return Fitted(
        rows=np.array(rows, dtype=np.int32),
        predicted=np.greater(values, 0.5).astype(float) if binary else values,
        decision=values,
        probability=values if binary else None,
        chosen={},
        candidate=0,
        search_score=0.0,
        n_train=6,
        n_unconverged=0,
        converged=True,
        seconds=0.0,
    )


def some_members(*inners: Sequence[Fitted], **changes: Any) -> FoldMembers:
    """Return members of twelve participants, of whom the last four are tested."""
    usual: dict[str, Any] = {
        "fold": 2,
        "kind": Kind.REGRESSION,
        "metric": "mae",
        "y": Y,
        "names": ("a", "b", "c")[: len(inners)],
        "wholes": tuple(a_fit(range(8, 12), Y[8:]) for _ in inners),
        "inners": tuple(tuple(one) for one in inners),
    }
    return FoldMembers(**(usual | changes))


def off_by(error: float, y: Array = Y) -> tuple[Fitted, Fitted]:
    """Return fits that predict two inner folds, each participant too high by `error`."""
    return a_fit(range(4), y[:4] + error), a_fit(range(4, 8), y[4:8] + error)


def test_who_is_not_predicted_by_every_member_is_left_out() -> None:
    wholes = (a_fit([8, 9, 11], [1, 2, 4]), a_fit([9, 10, 11], [4, 5, 6]))

    found = voted(some_members((), (), wholes=wholes))

    assert found.rows.tolist() == [9, 11]
    assert found.predictions.predicted.tolist() == [3, 5]
    assert found.n_left_out == 2


def test_only_participants_of_all_members_are_compared() -> None:
    far = a_fit(range(4), [*Y[:3], 99])

    found = grid(some_members((far, off_by(0)[1]), (a_fit(range(3), Y[:3] + 1), off_by(1)[1])))

    assert found.chosen == {"member": "a"}
    assert found.search_score == 0


def test_a_mean_of_one_half_is_not_the_positive_class() -> None:
    wholes = (
        a_fit(range(8, 12), [0.2, 0.9, 0.9, 0.1], binary=True),
        a_fit(range(8, 12), [0.8, 0.8, 0.1, 0.0], binary=True),
    )

    found = voted(some_members((), (), wholes=wholes, kind=Kind.BINARY, y=Y % 2)).predictions

    assert found.predicted.tolist() == [0, 1, 0, 0]
    assert found.probability is not None
    assert found.probability.tolist() == found.decision.tolist()


def test_the_first_of_equal_members_is_chosen() -> None:
    found = grid(some_members(off_by(2), off_by(1), off_by(1)))

    assert found.chosen == {"member": "b"}
    assert found.search_score == -1


def test_the_chosen_member_predicts_as_it_does_alone() -> None:
    wholes = tuple(a_fit(range(8, 12), Y[8:] * factor) for factor in (2, 3))

    found = grid(some_members(off_by(2), off_by(1), wholes=wholes))

    np.testing.assert_array_equal(found.predictions.predicted, Y[8:] * 3)


def test_the_strongest_of_equal_penalties_is_chosen() -> None:
    same = [a_fit(range(4), np.ones(4)), a_fit(range(4, 8), np.ones(4))]

    found = stacked(some_members(same, same, metric="r2"))

    assert found.chosen == {"alpha": 1e5}
    np.testing.assert_array_equal(found.predictions.predicted, np.full(4, Y[:8].mean()))


def test_the_strongest_of_equal_logistic_penalties_is_chosen() -> None:
    same = [a_fit(range(4), np.full(4, 0.4), binary=True), a_fit(range(4, 8), np.full(4, 0.4))]
    binary = {"kind": Kind.BINARY, "metric": "accuracy", "y": Y % 2}

    found = stacked(some_members(same, same, **binary))

    assert found.chosen == {"C": 1e-5}
    np.testing.assert_allclose(probabilities(found.predictions), 0.5, rtol=1e-6)


def test_members_that_know_the_target_get_the_weakest_penalty() -> None:
    found = stacked(some_members(off_by(0), off_by(0)))

    assert found.chosen == {"alpha": 1e-5}
    np.testing.assert_allclose(found.predictions.predicted, Y[8:], rtol=1e-5)


@pytest.mark.parametrize("strategy", ["voted", "stacked"])
def test_an_ensemble_has_converged_if_all_its_members_have(strategy: str) -> None:
    whole = a_fit(range(8, 12), Y[8:])
    members = some_members(off_by(0), off_by(1), wholes=(replace(whole, converged=False), whole))

    found = STRATEGIES[strategy](members)

    assert not found.predictions.converged
    assert STRATEGIES[strategy](replace(members, wholes=(whole, whole))).predictions.converged


@pytest.mark.parametrize("strategy", ["voted", "stacked"])
def test_a_member_that_overflowed_leaves_an_ensemble_without_predictions(strategy: str) -> None:
    wholes = (a_fit(range(8, 12), np.full(4, np.nan)), a_fit(range(8, 12), Y[8:]))

    found = STRATEGIES[strategy](some_members(off_by(0), off_by(1), wholes=wholes))

    assert np.isnan(found.predictions.predicted).all()


def test_a_member_that_overflowed_on_an_inner_fold_is_not_chosen() -> None:
    overflowed = (a_fit(range(4), np.full(4, np.nan)), off_by(0)[1])

    found = grid(some_members(overflowed, off_by(1)))

    assert found.chosen == {"member": "b"}


def test_an_inner_fold_that_no_member_can_be_scored_on_is_an_error() -> None:
    overflowed = (a_fit(range(4), np.full(4, np.nan)), off_by(0)[1])

    with pytest.raises(NothingComparedError, match="outer fold 2: mae is defined on every inner"):
        grid(some_members(overflowed, overflowed))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_members_without_a_common_participant_are_an_error(strategy: str) -> None:
    wholes = (a_fit([8, 9], Y[8:10]), a_fit([10, 11], Y[10:]))

    with pytest.raises(TooFewTogetherError, match="outer fold 2: the test part has too few"):
        STRATEGIES[strategy](some_members(off_by(0), off_by(1), wholes=wholes))


def test_an_inner_fold_without_common_participants_is_an_error() -> None:
    others = (a_fit([0, 1], Y[:2]), off_by(1)[1])

    with pytest.raises(TooFewTogetherError, match="inner fold 0 has too few"):
        grid(some_members((a_fit([2, 3], Y[2:4]), off_by(0)[1]), others))


def test_a_training_part_of_one_class_is_an_error() -> None:
    y = np.array([0.0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1])
    both = [a_fit(range(4), y[:4], binary=True), a_fit(range(4, 8), y[4:8], binary=True)]
    wholes = (a_fit(range(8, 12), y[8:], binary=True),)
    asked = {"kind": Kind.BINARY, "metric": "accuracy", "y": y, "wholes": wholes}

    with pytest.raises(TooFewTogetherError, match="the training part without inner fold 1 has"):
        stacked(some_members(both, **asked))
