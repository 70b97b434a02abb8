"""Parcellations in image files: NIfTI, GIFTI, CIFTI."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.parcellations import read_parcellation
from jobpool.errors import DataError
from tests.support.brain_images import (
    GREY,
    write_dlabel,
    write_dscalar,
    write_gifti,
    write_labels,
    write_nifti,
    write_scaled,
)

LABELS = np.array([0, 1, 300, 300, 70_000, 0, 1, 300], np.int32).reshape(2, 2, 2)
GREY_LABELS = np.array([[0, 1, 1, 2, 2, 400, 400, 400, 0]], np.float32)


def vertices_by_label(folder: Path, text: str) -> dict[int, list[int]]:
    found = read_parcellation(text, folder)
    rows = [np.flatnonzero(row).tolist() for row in found.weights.toarray()]
    return dict(zip(found.labels.tolist(), rows, strict=True))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_of_integers_is_a_hard_parcellation(tmp_path: Path, ending: str) -> None:
    write_nifti(tmp_path / f"p{ending}", LABELS)

    found = vertices_by_label(tmp_path, f"p{ending}")

    assert found == {1: [1, 6], 300: [2, 3, 7], 70_000: [4]}


def test_a_volume_and_the_same_array_have_the_same_digest(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p.nii", LABELS.astype(np.uint32))
    np.save(tmp_path / "p.npy", LABELS.ravel())

    digests = {read_parcellation(name, tmp_path).digest() for name in ("p.nii", "p.npy")}

    assert len(digests) == 1


def test_labels_of_64_bits_are_not_narrowed(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2**32 + 1, 2**60 + 1], np.int64).reshape(2, 2, 1)
    write_nifti(tmp_path / "p.nii", labels)

    found = read_parcellation("p.nii", tmp_path).labels.tolist()

    assert found == [1, 2**32 + 1, 2**60 + 1]


def test_a_volume_of_floats_is_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p.nii", LABELS.astype(np.float32))

    with pytest.raises(DataError, match="labels are float32, not integers"):
        read_parcellation("p.nii", tmp_path)


def test_a_volume_that_says_it_holds_labels_may_store_floats(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p.nii", LABELS.astype(np.float32), intent="label")

    assert list(vertices_by_label(tmp_path, "p.nii")) == [1, 300, 70_000]


def test_a_volume_of_labels_that_are_not_whole_is_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "p.nii", LABELS / np.float32(2), intent="label")

    with pytest.raises(DataError, match=r"has the label 0\.5, which is not a whole number"):
        read_parcellation("p.nii", tmp_path)


def test_integers_scaled_to_fractions_are_refused(tmp_path: Path) -> None:
    write_scaled(tmp_path / "p.nii", LABELS, slope=0.5)

    with pytest.raises(DataError, match=r"not a whole number; .* without scaling"):
        read_parcellation("p.nii", tmp_path)


def test_integers_scaled_to_integers_are_labels(tmp_path: Path) -> None:
    write_scaled(tmp_path / "p.nii", LABELS, slope=2)

    assert list(vertices_by_label(tmp_path, "p.nii")) == [2, 600, 140_000]


def test_several_volumes_are_weights(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((2, 2, 2, 3)).astype(np.float32)
    write_nifti(tmp_path / "p.nii.gz", weights)

    parcellation = read_parcellation("p.nii.gz", tmp_path)

    assert parcellation.kind == "soft"
    np.testing.assert_array_equal(parcellation.weights.toarray(), weights.reshape(8, 3).T)


def test_labels_of_a_surface_count_names_without_vertices(tmp_path: Path) -> None:
    names = {0: "background", 1: "one", 2: "two", 300: "many"}
    write_labels(tmp_path / "p.label.gii", np.array([0, 300, 1, 1], np.int32), names)

    parcellation = read_parcellation("p.label.gii", tmp_path)

    assert (parcellation.n_parcels, parcellation.n_empty) == (2, 1)
    assert parcellation.labels.tolist() == [1, 300]


def test_a_pair_of_surfaces_with_tables_of_their_own_has_separate_parcels(tmp_path: Path) -> None:
    names = {0: "background", 1: "one", 2: "two"}
    write_labels(tmp_path / "p.L.label.gii", np.array([1, 0], np.int32), names)
    write_labels(tmp_path / "p.R.label.gii", np.array([0, 1], np.int32), names)

    parcellation = read_parcellation("p.{hemisphere}.label.gii", tmp_path)

    assert parcellation.labels.tolist() == [1, 3]
    assert parcellation.n_empty == 2


def test_a_pair_of_surfaces_with_one_table_has_no_empty_parcels(tmp_path: Path) -> None:
    names = {0: "background", 1: "left", 2: "right"}
    write_labels(tmp_path / "p.L.label.gii", np.array([1, 0], np.int32), names)
    write_labels(tmp_path / "p.R.label.gii", np.array([0, 2], np.int32), names)

    parcellation = read_parcellation("p.{hemisphere}.label.gii", tmp_path)

    assert (parcellation.labels.tolist(), parcellation.n_empty) == ([1, 2], 0)


def test_several_arrays_of_a_surface_are_weights(tmp_path: Path) -> None:
    write_gifti(
        tmp_path / "p.gii", np.array([0.5, 0, 1], np.float32), np.array([0, -1, 0], np.float32)
    )

    parcellation = read_parcellation("signed:p.gii", tmp_path)

    assert parcellation.kind == "signed"
    assert parcellation.weights.toarray().tolist() == [[0.5, 0, 1], [0, -1, 0]]


def test_one_array_of_floats_of_a_surface_is_refused(tmp_path: Path) -> None:
    write_gifti(tmp_path / "p.gii", np.array([0, 1, 2], np.float32))

    with pytest.raises(DataError, match="labels are float32, not integers"):
        read_parcellation("p.gii", tmp_path)


def test_one_array_of_integers_of_a_surface_is_a_hard_parcellation(tmp_path: Path) -> None:
    write_gifti(tmp_path / "p.gii", np.array([0, 400, 1], np.int32))

    assert vertices_by_label(tmp_path, "p.gii") == {1: [2], 400: [1]}


def test_two_maps_of_labels_are_refused(tmp_path: Path) -> None:
    arrays = np.array([0, 1], np.int32), np.array([1, 0], np.int32)
    write_gifti(tmp_path / "p.gii", *arrays, intent="NIFTI_INTENT_LABEL")

    with pytest.raises(DataError, match="holds 2 maps of labels; name one of them"):
        read_parcellation("p.gii", tmp_path)


def test_labels_of_grayordinates_may_be_stored_as_floats(tmp_path: Path) -> None:
    names = {0: "background", 1: "one", 2: "two", 3: "three", 400: "many"}
    write_dlabel(tmp_path / "p.dlabel.nii", GREY_LABELS, names)

    parcellation = read_parcellation("p.dlabel.nii", tmp_path)

    assert (parcellation.kind, parcellation.n_vertices) == ("hard", GREY)
    assert parcellation.labels.tolist() == [1, 2, 400]
    assert parcellation.n_empty == 1


def test_rows_of_grayordinates_are_weights(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((3, GREY)).astype(np.float32)
    rows[1] = 0
    write_dscalar(tmp_path / "p.dscalar.nii", rows)

    parcellation = read_parcellation("p.dscalar.nii", tmp_path)

    assert (parcellation.kind, parcellation.n_empty) == ("soft", 1)
    np.testing.assert_array_equal(parcellation.weights.toarray(), rows[[0, 2]])


def test_one_row_of_floats_of_grayordinates_is_refused(tmp_path: Path) -> None:
    write_dscalar(tmp_path / "p.dscalar.nii", GREY_LABELS)

    with pytest.raises(DataError, match="labels are float32, not integers"):
        read_parcellation("p.dscalar.nii", tmp_path)


def test_negative_labels_of_a_surface_are_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "p.label.gii", np.array([-1, 1], np.int32), {-1: "unknown", 1: "one"})

    with pytest.raises(DataError, match="has negative labels"):
        read_parcellation("p.label.gii", tmp_path)
