"""Maps in image files: NIfTI, GIFTI, CIFTI."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.arrays import Array
from jobpool.brain.maps import MapProblems, Maps, find_maps
from jobpool.errors import DataError
from tests.support.brain_images import (
    GREY,
    MILLIMETRES,
    grey_matter,
    write_dscalar,
    write_dtseries,
    write_gifti,
    write_nifti,
    write_pscalar,
    write_scaled,
)

TWO = ("a", "b")
VOLUME = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
ROWS = np.arange(2 * GREY, dtype=np.float32).reshape(2, GREY)


def values_of(maps: Maps) -> Array:
    return np.concatenate([block.values for block in maps.blocks()])


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_volume_is_flattened_in_c_order(tmp_path: Path, ending: str) -> None:
    write_nifti(tmp_path / f"a{ending}", VOLUME)

    maps = find_maps(f"{{participant}}{ending}", tmp_path, ("a",))

    assert maps.space().grid == (2, 3, 4)
    assert values_of(maps)[0, :, 0].tolist() == list(range(24))


def test_the_last_axis_of_a_volume_is_modalities(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.stack([VOLUME, -VOLUME], axis=3))

    maps = find_maps("{participant}.nii.gz", tmp_path, ("a",))

    assert maps.shape() == (1, 24, 2)
    assert values_of(maps)[0, 5].tolist() == [5, -5]


def test_stored_integers_are_scaled_as_the_file_says(tmp_path: Path) -> None:
    write_scaled(tmp_path / "a.nii", np.arange(8, dtype=np.int16).reshape(2, 2, 2), slope=0.5)
    maps = find_maps("{participant}.nii", tmp_path, ("a",))

    (block,) = maps.blocks()

    assert block.values[0, :, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert block.dtype == np.float32


def test_data_arrays_of_a_surface_are_modalities(tmp_path: Path) -> None:
    write_gifti(
        tmp_path / "a.func.gii", np.array([1, 2, 3], np.float32), np.array([4, 5, 6], np.float32)
    )

    values = values_of(find_maps("{participant}.func.gii", tmp_path, ("a",)))

    assert values[0].tolist() == [[1, 4], [2, 5], [3, 6]]


def test_a_pair_of_surfaces_is_one_map(tmp_path: Path) -> None:
    write_gifti(tmp_path / "a.L.gii", np.array([1, 2], np.float32))
    write_gifti(tmp_path / "a.R.gii", np.array([3, 4, 5], np.float32))

    values = values_of(find_maps("{participant}.{hemisphere}.gii", tmp_path, ("a",)))

    assert values.ravel().tolist() == [1, 2, 3, 4, 5]


def test_rows_of_grayordinates_are_modalities(tmp_path: Path) -> None:
    write_dscalar(tmp_path / "a.dscalar.nii", ROWS)

    maps = find_maps("{participant}.dscalar.nii", tmp_path, ("a",))

    assert maps.shape() == (1, GREY, 2)
    assert values_of(maps)[0].tolist() == ROWS.T.tolist()


def test_a_series_of_grayordinates_is_read_like_scalars(tmp_path: Path) -> None:
    write_dtseries(tmp_path / "a.dtseries.nii", ROWS)

    values = values_of(find_maps("{participant}.dtseries.nii", tmp_path, ("a",)))

    assert values[0].tolist() == ROWS.T.tolist()


def test_values_of_parcels_are_no_grayordinates(tmp_path: Path) -> None:
    write_pscalar(tmp_path / "a.pscalar.nii", np.zeros((2, 1), np.float32))

    with pytest.raises(DataError, match="has no grayordinates; give"):
        find_maps("{participant}.pscalar.nii", tmp_path, ("a",)).shape()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_volumes_along_the_last_axis_may_be_all_participants(tmp_path: Path, ending: str) -> None:
    write_nifti(tmp_path / f"all{ending}", np.stack([VOLUME, VOLUME + 100], axis=3))

    maps = find_maps(f"all{ending}", tmp_path, TWO)

    assert maps.shape() == (2, 24, 1)
    assert values_of(maps)[:, 3, 0].tolist() == [3, 103]


def test_rows_of_grayordinates_may_be_all_participants(tmp_path: Path) -> None:
    write_dscalar(tmp_path / "all.dscalar.nii", ROWS)

    maps = find_maps("all.dscalar.nii", tmp_path, TWO)

    assert [block.values[:, :, 0].tolist() for block in maps.blocks(1, 2)] == [[ROWS[1].tolist()]]


def test_a_volume_of_another_affine_is_named(tmp_path: Path) -> None:
    moved = MILLIMETRES.copy()
    moved[0, 3] = 1.0
    write_nifti(tmp_path / "a.nii", VOLUME)
    write_nifti(tmp_path / "b.nii", VOLUME, moved)

    with pytest.raises(DataError, match=r"b\.nii: has the same grid, but its corners are up to 1"):
        values_of(find_maps("{participant}.nii", tmp_path, TWO))


def test_a_volume_of_another_grid_may_be_dropped(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", VOLUME)
    write_nifti(tmp_path / "b.nii", VOLUME.reshape(3, 2, 4))
    maps = find_maps("{participant}.nii", tmp_path, TWO, MapProblems(space="drop"))

    (block,) = maps.blocks()

    assert block.dropped == {1: "map in another space"}


def test_other_grayordinates_of_the_same_number_are_another_space(tmp_path: Path) -> None:
    write_dscalar(tmp_path / "a.dscalar.nii", ROWS)
    write_dscalar(tmp_path / "b.dscalar.nii", ROWS, grey_matter(left=(0, 1, 4)))

    with pytest.raises(DataError, match=r"b\.dscalar\.nii: has other brain models"):
        values_of(find_maps("{participant}.dscalar.nii", tmp_path, TWO))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.dscalar.nii", "a.func.gii"])
@pytest.mark.parametrize("kept", [2, 300, 0.5, 0.99])
def test_an_image_cut_short_is_named(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    write_nifti(tmp_path / "a.nii", np.random.default_rng(0).normal(size=(9, 9, 9)))
    write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)))
    write_dscalar(tmp_path / "a.dscalar.nii", ROWS)
    write_gifti(tmp_path / "a.func.gii", np.zeros(500, np.float32))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])

    with pytest.raises(DataError, match=rf"{name}: cannot be read: "):
        values_of(find_maps(name.replace("a.", "{participant}."), tmp_path, ("a",)))


def test_a_damaged_byte_in_a_compressed_volume_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_nifti(path, np.random.default_rng(0).normal(size=(9, 9, 9)))
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the checksum, which comes after all values
    path.write_bytes(content)

    with pytest.raises(DataError, match="CRC check failed"):
        values_of(find_maps("{participant}.nii.gz", tmp_path, ("a",)))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_text("participant,age\n" * 100)

    with pytest.raises(DataError, match=r"a\.nii: cannot be read"):
        values_of(find_maps("{participant}.nii", tmp_path, ("a",)))


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"all\.nii: no such file"):
        find_maps("all.nii", tmp_path, TWO).shape()


def test_colours_are_no_maps(tmp_path: Path) -> None:
    colours = np.zeros((2, 2, 2), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    write_nifti(tmp_path / "a.nii", colours)

    with pytest.raises(DataError, match="not plain numbers"):
        find_maps("{participant}.nii", tmp_path, ("a",)).shape()


def test_five_axes_are_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2, 2, 2), np.float32))

    with pytest.raises(DataError, match=r"has shape \(2, 2, 2, 2, 2\); give a volume"):
        find_maps("{participant}.nii", tmp_path, ("a",)).shape()


def test_the_points_of_a_surface_are_no_maps(tmp_path: Path) -> None:
    write_gifti(tmp_path / "a.gii", np.zeros((4, 3), np.float32))

    with pytest.raises(DataError, match=r"\[\(4, 3\)\]; give data arrays of one value per vertex"):
        find_maps("{participant}.gii", tmp_path, ("a",)).shape()


def test_a_surface_of_no_data_is_refused(tmp_path: Path) -> None:
    write_gifti(tmp_path / "a.gii")

    with pytest.raises(DataError, match="has no data arrays"):
        find_maps("{participant}.gii", tmp_path, ("a",)).shape()


def test_arrays_are_read_without_nibabel(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((1, 3)))
    np.save(tmp_path / "p.npy", np.array([0, 1, 2]))
    code = (
        "import sys; from pathlib import Path; from jobpool.brain.maps import find_maps\n"
        "from jobpool.brain.parcellations import read_parcellation\n"
        "from jobpool.brain.reduction import Reducer\n"
        "folder = Path(sys.argv[1]); reducer = Reducer(read_parcellation('p.npy', folder))\n"
        "maps = find_maps('m.npy', folder, ('a',))\n"
        "print([reducer.reduce(block).shape for block in maps.blocks()])\n"
        "print('nibabel' in sys.modules)"
    )

    said = subprocess.check_output(
        [sys.executable, "-c", code, str(tmp_path)], text=True, timeout=60
    )

    assert said == "[(1, 2)]\nFalse\n"
