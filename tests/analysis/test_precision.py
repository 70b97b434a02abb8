"""Scores that are equal within the precision of their computation have one rank."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMRegressor
from scipy.stats import rankdata
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score

from jobpool.analysis.comparison import compare_strategies, summarise_strategies
from jobpool.analysis.precision import equalised
from jobpool.analysis.ranks import rank
from jobpool.analysis.study_table import StudyTable, read_study_table
from jobpool.analysis.whole import analyse


def a_table(folder: Path, rows: list[tuple[object, ...]]) -> StudyTable:
    columns = ["parcellation", "size", "type", "pipeline", "target", "score", "strategy"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "study.csv", index=False)
    return read_study_table(folder / "study.csv")


def scores_of_two_constants(n_folds: int = 5) -> tuple[float, float]:
    """Return mean R2 of scikit-learn's mean, and of LightGBM with too few cases for a split."""
    rng = np.random.default_rng(3)
    found = []
    for model in (DummyRegressor(), LGBMRegressor(min_child_samples=10_000, verbose=-1)):
        rng = np.random.default_rng(3)
        folds = []
        for _ in range(n_folds):
            X, y = rng.normal(size=(100, 2)), rng.normal(100.1, 15, size=100)
            predicted = model.fit(X[:80], y[:80]).predict(X[80:])
            folds.append(r2_score(y[80:], predicted))
        found.append(float(np.mean(folds)))
    return found[0], found[1]


def test_two_pipelines_that_predict_the_mean_share_their_rank(tmp_path: Path) -> None:
    plain, lgbm = scores_of_two_constants()
    scores = {"elastic": plain, "lgbm": lgbm}
    rows: list[tuple[object, ...]] = [
        (f"p{size}", size, "hard", pipeline, "age", score, "single")
        for size in (10, 20, 40, 80, 160)
        for pipeline, score in scores.items()
    ]
    table = replace(a_table(tmp_path, rows), metrics={"age": "r2"})

    ranks = rank(table, within=("target",)).cells

    assert plain != lgbm
    assert set(ranks["rank"]) == {5.5}


def test_equal_scores_give_no_effect_of_the_pipeline(tmp_path: Path) -> None:
    noise = {"elastic": 0.0, "lgbm": 3e-12}
    rows: list[tuple[object, ...]] = [
        (f"p{size}", size, "hard", pipeline, "age", 0.1 * np.log10(size) + extra, "single")
        for size in (10, 20, 40, 80, 160, 320)
        for pipeline, extra in noise.items()
    ]

    found = analyse(a_table(tmp_path, rows)).regression_by_pipeline

    assert found is not None
    effect = {term.name: term.coefficient for term in found.terms}["pipeline lgbm"]
    assert effect == pytest.approx(0, abs=1e-12)


def test_scores_that_differ_by_more_keep_the_ranks_of_scipy() -> None:
    scores = np.random.default_rng(0).normal(size=200).round(2) + 1e-6 * np.arange(200)

    ranks = rankdata(-equalised(scores, 1.0))

    assert ranks.tolist() == rankdata(-scores).tolist()


def test_errors_are_compared_by_their_own_size(tmp_path: Path) -> None:
    errors = {"p10": -2.5e-18, "p20": -2.4e-18, "p40": -2.4e-18 * (1 + 1e-12)}
    rows: list[tuple[object, ...]] = [
        (name, int(name[1:]), "hard", "svm", "volume", error, "single")
        for name, error in errors.items()
    ]
    table = replace(a_table(tmp_path, rows), metrics={"volume": "mse"})

    assert rank(table).cells["rank"].tolist() == [3, 1.5, 1.5]


def test_an_ensemble_that_is_as_good_has_no_gain(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [
        ("p10", 10, "hard", "svm", "age", 0.1 + 0.2, "single"),
        ("voted", 20, "ensemble", "svm", "age", 0.3 + 1e-11, "voted"),
    ]
    table = a_table(tmp_path, rows)
    table = replace(table, frame=table.frame.assign(members=[1, 2]))

    summary = summarise_strategies(compare_strategies(table))

    assert summary["gain_over_best"].tolist() == [0.0]
    assert summary["share_better"].tolist() == [0.0]
