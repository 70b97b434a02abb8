import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from joblib.externals.loky import get_reusable_executor
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor, VotingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import ElasticNet, LassoCV, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, SVR

from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.fits import Fitted, fit
from jobpool.learning.pipelines.apart import apart
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.pipelines.factory import load_pipeline
from jobpool.learning.pipelines.seeds import unseeded
from tests.support.ensembles import a_recipe, fold_data

LAB = """
import os, random, warnings
import numpy as np
import sklearn
from scipy import special
from sklearn.linear_model import Ridge

sklearn.set_config(transform_output="pandas", enable_metadata_routing=True)
np.seterr(over="raise")
special.seterr(domain="raise")
warnings.simplefilter("ignore", UserWarning)
os.environ["LAB_OF_SETTINGS"] = "here"
os.chdir("/")
np.random.seed(1)
random.seed(1)


class Checking(Ridge):
    def fit(self, X, y):
        assert sklearn.get_config()["transform_output"] == "pandas"
        assert sklearn.get_config()["assume_finite"] is False
        assert np.geterr()["over"] == "raise"
        assert special.geterr()["domain"] == "raise"
        assert os.environ["LAB_OF_SETTINGS"] == "here"
        assert os.getcwd() == "/"
        sklearn.set_config(assume_finite=True)
        np.seterr(all="ignore")
        os.environ["LAB_OF_FITS"] = "there"
        os.chdir("/tmp")
        np.random.random(9)
        return super().fit(X, y)

    def predict(self, X):
        assert sklearn.get_config()["assume_finite"] is True
        assert os.environ["LAB_OF_FITS"] == "there"
        return super().predict(X)



def checking(kind, seed):
    sklearn.set_config(working_memory=77)
    return (Checking(), {"alpha": ("log", 1e-3, 1e3)}) if kind == "regression" else None
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a factory in a module that sets all that a process has."""
    name = f"lab_of_settings_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    get_reusable_executor().shutdown()  # helpers of before know another path
    yield f"{name}:checking"
    get_reusable_executor().shutdown()
    sys.modules.pop(name, None)


def nowhere() -> Checkpoint:
    """Return a checkpoint that is never written."""
    return Checkpoint(Path("none"), {}, every_s=math.inf)


def settings() -> dict[str, Any]:
    return {
        "scikit-learn": sklearn.get_config(),
        "numpy": np.geterr(),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
    }


def search(name: str, cores: int) -> Fitted:
    recipe = replace(
        a_recipe("elastic", Kind.REGRESSION), pipeline=load_pipeline(name), n_candidates=4
    )
    return fit(recipe, fold_data(recipe, 2), cores, nowhere())


@pytest.mark.parametrize("cores", [1, 2])
def test_what_a_module_sets_holds_in_its_own_estimators(lab: str, cores: int) -> None:
    found = search(lab, cores)

    assert found.first_error == ""
    assert found.n_failed == 0


def test_what_a_module_sets_does_not_reach_jobpool(lab: str) -> None:
    before = settings()

    search(lab, 1)

    assert settings() == before


def test_own_settings_change_no_number_of_another_pipeline(lab: str) -> None:
    recipe = a_recipe("svm", Kind.REGRESSION)
    expected = fit(recipe, fold_data(recipe, 2), 2, nowhere())
    search(lab, 2)

    found = fit(recipe, fold_data(recipe, 2), 2, nowhere())

    np.testing.assert_array_equal(found.predicted, expected.predicted)


def test_the_global_generators_go_on_as_if_nothing_had_been_drawn() -> None:
    generator = sklearn.utils.check_random_state(None)
    generator.seed(7)
    expected = generator.random_sample(2)
    generator.seed(7)
    first = generator.random_sample()

    with apart(seed=3):
        inside = generator.random_sample(5)

    assert [first, generator.random_sample()] == expected.tolist()
    assert inside[0] != expected[1]


def test_settings_are_those_of_before_after_an_error() -> None:
    before = settings()

    with suppress(ZeroDivisionError), apart():
        np.seterr(all="raise")
        sklearn.set_config(assume_finite=1 / 0)

    assert settings() == before


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (RandomForestRegressor(), ["random_state"]),
        (RandomForestRegressor(random_state=1), []),
        (make_pipeline(RandomForestRegressor()), ["randomforestregressor__random_state"]),
        (
            VotingRegressor([("a", RandomForestRegressor()), ("b", Ridge())]),
            ["a__random_state"],
        ),
        (
            GridSearchCV(Ridge(), {}, cv=KFold(shuffle=True)),
            ["cv__random_state"],
        ),
        (GridSearchCV(Ridge(), {}, cv=KFold()), []),
        (
            BaggingRegressor(make_pipeline(RandomForestRegressor()), random_state=1),
            [],
        ),
        (
            BaggingRegressor(RandomForestRegressor(random_state=1)),
            ["random_state"],
        ),
        (Ridge(solver="saga"), ["random_state"]),
        (Ridge(), []),
        (LogisticRegression(solver="liblinear"), ["random_state"]),
        (LogisticRegression(), []),
        (SVC(), []),
        (SVC(probability=True), ["random_state"]),
        (LassoCV(), []),
        (GaussianProcessRegressor(), []),
        (SVR(), []),
        (make_pipeline(SVR()), []),
        (ElasticNet(selection="random"), ["random_state"]),
    ],
)
def test_an_estimator_without_a_seed_is_found_anywhere(estimator: Any, expected: list[str]) -> None:
    assert unseeded(estimator) == expected


def test_a_solver_that_is_searched_may_draw() -> None:
    assert unseeded(Ridge(), {"solver": ["saga", "svd"]}) == ["random_state"]


def unseeded_forest(kind: str, seed: int) -> Any:
    return (RandomForestRegressor(), {}) if kind == "regression" else None


def drawing(kind: str, seed: int) -> Any:
    drawn = int(np.random.default_rng().integers(2**31))
    model = RandomForestRegressor(random_state=drawn)
    return (model, {}) if kind == "regression" else None


def test_a_factory_is_warned_of_that_leaves_out_the_seed() -> None:
    (caution,) = load_pipeline(f"{__name__}:unseeded_forest").cautions

    assert "draws without a seed (random_state is None)" in caution
    assert "pass on the seed that the factory is called with" in caution


def test_a_factory_is_warned_of_that_makes_another_estimator_each_time() -> None:
    (caution,) = load_pipeline(f"{__name__}:drawing").cautions

    assert "makes another estimator each time it is called with the same seed" in caution


def support_vectors(kind: str, seed: int) -> Any:
    return (SVR(), {"C": ("log", 1e-2, 1e2)}) if kind == "regression" else None


def test_a_factory_is_warned_of_whose_parameters_are_in_the_unit_of_the_target() -> None:
    (caution,) = load_pipeline(f"{__name__}:support_vectors").cautions

    assert "gets the target in its own unit, which decides with SVR" in caution
    assert "wrap it in TransformedTargetRegressor" in caution
