import math

import numpy as np
import pytest
from sklearn import metrics

from jobpool.learning.pipelines.base import Kind, Predictions
from jobpool.learning.scores import METRICS, REPORTED, reported_scores, search_score, tied

RNG = np.random.default_rng(0)
AGE = RNG.normal(50, 10, 40)
GUESS = AGE + RNG.normal(0, 5, 40)
SEX = RNG.integers(0, 2, 40).astype(float)
DECISION = SEX - 0.5 + RNG.normal(size=40)
REGRESSION = Predictions(predicted=GUESS, decision=GUESS)
BINARY = Predictions(predicted=(DECISION > 0).astype(float), decision=DECISION)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r2", metrics.r2_score(AGE, GUESS)),
        ("mse", metrics.mean_squared_error(AGE, GUESS)),
        ("rmse", math.sqrt(metrics.mean_squared_error(AGE, GUESS))),
        ("mae", float(np.abs(AGE - GUESS).mean())),
        ("median_absolute_error", float(np.median(np.abs(AGE - GUESS)))),
        ("pearson", float(np.corrcoef(AGE, GUESS)[0, 1])),
        ("explained_variance", float(1 - np.var(AGE - GUESS) / np.var(AGE))),
    ],
)
def test_a_score_of_a_regression_is_what_its_name_says(name: str, expected: float) -> None:
    found = reported_scores(Kind.REGRESSION, [name], AGE, REGRESSION)

    assert found == {name: pytest.approx(expected, rel=1e-12)}


def test_ranks_correlate_as_the_numbers_that_replace_them() -> None:
    of_age, of_guess = (np.argsort(np.argsort(one)) for one in (AGE, GUESS))

    found = reported_scores(Kind.REGRESSION, ["spearman"], AGE, REGRESSION)

    assert found["spearman"] == pytest.approx(np.corrcoef(of_age, of_guess)[0, 1], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roc_auc", metrics.roc_auc_score(SEX, DECISION)),
        ("average_precision", metrics.average_precision_score(SEX, DECISION)),
        ("matthews", metrics.matthews_corrcoef(SEX, DECISION > 0)),
        ("accuracy", float(((DECISION > 0) == SEX).mean())),
        ("sensitivity", float((DECISION > 0)[SEX == 1].mean())),
        ("specificity", float((DECISION <= 0)[SEX == 0].mean())),
        ("f1", metrics.f1_score(SEX, DECISION > 0)),
    ],
)
def test_a_score_of_a_classification_is_what_its_name_says(name: str, expected: float) -> None:
    found = reported_scores(Kind.BINARY, [name], SEX, BINARY)

    assert found == {name: pytest.approx(expected, rel=1e-12)}


@pytest.mark.parametrize("kind", Kind)
def test_every_usual_metric_is_known(kind: Kind) -> None:
    assert set(REPORTED[kind]) <= set(METRICS[kind])


def test_an_error_is_negated_to_compare_candidates() -> None:
    found = search_score(Kind.REGRESSION, "mae", AGE, REGRESSION)

    assert found == pytest.approx(-np.abs(AGE - GUESS).mean())


@pytest.mark.parametrize("name", METRICS[Kind.REGRESSION])
def test_a_candidate_that_could_not_be_fitted_has_no_score(name: str) -> None:
    found = search_score(Kind.REGRESSION, name, AGE, Predictions.none(40))

    assert math.isnan(found)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_constant_predictions_have_no_correlation(name: str) -> None:
    constant = Predictions(predicted=np.ones(40), decision=np.ones(40))

    found = search_score(Kind.REGRESSION, name, AGE, constant)

    assert math.isnan(found)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_rounding_has_no_correlation(name: str) -> None:
    noise = 50 + 1e-13 * AGE

    found = search_score(Kind.REGRESSION, name, AGE, Predictions(predicted=noise, decision=noise))

    assert math.isnan(found)


def of_one_value(kind: Kind, name: str, value: float) -> float:
    """Return the score of perfect predictions of a target that has one value only."""
    y = np.full(8, value)
    decision = y if kind is Kind.REGRESSION else y - 0.5
    found = reported_scores(kind, [name], y, Predictions(predicted=y, decision=decision))
    return found[name]


@pytest.mark.parametrize("name", ["r2", "explained_variance", "pearson", "spearman"])
def test_nothing_is_explained_of_a_target_with_one_value(name: str) -> None:
    assert math.isnan(of_one_value(Kind.REGRESSION, name, 3.0))


@pytest.mark.parametrize("name", ["mse", "rmse", "mae", "median_absolute_error"])
def test_an_error_is_known_for_a_target_with_one_value(name: str) -> None:
    assert of_one_value(Kind.REGRESSION, name, 3.0) == 0.0


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "balanced_accuracy", "matthews"])
def test_one_class_alone_is_told_from_nothing(name: str, value: float) -> None:
    assert math.isnan(of_one_value(Kind.BINARY, name, value))


@pytest.mark.parametrize(
    ("name", "value"), [("f1", 0.0), ("sensitivity", 0.0), ("specificity", 1.0)]
)
def test_a_share_of_a_class_that_is_not_there_is_not_defined(name: str, value: float) -> None:
    assert math.isnan(of_one_value(Kind.BINARY, name, value))


@pytest.mark.parametrize(
    ("name", "value"), [("f1", 1.0), ("sensitivity", 1.0), ("specificity", 0.0), ("accuracy", 0.0)]
)
def test_a_share_of_the_class_that_is_there_is_known(name: str, value: float) -> None:
    assert of_one_value(Kind.BINARY, name, value) == 1.0


def test_constant_predictions_of_two_classes_are_at_chance_as_in_scikit_learn() -> None:
    constant = Predictions(predicted=np.ones(40), decision=np.ones(40))

    found = reported_scores(Kind.BINARY, ["matthews", "balanced_accuracy"], SEX, constant)

    assert found == {
        "matthews": metrics.matthews_corrcoef(SEX, np.ones(40)),
        "balanced_accuracy": metrics.balanced_accuracy_score(SEX, np.ones(40)),
    }


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("name", ["r2", "mse", "explained_variance"])
def test_a_prediction_that_is_not_finite_has_no_score(name: str, value: float) -> None:
    guess = np.where(np.arange(40) == 7, value, GUESS)

    found = search_score(Kind.REGRESSION, name, AGE, Predictions(predicted=guess, decision=guess))

    assert math.isnan(found)


def test_a_decision_that_is_not_finite_has_no_rank() -> None:
    decision = np.where(np.arange(40) == 7, np.inf, DECISION)

    found = search_score(Kind.BINARY, "roc_auc", SEX, Predictions(predicted=SEX, decision=decision))

    assert math.isnan(found)


def test_errors_of_a_small_unit_are_not_tied() -> None:
    metres = np.array([-4e-9, -3e-9, -3e-9])

    assert tied(metres, in_unit=True).tolist() == [False, True, True]
    assert tied(1e12 * metres, in_unit=True).tolist() == [False, True, True]
