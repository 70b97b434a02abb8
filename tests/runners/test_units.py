"""The unit of a target or of the maps does not decide what is found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobpool.learning.pipelines import PIPELINES
from tests.support.brain_study import StudyOnDisk, scores

UNITS = {"mm": 1.0, "um": 1000.0, "m": 0.001}


def a_study(folder: Path, pipeline: str = "svm", **settings: Any) -> StudyOnDisk:
    """Return a study of one size in millimetres, micrometres and metres."""
    folder.mkdir(exist_ok=True)
    study = StudyOnDisk(folder, 240 if pipeline == "lgbm" else 90)
    for unit, per_mm in UNITS.items():
        study.table[unit] = (study.table["age"] - 50) * per_mm
    study.config["axes"] |= {"pipeline": [pipeline], "target": [*UNITS, "sex"]}
    study.config["evaluate"] |= {"outer_folds": 2, "candidates": 12, **settings}
    return study


@pytest.mark.parametrize("solver", ["fast", "plain"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_target_scores_the_same_in_every_unit(tmp_path: Path, pipeline: str, solver: str) -> None:
    study = a_study(tmp_path, pipeline, solver=solver)

    found = {unit: study.run(pipeline=pipeline, target=unit) for unit in UNITS}

    r2 = {unit: scores(one, "r2") for unit, one in found.items()}
    assert r2["um"] == pytest.approx(r2["mm"], abs=1e-4)
    assert r2["m"] == pytest.approx(r2["mm"], abs=1e-4)
    mae = {unit: scores(one, "mae") for unit, one in found.items()}
    assert [1000 * one for one in mae["mm"]] == pytest.approx(mae["um"], rel=1e-3)


def test_without_scaling_of_the_target_its_unit_decides(tmp_path: Path) -> None:
    study = a_study(tmp_path, target_scaling="none")

    mm, m = (scores(study.run(pipeline="svm", target=unit), "r2") for unit in ("mm", "m"))

    assert np.mean(mm) > np.mean(m) + 0.1


@pytest.mark.parametrize("scaling", ["robust", "standard"])
def test_maps_of_a_tiny_unit_score_as_they_are(tmp_path: Path, scaling: str) -> None:
    study = a_study(tmp_path / "one", scaling=scaling)
    tiny = a_study(tmp_path / "tiny", scaling=scaling)
    np.save(tiny.folder / "maps.npy", tiny.maps * 1e-20)

    found = scores(tiny.run(pipeline="svm", target="sex"), "roc_auc")

    expected = scores(study.run(pipeline="svm", target="sex"), "roc_auc")

    assert found == pytest.approx(expected, abs=1e-9)
    assert np.mean(found) > 0.6
