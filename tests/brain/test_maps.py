import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from jobpool.brain.arrays import Array
from jobpool.brain.maps import MapBlock, MapProblems, Maps, find_maps
from jobpool.errors import DataError

TWO = ("sub-1", "sub-2")
FOUR = ("sub-1", "sub-2", "sub-3", "sub-4")


def values_of(maps: Maps) -> Array:
    return np.concatenate([block.values for block in maps.blocks()])


def only_block(maps: Maps) -> MapBlock:
    (block,) = maps.blocks()
    return block


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

    assert blocks[0].values.shape == (2, 3, 2)
    assert blocks[0].values[:, 0, 0].tolist() == [1.0, 2.0]


def test_an_array_in_fortran_order_gives_the_same_maps(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 4, 3)
    np.save(tmp_path / "m.npy", np.asfortranarray(values))

    read = values_of(find_maps("m.npy", tmp_path, TWO))

    np.testing.assert_array_equal(read, values)


def test_large_maps_come_in_several_blocks(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (10, 2_000_000), dtype=np.uint8)
    np.save(tmp_path / "m.npy", values)

    blocks = list(find_maps("m.npy", tmp_path, tuple("abcdefghij")).blocks())

    assert len(blocks) > 1
    assert [block.start for block in blocks] == list(range(0, 10, len(blocks[0].values)))
    np.testing.assert_array_equal(np.concatenate([b.values for b in blocks])[:, :, 0], values)


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 50)))
    os.truncate(tmp_path / "m.npy", 500)

    with pytest.raises(DataError, match=r"m\.npy: cannot be read: the file ends before"):
        list(find_maps("m.npy", tmp_path, TWO).blocks())


def test_missing_maps_are_named_with_their_number(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.zeros(4))

    with pytest.raises(DataError, match=r"sub-2\.npy: no such file \(1 of 2 missing\)"):
        find_maps("{participant}.npy", tmp_path, TWO).find_missing()


def test_a_map_of_another_shape_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.zeros(4))
    np.save(tmp_path / "sub-2.npy", np.zeros(5))

    with pytest.raises(DataError, match=r"sub-2\.npy: has 5 vertices, not 4 as in the first"):
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


def test_a_range_of_participants_is_read_alone(tmp_path: Path) -> None:
    values = np.arange(40.0).reshape(4, 5, 2)
    np.save(tmp_path / "m.npy", values)

    blocks = list(find_maps("m.npy", tmp_path, FOUR).blocks(1, 3))

    assert blocks[0].start == 1
    np.testing.assert_array_equal(blocks[0].values, values[1:3])


def test_a_range_from_the_middle_of_a_compressed_archive_is_the_same(tmp_path: Path) -> None:
    values = np.arange(40.0).reshape(4, 5, 2)
    np.savez_compressed(tmp_path / "m.npz", X=values)

    blocks = list(find_maps("m.npz:X", tmp_path, FOUR).blocks(2, 4))

    np.testing.assert_array_equal(blocks[0].values, values[2:])


def test_a_sparse_matrix_holds_all_participants(tmp_path: Path) -> None:
    values = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    sparse.save_npz(tmp_path / "m.npz", sparse.csr_matrix(values))
    maps = find_maps("m.npz", tmp_path, TWO)

    read = values_of(maps)

    assert (maps.shape(), maps.spans()) == ((2, 3, 1), ((0, 2),))
    np.testing.assert_array_equal(read[:, :, 0], values)


def test_modalities_come_in_the_order_of_the_mapping(tmp_path: Path) -> None:
    for who, value in (("sub-1", 1.0), ("sub-2", 2.0)):
        np.save(tmp_path / f"{who}_area.npy", np.full(3, value))
    np.save(tmp_path / "thickness.npy", np.full((2, 3, 2), 7.0))
    given = {"thickness": "thickness.npy", "area": "{participant}_area.npy"}

    maps = find_maps(given, tmp_path, TWO)

    assert maps.shape() == (2, 3, 3)
    assert values_of(maps)[:, 0].tolist() == [[7, 7, 1], [7, 7, 2]]


def test_modalities_of_different_vertices_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.save(tmp_path / "b.npy", np.zeros((2, 4)))

    with pytest.raises(DataError, match=r"b\.npy: has 4 vertices, not 3 as in another modality"):
        find_maps({"a": "a.npy", "b": "b.npy"}, tmp_path, TWO).shape()


def test_the_left_hemisphere_comes_before_the_right_one(tmp_path: Path) -> None:
    for side, value in (("L", 1), ("R", 2)):
        np.save(tmp_path / f"sub-1.{side}.npy", np.full(value + 1, value))
    maps = find_maps("{participant}.{hemisphere}.npy", tmp_path, ("sub-1",))

    values = values_of(maps)

    assert values.ravel().tolist() == [1, 1, 2, 2, 2]
    assert maps.space().hemispheres == (2, 3)


def test_a_missing_map_may_be_dropped(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-2.npy", np.ones(3))
    maps = find_maps("{participant}.npy", tmp_path, TWO, MapProblems(missing="drop"))

    block = only_block(maps)

    assert (maps.shape(), maps.find_missing()) == ((2, 3, 1), (0,))
    assert block.dropped == {0: "no map"}
    assert block.values[:, :, 0].tolist() == [[0, 0, 0], [1, 1, 1]]


def test_a_participant_without_one_modality_is_dropped(tmp_path: Path) -> None:
    for name in ("sub-1_a", "sub-2_a", "sub-2_b"):
        np.save(tmp_path / f"{name}.npy", np.ones(2))
    given = {one: f"{{participant}}_{one}.npy" for one in "ab"}

    block = only_block(find_maps(given, tmp_path, TWO, MapProblems(missing="drop")))

    assert block.dropped == {0: "no map"}
    assert block.values.sum(axis=(1, 2)).tolist() == [0, 4]


def test_a_missing_map_is_an_error_when_read(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.ones(3))

    with pytest.raises(DataError, match=r"sub-2\.npy: no such file; .* on_missing_map: drop"):
        list(find_maps("{participant}.npy", tmp_path, TWO).blocks())


def test_maps_of_nobody_are_an_error_even_when_dropped(tmp_path: Path) -> None:
    maps = find_maps("{participant}.npy", tmp_path, TWO, MapProblems(missing="drop"))

    with pytest.raises(DataError, match="no such file, for any participant"):
        maps.shape()


def test_a_map_in_another_space_may_be_dropped(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.ones(3))
    np.save(tmp_path / "sub-2.npy", np.ones(4))

    block = only_block(find_maps("{participant}.npy", tmp_path, TWO, MapProblems(space="drop")))

    assert block.dropped == {1: "map in another space"}


def test_a_map_of_other_modalities_is_never_dropped(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.ones((3, 2)))
    np.save(tmp_path / "sub-2.npy", np.ones((3, 3)))
    maps = find_maps("{participant}.npy", tmp_path, TWO, MapProblems(space="drop"))

    with pytest.raises(DataError, match=r"sub-2\.npy: has 3 modalities, the first map 2"):
        list(maps.blocks())


def test_a_value_that_is_not_finite_is_an_error_with_a_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.save(tmp_path / "b.npy", np.array([[0, 0, 0], [0, np.inf, 0]]))

    with pytest.raises(DataError, match=r"b\.npy: the map of sub-2 has values that are not"):
        list(find_maps({"a": "a.npy", "b": "b.npy"}, tmp_path, TWO).blocks())


def test_values_that_are_not_finite_may_be_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([[1.0, np.nan], [2.0, 3.0]], np.float32))

    block = only_block(find_maps("m.npy", tmp_path, TWO, MapProblems(non_finite="drop")))

    assert block.values[:, :, 0].tolist() == [[1, 0], [2, 3]]
    assert block.finite is not None
    assert block.finite[:, :, 0].tolist() == [[True, False], [True, True]]


def test_finite_maps_have_no_mask(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((2, 3)))

    assert (
        only_block(find_maps("m.npy", tmp_path, TWO, MapProblems(non_finite="drop"))).finite is None
    )


def test_columns_are_the_values_by_vertex(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.save(tmp_path / "m.npy", values)

    columns = only_block(find_maps("m.npy", tmp_path, TWO)).columns

    assert columns.dtype == np.float64
    assert columns[1].tolist() == [3, 4, 5, 15, 16, 17]


def test_files_of_different_types_have_one_type_of_roi_values(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.ones(3, np.uint8))
    np.save(tmp_path / "sub-2.npy", np.ones(3, np.float64))

    kinds = {block.dtype for block in find_maps("{participant}.npy", tmp_path, TWO).blocks()}

    assert kinds == {np.dtype(np.float32)}


def test_spans_are_as_large_as_is_good_to_read_at_once(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((600, 3)))

    spans = find_maps("m.npy", tmp_path, tuple(map(str, range(600)))).spans()

    assert spans == ((0, 256), (256, 512), (512, 600))


def test_a_compressed_array_for_all_is_one_span(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", X=np.zeros((600, 3)))

    spans = find_maps("m.npz:X", tmp_path, tuple(map(str, range(600)))).spans()

    assert spans == ((0, 600),)


def test_an_array_of_other_participants_is_refused_when_read(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((3, 5)))

    with pytest.raises(DataError, match=r"m\.npy: holds 3 participants, not 2"):
        list(find_maps("m.npy", tmp_path, TWO).blocks())


def test_the_identity_of_a_range_knows_its_own_files_alone(tmp_path: Path) -> None:
    for one in FOUR:
        np.save(tmp_path / f"{one}.npy", np.zeros(4))
    maps = find_maps("{participant}.npy", tmp_path, FOUR)
    before = [maps.identity(1, 2), maps.identity(2, 4)]
    os.utime(tmp_path / "sub-4.npy", ns=(1, 1))

    after = [maps.identity(1, 2), maps.identity(2, 4)]

    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False]


def test_the_first_map_is_part_of_every_identity(tmp_path: Path) -> None:
    for one in TWO:
        np.save(tmp_path / f"{one}.npy", np.zeros(4))
    maps = find_maps("{participant}.npy", tmp_path, TWO)
    before = maps.identity(1, 2)
    os.utime(tmp_path / "sub-1.npy", ns=(1, 1))  # it says which space the maps are in

    assert maps.identity(1, 2) != before


def test_a_map_that_turns_up_changes_the_identity(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.zeros(4))
    maps = find_maps("{participant}.npy", tmp_path, TWO, MapProblems(missing="drop"))
    before = maps.identity()
    np.save(tmp_path / "sub-2.npy", np.zeros(4))

    assert maps.identity() != before


def test_what_is_dropped_is_part_of_the_identity(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2, 4)))
    strict = find_maps("m.npy", tmp_path, TWO)

    lenient = find_maps("m.npy", tmp_path, TWO, MapProblems(non_finite="drop"))

    assert strict.identity() != lenient.identity()


def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"maps\.mat: is not a \.npy or \.npz file, nor an image"):
        find_maps("maps.mat", tmp_path, TWO)


def test_a_mapping_needs_a_modality(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no modality"):
        find_maps({}, tmp_path, TWO)


def test_a_disk_that_does_not_answer_drops_nobody(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.ones(3))
    (tmp_path / "sub-2.npy").symlink_to("sub-2.npy")  # asked for, it gives an error of its own
    maps = find_maps("{participant}.npy", tmp_path, TWO, MapProblems(missing="drop"))

    with pytest.raises(DataError, match=r"sub-2\.npy: cannot be found: Too many levels"):
        maps.find_missing()


def test_three_axes_are_too_many_for_the_map_of_one(tmp_path: Path) -> None:
    np.save(tmp_path / "sub-1.npy", np.zeros((2, 3, 4)))

    with pytest.raises(DataError, match=r"sub-1\.npy: has shape \(2, 3, 4\); give \(vertices,\)"):
        find_maps("{participant}.npy", tmp_path, ("sub-1",)).shape()


def test_modalities_of_different_participants_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.save(tmp_path / "b.npy", np.zeros((3, 3)))

    with pytest.raises(DataError, match="the modalities hold different numbers of participants"):
        find_maps({"a": "a.npy", "b": "b.npy"}, tmp_path, TWO).shape()


def test_hemispheres_of_different_participants_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.zeros((2, 3)))
    np.save(tmp_path / "R.npy", np.zeros((3, 3)))

    with pytest.raises(DataError, match="the hemispheres hold 2 participants, then 3"):
        find_maps("{hemisphere}.npy", tmp_path, TWO).shape()


def test_hemispheres_may_be_one_array_each(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.full((2, 2), 1))
    np.save(tmp_path / "R.npy", np.full((2, 1), 2))

    values = values_of(find_maps("{hemisphere}.npy", tmp_path, TWO))

    assert values[:, :, 0].tolist() == [[1, 1, 2], [1, 1, 2]]


def test_a_damaged_sparse_matrix_is_named(tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "m.npz", sparse.csr_matrix(np.eye(2)))
    np.savez(tmp_path / "bad.npz", **{**np.load(tmp_path / "m.npz"), "indptr": np.array([0, 9, 1])})

    with pytest.raises(DataError, match=r"bad\.npz: cannot be read as a sparse matrix"):
        find_maps("bad.npz", tmp_path, TWO).shape()
