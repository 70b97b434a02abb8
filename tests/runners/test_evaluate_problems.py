"""What the runner ``evaluate`` answers to experiments and pools that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobpool.errors import ConfigError, DataError
from jobpool.experiment.config import load_experiment
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.task import Value
from tests.support.brain_study import LABELS, VERTICES, N, StudyOnDisk
from tests.support.places import CHECKOUT

STUDY = CHECKOUT / "configs" / "parcellation-study.yaml"
FACTORIES = "tests.learning.test_pipeline_factory"
CONTEXT = RunContext(cores=1, cache=Path("unused"), checkpoint=Path("unused"))


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    return StudyOnDisk(tmp_path)


def test_all_problems_are_found_at_once(study: StudyOnDisk) -> None:
    np.save(study.folder / "hard.npy", LABELS[1:])
    study.table.loc[3, "family"] = None
    study.config["axes"] |= {"pipeline": ["elastik"], "target": ["aeg"], "colour": ["red"]}
    study.config["evaluate"] |= {
        "candidates": 0,
        "scaling": "robus",
        "outer_fold": 3,
        "by_fold": {"parcels": "many", "parcellations": ["nothing*"]},
    }

    problems = study.problems()

    assert set(problems) == {
        "axes.parcellation",
        "axes.pipeline",
        "axes.target",
        "axes.colour",
        "evaluate.group",
        "evaluate.candidates",
        "evaluate.scaling",
        "evaluate.outer_fold",
        "evaluate.by_fold.parcels",
        "evaluate.by_fold.parcellations",
    }


def test_the_published_shape_of_a_study_is_valid(study: StudyOnDisk) -> None:
    data = study.folder / "data"
    (data / "parcellations" / "hard").mkdir(parents=True)
    (data / "parcellations" / "soft").mkdir()
    np.save(data / "parcellations" / "hard" / "glasser.npy", LABELS)
    np.save(data / "parcellations" / "soft" / "difumo.npy", np.ones((VERTICES, 3)))
    study.write_maps_one_by_one(data / "maps")
    table = study.table.rename(columns={"id": "participant_id", "family": "family_id"})
    table = table.assign(fluid_intelligence=table["age"])
    table.to_csv(data / "participants.tsv", sep="\t", index=False)
    (study.folder / "copy.yaml").write_text(STUDY.read_text())

    grid = Evaluate(load_experiment(study.folder / "copy.yaml", forms=forms_of)).task_grid()

    assert np.count_nonzero(~grid.parts.is_dormant) == 2 * 3 * 3


@pytest.mark.parametrize(
    ("section", "key", "advice"),
    [
        ({"maps": "absent.npy"}, "maps", "absent.npy: no such file"),
        ({"maps": "hard.npy"}, "maps", "give (participants, vertices)"),
        ({"maps": "{participant}.npy"}, "maps", "(120 of 120 missing)"),
        ({"participants": "absent.csv"}, "participants", "no such file"),
        ({"participants": "maps.npy"}, "participants", "save it as one of"),
        ({"group": "famly"}, "group", "did you mean 'family'?"),
        ({"id": "family"}, "id", "40 occur more than once"),
        ({"outer_folds": 41}, "outer_folds", "40 groups are too few for 41 outer folds"),
        ({"outer_folds": 1}, "outer_folds", "must be at least 2"),
        ({"map_divisor": 0}, "map_divisor", "must be greater than 0"),
        ({"maps": {"area": 3}}, "maps.area", "must be text"),
        ({"maps": {"area": "absent.npy"}}, "maps", "absent.npy: no such file; correct the path"),
        ({"maps": {"area": "maps.npy", "b": "hard.npy"}}, "maps", "hard.npy: has shape (900,)"),
        ({"maps": ["maps.npy"]}, "maps", "must be text"),
        ({"maps": "table.csv"}, "maps", "save it as one of these"),
        ({"on_missing_map": "skip"}, "on_missing_map", "must be one of: error, drop"),
        ({"on_non_finite": "eror"}, "on_non_finite", "did you mean 'error'?"),
        ({"on_other_space": True}, "on_other_space", "must be text"),
        ({"on_empty_parcel": "keep"}, "on_empty_parcel", "must be one of: error, drop"),
        ({"on_missing": "drop"}, "on_missing", "did you mean 'on_missing_map'?"),
        ({"search": "grid"}, "search", "must be one of: random, halving, tpe"),
        ({"solver": "slow"}, "solver", "must be one of: fast, plain"),
        ({"tolerance": 0}, "tolerance", "must be greater than 0"),
        ({"max_iterations": 0}, "max_iterations", "must be at least 1"),
        ({"holdout": 1.5}, "holdout", "must be below 1"),
        ({"holdout": 0}, "holdout", "must be greater than 0"),
        ({"holdout": "half"}, "holdout", "must be a number"),
        ({"candidates": {"svm": 9}}, "candidates.svm", "no value of the axis pipeline"),
        ({"candidates": {"elastik": 9}}, "candidates.elastik", "did you mean 'elastic'?"),
        ({"candidates": {"elastic": 0}}, "candidates.elastic", "must be at least 1"),
        ({"candidates": [9]}, "candidates", "must be a whole number"),
        ({"metrics": ["r2"]}, "metrics", "must be a mapping"),
        ({"metrics": {"binary": ["r2"]}}, "metrics.binary", "write one of: roc_auc, "),
        ({"metrics": {"regresion": ["r2"]}}, "metrics.regresion", "did you mean 'regression'?"),
        ({"search_metric": "r2"}, "search_metric", "must be a mapping"),
        ({"search_metric": {"binary": "auc"}}, "search_metric.binary", "did you mean 'roc_auc'?"),
        ({"maps": {}}, "maps", "names no modality; give a path for at least one"),
        (
            {"search_metric": {"regression": ["r2", "mae"]}},
            "search_metric.regression",
            "compared by one metric; keep one",
        ),
        ({"targets": {"age": {"column": "agee"}}}, "targets.age.column", "did you mean 'age'?"),
        ({"targets": ["age"]}, "targets", "must be a mapping"),
        ({"targets": {"aeg": {}}}, "targets.aeg", "did you mean 'age'?"),
        ({"targets": {"age": {"colum": "sex"}}}, "targets.age.colum", "did you mean 'column'?"),
        ({"targets": {"age": {"kind": "classes"}}}, "targets.age.kind", "must be one of"),
        ({"targets": {"age": {"threshold": "old"}}}, "targets.age.threshold", "must be a number"),
    ],
)
def test_a_wrong_setting_is_answered_with_advice(
    study: StudyOnDisk, section: dict[str, Any], key: str, advice: str
) -> None:
    study.config["evaluate"] |= section

    problems = study.problems()

    assert advice in problems[f"evaluate.{key}"]


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_a_wrong_share_is_no_problem_of_the_folds(study: StudyOnDisk, share: float) -> None:
    study.config["evaluate"]["holdout"] = share

    problems = study.problems()

    assert list(problems) == ["evaluate.holdout"]


@pytest.mark.parametrize(
    ("axis", "value", "advice"),
    [
        ("target", "aeg", "did you mean 'age'?"),
        ("target", "site", "3 different texts"),
        ("target", 3, "no column of the participants table"),
        ("pipeline", "elastc", "did you mean 'elastic'?"),
        ("pipeline", "nolab.models:ridge", "name its folder under path:"),
        ("pipeline", "json:", "write module:function"),
        ("pipeline", "json:dump5", "did you mean 'dump'?"),
        ("pipeline", "json:dumps", "it raised TypeError"),
        ("pipeline", f"{FACTORIES}:returns_a_number", "is no scikit-learn estimator"),
        ("pipeline", f"{FACTORIES}:classifier", "cannot learn age, a regression target; leave"),
        ("parcellation", "maps.npy", "give (vertices,) labels or (vertices, parcels) weights"),
        ("parcellation", "absent.npy", "no such file"),
        ("fold", 0, "is added by jobpool"),
    ],
)
def test_a_wrong_axis_value_is_answered_with_advice(
    study: StudyOnDisk, axis: str, value: Value, advice: str
) -> None:
    study.config["axes"][axis] = [value]

    problems = study.problems()

    assert list(problems) == [f"axes.{axis}"]
    assert advice in problems[f"axes.{axis}"]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (
            {"targets": {"age": {"threshold": 900}}},
            "axes.target = 'age': table.csv: no value is above",
        ),
        (
            {"targets": {"sex": {"positive": ["x"]}}},
            "axes.target = 'sex': table.csv: positive lists",
        ),
    ],
)
def test_settings_that_do_not_fit_a_column_are_reported_with_the_target(
    study: StudyOnDisk, section: dict[str, Any], line: str
) -> None:
    study.config["evaluate"] |= section

    with pytest.raises(ConfigError) as caught:
        study.checked()

    assert f"study.yaml: {line}" in str(caught.value)


@pytest.mark.parametrize(
    ("form", "key", "advice"),
    [
        ({"mesh": "absent.gii", "sizes": [3]}, "random.mesh", "matches no file"),
        ({"mesh": "hard.npy", "sizes": [0]}, "random.sizes", "must be a whole number of at least"),
        ({"sizes": [3]}, "random.mesh", "missing"),
        ({"mesh": "hard.npy", "size": [3]}, "random.size", "did you mean 'sizes'?"),
    ],
)
def test_a_wrong_random_parcellation_is_answered_with_advice(
    study: StudyOnDisk, form: dict[str, Any], key: str, advice: str
) -> None:
    study.config["axes"]["parcellation"] = [{"random": form}]

    problems = study.problems()

    assert advice in problems[f"axes.parcellation.{key}"]


def test_a_table_of_another_length_than_the_maps_is_refused(study: StudyOnDisk) -> None:
    study.table = study.table[:-1]

    problems = study.problems()

    assert (
        "maps of 120 participants, but the participants table has 119" in problems["evaluate.maps"]
    )


def test_a_class_too_rare_for_the_folds_is_refused(study: StudyOnDisk) -> None:
    study.table["sex"] = ["m"] * (N - 1) + ["f"]

    problems = study.problems()

    assert "every part needs both classes" in problems["axes.target"]


def test_groups_that_changed_after_the_pool_was_made_are_noticed(study: StudyOnDisk) -> None:
    runner = study.runner()
    study.table.loc[0, "family"] = "family-39"
    study.written()

    with pytest.raises(DataError, match="groups changed since the pool was made"):
        runner.run({"parcellation": "hard", "pipeline": "elastic", "target": "age"}, CONTEXT)


def test_another_number_of_folds_does_not_fit_into_an_old_pool(study: StudyOnDisk) -> None:
    study.runner()
    study.config["evaluate"]["outer_folds"] = 4

    with pytest.raises(DataError, match="the folds or the seed changed"):
        study.checked().prepare(study.pool)


def test_target_values_that_changed_after_the_pool_was_made_are_noticed(
    study: StudyOnDisk,
) -> None:
    study.run(fold=0)
    study.table["age"] += 1

    with pytest.raises(DataError, match="the values of age changed since the pool was made"):
        study.run(fold=1)


def test_a_target_added_to_the_study_is_noted_beside_the_old_ones(study: StudyOnDisk) -> None:
    study.config["axes"]["target"] = ["age"]
    study.run(target="age")
    study.config["axes"]["target"] = ["age", "sex"]
    study.run(target="sex")
    study.table["sex"] = study.table["sex"].iloc[::-1].to_numpy()

    with pytest.raises(DataError, match="the values of sex changed"):
        study.run(target="age")


def test_maps_that_were_split_short_are_found_before_there_is_a_pool(study: StudyOnDisk) -> None:
    whole = (study.folder / "maps.npy").read_bytes()
    (study.folder / "maps.npy").write_bytes(whole[: len(whole) // 2])

    assert "the file ends before its last value" in study.problems()["evaluate.maps"]
