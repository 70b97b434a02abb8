"""The XML header of a CIFTI-2 file, against what nibabel reads in it."""

import re
from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.cifti import read_cifti_header
from tests.support.brain_images import GREY, MILLIMETRES, NIBABEL, grey_matter, write_dscalar

SHIFTED = MILLIMETRES + np.array([[0, 0, 0, -90], [0, 0, 0, -126], [0, 0, 0, -72], [0, 0, 0, 0]])


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """Return the header of a file of surfaces and voxels."""
    path = tmp_path / "a.dscalar.nii"
    write_dscalar(path, np.ones((1, GREY), np.float32), grey_matter(affine=SHIFTED))
    found: bytes = NIBABEL.load(path).header.to_xml()
    return found


def with_volume_first(content: bytes) -> bytes:
    """Return the header as the Workbench writes it."""
    (volume,) = re.findall(rb"<Volume .*?</Volume>", content, re.DOTALL)
    return content.replace(volume, b"").replace(b"<BrainModel", volume + b"<BrainModel", 1)


def test_the_volume_is_that_of_nibabel(content: bytes) -> None:
    found = read_cifti_header(content)

    axis = grey_matter(affine=SHIFTED)
    assert found.grid == axis.volume_shape
    np.testing.assert_allclose(np.reshape(found.affine or (), (4, 4)), axis.affine)
    assert found.n_grayordinates == len(axis)


def test_the_place_of_the_volume_among_the_models_does_not_matter(content: bytes) -> None:
    assert read_cifti_header(with_volume_first(content)) == read_cifti_header(content)


def test_a_volume_in_metres_is_the_same(content: bytes) -> None:
    in_metres = re.sub(rb'MeterExponent="-?\d+"', b'MeterExponent="0"', content)
    for number in (-90.0, -126.0, -72.0, 2.0):
        in_metres = in_metres.replace(b"%.10f" % number, b"%.10f" % (number / 1000))

    found, expected = read_cifti_header(in_metres), read_cifti_header(content)

    np.testing.assert_allclose(found.affine or (), expected.affine or ())


def test_models_that_are_damaged_are_an_error(content: bytes) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        read_cifti_header(content.replace(b"<VoxelIndicesIJK>", b"<Voxel"))
