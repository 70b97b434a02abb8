"""One row, one world: inputs that change between the folds of a task, or between tasks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobpool.errors import DataError
from jobpool.experiment.config import load_experiment
from jobpool.journal.made_of import FILE_NAME, read_agreed, within
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate import inputs
from jobpool.runners.evaluate.inputs import place_of
from jobpool.runners.evaluate.results import EvaluateResults
from jobpool.runners.evaluate.runner import Evaluate
from tests.support.brain_study import VERTICES, StudyOnDisk
from tests.support.evaluate_study import StrategiesStudy

Change = Callable[[StudyOnDisk], None]


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    found = StudyOnDisk(tmp_path)
    found.config["evaluate"] |= {"outer_folds": 3, "inner_folds": 2, "candidates": 2}
    return found


def edit_maps(study: StudyOnDisk) -> None:
    np.save(study.folder / "maps.npy", study.maps + 1)


def edit_one_value(study: StudyOnDisk) -> None:
    edited = study.maps.copy()
    edited[7, 3, 1] += 1e-9
    np.save(study.folder / "maps.npy", edited)


def edit_parcellation(study: StudyOnDisk) -> None:
    labels = np.load(study.folder / "hard.npy")
    labels[5] = 100
    np.save(study.folder / "hard.npy", labels)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (edit_maps, "^maps.npy: maps changed since"),
        (edit_one_value, "^maps.npy: maps changed since"),
        (edit_parcellation, "hard.npy: parcellation hard changed since"),
    ],
)
def test_a_fold_of_other_data_than_the_first_one_is_refused(
    study: StudyOnDisk, change: Change, named: str
) -> None:
    study.run(fold=0)
    worker = Evaluate(load_experiment(study.file, forms=forms_of), study.pool)
    change(study)

    with pytest.raises(DataError, match=named) as refused:
        run_by(worker, study, fold=1)

    assert "restore what it was (a task that is parked: jobpool retry), or " in str(refused.value)


def run_by(worker: Evaluate, study: StudyOnDisk, **point: Any) -> dict[str, Any]:
    """Run a task in a worker that has started."""
    context = RunContext(cores=1, cache=study.pool / "cache", checkpoint=study.pool / "checkpoint")
    usual = {"parcellation": "hard", "pipeline": "elastic", "target": "age"}
    return dict(worker.run({**usual, **point}, context))


def test_map_files_that_changed_after_the_pool_was_made_are_named(
    study: StudyOnDisk,
) -> None:
    study.write_maps_one_by_one(study.folder / "maps")
    names = [f"{name}.npy" for name in study.table["id"]]
    for name in names:
        os.utime(study.folder / "maps" / name, (1, 1))
    os.utime(study.folder / "maps" / names[7], (3, 3))
    study.config["evaluate"]["maps"] = "maps/{participant}.npy"
    found = study.checked()._checked.study

    place = place_of(found, "maps", since=2.0)

    assert place == "maps/{participant}.npy (changed later: 007.npy)"


def test_a_task_of_other_maps_than_the_tasks_before_is_refused(study: StudyOnDisk) -> None:
    study.run(parcellation="soft")
    edit_maps(study)

    with pytest.raises(DataError, match="maps changed since"):
        study.run(parcellation="hard")


def test_maps_that_are_restored_under_another_time_go_on(study: StudyOnDisk) -> None:
    before = study.run(fold=0)
    edit_maps(study)
    np.save(study.folder / "maps.npy", study.maps)
    os.utime(study.folder / "maps.npy", ns=(1, 1))

    after = study.run(fold=0)

    assert after["folds"][0]["scores"] == before["folds"][0]["scores"]
    assert after["made_of"] == before["made_of"]


def test_maps_that_change_before_the_first_task_are_one_world(study: StudyOnDisk) -> None:
    study.runner()
    edit_maps(study)

    assert study.run(fold=0)["made_of"]["maps"] == study.run(fold=1)["made_of"]["maps"]


def test_files_of_other_blocks_have_the_same_digest(tmp_path: Path) -> None:
    """One array for all, or one file for each: what counts is the values."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole, single = StudyOnDisk(tmp_path / "a", n=12), StudyOnDisk(tmp_path / "b", n=12)
    for one in (whole, single):
        one.config["axes"]["target"] = ["age"]
        one.config["evaluate"] |= {"outer_folds": 2, "inner_folds": 2, "candidates": 1}
    single.write_maps_one_by_one(single.folder / "maps")
    single.config["evaluate"]["maps"] = "maps/{participant}.npy"

    digests = {one.run(fold=0)["made_of"]["maps"] for one in (whole, single)}

    assert len(digests) == 1


def test_members_of_ensembles_are_held_against_the_pool(tmp_path: Path) -> None:
    study = StrategiesStudy(tmp_path / "study")
    study.made()
    study.evaluate("voted_abc_x2")
    labels = np.load(study.folder / "b.npy")
    np.save(study.folder / "b.npy", labels[::-1].copy())

    with pytest.raises(DataError, match="parcellation b changed since"):
        study.evaluate("stacked_abc_x2")


def test_a_task_of_an_ensemble_names_all_that_it_is_made_of(tmp_path: Path) -> None:
    study = StrategiesStudy(tmp_path / "study")
    study.made()

    made_of = study.evaluate("voted_abc_x2")["made_of"]

    assert list(made_of) == [
        *("parcellation a", "parcellation b", "target age", "splits for age", "maps"),
        *("settings of maps", "settings of elastic for regression"),
    ]


FACTORY = """
import helper
from sklearn.linear_model import Ridge

def ridge(kind, seed):
    return (Ridge(), {"alpha": helper.ALPHAS}) if kind == "regression" else None
"""


@pytest.fixture
def lab(study: StudyOnDisk, monkeypatch: pytest.MonkeyPatch) -> StudyOnDisk:
    """A study with a pipeline of the user's own, whose module imports another."""
    name = f"lab_{study.folder.name}".replace("-", "_")
    (study.folder / f"{name}.py").write_text(FACTORY.replace("helper", f"{name}_helper"))
    (study.folder / f"{name}_helper.py").write_text("ALPHAS = [1, 10]\n")
    monkeypatch.syspath_prepend(study.folder)
    study.config["axes"] |= {"pipeline": [f"{name}:ridge"], "target": ["age"]}
    return study


def pipeline_of(study: StudyOnDisk) -> str:
    return str(study.config["axes"]["pipeline"][0])


def test_code_that_a_factory_imports_is_refused_once_it_changed(lab: StudyOnDisk) -> None:
    lab.run(fold=0, pipeline=pipeline_of(lab))
    worker = Evaluate(load_experiment(lab.file, forms=forms_of), lab.pool)
    (helper,) = lab.folder.glob("*_helper.py")
    helper.write_text("ALPHAS = [1, 100]\n")

    with pytest.raises(DataError, match=rf"helper.py: code of {pipeline_of(lab)} changed since"):
        run_by(worker, lab, fold=1, pipeline=pipeline_of(lab))


def test_another_factory_in_the_same_module_is_no_change(lab: StudyOnDisk) -> None:
    before = lab.run(fold=0, pipeline=pipeline_of(lab))
    module = lab.folder / f"{pipeline_of(lab).partition(':')[0]}.py"
    module.write_text(module.read_text() + "def other(kind, seed):\n    return None\n")

    after = lab.run(fold=1, pipeline=pipeline_of(lab))

    assert after["made_of"] == before["made_of"]


def test_code_that_changes_before_the_first_result_is_no_mixture(lab: StudyOnDisk) -> None:
    lab.checked().prepare(lab.pool)
    (helper,) = lab.folder.glob("*_helper.py")
    helper.write_text("ALPHAS = [1, 100]\n")

    result = lab.run(fold=0, pipeline=pipeline_of(lab))

    name = f"code of {pipeline_of(lab)}"
    assert read_agreed(lab.pool).inputs[name] == result["made_of"][name]


def test_code_that_changes_while_a_worker_runs_is_refused(lab: StudyOnDisk) -> None:
    lab.checked().prepare(lab.pool)
    worker = Evaluate(load_experiment(lab.file, forms=forms_of), lab.pool)
    run_by(worker, lab, fold=0, pipeline=pipeline_of(lab))
    (helper,) = lab.folder.glob("*_helper.py")
    helper.write_text("ALPHAS = [1, 100]\n")

    with pytest.raises(DataError, match="changed since this worker loaded it"):
        run_by(worker, lab, fold=1, pipeline=pipeline_of(lab))


def test_a_library_that_changes_while_a_worker_runs_is_refused(
    study: StudyOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = study.runner()
    run_by(worker, study, fold=0)
    monkeypatch.setattr(inputs, "version_of", lambda _: "9.9")

    with pytest.raises(DataError, match=r"is 9\.9 now; start a new worker"):
        run_by(worker, study, fold=1)


def test_another_version_of_a_library_is_noted(
    study: StudyOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = study.run(fold=0)
    monkeypatch.setattr(inputs, "version_of", lambda _: "9.9")
    after = study.run(fold=1)

    merged = EvaluateResults().merge([before, after])

    assert merged["versions"]["numpy"] == f"{np.__version__}, 9.9"  # type: ignore[index, call-overload]
    assert read_agreed(study.pool).versions["numpy"] == (np.__version__, "9.9")


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"map_divisor": 2}, "settings of maps"),
        ({"scaling": "none"}, "settings of elastic for regression"),
        ({"candidates": 3}, "settings of elastic for regression"),
    ],
)
def test_settings_edited_in_the_pool_are_on_record(
    study: StudyOnDisk, changed: dict[str, Any], name: str
) -> None:
    before = study.run(fold=0)
    study.config["evaluate"] |= changed
    study.written()
    worker = Evaluate(load_experiment(study.file, forms=forms_of), study.pool)

    after = run_by(worker, study, fold=1)

    merged: Any = EvaluateResults().merge([before, after])
    assert within(merged["made_of"]) == [name]


def test_a_parcellation_that_changed_is_no_extension(study: StudyOnDisk) -> None:
    study.runner()
    edit_parcellation(study)

    with pytest.raises(DataError, match="parcellation hard changed since"):
        study.checked().prepare(study.pool)


def test_common_participants_that_were_lost_are_not_found_anew_for_later_folds(
    study: StudyOnDisk,
) -> None:
    study.maps[5, :3] = np.nan
    np.save(study.folder / "maps.npy", study.maps)
    study.config["axes"] |= {"parcellation": [{"glob": "hard.npy"}], "target": ["age"]}
    study.config["evaluate"]["on_non_finite"] = "drop"
    study.run(fold=0)
    np.save(study.folder / "fine.npy", np.where(np.arange(VERTICES) < 3, 1, 2))
    study.config["axes"]["parcellation"] = [{"glob": ["hard.npy", "fine.npy"]}]
    (study.pool / "common.json").unlink()

    with pytest.raises(DataError, match="common participants changed since"):
        study.run(fold=1)


def test_a_pool_of_an_older_jobpool_learns_its_inputs(study: StudyOnDisk) -> None:
    worker = study.runner()
    (study.pool / FILE_NAME).unlink()

    made_of = run_by(worker, study, fold=0)["made_of"]

    agreed = read_agreed(study.pool).inputs
    assert agreed == {name: made_of[name] for name in agreed}
    assert {"maps", "parcellation hard", "target age", "splits for age"} == set(agreed)
