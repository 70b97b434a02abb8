import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.metrics import explained_variance_score, matthews_corrcoef
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from jobpool.brain.arrays import Array, FloatArray
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.fits import NoCandidateError, evaluate_fold
from jobpool.learning.methods import METHODS, SearchResult, random_search, search
from jobpool.learning.parallel import HelperError, HelperKilledError
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.pipelines.base import (
    Candidate,
    Dimension,
    Kind,
    Pipeline,
    Predictions,
    Settings,
    Split,
)
from jobpool.learning.scores import search_score
from jobpool.learning.search import FoldData, Recipe, TrainingData, Trials, describe
from jobpool.learning.splits import deal_groups

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 8)) * RNG.uniform(0.1, 10, 8)
AGE = X @ RNG.normal(size=8) + RNG.normal(size=90)
SEX = np.greater(AGE, np.median(AGE)).astype(float)
GROUPS = [str(one // 3) for one in range(90)]
INNER = deal_groups(GROUPS, 3, "inner")
RANK = np.repeat(np.random.default_rng(1).permutation(30) / 30, 3)
SLOPE = float(np.polyfit(X[:, 0], AGE, 1)[0])
TARGETS = {Kind.REGRESSION: AGE, Kind.BINARY: SEX}

ENDLESS = """
import time
from pathlib import Path

import numpy as np

from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.pipelines.base import Kind, Pipeline, Settings
from jobpool.learning.search import Recipe, TrainingData, Trials


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
    n_candidates=4,
)
data = TrainingData(
    name="fold 0", X=np.eye(9), y=np.arange(9.0), inner=np.arange(9) % 3, rank=np.arange(9.0)
)
trials = Trials(recipe=recipe, data=data, cores=2, checkpoint=Checkpoint(Path("none"), {}))
trials.score([{"a": one} for one in range(4)])
"""


def a_recipe(kind: Kind, n_candidates: int = 8, **changes: Any) -> Recipe:
    return Recipe(
        pipeline=changes.pop("pipeline", PIPELINES["elastic"]),
        kind=kind,
        settings=changes.pop("settings", Settings()),
        seed=changes.pop("seed", 5),
        n_candidates=n_candidates,
        **changes,
    )


def some_trials(
    recipe: Recipe, folder: Path = Path("none"), cores: int = 1, every_s: float = 15
) -> Trials:
    data = TrainingData(name="fold 0", X=X, y=TARGETS[recipe.kind], inner=INNER, rank=RANK)
    checkpoint = Checkpoint(folder, {}, every_s=every_s)
    return Trials(recipe=recipe, data=data, cores=cores, checkpoint=checkpoint)


class Overflowing:
    def fit(self, _X: Array, _y: Array) -> None:
        raise ValueError("Floating-point under-/overflow occurred at epoch #1")


def overflowing(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> object:
    return Overflowing()


class Counting:
    """A solver that says what it was asked for; chunks of two."""

    def __init__(self) -> None:
        self.solved: list[Candidate] = []

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        numbers = list(range(len(candidates)))
        return [numbers[one : one + 2] for one in numbers[::2]]

    def prepare(self, split: Split) -> Split:
        return split

    def solve(self, prepared: Split, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        for candidate in candidates:
            self.solved.append(candidate)
            predicted = prepared.X_test[:, 0] * float(candidate["a"] or 0.0)
            yield Predictions(predicted=predicted, decision=predicted)


def counting_pipeline(solver: Counting) -> Pipeline:
    space = (Dimension(name="a"),)
    spaces = dict.fromkeys(Kind, space)
    return Pipeline(name="counting", spaces=spaces, make=overflowing, solver=solver)


class Sleeping:
    def fit(self, _X: FloatArray, _y: Array) -> None:
        time.sleep(1000)


def sleeping(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> object:
    return Sleeping()


def plain_score(kind: Kind, candidate: Candidate, fold: int) -> float:
    """Score a candidate as a plain scikit-learn program does."""
    y, train, test = TARGETS[kind], fold != INNER, fold == INNER
    scaler = RobustScaler(quantile_range=(5, 95))
    if kind is Kind.REGRESSION:
        model = make_pipeline(scaler, ElasticNet(max_iter=1000, tol=1e-3, **candidate))
        predicted = model.fit(X[train], y[train]).predict(X[test])
        return float(explained_variance_score(y[test], predicted))
    saga = LogisticRegression(solver="saga", max_iter=1000, tol=1e-3, random_state=5, **candidate)
    model = make_pipeline(scaler, saga)
    return float(matthews_corrcoef(y[test], model.fit(X[train], y[train]).predict(X[test])))


@pytest.mark.parametrize("kind", Kind)
def test_the_plain_solver_scores_candidates_as_the_plain_program(kind: Kind) -> None:
    trials = some_trials(a_recipe(kind, plain=True))
    candidates = PIPELINES["elastic"].candidates(kind, 12, seed=5)
    expected = [[plain_score(kind, one, fold) for fold in range(3)] for one in candidates]

    found = trials.score(candidates)

    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", Kind)
def test_two_cores_give_the_scores_of_one(kind: Kind, method: str) -> None:
    recipe = a_recipe(kind, 12, method=method)
    one = METHODS[method](some_trials(recipe, cores=1))

    two = METHODS[method](some_trials(recipe, cores=2))

    assert two.candidates == one.candidates
    np.testing.assert_array_equal(two.scores, one.scores)


def test_one_core_starts_no_process() -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    random_search(some_trials(a_recipe(Kind.REGRESSION, 2)))

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


def kill_a_helper_that_fits() -> None:
    """Kill one of this process's loky workers once it sleeps in a fit."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # another ended meanwhile, and is a zombie
                if "LokyProcess" in " ".join(child.cmdline()) and child.cpu_times().user > 0.5:
                    child.kill()
                    return
        time.sleep(0.2)


def search_with_a_killed_helper() -> None:
    pipeline = Pipeline(name="sleeping", spaces={}, make=sleeping)
    trials = some_trials(a_recipe(Kind.REGRESSION, pipeline=pipeline), cores=2)
    killer = threading.Thread(target=kill_a_helper_that_fits)
    killer.start()
    try:
        trials.score([{"a": 1.0}, {"a": 2.0}])
    finally:
        killer.join()


def test_a_killed_helper_process_ends_the_search_with_an_error() -> None:
    with pytest.raises(HelperKilledError, match=r"was killed \(SIGKILL"):
        search_with_a_killed_helper()


def test_a_search_after_a_killed_helper_starts_new_ones() -> None:
    expected = random_search(some_trials(a_recipe(Kind.REGRESSION), cores=1))
    with pytest.raises(HelperKilledError):
        search_with_a_killed_helper()

    found = random_search(some_trials(a_recipe(Kind.REGRESSION), cores=2))

    np.testing.assert_array_equal(found.scores, expected.scores)


def test_large_arrays_reach_helpers_by_memory_map() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(300, 2000))
    pipeline = Pipeline(name="looking", spaces={}, make=overflowing, solver=Looking())
    data = TrainingData(
        name="fold 0", X=wide, y=wide[:, 0], inner=np.arange(300) % 3, rank=np.arange(300.0)
    )
    recipe = a_recipe(Kind.REGRESSION, pipeline=pipeline, metric="mae")
    checkpoint = Checkpoint(Path("none"), {})

    found = Trials(recipe=recipe, data=data, cores=2, checkpoint=checkpoint).score([{}, {"a": 1.0}])

    np.testing.assert_array_equal(found, np.zeros((2, 3)))


class Looking:
    """A solver that is right if its features are memory-mapped, read-only, in another process."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        return [[one] for one in range(len(candidates))]

    def prepare(self, split: Split) -> Split:
        return split

    def solve(self, prepared: Split, _candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        features = prepared.X_train
        right = isinstance(features, np.memmap) and not features.flags.writeable
        away = os.getpid() != self.home
        predicted = prepared.X_test[:, 0] + (0.0 if right and away else 1.0)
        yield Predictions(predicted=predicted, decision=predicted)


def test_an_interrupted_search_computes_only_what_is_missing(tmp_path: Path) -> None:
    solver = Counting()
    recipe = a_recipe(Kind.REGRESSION, 8, pipeline=counting_pipeline(solver))
    random_search(some_trials(recipe, tmp_path, every_s=0))
    n_fits = len(solver.solved)
    solver.solved.clear()
    file = next(tmp_path.glob("*.jsonl"))
    kept = file.read_bytes().splitlines(keepends=True)[:3]  # chunks of two candidates
    file.write_bytes(b"".join(kept))

    random_search(some_trials(recipe, tmp_path))

    assert len(solver.solved) == n_fits - 6


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_search_ends_as_an_uninterrupted_one(tmp_path: Path, method: str) -> None:
    recipe = a_recipe(Kind.BINARY, 12, method=method, settings=Settings(max_iterations=20))
    expected = METHODS[method](some_trials(recipe))
    METHODS[method](some_trials(recipe, tmp_path, every_s=0))
    kept = next(tmp_path.glob("*.jsonl"))
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[-1][:20])

    found = METHODS[method](some_trials(recipe, tmp_path, cores=2))

    assert found.candidates == expected.candidates
    assert found.n_unconverged == expected.n_unconverged
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("metric", ["explained_variance", "r2", "mae", "pearson"])
def test_a_candidate_that_cannot_win_is_passed_over_without_changing_the_choice(
    metric: str, cores: int
) -> None:
    recipe = a_recipe(Kind.REGRESSION, 40, metric=metric)
    candidates = recipe.pipeline.candidates(Kind.REGRESSION, 40, seed=5)
    complete = some_trials(recipe).score(candidates)

    found = random_search(some_trials(recipe, cores=cores))

    means = np.where(np.isnan(complete).any(axis=1), -np.inf, complete.mean(axis=1))
    scored = ~np.isnan(found.scores)
    assert found.best == np.argmax(means)
    np.testing.assert_array_equal(found.scores[scored], complete[scored])
    assert scored[found.best].all()


def test_hopeless_candidates_are_fitted_once_instead_of_thrice() -> None:
    solver = Counting()
    pipeline = replace(
        counting_pipeline(solver),
        spaces={Kind.REGRESSION: (Dimension(name="a", choices=(1e6, float(SLOPE))),)},
    )
    recipe = a_recipe(Kind.REGRESSION, 20, pipeline=pipeline)

    random_search(some_trials(recipe))

    fits = [one["a"] for one in solver.solved]
    n_wild = sum(one["a"] == 1e6 for one in pipeline.candidates(Kind.REGRESSION, 20, seed=5))
    assert fits.count(1e6) == n_wild
    assert fits.count(float(SLOPE)) == 3 * (20 - n_wild)


def test_fits_that_do_not_converge_are_counted() -> None:
    recipe = a_recipe(Kind.BINARY, settings=Settings(max_iterations=2), plain=True)
    candidates = ({"C": 100.0, "l1_ratio": 0.5}, {"C": 1e-5, "l1_ratio": 0.5})
    trials = some_trials(recipe)

    trials.score(candidates)

    assert trials.n_unconverged == 3


def test_halving_keeps_the_better_third_for_more_participants() -> None:
    recipe = a_recipe(Kind.REGRESSION, 30, method="halving")

    found = METHODS["halving"](some_trials(recipe))

    scored = np.flatnonzero(np.isfinite(found.scores[:, 0]))
    assert len(scored) == 10  # a ninth of the participants is too few
    assert found.best in scored


def test_a_share_of_the_training_part_holds_whole_groups() -> None:
    data = some_trials(a_recipe(Kind.REGRESSION)).data

    train = data.train(data.tests[0], 1 / 3)

    assert train.sum() == 21
    assert (train.reshape(30, 3).all(axis=1) == train.reshape(30, 3).any(axis=1)).all()
    assert not (train & data.tests[0]).any()


def test_the_parzen_estimator_looks_where_good_candidates_were() -> None:
    solver = Counting()
    pipeline = replace(
        counting_pipeline(solver),
        spaces={Kind.REGRESSION: (Dimension(name="a", low=-100, high=100),)},
    )
    recipe = a_recipe(Kind.REGRESSION, 60, pipeline=pipeline, method="tpe", metric="mse")

    found = METHODS["tpe"](some_trials(recipe))

    tried = np.array([float(one["a"] or 0.0) for one in found.candidates])
    assert np.abs(tried[-20:] - SLOPE).mean() < np.abs(tried[:10] - SLOPE).mean() / 2


@pytest.mark.parametrize("method", METHODS)
def test_every_method_tries_a_finite_space_once(method: str) -> None:
    solver = Counting()
    choices = tuple(float(SLOPE) * one for one in range(12))
    pipeline = replace(
        counting_pipeline(solver),
        spaces={Kind.REGRESSION: (Dimension(name="a", choices=choices),)},
    )
    recipe = a_recipe(
        Kind.REGRESSION, 12, pipeline=pipeline, method=method, metric="mse", distinct=True
    )

    found = METHODS[method](some_trials(recipe))

    assert sorted(float(str(one["a"])) for one in found.candidates) == sorted(choices)
    assert found.candidates[found.best]["a"] == SLOPE


def test_the_first_of_equal_candidates_is_chosen() -> None:
    scores = np.array([[0.1, 0.1], [0.3, 0.2], [0.2, 0.3]])

    result = SearchResult(candidates=({}, {}, {}), scores=scores, n_unconverged=0)

    assert result.best == 1


def test_a_candidate_that_overflowed_is_not_chosen() -> None:
    scores = np.array([[0.9, np.nan], [-0.3, -0.2]])

    result = SearchResult(candidates=({}, {}), scores=scores, n_unconverged=1)

    assert result.best == 1


def test_a_search_without_a_usable_candidate_is_an_error() -> None:
    spaces = {Kind.BINARY: (Dimension(name="a"),)}
    broken = Pipeline(name="broken", spaces=spaces, make=overflowing)
    data = FoldData(fold=0, X=X, y=SEX, test=INNER == 0, inner=INNER, rank=RANK, rows=np.arange(90))

    with pytest.raises(NoCandidateError, match="none of 2 candidates has a score"):
        evaluate_fold(
            a_recipe(Kind.BINARY, 2, pipeline=broken), data, 1, Checkpoint(Path("none"), {})
        )


def of_counts(y: Array) -> Trials:
    """Return trials on a target that is the same for everybody in the first inner fold."""
    data = TrainingData(name="fold 0", X=X, y=np.where(INNER == 0, 0.0, y), inner=INNER, rank=RANK)
    recipe = a_recipe(Kind.REGRESSION, pipeline=counting_pipeline(Counting()))
    nowhere = Checkpoint(Path("none"), {}, every_s=1e6)  # a busy machine takes longer than usual
    return Trials(recipe=recipe, data=data, cores=1, checkpoint=nowhere)


@pytest.mark.parametrize("method", METHODS)
def test_a_split_on_which_nothing_has_a_score_counts_for_no_candidate(method: str) -> None:
    trials = of_counts(AGE)
    trials.recipe = replace(trials.recipe, method=method)

    found = search(trials)

    slopes = [float(one["a"] or 0.0) for one in found.candidates]
    plain = [
        np.mean(
            [
                explained_variance_score(AGE[part], X[part, 0] * slope)
                for part in (INNER == 1, INNER == 2)
            ]
        )
        for slope in slopes
    ]
    assert found.best == np.argmax(plain)
    assert found.means[found.best] == pytest.approx(max(plain), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_on_a_target_with_one_value_decides_nothing(method: str) -> None:
    trials = of_counts(np.zeros(90))
    trials.recipe = replace(trials.recipe, method=method)

    found = search(trials)

    assert (found.best, found.n_tied) == (0, len(found.candidates))


def test_candidates_with_equal_scores_are_tied() -> None:
    scores = np.array([[0.3, 0.2], [0.2, 0.3 + 1e-9], [0.2, 0.2], [np.nan, 0.9]])
    candidates = tuple({"C": one} for one in range(4))

    result = SearchResult(candidates=candidates, scores=scores, n_unconverged=0)

    assert result.n_tied == 2


@pytest.mark.parametrize(
    ("answers", "decided"),
    [
        (("a", "a", "b"), True),  # the same classes for everybody
        (("a", "b", "c"), False),
        (("", "", "b"), False),  # both a constant
        ((), False),  # not known
    ],
)
def test_equal_scores_decide_only_between_equal_predictions(
    answers: tuple[str, ...], *, decided: bool
) -> None:
    scores = np.array([[0.3, 0.2], [0.2, 0.3], [0.2, 0.2]])

    result = SearchResult(
        candidates=({"C": 1}, {"C": 2}, {"C": 3}), scores=scores, n_unconverged=0, answers=answers
    )

    assert (result.n_tied, result.decided) == (2, decided)


def of_slopes(*slopes: float) -> SearchResult:
    """Return the search over these slopes of the first feature."""
    spaces = dict.fromkeys(Kind, (Dimension(name="a", choices=slopes),))
    pipeline = replace(counting_pipeline(Counting()), spaces=spaces)
    recipe = a_recipe(Kind.REGRESSION, 12, pipeline=pipeline, metric="pearson", distinct=True)
    return search(some_trials(recipe, every_s=1e6))


def test_candidates_whose_predictions_differ_are_not_decided_by_equal_scores() -> None:
    found = of_slopes(SLOPE, 2 * SLOPE, 3 * SLOPE)  # a correlation does not see the slope

    assert (found.n_tied, found.decided) == (3, False)


def test_candidates_that_predict_the_same_are_decided() -> None:
    found = of_slopes(SLOPE, -SLOPE)

    assert (found.n_tied, found.decided) == (1, True)


def test_a_candidate_that_was_drawn_twice_is_not_tied_with_itself() -> None:
    scores = np.array([[0.3, 0.2], [0.3, 0.2], [0.2, 0.2]])

    result = SearchResult(candidates=({"C": 1}, {"C": 1}, {"C": 2}), scores=scores, n_unconverged=0)

    assert result.n_tied == 1


def test_a_candidate_that_predicts_an_infinite_number_is_not_chosen() -> None:
    scores = [
        search_score(Kind.REGRESSION, "mse", AGE, Predictions(predicted=one, decision=one))
        for one in (AGE + 50, np.where(AGE.mean() < AGE, np.inf, AGE))
    ]

    result = SearchResult(candidates=({}, {}), scores=np.array([scores]).T, n_unconverged=0)

    assert result.best == 0


class OddError(Exception):
    """Cannot be unpickled: another process cannot call it with one argument."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Odd(Counting):
    def solve(self, prepared: Split, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        raise OddError(f"{len(prepared.y_train)} and {len(candidates)}", "odd things")


def test_an_error_that_cannot_be_pickled_keeps_its_traceback() -> None:
    trials = some_trials(a_recipe(Kind.REGRESSION, pipeline=counting_pipeline(Odd())), cores=2)

    with pytest.raises(HelperError, match=r"OddError: 60 and [12] odd things(.|\n)*in solve"):
        trials.score([{"a": 1.0}, {"a": 2.0}, {"a": 3.0}])


def scoring(_X: Array, y: Array) -> Array:
    return np.ones(len(y))


def selecting(kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:
    return make_pipeline(SelectKBest(scoring), ElasticNet(**candidate))


def test_a_function_among_the_parameters_is_known_by_its_name() -> None:
    pipeline = replace(PIPELINES["elastic"], make=selecting)

    found = json.dumps(describe(a_recipe(Kind.REGRESSION, pipeline=pipeline)))

    assert f"{__name__}.scoring" in found
    assert " at 0x" not in found


@pytest.mark.parametrize("change", [{"seed": 6}, {"n_candidates": 9}, {"method": "tpe"}])
def test_another_recipe_has_another_description(change: dict[str, Any]) -> None:
    one = describe(a_recipe(Kind.REGRESSION))

    other = describe(a_recipe(Kind.REGRESSION, **({"n_candidates": 8} | change)))

    assert one != other
