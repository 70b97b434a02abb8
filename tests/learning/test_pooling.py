"""Pooled scores from sums of folds are those of all predictions put together, by scikit-learn."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    explained_variance_score,
    f1_score,
    matthews_corrcoef,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from jobpool.learning.pooling import pooled_scores, sums_of

SIZES = (20, 200, 60)
RNG = np.random.default_rng(0)
NUMBERS = [RNG.normal(100 + 5 * k, 10, n) for k, n in enumerate(SIZES)]
GUESSES = [0.6 * y + 42 + RNG.normal(size=len(y)) * 6 for y in NUMBERS]
CLASSES = [(RNG.random(n) < 0.3).astype(float) for n in SIZES]
SAID = [np.where(RNG.random(len(y)) < 0.3, 1 - y, y) for y in CLASSES]
DECISIONS = [y + RNG.normal(size=len(y)) + k for k, y in enumerate(CLASSES)]


def a_fold(y: Any, predicted: Any, scores: dict[str, float | None], **more: bool) -> dict[str, Any]:
    return {"scores": scores, "n_test": len(y), "sums": sums_of(y, predicted, **more)}


def numbers(*names: str) -> dict[str, float | None]:
    folds = [
        a_fold(y, p, dict.fromkeys(names, 0.5), is_binary=False)
        for y, p in zip(NUMBERS, GUESSES, strict=True)
    ]
    return pooled_scores(folds)


def classes(*names: str) -> dict[str, float | None]:
    folds = [
        a_fold(y, p, dict.fromkeys(names, 0.5), is_binary=True)
        for y, p in zip(CLASSES, SAID, strict=True)
    ]
    return pooled_scores(folds)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("r2", r2_score),
        ("explained_variance", explained_variance_score),
        ("mse", mean_squared_error),
        ("rmse", root_mean_squared_error),
        ("mae", mean_absolute_error),
        ("pearson", lambda y, p: pearsonr(y, p)[0]),
    ],
)
def test_a_score_of_numbers_is_that_of_all_predictions(name: str, of: Any) -> None:
    expected = of(np.concatenate(NUMBERS), np.concatenate(GUESSES))

    assert numbers(name)[name] == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("accuracy", accuracy_score),
        ("balanced_accuracy", balanced_accuracy_score),
        ("f1", f1_score),
        ("sensitivity", recall_score),
        ("specificity", lambda y, p: recall_score(y, p, pos_label=0)),
        ("matthews", matthews_corrcoef),
    ],
)
def test_a_score_of_classes_is_that_of_all_predictions(name: str, of: Any) -> None:
    expected = of(np.concatenate(CLASSES), np.concatenate(SAID))

    assert classes(name)[name] == pytest.approx(float(expected), rel=1e-12)


def test_the_pooled_auc_is_a_share_of_pairs_of_one_fold() -> None:
    folds = [
        a_fold(y, p, {"roc_auc": float(roc_auc_score(y, d))}, is_binary=True)
        for y, p, d in zip(CLASSES, SAID, DECISIONS, strict=True)
    ]
    right = [(d[y == 1][:, None] > d[y == 0]) for y, d in zip(CLASSES, DECISIONS, strict=True)]
    expected = sum(one.sum() for one in right) / sum(one.size for one in right)

    assert pooled_scores(folds)["roc_auc"] == pytest.approx(expected)


def test_a_score_without_sums_is_weighted_by_participants() -> None:
    folds = [
        a_fold(y, p, {"spearman": score}, is_binary=False)
        for y, p, score in zip(NUMBERS, GUESSES, (0.1, 0.2, None), strict=True)
    ]

    assert pooled_scores(folds)["spearman"] == pytest.approx((20 * 0.1 + 200 * 0.2) / 220)


def test_a_target_of_one_value_has_no_pooled_score() -> None:
    y = np.full(9, 0.1)
    folds = [a_fold(y, y + 1, {"r2": None, "pearson": None}, is_binary=False) for _ in range(3)]

    assert pooled_scores(folds) == {"r2": None, "pearson": None}


def test_folds_of_an_earlier_version_have_no_pooled_score() -> None:
    assert pooled_scores([{"scores": {"r2": 0.1}, "n_test": 9}]) == {}
