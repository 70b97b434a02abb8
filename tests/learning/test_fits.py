import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import PredefinedSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.fits import Fitted, evaluate_fold, fit, fit_key, fold_result
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import (
    Candidate,
    Dimension,
    Kind,
    Pipeline,
    Predictions,
    Settings,
)
from jobpool.learning.probability import platt, with_probability
from jobpool.learning.search import FoldData, Recipe
from tests.support.brain_study import StudyOnDisk
from tests.support.ensembles import TARGETS, N, a_recipe, fitted, fold_data

VERSIONS = {"numpy": "2.0", "jobpool": "0.1"}


def nowhere() -> Checkpoint:
    return Checkpoint(Path("none"), {})


def without_seconds(fitted: Fitted) -> tuple[dict[str, Any], dict[str, list[float]]]:
    arrays = {name: one.tolist() for name, one in fitted.arrays().items()}
    return {**fitted.about(), "seconds": 0}, arrays


def probability(fitted: Fitted) -> FloatArray:
    assert fitted.probability is not None
    return fitted.probability


@dataclass
class Counted:
    """Makes the estimators of the elastic net, and counts them."""

    made: list[Candidate] = field(default_factory=list)

    def __call__(self, kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
        self.made.append(candidate)
        return PIPELINES["elastic"].make(kind, candidate, settings, seed)


def a_counted_recipe() -> tuple[Recipe, Counted]:
    counted = Counted()
    recipe = a_recipe("elastic", Kind.REGRESSION, plain=True)
    return replace(recipe, pipeline=replace(recipe.pipeline, make=counted)), counted


@pytest.mark.parametrize("inner", [None, 1])
def test_an_interrupted_fit_goes_on_from_its_finished_candidates(
    tmp_path: Path, inner: int | None
) -> None:
    recipe, counted = a_counted_recipe()
    data = fold_data(recipe, 2, inner)
    whole = fit(recipe, data, 1, Checkpoint(tmp_path, {}, every_s=0))
    n_made = len(counted.made)
    file = next(tmp_path.glob("*.jsonl"))
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:4]))

    continued = fit(recipe, data, 1, Checkpoint(tmp_path, {}, every_s=0))

    assert len(counted.made) == 2 * n_made - 4
    assert without_seconds(continued) == without_seconds(whole)


def test_fits_of_one_fold_share_no_candidates(tmp_path: Path) -> None:
    recipe = a_recipe("elastic", Kind.REGRESSION)
    expected = fit(recipe, fold_data(recipe, 2, 1), 1, nowhere())
    checkpoint = Checkpoint(tmp_path, {}, every_s=0)
    fit(recipe, fold_data(recipe, 2), 1, checkpoint)
    fit(recipe, fold_data(recipe, 2, 0), 1, checkpoint)

    found = fit(recipe, fold_data(recipe, 2, 1), 1, checkpoint)

    assert without_seconds(found) == without_seconds(expected)


def test_a_finished_fold_is_taken_from_the_checkpoint(tmp_path: Path) -> None:
    recipe, counted = a_counted_recipe()
    data = fold_data(recipe, 2)
    first = evaluate_fold(recipe, data, 1, Checkpoint(tmp_path, {}, every_s=0))
    counted.made.clear()

    second = evaluate_fold(recipe, data, 1, Checkpoint(tmp_path, {}, every_s=0))

    assert second == first
    assert counted.made == []


def test_a_fold_is_evaluated_by_its_fit() -> None:
    recipe = a_recipe("elastic", Kind.REGRESSION, metric="mae")
    data = fold_data(recipe, 2)
    found = replace(fit(recipe, data, 1, nowhere()), seconds=1.5)

    result = fold_result(recipe, 0, TARGETS[recipe.kind].y[found.rows], found)

    expected = evaluate_fold(recipe, data, 1, nowhere())
    assert result == {**expected, "seconds": 1.5}
    assert result["search_score"] == {"mae": -float(found.search_score or 0)}


def test_a_fold_says_how_it_came_out() -> None:
    recipe = a_recipe("elastic", Kind.BINARY)

    result = evaluate_fold(recipe, fold_data(recipe, 2), 1, nowhere())

    assert {"fold": 0, "n_train": 72, "n_test": 18, "n_unconverged": 0}.items() <= result.items()
    assert list(result) == [
        "fold",
        "scores",
        "search_score",
        "chosen",
        "candidate",
        "n_train",
        "n_test",
        "n_unconverged",
        "n_failed",
        "search_decided",
        "n_tied",
        "n_inner_undefined",
        "n_constant_features",
        "constant_predictions",
        "converged",
        "seconds",
    ]


def test_a_fold_counts_features_that_are_the_same_for_everybody() -> None:
    recipe = a_recipe("elastic", Kind.REGRESSION)
    data = fold_data(recipe, 2)
    X = data.X * [1e-20, 1, 1, 1, 0]
    X[:, 1] = 0.1 + np.arange(len(X)) % 2 * 1e-17

    result = evaluate_fold(recipe, replace(data, X=X), 1, nowhere())

    assert result["n_constant_features"] == 2
    assert result["constant_predictions"] is False


@pytest.mark.parametrize("pipeline", ["elastic", "lgbm"])
def test_a_fold_says_if_everybody_gets_the_same_prediction(pipeline: str) -> None:
    recipe = a_recipe(pipeline, Kind.REGRESSION)
    data = fold_data(recipe, 2)

    result = evaluate_fold(recipe, replace(data, X=np.zeros_like(data.X)), 1, nowhere())

    assert result["n_constant_features"] == 5
    assert result["constant_predictions"] is True


@pytest.mark.parametrize(
    ("pipeline", "kind"), [("svm", Kind.BINARY), ("lgbm", Kind.BINARY), ("svm", Kind.REGRESSION)]
)
def test_a_fit_comes_back_from_its_arrays_unchanged(pipeline: str, kind: Kind) -> None:
    one = fitted(a_recipe(pipeline, kind), 0, 1)

    back = Fitted.of(one.arrays(), json.loads(json.dumps(one.about())))

    assert back.about() == one.about()
    assert {name: values.tobytes() for name, values in back.arrays().items()} == {
        name: values.tobytes() for name, values in one.arrays().items()
    }
    assert (one.rows.dtype, one.predicted.dtype) == (np.dtype(np.int32), np.dtype(np.float64))


def test_a_regression_has_no_probability() -> None:
    found = fitted(a_recipe("elastic", Kind.REGRESSION, plain=True), 0, None)

    assert found.probability is None
    assert "probability" not in found.arrays()


@pytest.mark.parametrize("pipeline", ["elastic", "lgbm"])
def test_a_decision_that_is_the_log_of_the_odds_becomes_a_probability(pipeline: str) -> None:
    found = fitted(a_recipe(pipeline, Kind.BINARY), 2, None)

    np.testing.assert_array_equal(probability(found), expit(found.decision))


def test_trees_tell_the_probability_that_their_estimator_tells() -> None:
    plain = fitted(a_recipe("lgbm", Kind.BINARY, plain=True), 2, None)

    fast = fitted(a_recipe("lgbm", Kind.BINARY), 2, None)

    assert np.ptp(probability(plain)) > 0.1
    np.testing.assert_allclose(probability(fast), probability(plain), rtol=1e-12)


class Asked(LogisticRegression):  # type: ignore[misc] # scikit-learn has no types
    """Notes for how many participants probabilities are asked."""

    sizes: list[int] = []  # noqa: RUF012 # of the class, as estimators are copied

    def predict_proba(self, X: FloatArray) -> FloatArray:
        self.sizes.append(len(X))
        return super().predict_proba(X)  # type: ignore[no-any-return]


def make_asked(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
    return Asked(**candidate)


def make_ridge(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
    return RidgeClassifier(**candidate)


def make_bayes(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
    return GaussianNB(**candidate)


def a_factory(make: Callable[..., Any], parameter: str, holdout: float | None = None) -> Recipe:
    space = (Dimension(name=parameter, low=1e-3, high=1.0, log=True),)
    pipeline = Pipeline(name="own", spaces={Kind.BINARY: space}, make=make, holdout=holdout)
    return replace(a_recipe("elastic", Kind.BINARY), pipeline=pipeline)


def test_probabilities_are_asked_of_the_last_fit_alone() -> None:
    Asked.sizes.clear()

    found = fitted(a_factory(make_asked, "C"), 2, None)

    assert Asked.sizes == [len(found.rows)]
    np.testing.assert_allclose(probability(found), expit(found.decision), rtol=1e-12)


def test_an_estimator_that_tells_nothing_but_probabilities_is_taken_at_its_word() -> None:
    found = fitted(a_factory(make_bayes, "var_smoothing"), 2, None)

    np.testing.assert_array_equal(probability(found), found.decision)


@pytest.mark.parametrize("inner", [None, 1])
def test_an_estimator_without_probabilities_gets_them_as_from_calibration(
    inner: int | None,
) -> None:
    recipe = a_factory(make_ridge, "alpha")
    data = fold_data(recipe, 2, inner)
    train = ~data.test

    found = fit(recipe, data, 1, nowhere())

    model = make_pipeline(RobustScaler(quantile_range=(5, 95)), RidgeClassifier(**found.chosen))
    cv = PredefinedSplit(data.inner[train])
    calibrated = CalibratedClassifierCV(model, method="sigmoid", ensemble=False, cv=cv)
    expected = calibrated.fit(data.X[train], data.y[train]).predict_proba(data.X[data.test])
    np.testing.assert_allclose(probability(found), expected[:, 1], rtol=1e-9)


def test_with_a_holdout_the_sigmoid_learns_from_its_decisions() -> None:
    recipe = a_factory(make_ridge, "alpha", holdout=0.25)
    data = fold_data(recipe, 2)
    held_out, rest = data.inner == 0, ~data.test & (data.inner != 0)

    found = fit(recipe, data, 1, nowhere())

    model = make_pipeline(RobustScaler(quantile_range=(5, 95)), RidgeClassifier(**found.chosen))
    unseen = model.fit(data.X[rest], data.y[rest]).decision_function(data.X[held_out])
    expected = platt(unseen, data.y[held_out], found.decision)
    np.testing.assert_allclose(probability(found), expected, rtol=1e-9)


def test_a_last_fit_that_overflowed_has_no_known_probability() -> None:
    recipe = a_recipe("svm", Kind.BINARY)
    data = fold_data(recipe, 2)

    found = with_probability(recipe, data.training(), {}, Predictions.none(18))

    assert found.probability is not None
    assert np.isnan(found.probability).all()


def key(recipe: Recipe, data: FoldData, values: str = "roi", **versions: str) -> str:
    return fit_key(recipe, data, values, {**VERSIONS, **versions})


def changed(values: Array, position: int, value: float) -> Array:
    found = values.copy()
    found[position] = value
    return found


def other_bound(pipeline: Pipeline) -> Pipeline:
    alpha, ratio = pipeline.spaces[Kind.REGRESSION]
    return replace(pipeline, spaces={Kind.REGRESSION: (replace(alpha, high=1e4), ratio)})


RECIPE = a_recipe("elastic", Kind.REGRESSION)
DATA = fold_data(RECIPE, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"y": changed(DATA.y, 3, 40.0)},
        {"test": changed(DATA.test, 3, not DATA.test[3])},
        {"inner": changed(DATA.inner, 3, (DATA.inner[3] + 2) % 3)},
        {"rank": changed(DATA.rank, 3, 0.5)},
        {"rows": changed(DATA.rows, 89, 90)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_participant_who_differs_makes_another_key(change: dict[str, Array]) -> None:
    found = key(RECIPE, replace(DATA, **change))  # type: ignore[arg-type] # arrays only

    assert found != key(RECIPE, DATA)


@pytest.mark.parametrize(
    "change",
    [
        {"pipeline": PIPELINES["svm"]},
        {"pipeline": other_bound(RECIPE.pipeline)},
        {"seed": 8},
        {"n_candidates": 4},
        {"method": "halving"},
        {"metric": "r2"},
        {"plain": True},
        {"settings": Settings(scaling="standard")},
        {"settings": Settings(tolerance=1e-4)},
        {"settings": Settings(max_iterations=999)},
    ],
)
def test_another_search_makes_another_key(change: dict[str, Any]) -> None:
    assert key(replace(RECIPE, **change), DATA) != key(RECIPE, DATA)


@pytest.mark.parametrize("name", ["numpy", "jobpool", "scipy"])
def test_another_version_makes_another_key(name: str) -> None:
    assert key(RECIPE, DATA, **{name: "2.1"}) != key(RECIPE, DATA)


def test_one_label_of_a_parcellation_makes_another_key(tmp_path: Path) -> None:
    study = StudyOnDisk(tmp_path)
    before = key(RECIPE, DATA, study.runner().roi_cache(tmp_path / "cache").key("hard"))
    labels = np.load(tmp_path / "hard.npy")
    np.save(tmp_path / "hard.npy", changed(labels, 400, labels[401]))
    shutil.rmtree(study.pool)  # it would refuse the change
    study.pool.mkdir()

    after = key(RECIPE, DATA, study.runner().roi_cache(tmp_path / "cache").key("hard"))

    assert after != before


def test_each_fit_of_a_fold_has_a_key_of_its_own() -> None:
    keys = {key(RECIPE, fold_data(RECIPE, 2, inner)) for inner in (None, 0, 1, 2)}

    assert len(keys) == 4


def test_what_is_reported_does_not_change_a_key() -> None:
    assert key(replace(RECIPE, reported=("mae",)), DATA) == key(RECIPE, DATA)


def test_the_number_of_a_fold_does_not_change_a_key() -> None:
    assert key(RECIPE, replace(DATA, fold=4, without=2)) == key(RECIPE, DATA)


def test_a_key_needs_no_features() -> None:
    assert key(RECIPE, replace(DATA, X=np.empty((N, 0)))) == key(RECIPE, DATA)


def test_any_nan_of_a_target_makes_the_same_key() -> None:
    quiet, other = np.array([0x7FF8000000000000, 0xFFF8000000000001], np.uint64).view(np.float64)

    one, two = (replace(DATA, y=changed(DATA.y, 3, nan)) for nan in (quiet, other))

    assert key(RECIPE, one) == key(RECIPE, two)


KEY = """
from jobpool.learning.fits import fit_key
from jobpool.learning.pipelines.base import Kind
from tests.support.ensembles import a_recipe, fold_data

recipe = a_recipe("elastic", Kind.REGRESSION)
print(fit_key(recipe, fold_data(recipe, 2), "roi", {"numpy": "2.0", "jobpool": "0.1"}))
"""


def test_a_key_is_the_same_in_every_process() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "4"}

    found = subprocess.check_output([sys.executable, "-c", KEY], text=True, env=environment)

    assert found.strip() == key(RECIPE, DATA)
