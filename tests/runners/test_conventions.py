"""The choices that a pool keeps for good: its splits, and what negative weights mean."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jobpool.learning.splits import FILE_NAME, PoolSplits, make_splits, read_splits
from tests.support.brain_study import VERTICES, StudyOnDisk, scores, without_seconds


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    study = StudyOnDisk(tmp_path)
    study.table["rare"] = np.where(np.arange(120) % 6 == 0, "yes", "no")
    study.config["axes"]["target"] = ["age", "rare"]
    return study


def kept(study: StudyOnDisk) -> PoolSplits:
    return read_splits(study.pool / FILE_NAME, list(study.table["id"]), list(study.table["family"]))


def empty(pool: Path) -> None:
    """Begin a pool anew."""
    shutil.rmtree(pool)
    pool.mkdir()


def make_old(study: StudyOnDisk) -> None:
    """Leave the splits of the study as a version with format 2 would have written them."""
    study.config["evaluate"]["splits"] = "plain"
    study.runner()
    with np.load(study.pool / FILE_NAME) as archive:
        header = json.loads(archive["header"].tobytes())
        arrays = {name: archive[name][0] for name in ("outer", "inner", "holdout")}
    header = {key: header[key] for key in ("seed", "holdout_share", "targets", "sha256")}
    header |= {"format": 2, "sha256": header["sha256"][0]}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(buffer, header=text, **arrays)
    (study.pool / FILE_NAME).write_bytes(buffer.getvalue())
    del study.config["evaluate"]["splits"]


def test_a_new_pool_has_as_many_cases_in_every_fold(study: StudyOnDisk) -> None:
    study.runner()

    outer = kept(study).of("rare").outer
    assert np.bincount(outer[study.table["rare"] == "yes"]).tolist() == [4] * 5


def test_plain_splits_are_those_of_the_publication(study: StudyOnDisk) -> None:
    study.config["evaluate"]["splits"] = "plain"
    study.runner()

    plain = make_splits(list(study.table["id"]), study.table["family"].tolist(), 5, 3, seed=4)
    assert kept(study).of("rare").digest == kept(study).of("age").digest == plain.digest


def test_a_continuous_target_is_split_by_thirds_on_request(study: StudyOnDisk) -> None:
    study.config["evaluate"]["splits"] = "thirds"
    study.runner()

    splits = kept(study).of("age")
    oldest = study.table["age"].rank() > 80
    assert splits.strata is not None
    assert np.bincount(splits.strata).tolist() == [40, 40, 40]
    assert np.ptp(np.bincount(splits.outer[oldest])) <= 1


def test_a_target_with_gaps_has_folds_of_who_has_it(study: StudyOnDisk) -> None:
    study.table.loc[::4, "age"] = np.nan
    study.runner()

    outer = kept(study).of("age").outer
    assert (outer[::4] == -1).all()
    assert np.ptp(np.bincount(outer[outer >= 0])) <= 2


def test_a_pool_made_before_keeps_its_splits(study: StudyOnDisk) -> None:
    make_old(study)

    new = study.run(target="rare")

    study.config["evaluate"]["splits"] = "plain"
    empty(study.pool)
    again = study.run(target="rare")
    assert without_seconds(new)["folds"] == without_seconds(again)["folds"]


def test_a_pool_made_before_keeps_the_unit_of_its_targets(study: StudyOnDisk) -> None:
    make_old(study)

    new = study.run(target="age")

    study.config["evaluate"] |= {"splits": "plain", "target_scaling": "none"}
    empty(study.pool)
    again = study.run(target="age")
    assert without_seconds(new)["folds"] == without_seconds(again)["folds"]
    study.config["evaluate"]["target_scaling"] = "standard"
    empty(study.pool)
    assert scores(new, "r2") != scores(study.run(target="age"), "r2")


def test_a_target_added_to_a_pool_made_before_has_the_splits_of_the_others(
    study: StudyOnDisk,
) -> None:
    make_old(study)
    study.config["axes"]["target"] += ["sex"]

    study.runner()

    found = kept(study)
    assert found.conventions["splits"] == "plain"
    assert found.of("sex").digest == found.of("age").digest
    assert set(found.targets) == {"age", "rare", "sex"}


def test_a_target_added_later_has_splits_of_its_own(study: StudyOnDisk) -> None:
    study.runner()
    before = kept(study)
    study.config["axes"]["target"] += ["sex"]

    study.runner()

    found = kept(study)
    assert found.of("rare").digest == before.of("rare").digest
    assert found.of("sex").digest not in {before.of("rare").digest, before.of("age").digest}


def test_a_pool_made_before_takes_any_negative_weight_for_signed(study: StudyOnDisk) -> None:
    weights = np.random.default_rng(1).random((VERTICES, 5))
    weights[7, 2] = -1e-9
    np.save(study.folder / "soft.npy", weights)
    study.config["axes"]["parcellation"] = ["soft.npy"]
    kinds = [study.runner().roi_cache(study.folder / "new").matrix("soft.npy").kind]

    empty(study.pool)
    make_old(study)
    kinds += [study.runner().roi_cache(study.folder / "old").matrix("soft.npy").kind]

    assert kinds == ["soft", "signed"]


def test_a_target_in_too_few_groups_is_named(study: StudyOnDisk) -> None:
    study.table.loc[12:, "age"] = np.nan

    problems = study.problems()

    assert "in too few groups for 5 outer folds" in problems["axes.target"]
