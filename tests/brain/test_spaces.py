"""Maps and parcellations in the same space, or not."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.maps import find_maps
from jobpool.brain.parcellations import describe_parcellation, read_parcellation
from jobpool.brain.spaces import Space, check_space, difference
from tests.support.brain_images import MILLIMETRES, write_nifti

ONES = np.ones((2, 3, 4), np.int16)
AFFINE = tuple(MILLIMETRES.ravel().tolist())


def volume(**changes: float) -> Space:
    affine = MILLIMETRES.copy()
    affine[0, 3] = changes.get("shift", 0.0)
    affine[0, 0] += changes.get("stretch", 0.0)
    return Space(n_vertices=24, grid=(2, 3, 4), affine=tuple(affine.ravel().tolist()))


def test_a_parcellation_in_the_space_of_the_maps_fits(tmp_path: Path) -> None:
    write_nifti(tmp_path / "all.nii", np.zeros((2, 3, 4, 5), np.float32))
    write_nifti(tmp_path / "p.nii", ONES)
    maps = find_maps("all.nii", tmp_path, tuple("abcde")).space()

    assert check_space(maps, read_parcellation("p.nii", tmp_path)) is None


def test_a_parcellation_moved_by_a_voxel_does_not_fit(tmp_path: Path) -> None:
    moved = MILLIMETRES.copy()
    moved[2, 3] = 2.0
    write_nifti(tmp_path / "all.nii", np.zeros((2, 3, 4, 5), np.float32))
    write_nifti(tmp_path / "p.nii", ONES, moved)
    maps = find_maps("all.nii", tmp_path, tuple("abcde")).space()

    found = check_space(maps, describe_parcellation("p.nii", tmp_path))

    assert found == (
        "does not fit the maps: it has the same grid, but its corners are up to 2 mm away: another "
        "affine; give a parcellation in the space of the maps"
    )


def test_a_parcellation_of_other_vertices_does_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.ones(23, np.int32))

    found = check_space(volume(), read_parcellation("p.npy", tmp_path))

    assert found is not None
    assert "it has 23 vertices, not 24;" in found


def test_a_plain_array_fits_every_space_of_as_many_vertices(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.ones(24, np.int32))

    assert check_space(volume(), read_parcellation("p.npy", tmp_path)) is None


@pytest.mark.parametrize("changes", [{"shift": 1e-3}, {"stretch": 1e-4}])
def test_an_affine_may_differ_by_rounding(changes: dict[str, float]) -> None:
    assert difference(volume(**changes), volume()) is None


@pytest.mark.parametrize("changes", [{"shift": 1e-2}, {"stretch": 1e-2}, {"shift": np.nan}])
def test_an_affine_may_not_differ_by_more(changes: dict[str, float]) -> None:
    assert "another affine" in str(difference(volume(**changes), volume()))


def test_grids_are_named_where_the_number_of_vertices_differs() -> None:
    other = Space(n_vertices=8, grid=(2, 2, 2), affine=AFFINE)

    assert difference(other, volume()) == "8 vertices, not 24 (a grid of (2, 2, 2), not (2, 3, 4))"


def test_hemispheres_of_other_sizes_are_another_space() -> None:
    one, other = (Space(n_vertices=5, hemispheres=sizes) for sizes in ((2, 3), (3, 2)))

    assert difference(one, other) == "hemispheres of (2, 3) vertices, not (3, 2)"
