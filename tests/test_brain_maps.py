import os
import sys
from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.maps import find_maps
from jobpool.errors import DataError

TWO = ("sub-1", "sub-2")


def test_one_array_has_participants_first(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 5, 3)))

    shape = find_maps("m.npy", tmp_path, TWO).shape()

    assert shape == (2, 5, 3)


def test_maps_without_a_modality_axis_have_one_modality(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", X=np.zeros((2, 5)))

    shape = find_maps("m.npz:X", tmp_path, TWO).shape()

    assert shape == (2, 5, 1)


def test_one_file_per_participant_is_read_in_the_order_of_participants(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-2.npy", np.full((3, 2), 2.0))
    np.save(tmp_path / "sub-1.npy", np.full((3, 2), 1.0))

    blocks = list(find_maps("{participant}.npy", tmp_path, TWO).blocks())

    assert blocks[0].shape == (2, 3, 2)
    assert blocks[0][:, 0, 0].tolist() == [1.0, 2.0]


def test_an_array_in_fortran_order_gives_the_same_maps(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 4, 3)
    np.save(tmp_path / "m.npy", np.asfortranarray(values))

    blocks = list(find_maps("m.npy", tmp_path, TWO).blocks())

    np.testing.assert_array_equal(np.concatenate(blocks), values)


def test_large_maps_come_in_several_blocks(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (10, 2_000_000), dtype=np.uint8)
    np.save(tmp_path / "m.npy", values)

    blocks = list(find_maps("m.npy", tmp_path, tuple("abcdefghij")).blocks())

    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks)[:, :, 0], values)


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 50)))
    os.truncate(tmp_path / "m.npy", 500)

    with pytest.raises(DataError, match=r"m\.npy: cannot be read: the file ends before"):
        list(find_maps("m.npy", tmp_path, TWO).blocks())


def test_missing_maps_are_named_with_their_number(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.zeros(4))

    with pytest.raises(DataError, match=r"sub-2\.npy: no such file \(1 of 2 missing\)"):
        find_maps("{participant}.npy", tmp_path, TWO).shape()


def test_a_map_of_another_shape_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.zeros(4))
    np.save(tmp_path / "sub-2.npy", np.zeros(5))

    with pytest.raises(DataError, match=r"sub-2\.npy.*\[5, 1\]"):
        list(find_maps("{participant}.npy", tmp_path, TWO).blocks())


def test_one_axis_is_too_few_for_maps_of_all(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros(4))

    with pytest.raises(DataError, match=r"has shape \(4,\)"):
        find_maps("m.npy", tmp_path, TWO).shape()


def test_an_edited_file_of_the_same_size_has_another_identity(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 5)))
    before = find_maps("m.npy", tmp_path, TWO).identity()
    np.save(tmp_path / "m.npy", np.ones((2, 5)))
    os.utime(tmp_path / "m.npy", ns=(1, 1))  # a clock too coarse to tell both writes apart

    after = find_maps("m.npy", tmp_path, TWO).identity()

    assert before != after


def test_the_identity_depends_on_the_order_of_participants(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.zeros(4))
    np.save(tmp_path / "sub-2.npy", np.zeros(4))
    one = find_maps("{participant}.npy", tmp_path, TWO)

    other = find_maps("{participant}.npy", tmp_path, TWO[::-1])

    assert one.identity() != other.identity()


def test_the_identity_opens_no_map(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 5)))
    maps = find_maps("m.npy", tmp_path, TWO)
    opened: list[str] = []
    listening = [True]  # an audit hook cannot be taken away again
    sys.addaudithook(
        lambda event, arguments: (
            opened.append(str(arguments[0])) if listening and event == "open" else None
        )
    )

    maps.identity()
    listening.clear()

    assert not [name for name in opened if name.endswith("m.npy")]
