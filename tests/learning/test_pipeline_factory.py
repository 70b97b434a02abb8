import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

from jobpool.learning.pipelines.base import Kind, Settings, Split
from jobpool.learning.pipelines.factory import PipelineError, _read_dimension, load_pipeline
from jobpool.learning.pipelines.plain import PlainSolver

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 5)), RNG.normal(size=60)
HERE = "tests.learning.test_pipeline_factory"


def ridge(kind: str, seed: int) -> Any:
    model = Ridge() if kind == "regression" else RidgeClassifier(random_state=seed)
    return model, {"alpha": ("log", 1e-3, 1e3), "fit_intercept": [True, False]}


def steps(kind: str, seed: int) -> Any:
    if kind == "binary":
        return None
    return make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": ("uniform", 0, 10)}


def classifier(kind: str, seed: int) -> Any:
    if kind == "regression":
        return None
    return LogisticRegression(), {"max_iter": ("int", 10, 12), "class_weight": [None, "balanced"]}


def regressor(kind: str, seed: int) -> Any:
    return (Ridge(), {"alpha": ("log", 1e-3, 1e3)}) if kind == "regression" else None


def learns_nothing(kind: str, seed: int) -> Any:
    return None


def returns_an_estimator(kind: str, seed: int) -> Any:
    return Ridge()


def returns_a_class(kind: str, seed: int) -> Any:
    return Ridge, {}


def returns_a_number(kind: str, seed: int) -> Any:
    return 3, {}


def ridge_for_both(kind: str, seed: int) -> Any:
    return Ridge(), {}


def raises(kind: str, seed: int) -> Any:
    raise KeyError("alpha")


def takes_nothing() -> Any:
    return Ridge(), {}


def a_split(seed: int = 1) -> Split:
    return Split(
        X_train=X[:40],
        y_train=Y[:40],
        X_test=X[40:],
        kind=Kind.REGRESSION,
        settings=Settings(),
        seed=seed,
    )


def offer(space: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a factory of this module with that space."""

    def offered(kind: str, seed: int) -> Any:
        return Ridge(), space

    monkeypatch.setattr(sys.modules[HERE], "offered", offered, raising=False)
    return f"{HERE}:offered"


def test_a_factory_predicts_as_its_estimator_does() -> None:
    pipeline = load_pipeline(f"{HERE}:ridge")
    solver, candidates = PlainSolver(pipeline=pipeline), pipeline.candidates(Kind.REGRESSION, 1, 1)

    (found,) = solver.solve(solver.prepare(a_split()), candidates)

    scaler = RobustScaler(quantile_range=(5.0, 95.0)).fit(X[:40])
    plain = Ridge(**candidates[0]).fit(scaler.transform(X[:40]), Y[:40])
    np.testing.assert_array_equal(found.predicted, plain.predict(scaler.transform(X[40:])))


def test_candidates_are_drawn_from_the_space_of_the_factory() -> None:
    candidates = load_pipeline(f"{HERE}:ridge").candidates(Kind.REGRESSION, 200, seed=1)

    alphas = [float(str(one["alpha"])) for one in candidates]
    assert 1e-3 <= min(alphas) < 1e-2
    assert 1e2 < max(alphas) < 1e3
    assert {one["fit_intercept"] for one in candidates} == {True, False}


def test_whole_numbers_include_both_ends() -> None:
    candidates = load_pipeline(f"{HERE}:classifier").candidates(Kind.BINARY, 100, seed=1)

    assert {one["max_iter"] for one in candidates} == {10, 11, 12}


def test_a_parameter_of_a_step_reaches_the_step() -> None:
    pipeline = load_pipeline(f"{HERE}:steps")

    model = pipeline.make(Kind.REGRESSION, {"ridge__alpha": 3.5}, Settings(), 1)

    assert model.get_params()["ridge__alpha"] == 3.5


def test_the_seed_reaches_the_factory_as_scikit_learn_takes_it() -> None:
    pipeline = load_pipeline(f"{HERE}:ridge")

    model = pipeline.make(Kind.BINARY, {"alpha": 1.0}, Settings(), 2**32 + 7)

    assert model.random_state == 7


@pytest.mark.parametrize(
    ("factory", "kind"), [("classifier", Kind.BINARY), ("regressor", Kind.REGRESSION)]
)
def test_a_kind_without_estimator_has_no_space(factory: str, kind: Kind) -> None:
    pipeline = load_pipeline(f"{HERE}:{factory}")

    assert set(pipeline.spaces) == {kind}


def test_a_kind_without_estimator_cannot_be_made() -> None:
    pipeline = load_pipeline(f"{HERE}:regressor")

    with pytest.raises(PipelineError, match="it learns no binary target"):
        pipeline.make(Kind.BINARY, {}, Settings(), 1)


def test_a_pipeline_comes_back_from_another_process() -> None:
    pipeline = load_pipeline(f"{HERE}:ridge")

    returned = pickle.loads(pickle.dumps(pipeline))

    assert returned == pipeline


def test_its_error_comes_back_from_another_process() -> None:
    raised = PipelineError("mylab.models:ridge", "is no function")

    returned = pickle.loads(pickle.dumps(raised))

    assert str(returned) == "pipeline 'mylab.models:ridge': is no function"


def test_a_module_in_a_folder_of_the_path_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab_of_ridges.py").write_text(
        "from sklearn.linear_model import Ridge\n"
        "def ridge(kind, seed):\n"
        "    return (Ridge(), {'alpha': [1, 2]}) if kind == 'regression' else None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    pipeline = load_pipeline("lab_of_ridges:ridge")

    assert pipeline.name == "lab_of_ridges:ridge"
    assert pipeline.candidates(Kind.REGRESSION, 1, 0)[0]["alpha"] in {1, 2}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ridge", "write module:function"),
        (f"{HERE}:", "write module:function"),
        ("no_such_lab:ridge", "No module named 'no_such_lab'; .* name its folder under path:"),
        (f"{HERE}:rigde", "has no rigde; did you mean 'ridge'"),
        (f"{HERE}:HERE", "is no function but 'tests.learning.test_pipeline_factory'"),
        (f"{HERE}:learns_nothing", "returned None for every kind"),
        (f"{HERE}:returns_an_estimator", r"it returned Ridge\(\); return \(estimator, space\)"),
        (f"{HERE}:returns_a_class", "is no scikit-learn estimator; return an unfitted one"),
        (f"{HERE}:returns_a_number", "3 is no scikit-learn estimator"),
        (f"{HERE}:ridge_for_both", "neither decision_function nor predict_proba"),
        (f"{HERE}:raises", r"called as \('regression', 0\) it raised KeyError: 'alpha'"),
        (f"{HERE}:takes_nothing", "it raised TypeError: takes_nothing"),
    ],
)
def test_a_factory_that_cannot_be_used_is_refused(name: str, what: str) -> None:
    with pytest.raises(PipelineError, match=what):
        load_pipeline(name)


@pytest.mark.parametrize(
    ("form", "what"),
    [
        (("lgo", 1, 2), "give a list of choices, or a tuple such as"),
        (("log", 1), "give a list of choices, or a tuple such as"),
        ((1, 2, 3), "give a list of choices, or a tuple such as"),
        ([], "give a list of choices, or a tuple such as"),
        (1.0, "give a list of choices, or a tuple such as"),
        (np.arange(3), "give a list of choices, or a tuple such as"),
        (("uniform", 2, 1), "alpha goes from 2 to 1; give the lower one first"),
        (("uniform", 1, 1), "give the lower one first"),
        (("uniform", 0, float("inf")), "give finite numbers"),
        (("uniform", "0", "1"), "give finite numbers"),
        (("uniform", False, True), "give finite numbers"),
        (("int", 0.5, 3), "give whole numbers"),
        (("log", 0, 1), "alpha starts at 0; a log scale needs more than 0"),
        ([1.0, float("nan")], "alpha has the choice nan, which JSON cannot hold"),
        ([np.int64(3)], "which JSON cannot hold"),
        ([(1, 2)], r"alpha has the choice \(1, 2\), which JSON cannot hold"),
    ],
)
def test_a_dimension_that_cannot_be_drawn_from_is_refused(
    form: object, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = offer({"alpha": form}, monkeypatch)

    with pytest.raises(PipelineError, match=what):
        load_pipeline(name)


def test_a_parameter_that_the_estimator_does_not_have_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = offer({"alhpa": [1]}, monkeypatch)

    with pytest.raises(PipelineError, match=r"'alhpa'; did you mean 'alpha'.* one of: alpha, "):
        load_pipeline(name)


def test_a_space_that_is_no_dict_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = offer([("alpha", 1, 2)], monkeypatch)

    with pytest.raises(PipelineError, match="the space a dict"):
        load_pipeline(name)


def test_whole_numbers_that_cannot_be_drawn_exactly_are_refused() -> None:
    with pytest.raises(ValueError, match=r"give numbers up to 2\*\*53"):
        _read_dimension("depth", ("int", 1, 10**19))
