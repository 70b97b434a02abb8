"""The runner ``evaluate`` beside a plain scikit-learn program, and on targets with a trap."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    explained_variance_score,
    matthews_corrcoef,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from jobpool.brain.arrays import Array
from jobpool.experiment import load_experiment
from jobpool.learning.pipelines import PIPELINES, Candidate, Kind
from jobpool.learning.splits import Splits, make_splits
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate import Evaluate
from tests.brain_study import GROUPS, VERTICES, N, StudyOnDisk, scores

EXAMPLE = Path(__file__).parents[1] / "configs" / "nback-flanker.yaml"


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    return StudyOnDisk(tmp_path)


def splits_of(study: StudyOnDisk) -> Splits:
    return make_splits(study.table["id"].tolist(), GROUPS, 5, 3, seed=4)


def plain_model(kind: Kind, candidate: Candidate) -> Any:
    shared = {"max_iter": 1000, "tol": 1e-3}
    if kind is Kind.REGRESSION:
        model = ElasticNet(**candidate, **shared)
    else:
        model = LogisticRegression(solver="saga", random_state=4, **candidate, **shared)
    return make_pipeline(RobustScaler(quantile_range=(5, 95)), model)


def plain_fold(kind: Kind, X: Array, y: Array, splits: Splits, fold: int) -> dict[str, float]:
    """Search on the inner folds of one outer fold, then score the best candidate on its test."""
    train, test = splits.outer != fold, splits.outer == fold
    best_score, best = -np.inf, None
    for candidate in PIPELINES["elastic"].candidates(kind, 4, seed=4):
        found = []
        for inner in range(3):
            fit, hold = train & (splits.inner[fold] != inner), splits.inner[fold] == inner
            predicted = plain_model(kind, candidate).fit(X[fit], y[fit]).predict(X[hold])
            metric = matthews_corrcoef if kind is Kind.BINARY else explained_variance_score
            found.append(metric(y[hold], predicted))
        if np.mean(found) > best_score:
            best_score, best = np.mean(found), candidate
    assert best is not None
    model = plain_model(kind, best).fit(X[train], y[train])
    predicted = model.predict(X[test])
    if kind is Kind.REGRESSION:
        return {
            "r2": r2_score(y[test], predicted),
            "explained_variance": explained_variance_score(y[test], predicted),
            "mse": mean_squared_error(y[test], predicted),
            "mae": mean_absolute_error(y[test], predicted),
        }
    decision = model.decision_function(X[test])
    return {
        "roc_auc": roc_auc_score(y[test], decision),
        "average_precision": average_precision_score(y[test], decision),
        "balanced_accuracy": balanced_accuracy_score(y[test], predicted),
        "matthews": matthews_corrcoef(y[test], predicted),
    }


def test_a_regression_scores_as_in_the_plain_program(study: StudyOnDisk) -> None:
    y, splits = study.table["age"].to_numpy(), splits_of(study)
    expected = [plain_fold(Kind.REGRESSION, study.roi(), y, splits, fold) for fold in range(5)]

    result = study.run(target="age")

    found = [fold["scores"] for fold in result["folds"]]
    assert found == [pytest.approx(one, rel=1e-6) for one in expected]


def test_a_classification_scores_as_in_the_plain_program(study: StudyOnDisk) -> None:
    y, splits = (study.table["sex"] == "m").to_numpy(float), splits_of(study)
    expected = [plain_fold(Kind.BINARY, study.roi(), y, splits, fold) for fold in range(5)]

    result = study.run(target="sex")

    found = [fold["scores"] for fold in result["folds"]]
    assert found == [pytest.approx(one, rel=1e-6) for one in expected]


def planted(study: StudyOnDisk) -> None:
    """Give each family a random signature in its maps, and each family a random class."""
    rng = np.random.default_rng(1)
    labels = np.arange(VERTICES, dtype=np.int32) % 61
    np.save(study.folder / "hard.npy", labels)
    signature = rng.normal(size=(N // 3, 61))[:, labels]
    maps = np.repeat(signature, 3, axis=0) + 0.01 * rng.normal(size=(N, VERTICES))
    np.save(study.folder / "maps.npy", maps)
    study.table["sex"] = np.repeat(rng.permutation(["f", "m"] * (N // 6)), 3)
    study.config["evaluate"]["candidates"] = 6


def test_a_target_planted_in_the_groups_scores_at_chance(study: StudyOnDisk) -> None:
    planted(study)

    result = study.run(target="sex")

    assert 0.35 < np.mean(scores(result, "roc_auc")) < 0.65


def test_the_planted_target_leaks_where_groups_are_divided(study: StudyOnDisk) -> None:
    planted(study)
    del study.config["evaluate"]["group"]

    result = study.run(target="sex")

    assert np.mean(scores(result, "roc_auc")) > 0.95


def test_a_signal_in_a_parcel_above_255_is_found(study: StudyOnDisk) -> None:
    labels = np.arange(VERTICES, dtype=np.uint16) % 401  # parcel 300 is the 300th of 400
    study.maps[:, labels == 300] += study.table["age"].to_numpy()[:, None, None]
    np.save(study.folder / "maps.npy", study.maps)
    np.save(study.folder / "hard.npy", labels)
    study.config["evaluate"]["candidates"] = 12

    result = study.run(fold=0)

    assert scores(result, "r2")[0] > 0.3
    assert result["n_parcels"] == 400


def test_the_published_contrasts_give_a_score_above_chance(tmp_path: Path) -> None:
    Evaluate(load_experiment(EXAMPLE)).prepare(tmp_path)
    runner = Evaluate(load_experiment(EXAMPLE), tmp_path)
    point = {"parcellation": "yeo17", "pipeline": "elastic", "target": "is_nback"}

    result: dict[str, Any] = runner.run(
        point, RunContext(cores=1, cache=tmp_path, checkpoint=tmp_path)
    )

    assert 0.55 < np.mean(scores(result, "roc_auc")) < 0.72
