"""`jobpool init --full`: all maps are read before there is a pool."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Jobpool
from tests.support.brain_study import StudyOnDisk


@pytest.fixture
def study(tmp_path: Path) -> StudyOnDisk:
    """Return a study with one file for each participant."""
    study = StudyOnDisk(tmp_path, 30)
    study.pool.rmdir()
    study.write_maps_one_by_one(tmp_path / "maps")
    study.config["evaluate"] |= {"maps": "maps/{participant}.npy", "outer_folds": 2}
    return study


def spoil(study: StudyOnDisk, name: str, vertices: slice, value: float) -> None:
    path = study.folder / "maps" / f"{name}.npy"
    values = np.load(path)
    values[vertices] = value
    np.save(path, values)


def test_a_full_init_leaves_nothing_to_compute_from_maps(
    study: StudyOnDisk, jobpool: Jobpool
) -> None:
    shown = jobpool("init", study.written(), study.pool, "--full")
    values = study.runner().roi_cache(study.pool / "cache").matrix("hard")

    assert "  read          30 maps\n" in shown.stdout
    assert "packed 2 of 2" in shown.stderr
    assert values.hit
    np.testing.assert_allclose(values.values, study.roi(), rtol=1e-5, atol=1e-7)


def test_every_map_with_values_that_are_not_finite_is_named(
    study: StudyOnDisk, jobpool: Jobpool
) -> None:
    spoil(study, "003", slice(5, 7), np.nan)
    spoil(study, "017", slice(0, 1), np.inf)

    shown = jobpool("init", study.written(), study.pool, "--full")

    assert shown.returncode == 1
    assert "the maps of 2 participants have values that are not finite: 003 (4), 017 (2)" in (
        shown.stderr
    )
    assert "parcels with such values, hard: 500, 600; soft: 1, 2, 3, 4, 5; repair" in shown.stderr
    assert not study.pool.exists()


def test_parcels_without_a_value_are_named(study: StudyOnDisk, jobpool: Jobpool) -> None:
    study.config["evaluate"]["on_non_finite"] = "drop"
    path = study.folder / "maps" / "003.npy"
    values = np.load(path)
    values[np.load(study.folder / "hard.npy") == 700] = np.nan
    np.save(path, values)

    shown = jobpool("init", study.written(), study.pool, "--full")

    assert "values that are not finite, left out: 003 (138)" in shown.stdout
    assert "  no value      hard: 003 in the parcels 700\n" in shown.stdout


def test_damage_that_only_reading_shows_is_found(study: StudyOnDisk, jobpool: Jobpool) -> None:
    study.config["evaluate"]["maps"] = "maps/{participant}.npz"
    for name in study.table["id"]:
        np.savez_compressed(
            study.folder / f"maps/{name}.npz", x=np.load(study.folder / f"maps/{name}.npy")
        )
    for name in ("005", "021"):
        path = study.folder / f"maps/{name}.npz"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert jobpool("init", study.written(), study.pool, "--dry-run").returncode == 0

    shown = jobpool("init", study.file, study.pool, "--full")

    assert shown.returncode == 1
    assert all(f"maps/{name}.npz:x: cannot be read" in shown.stderr for name in ("005", "021"))


def test_maps_of_one_value_and_of_another_unit_are_named(
    study: StudyOnDisk, jobpool: Jobpool
) -> None:
    spoil(study, "004", slice(None), 0.0)
    path = study.folder / "maps" / "009.npy"
    np.save(path, np.load(path) * 255)

    shown = jobpool("init", study.written(), study.pool, "--dry-run", "--full")

    assert "look at maps of one value everywhere: 004" in shown.stdout
    assert "look at maps in another unit than most (times theirs): 009 (2" in shown.stdout
    assert not study.pool.exists()


def test_another_runner_has_nothing_to_read(tmp_path: Path, jobpool: Jobpool) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("runner: function\nfunction: {call: textwrap:dedent}\naxes: {text: [a, b]}\n")

    shown = jobpool("init", file, tmp_path / "pool", "--full")

    assert shown.returncode == 2
    assert "--full is for the runner evaluate" in shown.stderr
    assert not (tmp_path / "pool").exists()
