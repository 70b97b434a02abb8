"""The runner ``evaluate`` on 1,449 real lesion maps, where they are at hand.

Their README gives the scores to expect: R2 of 0.17 to 0.22 for the severity of the stroke, chance
for sex, and nonsense where a whole arterial territory is held out. Scaling is by mean and standard
deviation: most parcels are hardly ever lesioned, so that their 5th and 95th percentile, which
robust scaling divides by, are close to each other.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jobpool.experiment.config import load_experiment
from jobpool.learning.pipelines import PIPELINES
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.runner import Evaluate
from tests.support.brain_study import scores
from tests.support.places import LESIONS

pytestmark = pytest.mark.skipif(
    not LESIONS.is_dir(), reason="the lesion maps may not be copied, and are not at hand here"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for ROI values that all tests of this file share."""
    return tmp_path_factory.mktemp("cache")


def evaluated(
    folder: Path, cache: Path, parcellation: str = "schaefer100_jhu", **changes: Any
) -> dict[str, Any]:
    """Return the result of one task; a change is an axis value or a setting of ``evaluate``."""
    point = {
        "parcellation": parcellation,
        "pipeline": changes.pop("pipeline", "elastic"),
        "target": changes.pop("target", "log1p_nihss"),
    }
    config = {
        "runner": "evaluate",
        "seed": 1,
        "axes": {
            "parcellation": [{"glob": f"{LESIONS}/parcellations_4mm.npz:{point['parcellation']}"}],
            "pipeline": [point["pipeline"]],
            "target": [point["target"]],
        },
        "evaluate": {
            "maps": f"{LESIONS}/lesions_4mm.npz:X",
            "map_divisor": 64,
            "participants": f"{LESIONS}/participants.tsv",
            "candidates": 10,
            "scaling": "standard",
            **changes,
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    experiment = load_experiment(folder / "study.yaml", forms=forms_of)
    Evaluate(experiment).prepare(folder)
    context = RunContext(cores=1, cache=cache, checkpoint=folder / "checkpoint")
    return dict(Evaluate(experiment, folder).run(point, context))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_severity_is_predicted_as_well_as_published(
    tmp_path: Path, cache: Path, pipeline: str
) -> None:
    published = {"splits": "plain", "target_scaling": "none"}
    result = evaluated(tmp_path, cache, pipeline=pipeline, **published)

    assert 0.15 < np.mean(scores(result, "r2")) < 0.25
    assert result["participants"]["used"] == 944
    assert result["participants"]["dropped"] == {"log1p_nihss is missing": 505}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_sex_cannot_be_told_from_a_lesion(tmp_path: Path, cache: Path, pipeline: str) -> None:
    result = evaluated(tmp_path, cache, "natbrainlab", pipeline=pipeline, target="sex")

    assert 0.45 < np.mean(scores(result, "roc_auc")) < 0.55


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_outcome_is_predicted_as_well_as_published(
    tmp_path: Path, cache: Path, pipeline: str
) -> None:
    settings: dict[str, Any] = {
        "pipeline": pipeline,
        "target": "bad_outcome",
        "targets": {"bad_outcome": {"column": "mrs", "threshold": 2}},
        "candidates": 30 if pipeline == "lgbm" else 10,  # most of the first 10 grow no tree
    }

    result = evaluated(tmp_path, cache, "natbrainlab", **settings)

    assert 0.70 < np.mean(scores(result, "roc_auc")) < 0.78
    assert result["classes"] == ["mrs <= 2", "mrs > 2"]


def test_a_territory_held_out_is_reported_as_the_bad_score_it_is(
    tmp_path: Path, cache: Path
) -> None:
    folds: dict[str, Any] = {"outer_folds": 4, "inner_folds": 2, "group": "territory"}

    result = evaluated(tmp_path, cache, **folds)

    assert np.mean(scores(result, "r2")) < 0.05
    assert all(np.isfinite(scores(result, "r2")))


def test_robust_scaling_ruins_maps_that_are_mostly_zero(tmp_path: Path, cache: Path) -> None:
    result = evaluated(tmp_path, cache, scaling="robust")

    assert np.mean(scores(result, "r2")) < 0.1
