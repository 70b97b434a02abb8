"""The headers of all maps, looked at before there is a pool."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from jobpool.brain.arrays import Array
from jobpool.brain.image_headers import read_image_header
from jobpool.brain.images import open_image
from jobpool.brain.maps import MapProblems, Maps, MapsSeen, find_maps
from tests.support.brain_images import (
    GREY,
    MILLIMETRES,
    grey_matter,
    write_dscalar,
    write_gifti,
    write_nifti,
)

IDS = ("a", "b", "c")
VOLUME = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
SURFACE = VOLUME.ravel()
ROWS = VOLUME.ravel()[None, :GREY]


def write_compressed(path: Path, values: Array) -> None:
    np.savez_compressed(path, x=values)


WRITERS: dict[str, Callable[[Path], object]] = {
    ".npy": lambda path: np.save(path, SURFACE),
    ".npz": lambda path: write_compressed(path, SURFACE),
    ".nii": lambda path: write_nifti(path, VOLUME),
    ".nii.gz": lambda path: write_nifti(path, VOLUME),
    ".func.gii": lambda path: write_gifti(path, SURFACE),
    ".func.gii.gz": lambda path: write_gifti(path, SURFACE),
    ".dscalar.nii": lambda path: write_dscalar(path, ROWS),
}


def written(folder: Path, ending: str) -> Maps:
    for name in IDS:
        WRITERS[ending](folder / f"{name}{ending}")
    return find_maps(f"{{participant}}{ending}", folder, IDS)


@pytest.mark.parametrize("ending", WRITERS)
def test_whole_maps_have_no_problem(tmp_path: Path, ending: str) -> None:
    assert written(tmp_path, ending).look() == MapsSeen(dropped={}, problems=())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("ending", WRITERS)
def test_a_map_that_is_cut_short_is_named(tmp_path: Path, ending: str, share: float) -> None:
    maps = written(tmp_path, ending)
    path = tmp_path / f"b{ending}"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    (problem,) = maps.look().problems

    assert f"b{ending}" in str(problem)


def test_an_array_with_more_than_its_header_says_is_named(tmp_path: Path) -> None:
    maps = written(tmp_path, ".npy")
    with (tmp_path / "b.npy").open("ab") as file:
        file.write(b"more")

    (problem,) = maps.look().problems

    assert "b.npy: cannot be read: 4 bytes follow its last value" in str(problem)


def test_a_compressed_map_with_a_wrong_byte_is_named(tmp_path: Path) -> None:
    maps = written(tmp_path, ".nii.gz")
    path = tmp_path / "b.nii.gz"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of the length at its end
    path.write_bytes(content)

    (problem,) = maps.look().problems

    assert "b.nii.gz" in str(problem)


def test_a_volume_compressed_in_several_pieces_is_whole(tmp_path: Path) -> None:
    maps = written(tmp_path, ".nii.gz")
    path = tmp_path / "b.nii.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))

    assert maps.look().problems == ()


@pytest.mark.parametrize("ending", [".npy", ".nii", ".nii.gz", ".func.gii", ".dscalar.nii"])
def test_a_map_of_another_size_is_named(tmp_path: Path, ending: str) -> None:
    maps = written(tmp_path, ending)
    other: dict[str, Callable[[Path], object]] = {
        ".npy": lambda path: np.save(path, SURFACE[1:]),
        ".nii": lambda path: write_nifti(path, VOLUME, MILLIMETRES * 1.01),
        ".nii.gz": lambda path: write_nifti(path, VOLUME[1:]),
        ".func.gii": lambda path: write_gifti(path, SURFACE[1:]),
        ".dscalar.nii": lambda path: write_dscalar(path, ROWS, grey_matter(left=(0, 1, 4))),
    }
    other[ending](tmp_path / f"c{ending}")

    (problem,) = maps.look().problems

    assert f"c{ending}: has " in str(problem)
    assert "resample it, or set on_other_space: drop" in str(problem)


@pytest.mark.parametrize("ending", [".npy", ".nii.gz", ".func.gii", ".dscalar.nii"])
def test_a_map_with_another_number_of_modalities_is_named(tmp_path: Path, ending: str) -> None:
    maps = written(tmp_path, ending)
    other: dict[str, Callable[[Path], object]] = {
        ".npy": lambda path: np.save(path, np.stack([SURFACE, SURFACE], axis=1)),
        ".nii.gz": lambda path: write_nifti(path, np.stack([VOLUME, VOLUME], axis=3)),
        ".func.gii": lambda path: write_gifti(path, SURFACE, SURFACE),
        ".dscalar.nii": lambda path: write_dscalar(path, np.concatenate([ROWS, ROWS])),
    }
    other[ending](tmp_path / f"c{ending}")

    (problem,) = maps.look().problems

    assert f"c{ending}: has 2 modalities, the first map 1" in str(problem)


def test_a_map_in_another_space_may_be_dropped(tmp_path: Path) -> None:
    written(tmp_path, ".npy")
    np.save(tmp_path / "b.npy", SURFACE[1:])
    (tmp_path / "c.npy").unlink()
    problems = MapProblems(missing="drop", space="drop")

    seen = find_maps("{participant}.npy", tmp_path, IDS, problems).look()

    assert seen.dropped == {1: "map in another space", 2: "no map"}


def test_every_map_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    maps = written(tmp_path, ".npy")
    for name in "bc":
        (tmp_path / f"{name}.npy").write_bytes(b"")

    assert len(maps.look().problems) == 2


def test_the_header_of_a_surface_is_what_reading_it_says(tmp_path: Path) -> None:
    for n, structure in ((1, ""), (1, "CortexLeft"), (2, "CortexRight")):
        write_gifti(tmp_path / "a.gii", *[SURFACE] * n, structure=structure)

        header, image = read_image_header(tmp_path / "a.gii"), open_image(tmp_path / "a.gii")

        assert (header.space, header.n_columns) == (image.space, image.n_columns)
        assert header.dtype == image.dtype


def test_a_surface_is_not_read_for_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gifti(tmp_path / "a.gii", SURFACE)
    monkeypatch.setattr(nibabel.GiftiImage, "from_filename", None)

    assert read_image_header(tmp_path / "a.gii").space.n_vertices == len(SURFACE)
