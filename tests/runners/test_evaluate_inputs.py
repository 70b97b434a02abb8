"""Studies in the files that labs have, from the experiment file to the result.

Every study here holds 30 participants, whose age follows from their first ROI value. The values are
compared with means by plain NumPy.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import sparse

from jobpool.brain.arrays import Array
from jobpool.brain.random import grow_labels, read_recipe
from jobpool.errors import ConfigError, DataError
from jobpool.experiment.config import load_experiment
from jobpool.runners import forms_of
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.results import EvaluateResults
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.task import Value
from tests.conftest import Jobpool
from tests.support.brain_images import (
    MILLIMETRES,
    icosphere,
    write_dlabel,
    write_dscalar,
    write_gifti,
    write_labels,
    write_nifti,
    write_surface,
)

N = 30
NAMES = [f"sub-{one:02}" for one in range(N)]
GRID = (3, 4, 2)
LABELS = np.array([5, 5, 0, 70_000, 70_000, 300, 300, 300, 5])
VOXELS = np.random.default_rng(0).integers(0, 4, 24)
Texts = str | dict[str, str]


def means(values: Array, labels: Array) -> Array:
    """Return the mean of each label, shape (participants, modalities * labels)."""
    parcels = [values[:, labels == one].mean(axis=1) for one in np.unique(labels[labels > 0])]
    return np.stack(parcels, axis=2).reshape(len(values), -1)


class Lab:
    """A study in a folder; its maps are written by a test, as the test likes."""

    def __init__(self, folder: Path, labels: Array = LABELS, n_modalities: int = 1) -> None:
        self.folder, self.labels = folder, labels
        shape = (N, len(labels), n_modalities)
        self.values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        age = 50 + 10 * means(self.values, labels)[:, 0]
        self.table = pd.DataFrame({"participant_id": NAMES, "age": age})
        self.table.to_csv(folder / "people.tsv", sep="\t", index=False)
        self.settings: dict[str, Any] = {"participants": "people.tsv", "candidates": 10}
        (folder / "maps").mkdir()
        np.save(folder / "atlas.npy", labels)

    def write_each(self, ending: str, write: Callable[[Path, Array], object]) -> None:
        """Call `write` with the file and the map of each participant, (vertices, modalities)."""
        for name, values in zip(NAMES, self.values, strict=True):
            write(self.folder / "maps" / f"{name}{ending}", values)

    def written(self, maps: Texts, atlas: object, **settings: Any) -> Path:
        axes = {"parcellation": [atlas], "pipeline": "elastic", "target": "age"}
        section = {**self.settings, "maps": maps, **settings}
        text = yaml.safe_dump(
            {"runner": "evaluate", "axes": axes, "evaluate": section}, sort_keys=False
        )
        (self.folder / "study.yaml").write_text(text)
        return self.folder / "study.yaml"

    def runner(self, maps: Texts, atlas: object = "atlas.npy", **settings: Any) -> Evaluate:
        """Return the runner as a worker has it, after what `jobpool init` does."""
        experiment = load_experiment(self.written(maps, atlas, **settings), forms=forms_of)
        before = Evaluate(experiment)
        before.task_grid()
        before.prepare(self.folder)
        return Evaluate(experiment, self.folder)

    def run(self, runner: Evaluate, atlas: str) -> dict[str, Any]:
        point: dict[str, Value] = {"parcellation": atlas, "pipeline": "elastic", "target": "age"}
        context = RunContext(cores=1, cache=self.folder, checkpoint=self.folder / "checkpoint")
        return dict(runner.run(point, context))

    def result(
        self, maps: Texts, atlas: str = "atlas.npy", **settings: Any
    ) -> tuple[dict[str, Any], Array]:
        """Return the result of the only task, and the ROI values that it rests on."""
        runner = self.runner(maps, atlas, **settings)
        return self.run(runner, atlas), runner.roi_cache(self.folder).matrix(atlas).values

    def row(self, result: dict[str, Any]) -> dict[str, Value | None]:
        """Return the row that `jobpool collect` makes of a result."""
        (row,) = EvaluateResults().rows(result, "task")
        return row

    def refused(self, maps: Texts, atlas: object = "atlas.npy", **settings: Any) -> str:
        """Return what `jobpool init` says."""
        with pytest.raises(ConfigError) as caught:
            self.runner(maps, atlas, **settings)
        return str(caught.value)

    def failed(self, maps: Texts, atlas: str = "atlas.npy", **settings: Any) -> str:
        """Return what the task says."""
        with pytest.raises(DataError) as caught:
            self.result(maps, atlas, **settings)
        return str(caught.value)


def learned(result: dict[str, Any]) -> bool:
    """Say whether the age was learned from the ROI value that it follows from."""
    return all(fold["scores"]["r2"] > 0.5 for fold in result["folds"])


def test_volumes_of_each_participant_on_an_atlas(tmp_path: Path) -> None:
    lab = Lab(tmp_path, VOXELS)
    lab.write_each(".nii.gz", lambda path, values: write_nifti(path, values.reshape(GRID)))
    write_nifti(tmp_path / "atlas.nii", VOXELS.reshape(GRID).astype(np.int16))

    result, values = lab.result("maps/{participant}.nii.gz", "atlas.nii")

    np.testing.assert_allclose(values, means(lab.values, VOXELS), rtol=1e-5)
    assert learned(result)


def test_several_modalities_along_the_fourth_axis_of_a_volume(tmp_path: Path) -> None:
    lab = Lab(tmp_path, VOXELS, n_modalities=2)
    lab.write_each(".nii", lambda path, values: write_nifti(path, values.reshape(*GRID, 2)))
    write_nifti(tmp_path / "atlas.nii", VOXELS.reshape(GRID).astype(np.int16))

    result, values = lab.result("maps/{participant}.nii", "atlas.nii")

    np.testing.assert_allclose(values, means(lab.values, VOXELS), rtol=1e-5)
    assert learned(result)


def test_hemispheres_of_each_participant_on_label_files(tmp_path: Path) -> None:
    lab = Lab(tmp_path, np.array([1, 1, 2, 0, 2, 3, 4, 4, 0]))
    lab.write_each(".L.func.gii", lambda path, values: write_gifti(path, values[:5, 0]))
    lab.write_each(".R.func.gii", lambda path, values: write_gifti(path, values[5:, 0]))
    names = {0: "none", 1: "front", 2: "back"}
    write_labels(tmp_path / "a.L.label.gii", np.array([1, 1, 2, 0, 2], np.int32), names)
    write_labels(tmp_path / "a.R.label.gii", np.array([1, 2, 2, 0], np.int32), names)

    result, values = lab.result(
        "maps/{participant}.{hemisphere}.func.gii", "a.{hemisphere}.label.gii"
    )

    np.testing.assert_allclose(values, means(lab.values, lab.labels), rtol=1e-5)
    assert (learned(result), result["n_parcels"]) == (True, 4)


def test_grayordinates_of_each_participant_on_a_dlabel_file(tmp_path: Path) -> None:
    lab = Lab(tmp_path, n_modalities=2)
    lab.write_each(".dscalar.nii", lambda path, values: write_dscalar(path, values.T))
    names = {0: "none", 5: "a", 300: "b", 70_000: "c"}
    write_dlabel(tmp_path / "a.dlabel.nii", LABELS[np.newaxis], names)

    result, values = lab.result("maps/{participant}.dscalar.nii", "a.dlabel.nii")

    np.testing.assert_allclose(values, means(lab.values, LABELS), rtol=1e-5)
    assert learned(result)


def test_one_file_per_modality_of_which_one_holds_all_participants(tmp_path: Path) -> None:
    lab = Lab(tmp_path, n_modalities=2)
    lab.write_each(".npy", lambda path, values: np.save(path, values[:, 0]))
    np.save(tmp_path / "area.npy", lab.values[:, :, 1])

    result, values = lab.result({"thickness": "maps/{participant}.npy", "area": "area.npy"})

    np.testing.assert_allclose(values, means(lab.values, LABELS), rtol=1e-5)
    assert (learned(result), result["n_features"]) == (True, 6)


def save_array(lab: Lab) -> str:
    np.save(lab.folder / "all.npy", lab.values)
    return "all.npy"


def save_archive(lab: Lab) -> str:
    np.savez_compressed(lab.folder / "all.npz", maps=lab.values)
    return "all.npz:maps"


def save_rows_of_cifti(lab: Lab) -> str:
    write_dscalar(lab.folder / "all.dscalar.nii", lab.values[:, :, 0])
    return "all.dscalar.nii"


def save_sparse(lab: Lab) -> str:
    lab.values = np.random.default_rng(2).integers(0, 3, lab.values.shape).astype(np.uint8)
    sparse.save_npz(lab.folder / "all.npz", sparse.csr_array(lab.values[:, :, 0]))
    return "all.npz"


@pytest.mark.parametrize("save", [save_array, save_archive, save_rows_of_cifti, save_sparse])
def test_one_file_for_all_participants(tmp_path: Path, save: Callable[[Lab], str]) -> None:
    lab = Lab(tmp_path)
    maps = save(lab)

    _, values = lab.result(maps, map_divisor=4)

    np.testing.assert_allclose(values, means(lab.values / 4, LABELS), rtol=1e-5)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table_of_any_kind_gives_the_same_result(tmp_path: Path, ending: str) -> None:
    lab = Lab(tmp_path)
    maps = save_array(lab)
    lab.table["age"] = lab.table["age"].round(6)
    separator = "\t" if ending == "tsv" else ","
    lab.table.to_csv(tmp_path / f"table.{ending}", sep=separator, index=False)
    lab.table.to_parquet(tmp_path / "table.parquet")

    result, _ = lab.result(maps, participants=f"table.{ending}")

    assert result["participants"]["used"] == N
    assert learned(result)


def test_an_age_of_which_a_parquet_table_lacks_some(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.table["age"] = lab.table["age"].round().astype("Int64")
    lab.table.loc[[2, 4], "age"] = pd.NA
    lab.table.to_parquet(tmp_path / "table.parquet")

    result, _ = lab.result(save_array(lab), participants="table.parquet")

    assert result["participants"]["dropped"] == {"age is missing": 2}


def test_weights_give_a_weighted_mean(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    weights = np.random.default_rng(3).random((9, 4)).astype(np.float32)
    sparse.save_npz(tmp_path / "soft.npz", sparse.csr_array(weights))

    result, values = lab.result(save_array(lab), "soft.npz")

    expected = lab.values[:, :, 0] @ weights / weights.sum(axis=0)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)
    assert (result["n_parcels"], result["n_empty_parcels"]) == (4, 0)


def test_signed_weights_give_coefficients_by_least_squares(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    weights = np.random.default_rng(3).normal(size=(9, 4))
    np.save(tmp_path / "signed.npy", weights)

    result, values = lab.result(save_array(lab), "signed:signed.npy")

    expected = np.linalg.lstsq(weights, lab.values[:, :, 0].T.astype(float))[0].T
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)
    assert result["n_parcels"] == 4


def test_negative_weights_are_refused_until_their_kind_is_said(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    np.save(tmp_path / "w.npy", np.random.default_rng(3).normal(size=(9, 4)))

    said = lab.refused(save_array(lab), "w.npy")

    assert "axes.parcellation = 'w.npy': w.npy: has the weight -" in said
    assert "write kind: signed beside its glob, or signed: before its path" in said


@pytest.mark.parametrize("kind", ["soft", "signed"])
def test_a_glob_says_the_kind_of_what_it_matches(tmp_path: Path, kind: str) -> None:
    lab = Lab(tmp_path)
    weights = np.random.default_rng(3).normal(size=(9, 4))
    np.save(tmp_path / "w.npy", weights)

    runner = lab.runner(save_array(lab), {"glob": "w.np*", "kind": kind})
    found = lab.run(runner, "w")
    values = runner.roi_cache(tmp_path).matrix("w").values

    maps, parts = lab.values[:, :, 0], np.maximum(weights, 0)
    least_squares = np.linalg.lstsq(weights, maps.T.astype(float))[0].T
    expected = {"signed": least_squares, "soft": maps @ parts / parts.sum(axis=0)}
    np.testing.assert_allclose(values, expected[kind], rtol=1e-4, atol=1e-6)
    assert found["n_parcels"] == 4


def test_a_glob_names_the_columns_of_a_file(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    np.save(tmp_path / "two.npy", np.stack([LABELS, LABELS[::-1]], axis=1))

    runner = lab.runner(save_array(lab), {"glob": "two.npy:*"})
    cache = runner.roi_cache(tmp_path)

    for name, labels in (("two_1", LABELS), ("two_2", LABELS[::-1])):
        expected = means(lab.values, labels)
        np.testing.assert_allclose(cache.matrix(name).values, expected, rtol=1e-4, atol=1e-6)


def test_a_glob_of_columns_that_are_not_there_is_refused(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    said = lab.refused(save_array(lab), {"glob": "atlas.npy:2"})

    assert "matches no column of" in said
    assert "it has 1, counted from 1" in said


def test_members_of_a_set_have_the_kind_that_it_says(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    for name in ("ica_1", "ica_2"):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(3).normal(size=(9, 4)))
    ica = {"name": "ica", "glob": "ica_*.npy", "kind": "signed"}

    runner = lab.runner(save_array(lab), {"strategies": ["voted"], "sets": [ica]})

    assert runner.roi_cache(tmp_path).matrix("ica_1").kind == "signed"


def test_random_parcellations_are_laid_out_with_their_numbers_of_parcels(tmp_path: Path) -> None:
    triangles, n_vertices = icosphere(1)
    lab = Lab(tmp_path, np.arange(n_vertices) + 1)
    write_surface(tmp_path / "mesh.surf.gii", triangles, n_vertices)
    grown = {"random": {"mesh": "mesh.surf.gii", "sizes": [3, 20], "repeats": 2, "seed": 5}}
    file = lab.written(save_array(lab), grown)

    grid = Evaluate(load_experiment(file, forms=forms_of)).task_grid()

    names = ("random_3_1", "random_3_2", "random_20_1", "random_20_2")
    parcels = {one.name: one.values for one in grid.attributes}["parcels"]
    assert grid.axis("parcellation").values == names
    assert (int(np.count_nonzero(~grid.parts.is_dormant)), parcels) == (4, (3, 3, 20, 20))


def test_a_random_parcellation_is_evaluated_as_any_other(tmp_path: Path) -> None:
    triangles, n_vertices = icosphere(1)
    lab = Lab(tmp_path, np.arange(n_vertices) + 1)
    write_surface(tmp_path / "mesh.surf.gii", triangles, n_vertices)
    grown = {"random": {"mesh": "mesh.surf.gii", "sizes": [3, 20], "seed": 5}}
    runner = lab.runner(save_array(lab), grown)

    result = lab.run(runner, "random_20_1")

    source = f"random:{tmp_path}/mesh.surf.gii?size=20&repeat=1&seed=5"
    labels = grow_labels(read_recipe(source), tmp_path).values
    values = runner.roi_cache(tmp_path).matrix("random_20_1").values
    np.testing.assert_allclose(values, means(lab.values, labels), rtol=1e-4, atol=1e-6)
    assert result["n_parcels"] == len(np.unique(labels)) == 20


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Return a study with one file for each participant."""
    study = Lab(tmp_path)
    study.write_each(".npy", np.save)
    return study


EACH = "maps/{participant}.npy"


def spoil(lab: Lab, participant: int, *vertices: int) -> None:
    lab.values[participant, list(vertices)] = np.nan
    np.save(lab.folder / "maps" / f"{NAMES[participant]}.npy", lab.values[participant])


def test_a_missing_map_is_named_before_there_is_a_pool(lab: Lab) -> None:
    (lab.folder / "maps" / "sub-03.npy").unlink()

    said = lab.refused(EACH)

    assert "study.yaml: evaluate.maps = 'maps/{participant}.npy': " in said
    assert "sub-03.npy: no such file (1 of 30 missing)" in said
    assert "set on_missing_map: drop" in said


def test_participants_without_a_map_are_dropped_if_so_set(lab: Lab) -> None:
    (lab.folder / "maps" / "sub-00.npy").unlink()
    (lab.folder / "maps" / "sub-03.npy").unlink()

    result, values = lab.result(EACH, on_missing_map="drop")

    assert result["participants"] == {"in_table": N, "used": N - 2, "dropped": {"no map": 2}}
    assert lab.row(result)["n_dropped"] == 2
    assert np.flatnonzero(np.isnan(values).any(axis=1)).tolist() == [0, 3]
    assert learned(result)


def test_a_map_that_is_not_finite_is_named_by_the_task(lab: Lab) -> None:
    spoil(lab, 4, 5)

    said = lab.failed(EACH)

    assert f"{lab.folder}/maps/sub-04.npy: the map of sub-04 has values that are not finite" in said
    assert "set on_non_finite: drop" in said


def test_vertices_that_are_not_finite_are_left_out_if_so_set(lab: Lab) -> None:
    spoil(lab, 4, 2, 5, 6)  # 2 is outside of every parcel
    spoil(lab, 9, 0)

    result, values = lab.result(EACH, on_non_finite="drop")

    assert (result["n_non_finite"], lab.row(result)["n_non_finite"]) == (3, 3)
    assert result["participants"]["used"] == N
    np.testing.assert_allclose(values[4, 1], lab.values[4, 7, 0], rtol=1e-6)
    np.testing.assert_allclose(values[9, 0], lab.values[9, [1, 8], 0].mean(), rtol=1e-6)


def test_a_participant_with_nothing_left_of_a_parcel_is_dropped(lab: Lab) -> None:
    spoil(lab, 4, 3, 4)

    result, _ = lab.result(EACH, on_non_finite="drop")

    assert result["participants"]["dropped"] == {"a parcel without finite values": 1}
    assert lab.row(result)["n_dropped"] == 1


@pytest.fixture
def shifted(tmp_path: Path) -> Lab:
    """Return a study of volumes, of which two are in another space."""
    study = Lab(tmp_path, VOXELS)
    study.write_each(".nii", lambda path, values: write_nifti(path, values.reshape(GRID)))
    other = MILLIMETRES.copy()
    other[0, 3] = 4.0
    write_nifti(tmp_path / "maps" / "sub-07.nii", study.values[7].reshape(GRID), other)
    write_nifti(tmp_path / "maps" / "sub-08.nii", study.values[8].reshape(4, 3, 2))
    write_nifti(tmp_path / "atlas.nii", VOXELS.reshape(GRID).astype(np.int16))
    return study


def test_a_map_in_another_space_is_named_before_there_is_a_pool(shifted: Lab) -> None:
    said = shifted.refused("maps/{participant}.nii", "atlas.nii")

    assert f"{shifted.folder}/maps/sub-07.nii: has the same grid, but its corners" in said
    assert "resample it, or set on_other_space: drop" in said


def test_participants_in_another_space_are_dropped_if_so_set(shifted: Lab) -> None:
    result, values = shifted.result("maps/{participant}.nii", "atlas.nii", on_other_space="drop")

    assert result["participants"]["dropped"] == {"map in another space": 2}
    assert shifted.row(result)["n_dropped"] == 2
    assert np.flatnonzero(np.isnan(values).any(axis=1)).tolist() == [7, 8]


def test_an_atlas_in_another_space_is_named_before_there_is_a_pool(shifted: Lab) -> None:
    atlas = VOXELS.reshape(4, 3, 2).astype(np.int16)
    write_nifti(shifted.folder / "atlas.nii", atlas)

    said = shifted.refused("maps/{participant}.nii", "atlas.nii")

    assert "axes.parcellation = 'atlas.nii': " in said
    assert "a grid of (4, 3, 2), not (3, 4, 2)" in said


def save_weights(lab: Lab) -> None:
    """Write an atlas of four parcels, the third of which has no vertices."""
    weights = (LABELS[:, np.newaxis] == np.array([5, 300, 1, 70_000])).astype(float)
    np.save(lab.folder / "soft.npy", weights)


def test_an_empty_parcel_is_named_before_there_is_a_pool(lab: Lab) -> None:
    save_weights(lab)

    said = lab.refused(EACH, "soft.npy", on_empty_parcel="error")

    assert "axes.parcellation = 'soft.npy': has 1 parcels without vertices" in said
    assert "set on_empty_parcel: drop" in said


def test_empty_parcels_are_dropped_unless_they_are_an_error(lab: Lab) -> None:
    save_weights(lab)

    result, values = lab.result(EACH, "soft.npy")

    assert (result["n_parcels"], result["n_empty_parcels"]) == (3, 1)
    assert lab.row(result)["n_empty_parcels"] == 1
    np.testing.assert_allclose(values, means(lab.values, LABELS), rtol=1e-5)


def test_what_was_dropped_stands_in_the_collected_table(lab: Lab, jobpool: Jobpool) -> None:
    (lab.folder / "maps" / "sub-03.npy").unlink()
    spoil(lab, 4, 5)
    save_weights(lab)
    drops = {"on_missing_map": "drop", "on_non_finite": "drop"}
    file, pool = lab.written(EACH, "soft.npy", **drops), lab.folder / "pool"

    jobpool("init", file, pool)
    jobpool("work", pool, "--cores", 1)
    jobpool("collect", pool, "-o", lab.folder / "rows.csv")

    rows = pd.read_csv(lab.folder / "rows.csv")
    counts = rows[["n_used", "n_dropped", "n_non_finite", "n_empty_parcels"]]
    assert counts.to_numpy().tolist() == [[29, 1, 1, 1]]


def test_init_names_every_map_that_is_damaged(lab: Lab) -> None:
    for one in (3, 7):
        (lab.folder / "maps" / f"{NAMES[one]}.npy").write_bytes(b"\x93NUMPY")

    said = lab.refused("maps/{participant}.npy")

    assert "maps/sub-03.npy: cannot be read" in said
    assert "maps/sub-07.npy: cannot be read" in said


def test_init_counts_the_maps_that_cannot_be_used_beyond_five(lab: Lab) -> None:
    for name in NAMES[1:]:
        (lab.folder / "maps" / f"{name}.npy").write_bytes(b"")

    said = lab.refused("maps/{participant}.npy")

    assert "24 more maps cannot be used; all are compared with the first one" in said


def test_init_says_whose_map_is_in_another_space(lab: Lab) -> None:
    np.save(lab.folder / "maps" / "sub-04.npy", np.zeros(8, np.float32))

    runner = lab.runner("maps/{participant}.npy", on_other_space="drop")
    said = dict(Evaluate(runner._experiment).understood())

    assert said["parcels"] == "1 hard of 3 parcels"
    texts = [text for _, text in Evaluate(runner._experiment).understood()]
    assert "1 participant left out, map in another space: sub-04" in texts
