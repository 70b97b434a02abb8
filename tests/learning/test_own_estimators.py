import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from threadpoolctl import threadpool_limits

from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.fits import Fitted, NoCandidateError, fit, fold_result
from jobpool.learning.pipelines.base import Kind, Settings
from jobpool.learning.pipelines.factory import PipelineError, load_pipeline
from jobpool.learning.search import FoldData, Recipe, TrainingData, Trials
from jobpool.runners.evaluate.results import result_rows
from tests.learning import own_estimators
from tests.support.brain_study import StudyOnDisk
from tests.support.ensembles import TARGETS, a_recipe, fold_data

OWN = own_estimators.__name__
MEMBER = 2  # five features


def nowhere() -> Checkpoint:
    """Return a checkpoint that is never written."""
    return Checkpoint(Path("none"), {}, every_s=math.inf)


def own_recipe(name: str, kind: Kind, n_candidates: int = 8, **changes: Any) -> Recipe:
    recipe = a_recipe("elastic", kind, **changes)
    pipeline = load_pipeline(f"{OWN}:{name}")
    return replace(recipe, pipeline=pipeline, n_candidates=n_candidates)


def search(name: str, kind: Kind, cores: int = 1, like: str = "", **changes: Any) -> Fitted:
    """Fit a factory's best candidate; candidates are drawn as for the factory `like`."""
    recipe = own_recipe(name, kind, **changes)
    if like:
        recipe = replace(recipe, pipeline=replace(recipe.pipeline, name=f"{OWN}:{like}"))
    return fit(recipe, fold_data(recipe, MEMBER), cores, nowhere())


def same(one: Fitted, other: Fitted) -> None:
    """Compare all but the time."""
    np.testing.assert_array_equal(one.decision, other.decision)
    np.testing.assert_array_equal(one.predicted, other.predicted)
    assert (one.chosen, one.search_score) == (other.chosen, other.search_score)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("kind", Kind)
def test_a_step_that_works_in_place_scores_as_one_that_copies(kind: Kind, cores: int) -> None:
    settings = Settings(scaling="none")

    found = search("in_place", kind, cores, like="copying", settings=settings)

    same(found, search("copying", kind, settings=settings))


def test_a_step_that_works_in_place_scores_as_in_a_plain_program() -> None:
    recipe = own_recipe("in_place", Kind.REGRESSION, settings=Settings(scaling="none"))
    data = fold_data(recipe, MEMBER)
    train = ~data.test
    points = [
        {name: [value] for name, value in one.items()}
        for one in recipe.pipeline.candidates(recipe.kind, 8, recipe.seed)
    ]
    plain = GridSearchCV(
        make_pipeline(StandardScaler(), Ridge()),
        points,
        scoring="explained_variance",
        cv=PredefinedSplit(data.inner[train]),
    ).fit(data.X[train], data.y[train])

    found = fit(recipe, data, 1, nowhere())

    np.testing.assert_allclose(found.predicted, plain.predict(data.X[data.test]), rtol=1e-12)
    assert found.search_score == pytest.approx(plain.best_score_, rel=1e-12)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("name", ["overwrites", "one_buffer"])
def test_an_estimator_that_writes_into_all_it_sees_changes_nothing(name: str, cores: int) -> None:
    own_estimators.SEEN.clear()

    found = search(name, Kind.REGRESSION, cores, like="ridge")

    same(found, search("ridge", Kind.REGRESSION))


def test_an_estimator_that_writes_into_memory_mapped_features_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(300, 700))
    data = TrainingData(
        name="fold 0", X=wide, y=wide[:, 0], inner=np.arange(300) % 3, rank=np.arange(300.0)
    )
    scores = []
    for name, cores in (("in_place", 1), ("in_place", 2), ("copying", 1)):
        recipe = own_recipe(name, Kind.REGRESSION, settings=Settings(scaling="none"))
        trials = Trials(recipe=recipe, data=data, cores=cores, checkpoint=nowhere())
        with threadpool_limits(limits=1):  # as in a task, and in its helper processes
            scores.append(trials.score([{"ridge__alpha": 1.0}, {"ridge__alpha": 9.0}]))

    np.testing.assert_array_equal(scores[0], scores[2])
    np.testing.assert_array_equal(scores[1], scores[2])


def test_a_prediction_does_not_see_what_another_wrote() -> None:
    found = search("forgets_features", Kind.BINARY, like="logistic")

    same(found, search("logistic", Kind.BINARY))


@pytest.mark.parametrize("cores", [1, 2])
def test_candidates_of_one_estimator_do_not_go_on_from_each_other(cores: int) -> None:
    found = search("shared", Kind.REGRESSION, cores, like="fresh_each_time")

    same(found, search("fresh_each_time", Kind.REGRESSION))


@pytest.mark.parametrize(
    "name",
    ["swapped_decision", "minus", "texts", "bools", "column", "nameless"],
)
def test_a_classifier_that_answers_in_another_form_scores_as_itself(name: str) -> None:
    found = search(name, Kind.BINARY, like="logistic")

    expected = search("logistic", Kind.BINARY)
    np.testing.assert_array_equal(found.decision, expected.decision)
    np.testing.assert_array_equal(found.predicted, expected.predicted)


@pytest.mark.parametrize("name", ["swapped", "told_column"])
def test_probabilities_are_taken_by_the_order_of_the_classes(name: str) -> None:
    found = search(name, Kind.BINARY, like="told")

    same(found, search("told", Kind.BINARY))


def test_a_classifier_with_turned_classes_scores_as_in_a_plain_program() -> None:
    recipe = own_recipe("swapped", Kind.BINARY)
    data = fold_data(recipe, MEMBER)

    found = fit(recipe, data, 1, nowhere())

    plain = make_pipeline(RobustScaler(quantile_range=(5, 95)), LogisticRegression(**found.chosen))
    plain.fit(data.X[~data.test], data.y[~data.test])
    X, y = data.X[data.test], data.y[data.test]
    scores: Any = fold_result(recipe, 0, y, found)["scores"]
    assert scores["roc_auc"] == pytest.approx(roc_auc_score(y, plain.predict_proba(X)[:, 1]))
    assert scores["balanced_accuracy"] == balanced_accuracy_score(y, plain.predict(X))


@pytest.mark.parametrize("name", ["column_of_numbers", "texts_of_numbers"])
def test_a_regressor_that_answers_in_another_form_scores_as_itself(name: str) -> None:
    found = search(name, Kind.REGRESSION, like="ridge")

    same(found, search("ridge", Kind.REGRESSION))


@pytest.mark.parametrize(
    ("name", "kind", "what"),
    [
        ("names", Kind.BINARY, r"classes_ are \['ill', 'well'\]; they must stand for 0 and 1"),
        ("shares", Kind.BINARY, r"predict answers .* which is no class; return 0 and 1"),
        ("rows", Kind.BINARY, r"predict answers shape \(1, \d+\) for \d+ participants"),
        ("short", Kind.BINARY, r"predict answers shape \(\d+,\) for \d+ participants"),
        ("turned", Kind.BINARY, "decision_function is higher for class 0 .* or turn its sign"),
        ("logs", Kind.BINARY, "predict_proba answers -.* no probability; return numbers from 0"),
        ("three", Kind.BINARY, r"predict_proba answers shape \(\d+, 3\).* one column for each"),
        ("words", Kind.REGRESSION, "which is no number; return numbers"),
        ("twice", Kind.REGRESSION, r"predict answers shape \(\d+, 2\) for \d+ participants"),
        ("dates", Kind.REGRESSION, "which is no number; return numbers"),
    ],
)
def test_an_answer_without_a_meaning_names_the_factory_with_the_cure(
    name: str, kind: Kind, what: str
) -> None:
    with pytest.raises(PipelineError, match=f"'{OWN}:{name}': .*{what}"):
        search(name, kind, n_candidates=3)


def test_where_all_candidates_fail_the_error_has_the_first_of_their_errors() -> None:
    what = "none of 2 candidates has a score.* first error.*: ValueError: n_components="

    with pytest.raises(NoCandidateError, match=what + r".*\(_pca\.py, line \d+\)"):
        search("too_many_components", Kind.REGRESSION, n_candidates=2)


def test_a_candidate_that_fails_leaves_the_task_to_the_others() -> None:
    found = search("components", Kind.REGRESSION)

    assert found.chosen == {"pca__n_components": 2}
    assert found.n_failed > 0
    assert found.first_error.startswith(f"pipeline '{OWN}:components': ValueError: n_components=20")


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("name", ["infinite", "masked"])
def test_a_candidate_that_is_not_finite_never_wins(name: str, cores: int) -> None:
    recipe = own_recipe(name, Kind.REGRESSION)
    tried = recipe.pipeline.candidates(recipe.kind, 8, recipe.seed)
    weak = sum(float(str(one["alpha"])) <= 1 for one in tried)

    found = search(name, Kind.REGRESSION, cores)

    assert float(str(found.chosen["alpha"])) > 1
    assert 0 < weak <= found.n_failed
    assert found.first_error == "what it predicts is not finite"
    assert np.isfinite(found.predicted).all()


def test_a_class_that_is_not_finite_costs_its_candidate_alone() -> None:
    found = search("infinite_class", Kind.BINARY)

    assert float(str(found.chosen["C"])) >= 1
    assert found.n_failed > 0
    assert found.first_error == "what it predicts is not finite"


@pytest.mark.parametrize("method", ["random", "halving"])
def test_where_the_best_candidate_fails_at_the_end_the_next_best_is_taken(method: str) -> None:
    found = search("fails_on_many", Kind.REGRESSION, like="ridge", method=method)

    best = search("ridge", Kind.REGRESSION, method=method)
    assert float(str(best.chosen["alpha"])) < 10 <= float(str(found.chosen["alpha"]))
    assert float(str(found.search_score)) <= float(str(best.search_score))
    assert "RuntimeError: too many (own_estimators.py" in found.first_error


def test_the_next_best_candidate_is_best_of_all_that_can_be_fitted() -> None:
    recipe = own_recipe("ridge", Kind.REGRESSION)
    data = fold_data(recipe, MEMBER)
    trials = Trials(recipe=recipe, data=data.training(), cores=1, checkpoint=nowhere())
    candidates = recipe.pipeline.candidates(recipe.kind, 8, recipe.seed)
    means = trials.score(candidates).mean(axis=1)
    strong = [one for one, tried in enumerate(candidates) if float(str(tried["alpha"])) >= 10]

    found = search("fails_on_many", Kind.REGRESSION, like="ridge")

    assert found.candidate == max(strong, key=lambda one: means[one])
    assert found.search_score == means[found.candidate]


def test_a_failure_is_not_kept_for_the_next_attempt(tmp_path: Path) -> None:
    recipe = own_recipe("components", Kind.REGRESSION)
    data: FoldData = fold_data(recipe, MEMBER)

    fit(recipe, data, 1, Checkpoint(tmp_path, {}, every_s=0))

    kept = "".join(one.read_text() for one in tmp_path.glob("*.jsonl"))
    assert "candidates" in kept
    assert "ValueError" not in kept


def test_failures_are_counted_in_the_result_of_a_fold() -> None:
    recipe = own_recipe("components", Kind.REGRESSION)
    found = search("components", Kind.REGRESSION)

    result = fold_result(recipe, 0, TARGETS[recipe.kind].y[found.rows], found)

    assert (result["n_failed"], result["first_error"]) == (found.n_failed, found.first_error)


@pytest.mark.parametrize("kind", Kind)
def test_an_unseeded_forest_is_the_same_on_any_number_of_cores(kind: Kind) -> None:
    one = search("forest", kind, n_candidates=4)

    same(search("forest", kind, cores=2, n_candidates=4), one)


def test_a_result_names_an_estimator_without_a_seed(tmp_path: Path) -> None:
    study = StudyOnDisk(tmp_path, 60)
    name = f"{OWN}:forest"
    study.config["axes"]["pipeline"] = [name, "elastic"]
    study.config["evaluate"] |= {"outer_folds": 2, "inner_folds": 2, "candidates": 2}

    unseeded, seeded = (study.run(pipeline=one) for one in (name, "elastic"))

    (row,) = result_rows(unseeded, "task")
    assert "draws without a seed (random_state is None)" in str(row["cautions"])
    assert "cautions" not in seeded


def test_a_parameter_that_cannot_be_set_costs_its_candidate_alone(tmp_path: Path) -> None:
    study = StudyOnDisk(tmp_path, 60)
    name = f"{OWN}:strict"
    study.config["axes"] |= {"pipeline": [name], "target": ["age"]}
    study.config["evaluate"] |= {"outer_folds": 2, "inner_folds": 2, "candidates": 12}
    tried = load_pipeline(name).candidates(Kind.REGRESSION, 12, study.config["seed"])

    (row,) = result_rows(study.run(pipeline=name), "task")

    assert float(str(tried[0]["alpha"])) < 1
    assert min(float(str(row[f"alpha_fold{fold}"])) for fold in range(2)) >= 1
    assert "ValueError: alpha must not be below 1" in str(row["first_error"])
