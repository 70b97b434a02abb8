"""Fits of members: made once for all tasks, and used only where all that made them is the same."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jobpool.brain.arrays import Array
from jobpool.cache.fits.cache import FitCache
from jobpool.cache.fits.file import Entry
from jobpool.cache.roi.store import RoiMatrix
from jobpool.errors import OutOfTimeError
from jobpool.experiment.config import load_experiment
from jobpool.journal.attempts import made_progress
from jobpool.journal.results import all_results
from jobpool.learning.splits import FILE_NAME, read_splits
from jobpool.pool import Pool
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.members import MemberError
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.task import TaskState, Value
from tests.support.brain_study import without_seconds
from tests.support.evaluate_study import SIZES, N, StrategiesStudy, fits_made

PER_MEMBER = 2 * (1 + 3)  # outer folds, each with the whole training part and 3 inner folds


@pytest.fixture
def study(tmp_path: Path) -> StrategiesStudy:
    return StrategiesStudy(tmp_path / "study")


def made_by(result: dict[str, Any]) -> int:
    return int(result["fits"]["made"])


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result without what depends on who was first."""
    folds = [{**fold, "fit_seconds": None} for fold in result["folds"]]
    return without_seconds({**result, "folds": folds, "fits": None})


def test_each_strategy_makes_only_the_fits_that_are_missing(study: StrategiesStudy) -> None:
    study.made()

    made = [made_by(study.evaluate(name)) for name in ("voted_abc_x2", "stacked_abc_x2", "a")]

    # voted: the whole training part of two members; stacked: the inner folds; the single one: none
    assert made == [2 * 2, 2 * 2 * 3, 0]


def test_a_larger_set_makes_fits_of_its_new_member_only(study: StrategiesStudy) -> None:
    study.made()
    study.evaluate("stacked_abc_x2")

    larger = study.evaluate("stacked_abc_x3")

    assert larger["fits"] == {
        "made": PER_MEMBER,
        "reused": 2 * PER_MEMBER,
        "waited_s": larger["fits"]["waited_s"],
    }


def test_a_grid_fits_only_its_best_member_on_the_whole_training_part(
    study: StrategiesStudy,
) -> None:
    study.made()

    found = study.evaluate("grid_abc_x3")

    assert made_by(found) == 2 * (3 * 3 + 1)
    assert {fold["chosen"]["member"] for fold in found["folds"]} <= {"a", "b", "c"}


@pytest.mark.parametrize("name", ["voted_abc_x3", "stacked_abc_x3", "grid_abc_x3", "a"])
def test_fits_from_the_cache_give_the_result_of_fits_just_made(
    study: StrategiesStudy, name: str
) -> None:
    study.made()
    first = study.evaluate(name)

    again = study.evaluate(name)

    assert made_by(again) == 0
    assert numbers(again) == numbers(first)


@pytest.mark.parametrize("name", ["voted_abc_x2", "stacked_abc_x2", "grid_abc_x2"])
def test_fits_of_its_own_give_a_task_the_same_result(
    study: StrategiesStudy, tmp_path: Path, name: str
) -> None:
    study.made()
    alone = StrategiesStudy(tmp_path / "alone")
    alone.config["evaluate"] |= {"fits": "own"}
    alone.made()

    shared, own = study.evaluate(name), alone.evaluate(name)

    assert numbers(own) == numbers(shared)
    assert not (alone.pool / "cache/fits").exists()


def test_a_single_parcellation_gives_the_same_alone_as_where_it_is_a_member(
    study: StrategiesStudy, tmp_path: Path
) -> None:
    alone = StrategiesStudy(tmp_path / "alone")
    alone.config["axes"]["parcellation"] = [{"glob": "[abc].npy"}]
    alone.made()
    study.made()

    plain, member = alone.evaluate("b"), study.evaluate("b")

    assert plain.keys() < member.keys()
    assert numbers(plain | {"fits": None}) == {
        key: value for key, value in numbers(member).items() if key in plain or key == "fits"
    }


def edit_nothing(study: StrategiesStudy) -> None:
    """Leave all as it is."""


def edit_a_label(study: StrategiesStudy) -> None:
    labels = np.load(study.folder / "a.npy")
    labels[7] = labels[8]
    np.save(study.folder / "a.npy", labels)


def edit_a_target(study: StrategiesStudy) -> None:
    ages = study.table["age"].to_numpy(copy=True)
    ages[3] += 1e-9
    study.table["age"] = ages


def edit_a_family(study: StrategiesStudy) -> None:
    families = study.table["family"].tolist()
    study.table["family"] = [families[-1], *families[1:]]


def edit_the_tolerance(study: StrategiesStudy) -> None:
    study.config["evaluate"]["tolerance"] = 1.01e-3


@pytest.mark.parametrize(
    ("edit", "n_made"),
    [
        (edit_nothing, 0),
        (edit_a_label, PER_MEMBER),  # of the one member that it changes
        (edit_a_target, 2 * PER_MEMBER),
        (edit_a_family, 2 * PER_MEMBER),
        (edit_the_tolerance, 2 * PER_MEMBER),
    ],
)
def test_a_fit_is_used_only_where_all_that_made_it_is_the_same(
    study: StrategiesStudy, tmp_path: Path, edit: Callable[[StrategiesStudy], None], n_made: int
) -> None:
    study.made()
    study.evaluate("stacked_abc_x2")
    other = StrategiesStudy(tmp_path / "other")
    # the very same maps: values of other files would be others
    other.config["evaluate"]["maps"] = str(study.folder / "maps.npy")
    study.config["evaluate"]["maps"] = other.config["evaluate"]["maps"]
    edit(other)

    found = other.with_fits_of(study).evaluate("stacked_abc_x2")

    assert made_by(found) == n_made


FIRST_FOLD: dict[str, Value] = {
    "parcellation": "voted_abc_x2",
    "pipeline": "elastic",
    "target": "age",
    "fold": 0,
}


def a_context(study: StrategiesStudy, deadline: float | None = None) -> RunContext:
    folder = study.pool / "checkpoints/x"
    folder.mkdir(parents=True, exist_ok=True)
    cache = study.pool / "cache"
    return RunContext(cores=1, cache=cache, checkpoint=folder, deadline=deadline, writer="w")


def bucket_name(pipeline: str) -> str:
    return json.dumps({"pipeline": pipeline, "target": "age", "fold": 0})


def kept_fits(study: StrategiesStudy, pipeline: str, parcels: int) -> list[dict[str, Any]]:
    """Return rows and predictions of all fits of a member in the first outer fold."""
    bucket = FitCache(study.pool / "cache", "flock").bucket(bucket_name(pipeline))
    keys = sorted(bucket.keys())
    entries = [entry for key in keys if (entry := bucket.get(key)) is not None]
    return [dict(one.arrays) for one in entries if facts_of(one)["n_parcels"] == parcels]


def facts_of(entry: Entry) -> dict[str, Any]:
    facts: Any = entry.about["values"]
    return dict(facts)


def out_of_fold(fits: list[dict[str, Any]], rows: Array) -> Array:
    """Return what those of the fits say that predict someone in `rows`, in their order."""
    found = np.full(N, np.nan)
    for one in fits:
        found[one["rows"]] = np.where(np.isin(one["rows"], rows), one["predicted"], np.nan)
    return found[rows]


def test_a_stack_of_several_pipelines_is_a_ridge_on_all_their_members(
    study: StrategiesStudy,
) -> None:
    study.config["axes"]["pipeline"] = ["elastic", "svm", "elastic+svm"]
    study.made()

    fold = study.evaluate("stacked_abc_x2", pipeline="elastic+svm")["folds"][0]

    pairs = product(("elastic", "svm"), (SIZES["a"], SIZES["b"]))
    members = [kept_fits(study, *one) for one in pairs]
    y = study.table["age"].to_numpy()
    tested = (
        read_splits(study.pool / FILE_NAME, list(study.table["id"]), list(study.table["family"]))
        .of("age")
        .outer
        == 0
    )
    seen, asked = np.flatnonzero(~tested), np.flatnonzero(tested)
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=fold["chosen"]["alpha"]))
    ridge.fit(np.stack([out_of_fold(one, seen) for one in members], axis=1), y[seen])
    predicted = ridge.predict(np.stack([out_of_fold(one, asked) for one in members], axis=1))
    assert fold["scores"]["r2"] == pytest.approx(r2_score(y[asked], predicted), abs=1e-9)


def test_members_of_the_same_content_share_their_fits(study: StrategiesStudy) -> None:
    np.save(study.folder / "b.npy", np.load(study.folder / "a.npy").astype(np.int64))
    study.made()

    found = study.evaluate("voted_abc_x3")

    assert (made_by(found), len(found["members"])) == (2 * 2, 3)


def test_a_fit_of_values_that_changed_meanwhile_is_not_kept(study: StrategiesStudy) -> None:
    study.made()
    runner = Evaluate(load_experiment(study.file, forms=forms_of), study.pool)
    labels, cache = np.load(study.folder / "a.npy"), runner.roi_cache(study.pool / "cache")
    matrix = cache.matrix

    def edited(name: str, deadline: float | None = None) -> RoiMatrix:
        """Return values after somebody edited the file: the key was taken before."""
        np.save(study.folder / "a.npy", labels[::-1])
        return matrix(name, deadline)

    cache.matrix = edited  # type: ignore[method-assign]
    with pytest.raises(MemberError, match=r"a by elastic, outer fold 0: .* changed"):
        runner.run(FIRST_FOLD, a_context(study))

    np.save(study.folder / "a.npy", labels)
    assert made_by(study.evaluate("voted_abc_x2", fold=0)) >= 1


def test_a_member_that_cannot_be_fitted_is_named_without_another_search(
    study: StrategiesStudy,
) -> None:
    study.config["axes"]["pipeline"] = ["tests.runners.test_member_fits:hopeless"]
    study.config["evaluate"] |= {"scaling": "none"}
    study.made()
    pipeline = "tests.runners.test_member_fits:hopeless"
    with pytest.raises(
        MemberError, match=r"by tests\.runners\.test_member_fits:hopeless, outer fold"
    ):
        study.evaluate("voted_abc_x2", pipeline=pipeline)
    before = len(FITTED)

    with pytest.raises(MemberError, match="none of 2 candidates has a score"):
        study.evaluate("voted_abc_x2", pipeline=pipeline, fold=0)
    with pytest.raises(MemberError):
        study.evaluate("voted_abc_x2", pipeline=pipeline, fold=0)

    assert len(FITTED) <= before + 2 * 2 * 3  # the second member's search, where it was not made


FITTED: list[int] = []


class Hopeless(Ridge):  # type: ignore[misc] # scikit-learn has no types
    """Overflows in every fit."""

    def fit(self, X: Array, y: Array) -> "Hopeless":  # noqa: ARG002 - as scikit-learn calls it
        FITTED.append(len(y))
        raise ValueError("overflow encountered in the target")


def hopeless(kind: str, seed: int) -> Any:
    return None if kind == "binary" else (Hopeless(), {"alpha": ("log", 1e-3, 1e3)})


def test_who_only_waited_for_the_fits_of_others_left_something(study: StrategiesStudy) -> None:
    study.made()
    study.evaluate("voted_abc_x2", fold=0)
    bucket = FitCache(study.pool / "cache", "flock").bucket(bucket_name("elastic"))
    keys = bucket.keys()
    bucket.path.unlink()
    before = time.time()
    runner = Evaluate(load_experiment(study.file, forms=forms_of), study.pool)

    with ExitStack() as stack:
        held = [stack.enter_context(bucket.take(key)) for key in keys]
        with pytest.raises(OutOfTimeError, match="wait for fits that other workers make"):
            runner.run(FIRST_FOLD, a_context(study, deadline=time.time() + 3))

    assert held == [True, True]
    assert made_progress(study.pool, "x", before, "w")


def test_predictions_that_are_kept_lie_where_the_result_says(study: StrategiesStudy) -> None:
    study.config["evaluate"] |= {"predictions": "keep"}
    study.made()

    found = study.evaluate("voted_abc_x2")

    runner = Evaluate(load_experiment(study.file, forms=forms_of), study.pool)
    tables = list(runner.predictions({"target": "age"}, found, study.pool / "cache"))
    assert [len(table["participant"]) for table in tables] == [
        fold["n_test"] for fold in found["folds"]
    ]
    assert sorted(who for table in tables for who in table["participant"]) == sorted(
        study.table["id"]
    )


@pytest.mark.slow
def test_eight_workers_make_each_fit_once_in_any_order(study: StrategiesStudy) -> None:
    pool = study.made()

    done = subprocess.run(
        [sys.executable, "-m", "jobpool", "run", str(pool), "--workers", "8"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    results = list(all_results(pool))
    assert done.returncode == 0, done.stderr
    assert Pool(pool).counts()[TaskState.DONE] == len(results) == 3 + 6
    assert fits_made(pool) == 3 * PER_MEMBER
