"""Maps and parcellations in the same space, or not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobpool.brain.maps import find_maps
from jobpool.brain.parcellations import describe_parcellation, read_parcellation
from jobpool.brain.spaces import Space, check_space, difference
from jobpool.errors import DataError
from tests.support.brain_images import (
    GREY,
    MILLIMETRES,
    grey_matter,
    icosphere,
    write_dscalar,
    write_gifti,
    write_nifti,
    write_surface,
)

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


MIRRORED = np.diag([-2.0, 2.0, 2.0, 1.0])
ROWS = np.eye(2, GREY, dtype=np.float32)


@pytest.mark.parametrize("changes", [{"affine": MIRRORED}, {"more": 2}, {"left": (0, 1, 4)}])
def test_grayordinates_of_the_same_indices_elsewhere_do_not_fit(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    write_dscalar(tmp_path / "maps.dscalar.nii", ROWS)
    write_dscalar(tmp_path / "p.dscalar.nii", ROWS, grey_matter(**changes))
    maps = find_maps("maps.dscalar.nii", tmp_path, tuple("ab")).space()

    found = check_space(maps, read_parcellation("p.dscalar.nii", tmp_path))

    assert found is not None
    assert "does not fit the maps" in found


def test_grayordinates_may_differ_by_the_rounding_of_an_affine(tmp_path: Path) -> None:
    write_dscalar(tmp_path / "maps.dscalar.nii", ROWS)
    write_dscalar(tmp_path / "p.dscalar.nii", ROWS, grey_matter(affine=MILLIMETRES + 1e-7))
    maps = find_maps("maps.dscalar.nii", tmp_path, tuple("ab")).space()

    assert check_space(maps, read_parcellation("p.dscalar.nii", tmp_path)) is None


def test_a_participant_whose_grayordinates_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    write_dscalar(tmp_path / "a.dscalar.nii", ROWS)
    write_dscalar(tmp_path / "b.dscalar.nii", ROWS, grey_matter(affine=MIRRORED))
    maps = find_maps("{participant}.dscalar.nii", tmp_path, tuple("ab"))

    with pytest.raises(DataError, match=r"b\.dscalar\.nii: has .* another affine"):
        list(maps.blocks())


def test_a_volume_of_as_many_voxels_as_grayordinates_does_not_fit(tmp_path: Path) -> None:
    write_dscalar(tmp_path / "maps.dscalar.nii", ROWS)
    write_nifti(tmp_path / "p.nii", np.ones((1, 3, 3), np.int16))
    maps = find_maps("maps.dscalar.nii", tmp_path, tuple("ab")).space()

    found = check_space(maps, read_parcellation("p.nii", tmp_path))

    assert "the voxels of a volume, not grayordinates" in str(found)


def test_a_surface_of_the_other_hemisphere_does_not_fit(tmp_path: Path) -> None:
    values = np.array([1, 2, 3], np.int32)
    write_gifti(tmp_path / "a.gii", values.astype(np.float32), structure="CortexLeft")
    write_gifti(tmp_path / "p.gii", values, structure="CortexRight")
    write_gifti(tmp_path / "q.gii", values)
    maps = find_maps("{participant}.gii", tmp_path, ("a",)).space()

    found = [check_space(maps, read_parcellation(name, tmp_path)) for name in ("p.gii", "q.gii")]

    assert "it has the structure cortexright, not cortexleft" in str(found[0])
    assert found[1] is None


@pytest.mark.parametrize("side", ["L", "R"])
def test_exchanged_hemispheres_are_refused(tmp_path: Path, side: str) -> None:
    right_names = {"L": "CortexLeft", "R": "CortexRight"}
    said = {name: right_names[name if name != side else "LR".replace(side, "")] for name in "LR"}
    for name in "LR":
        write_gifti(tmp_path / f"{name}.gii", np.array([1, 2], np.int32), structure=said[name])
        write_gifti(tmp_path / f"a.{name}.gii", np.array([1, 2], np.float32), structure=said[name])

    with pytest.raises(DataError, match=r"says in its (left|right) file that it is the"):
        read_parcellation("{hemisphere}.gii", tmp_path)
    with pytest.raises(DataError, match="exchange the files, or correct what it says"):
        find_maps("{participant}.{hemisphere}.gii", tmp_path, ("a",)).space()


def test_an_array_of_labels_with_three_axes_has_a_grid(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.arange(24, dtype=np.int32).reshape(2, 3, 4))
    np.save(tmp_path / "q.npy", np.arange(24, dtype=np.int32).reshape(4, 3, 2))

    found = [
        check_space(volume(), read_parcellation(name, tmp_path)) for name in ("p.npy", "q.npy")
    ]

    assert found[0] is None
    assert "a grid of (4, 3, 2), not (2, 3, 4)" in str(found[1])


@pytest.mark.parametrize("exchanged", [False, True])
def test_meshes_of_exchanged_hemispheres_are_refused(tmp_path: Path, exchanged: bool) -> None:
    triangles, n_vertices = icosphere(0)
    structures = ["CortexLeft", "CortexRight"]
    for side, structure in zip("LR", structures[:: -1 if exchanged else 1], strict=True):
        write_surface(tmp_path / f"{side}.surf.gii", triangles, n_vertices, structure)
    text = "random:{hemisphere}.surf.gii?size=4&repeat=1&seed=0"

    if exchanged:
        with pytest.raises(DataError, match="says in its left file that it is the right hemi"):
            read_parcellation(text, tmp_path)
    else:
        assert read_parcellation(text, tmp_path).space.hemispheres == (12, 12)
