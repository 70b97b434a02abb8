"""The runner ``evaluate`` beside a plain scikit-learn program, and on targets with a trap.

The plain program is what a careful user would write: it shares splits and candidates with
jobpool, and nothing else.
"""

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.feature_selection import SelectPercentile, VarianceThreshold, f_classif, f_regression
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
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR

from jobpool.brain.arrays import Array
from jobpool.experiment.config import load_experiment
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.splits import Dealer, Splits, deal_splits
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.runner import Evaluate
from tests.support.brain_study import LABELS, VERTICES, N, StudyOnDisk, scores, without_seconds
from tests.support.places import CHECKOUT

CONFIG = CHECKOUT / "configs" / "nback-flanker.yaml"
EXAMPLE = CHECKOUT / "examples" / "nback-flanker"
SEED, CANDIDATES, FOLDS = 5, 8, 3
TREES_NEED = 480  # participants: a leaf holds at least 10 to 500
# of the scores of the chosen candidates. The elastic net for two classes is compared with saga
# close to the optimum, and scores there count ranks, as those of the SVM do; libsvm rounds kernels
# to single precision, and the kernels differ in their last digits
TOLERANCE = {"elastic": 1e-6, "svm": 1e-5, "lgbm": 1e-12}
Make = Callable[[Kind, dict[str, Any]], Any]
Part = tuple[Array, Array]  # who is trained on, and who is tested
Data = tuple[Array, Array, Splits]


def plain_elastic(kind: Kind, candidate: dict[str, Any]) -> Any:
    if kind is Kind.REGRESSION:
        return scaled(ElasticNet(max_iter=1000, tol=1e-3, **candidate))
    shared = {"solver": "saga", "max_iter": 200_000, "tol": 1e-8, "random_state": SEED}
    return scaled(LogisticRegression(**shared, **candidate))


def plain_elastic_as_set(kind: Kind, candidate: dict[str, Any]) -> Any:
    if kind is Kind.REGRESSION:
        return plain_elastic(kind, candidate)
    shared = {"solver": "saga", "max_iter": 1000, "tol": 1e-3, "random_state": SEED}
    return scaled(LogisticRegression(**shared, **candidate))


def plain_svm(kind: Kind, candidate: dict[str, Any]) -> Any:
    parameters = dict(candidate)
    score = f_regression if kind is Kind.REGRESSION else f_classif
    selection = SelectPercentile(score, percentile=parameters.pop("percentile"))
    machine = SVR(**parameters) if kind is Kind.REGRESSION else SVC(**parameters)
    return scaled(VarianceThreshold(), selection, machine)


def plain_lgbm(kind: Kind, candidate: dict[str, Any]) -> Any:
    parameters = dict(candidate) | {"subsample_freq": 1}
    if candidate["boosting_type"] == "goss":  # draws rows by itself, and refuses bagging
        parameters |= {"boosting_type": "gbdt", "data_sample_strategy": "goss"}
        parameters |= {"subsample": 1.0, "subsample_freq": 0}
    parameters |= {"random_state": SEED, "n_jobs": 1, "verbosity": -1}
    parameters |= {"deterministic": True, "force_col_wise": True}
    if kind is Kind.BINARY:
        return LGBMClassifier(**parameters)
    model = LGBMRegressor(**parameters)
    if candidate["boosting_type"] == "dart":  # it would shrink the mean
        return TransformedTargetRegressor(model, transformer=StandardScaler(with_std=False))
    return model


def scaled(*steps: Any) -> Any:
    return make_pipeline(RobustScaler(quantile_range=(5, 95)), *steps)


PLAIN: Mapping[str, Make] = {"elastic": plain_elastic, "svm": plain_svm, "lgbm": plain_lgbm}


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    return StudyOnDisk(tmp_path)


def inner_parts(pipeline: str, splits: Splits, fold: int) -> list[Part]:
    """Return what candidates are compared on: three inner folds, or one held-out quarter."""
    if pipeline == "lgbm":
        return [(splits.holdout[fold] == 0, splits.holdout[fold] == 1)]
    train, inner = splits.outer != fold, splits.inner[fold]
    return [(train & (inner != one), inner == one) for one in range(3)]


def plain_fold(make: Make, pipeline: str, kind: Kind, data: Data, fold: int) -> dict[str, float]:
    """Search on one outer fold, then score the best candidate on its test part."""
    X, y, splits = data
    metric = matthews_corrcoef if kind is Kind.BINARY else explained_variance_score
    best_score, best = -np.inf, None
    for candidate in PIPELINES[pipeline].candidates(kind, CANDIDATES, seed=SEED):
        found = [
            metric(y[test], make(kind, dict(candidate)).fit(X[train], y[train]).predict(X[test]))
            for train, test in inner_parts(pipeline, splits, fold)
        ]
        if np.mean(found) > best_score:
            best_score, best = np.mean(found), candidate
    assert best is not None
    train, test = splits.outer != fold, splits.outer == fold
    return plain_scores(kind, make(kind, dict(best)).fit(X[train], y[train]), X[test], y[test])


def plain_scores(kind: Kind, model: Any, X: Array, y: Array) -> dict[str, float]:
    predicted = model.predict(X)
    if kind is Kind.REGRESSION:
        return {
            "r2": r2_score(y, predicted),
            "explained_variance": explained_variance_score(y, predicted),
            "mse": mean_squared_error(y, predicted),
            "mae": mean_absolute_error(y, predicted),
        }
    ranks = hasattr(model, "decision_function")
    decision = model.decision_function(X) if ranks else model.predict_proba(X)[:, 1]
    return {
        "roc_auc": roc_auc_score(y, decision),
        "average_precision": average_precision_score(y, decision),
        "balanced_accuracy": balanced_accuracy_score(y, predicted),
        "matthews": matthews_corrcoef(y, predicted),
    }


def plain_program(study: StudyOnDisk, make: Make, pipeline: str, target: str) -> list[Any]:
    kind = Kind.REGRESSION if target == "age" else Kind.BINARY
    column = study.table[target]
    y = column.to_numpy(float) if target == "age" else (column == "m").to_numpy(float)
    groups = study.table["family"].tolist()
    classes = (y if kind is Kind.BINARY else np.zeros(len(y))).astype(np.int8)
    dealer = Dealer(groups=groups, strata=classes)
    splits = deal_splits(study.table["id"].tolist(), dealer, FOLDS, 3, SEED)
    data = (study.roi(), y, splits)
    return [plain_fold(make, pipeline, kind, data, fold) for fold in range(FOLDS)]


def a_study(folder: Path, pipeline: str) -> StudyOnDisk:
    study = StudyOnDisk(folder, TREES_NEED if pipeline == "lgbm" else N)
    study.config["seed"] = SEED
    study.config["axes"]["pipeline"] = pipeline
    study.config["evaluate"] |= {"candidates": CANDIDATES, "outer_folds": FOLDS}
    return study


@pytest.mark.parametrize("target", ["age", "sex"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipeline_scores_as_in_the_plain_program(
    tmp_path: Path, pipeline: str, target: str
) -> None:
    study = a_study(tmp_path, pipeline)
    study.config["evaluate"]["target_scaling"] = "none"
    expected = plain_program(study, PLAIN[pipeline], pipeline, target)

    result = study.run(pipeline=pipeline, target=target)

    found = [fold["scores"] for fold in result["folds"]]
    assert found == [pytest.approx(one, rel=TOLERANCE[pipeline], abs=1e-12) for one in expected]
    assert len({str(one) for one in found}) == FOLDS


def with_scaled_target(make: Make) -> Make:
    def made(kind: Kind, candidate: dict[str, Any]) -> Any:
        return TransformedTargetRegressor(make(kind, candidate), transformer=StandardScaler())

    return made


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_scaled_target_scores_as_in_the_plain_program(tmp_path: Path, pipeline: str) -> None:
    study = a_study(tmp_path, pipeline)
    expected = plain_program(study, with_scaled_target(PLAIN[pipeline]), pipeline, "age")

    result = study.run(pipeline=pipeline)

    found = [fold["scores"] for fold in result["folds"]]
    assert found == [pytest.approx(one, rel=TOLERANCE[pipeline], abs=1e-12) for one in expected]


def test_the_plain_solver_scores_as_in_the_plain_program_with_the_same_settings(
    tmp_path: Path,
) -> None:
    study = a_study(tmp_path, "elastic")
    study.config["evaluate"]["solver"] = "plain"
    expected = plain_program(study, plain_elastic_as_set, "elastic", "sex")

    result = study.run(target="sex")

    assert [fold["scores"] for fold in result["folds"]] == expected


def planted(folder: Path, pipeline: str) -> StudyOnDisk:
    """Give each family of four a signature in its maps, and a class, both at random."""
    study = StudyOnDisk(folder, 480)
    rng = np.random.default_rng(2)
    family = np.arange(480) // 4
    labels = np.arange(VERTICES, dtype=np.int32) % 61
    maps = rng.normal(size=(120, 61))[:, labels][family]
    np.save(folder / "maps.npy", maps + 0.3 * rng.normal(size=maps.shape))
    np.save(folder / "hard.npy", labels)
    study.table["family"] = [f"family-{one}" for one in family]
    study.table["sex"] = rng.permutation(["f", "m"] * 60)[family]
    study.config["axes"]["pipeline"] = pipeline
    study.config["evaluate"]["candidates"] = 8
    return study


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_target_planted_in_the_groups_scores_at_chance(tmp_path: Path, pipeline: str) -> None:
    study = planted(tmp_path, pipeline)

    result = study.run(pipeline=pipeline, target="sex")

    assert 0.4 < np.mean(scores(result, "roc_auc")) < 0.6


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_planted_target_leaks_where_groups_are_divided(tmp_path: Path, pipeline: str) -> None:
    study = planted(tmp_path, pipeline)
    del study.config["evaluate"]["group"]

    result = study.run(pipeline=pipeline, target="sex")

    assert np.mean(scores(result, "roc_auc")) > 0.9


def test_a_signal_in_a_parcel_above_255_is_found(study: StudyOnDisk) -> None:
    labels = np.arange(VERTICES, dtype=np.uint16) % 401  # parcel 300 is the 300th of 400
    study.maps[:, labels == 300] += study.table["age"].to_numpy()[:, None, None]
    np.save(study.folder / "maps.npy", study.maps)
    np.save(study.folder / "hard.npy", labels)
    study.config["evaluate"]["candidates"] = 12

    result = study.run(fold=0)

    assert scores(result, "r2")[0] > 0.3
    assert result["n_parcels"] == 400


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
def test_labels_that_16_bits_cannot_hold_stay_different_parcels(
    study: StudyOnDisk, dtype: type[np.integer[Any]]
) -> None:
    few = without_seconds(study.run(fold=0))
    labels = LABELS.astype(dtype)
    labels[labels > 600] += 65536 - 600  # 65636 to 66136: the low 16 bits of 100 to 600
    np.save(study.folder / "hard.npy", labels)

    many = without_seconds(study.run(fold=0))

    assert many == few
    assert many["n_parcels"] == 12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_that_are_stored_as_floats_are_refused(
    study: StudyOnDisk, dtype: type[np.floating[Any]]
) -> None:
    np.save(study.folder / "hard.npy", LABELS.astype(dtype))

    problems = study.problems()

    assert "whole numbers" in problems["axes.parcellation"]


def aucs(folder: Path, pipeline: str, axes: dict[str, Any], **settings: Any) -> list[float]:
    """Return the mean AUC of every task on the published contrasts, their table in `folder`."""
    config = yaml.safe_load(CONFIG.read_text())
    files = [f"{EXAMPLE}/parcellations_4mm.npz:{name}" for name in axes["parcellation"]]
    config["axes"] = {**axes, "parcellation": {"glob": files}, "pipeline": pipeline}
    maps = {"maps": f"{EXAMPLE}/maps_4mm.npz:X", "participants": "contrasts.tsv"}
    config["evaluate"] |= maps | settings
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    runner = Evaluate(load_experiment(folder / "study.yaml", forms=forms_of))
    runner.prepare(folder)
    context = RunContext(cores=1, cache=folder, checkpoint=folder / "checkpoint")
    points = product(*([(name, one) for one in values] for name, values in axes.items()))
    results = [dict(runner.run({**dict(one), "pipeline": pipeline}, context)) for one in points]
    return [float(np.mean(scores(result, "roc_auc"))) for result in results]


# what examples/nback-flanker/README.md says of plain splits, 0.04 more or less: one division of the
# papers into folds differs from another by so much
@pytest.mark.parametrize("pipeline", ["elastic", "svm"])
def test_the_task_of_a_published_contrast_is_found_as_well_as_the_example_says(
    tmp_path: Path, pipeline: str
) -> None:
    (tmp_path / "contrasts.tsv").write_bytes((EXAMPLE / "contrasts.tsv").read_bytes())
    axes = {"parcellation": ["yeo7", "yeo17", "schaefer100"], "target": ["is_nback"]}

    found = aucs(tmp_path, pipeline, axes, candidates=6, splits="plain")

    assert found == pytest.approx([0.59, 0.64, 0.70], abs=0.04)


# few candidates of lgbm grow a tree on so few papers, and a constant is at chance whatever leaks
@pytest.mark.parametrize(
    ("pipeline", "candidates"), {**dict.fromkeys(PIPELINES, 8), "lgbm": 60}.items()
)
def test_tasks_that_are_permuted_over_papers_are_found_by_chance(
    tmp_path: Path, pipeline: str, candidates: int
) -> None:
    table = pd.read_csv(EXAMPLE / "contrasts.tsv", sep="\t")
    papers = table.groupby("group")["is_nback"].first()
    row = papers.index.get_indexer(pd.Index(table["group"]))
    permuted = {
        f"permuted_{seed}": np.random.default_rng(seed).permutation(papers)[row]
        for seed in range(5)
    }
    table.assign(**permuted).to_csv(tmp_path / "contrasts.tsv", sep="\t", index=False)
    axes = {"parcellation": ["yeo17"], "target": list(permuted)}

    few = {"candidates": candidates, "outer_folds": 3, "inner_folds": 2}
    found = aucs(tmp_path, pipeline, axes, **few, search_metric={"binary": "roc_auc"})

    assert found.count(0.5) < 2  # of a constant
    assert 0.4 < np.mean(found) < 0.6
