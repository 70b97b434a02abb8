import subprocess
import sys

import numpy as np
import psutil
import pytest
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.metrics import explained_variance_score, matthews_corrcoef
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from jobpool.brain.arrays import Array
from jobpool.learning.evaluation import FoldData, NoCandidateError, evaluate_fold
from jobpool.learning.pipelines import PIPELINES, Candidate, Kind, Pipeline, Settings
from jobpool.learning.search import Recipe, SearchResult, search
from jobpool.learning.splits import deal_groups

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 8)) * RNG.uniform(0.1, 10, 8)
AGE = X @ RNG.normal(size=8) + RNG.normal(size=90)
SEX = np.greater(AGE, np.median(AGE)).astype(float)
INNER = deal_groups([str(one // 3) for one in range(90)], 3, "inner")
TARGETS = {Kind.REGRESSION: AGE, Kind.BINARY: SEX}

ENDLESS = """
import time

import numpy as np

from jobpool.learning.pipelines import Kind, Pipeline, Settings
from jobpool.learning.search import Recipe, search


class Endless:
    def fit(self, X, y):
        print("fitting", flush=True)
        time.sleep(1000)


def endless(kind, candidate, settings, seed):
    return Endless()


recipe = Recipe(
    pipeline=Pipeline(name="endless", spaces={}, make=endless),
    kind=Kind.REGRESSION,
    settings=Settings(),
    seed=0,
)
search(recipe, np.eye(9), np.arange(9.0), np.arange(9) % 3, [{}] * 4, cores=2)
"""


def a_recipe(kind: Kind, settings: Settings | None = None) -> Recipe:
    pipeline = PIPELINES["elastic"]
    return Recipe(pipeline=pipeline, kind=kind, settings=settings or Settings(), seed=3)


class Overflowing:
    def fit(self, _X: Array, _y: Array) -> None:
        raise ValueError("Floating-point under-/overflow occurred at epoch #1")


def overflowing(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> object:
    return Overflowing()


def plain_score(kind: Kind, candidate: Candidate, fold: int) -> float:
    """Score a candidate as a plain scikit-learn program does."""
    y, train, test = TARGETS[kind], fold != INNER, fold == INNER
    scaler = RobustScaler(quantile_range=(5, 95))
    if kind is Kind.REGRESSION:
        model = make_pipeline(scaler, ElasticNet(max_iter=1000, tol=1e-3, **candidate))
        predicted = model.fit(X[train], y[train]).predict(X[test])
        return float(explained_variance_score(y[test], predicted))
    saga = LogisticRegression(solver="saga", max_iter=1000, tol=1e-3, random_state=3, **candidate)
    model = make_pipeline(scaler, saga)
    return float(matthews_corrcoef(y[test], model.fit(X[train], y[train]).predict(X[test])))


@pytest.mark.parametrize("kind", Kind)
def test_every_candidate_scores_as_in_the_plain_program(kind: Kind) -> None:
    recipe = a_recipe(kind, Settings(max_iterations=1000))
    candidates = recipe.pipeline.candidates(kind, 12, seed=5)
    expected = [[plain_score(kind, one, fold) for fold in range(3)] for one in candidates]

    found = search(recipe, X, TARGETS[kind], INNER, candidates, cores=1)

    np.testing.assert_allclose(found.scores, expected, rtol=1e-12, atol=1e-12)


def test_two_cores_give_the_scores_of_one() -> None:
    recipe = a_recipe(Kind.BINARY)
    candidates = recipe.pipeline.candidates(Kind.BINARY, 8, seed=5)
    one = search(recipe, X, SEX, INNER, candidates, cores=1)

    two = search(recipe, X, SEX, INNER, candidates, cores=2)

    np.testing.assert_array_equal(two.scores, one.scores)


def test_one_core_starts_no_process() -> None:
    recipe = a_recipe(Kind.REGRESSION)
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    search(recipe, X, AGE, INNER, recipe.pipeline.candidates(recipe.kind, 2, seed=5), cores=1)

    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_processes_end_with_the_one_that_started_them() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()  # the first of them fits by now
        started = psutil.Process(parent.pid).children(recursive=True)

        parent.kill()
        _, alive = psutil.wait_procs(started, timeout=30)

    assert len(started) >= 2
    assert alive == []


def test_fits_that_do_not_converge_are_counted() -> None:
    recipe = a_recipe(Kind.BINARY, Settings(max_iterations=2))
    candidates = ({"C": 100.0, "l1_ratio": 0.5}, {"C": 1e-5, "l1_ratio": 0.5})

    found = search(recipe, X, SEX, INNER, candidates, cores=1)

    assert found.n_unconverged == 3


def test_the_first_of_equal_candidates_is_chosen() -> None:
    scores = np.array([[0.1, 0.1], [0.3, 0.2], [0.2, 0.3]])

    result = SearchResult(scores=scores, n_unconverged=0)

    assert result.best == 1


def test_a_candidate_that_overflowed_is_not_chosen() -> None:
    scores = np.array([[0.9, np.nan], [-0.3, -0.2]])

    result = SearchResult(scores=scores, n_unconverged=1)

    assert result.best == 1


def test_a_search_without_a_usable_candidate_is_an_error() -> None:
    broken = Pipeline(name="broken", spaces={}, make=overflowing)
    recipe = Recipe(pipeline=broken, kind=Kind.BINARY, settings=Settings(), seed=3)
    data = FoldData(fold=0, X=X, y=SEX, test=INNER == 0, inner=INNER)

    with pytest.raises(NoCandidateError, match="none of 2 candidates could be fitted"):
        evaluate_fold(recipe, data, ({}, {}), cores=1)
