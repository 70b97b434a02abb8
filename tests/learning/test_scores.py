import math

import numpy as np
import pytest
from sklearn import metrics

from jobpool.learning.pipelines.base import Kind, Predictions
from jobpool.learning.scores import METRICS, REPORTED, reported_scores, search_score

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
