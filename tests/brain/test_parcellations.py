import os
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from jobpool.brain.arrays import Array
from jobpool.brain.parcellations import (
    Parcellation,
    describe_parcellation,
    read_parcellation,
)
from jobpool.errors import DataError

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


def saved(folder: Path, values: Array) -> Parcellation:
    np.save(folder / "p.npy", values)
    return read_parcellation("p.npy", folder)


def vertices_of(parcellation: Parcellation, row: int) -> list[int]:
    weights = parcellation.weights
    return [int(one) for one in weights.indices[weights.indptr[row] : weights.indptr[row + 1]]]


def test_a_label_above_255_is_a_parcel_of_its_own(tmp_path: Path) -> None:
    labels = np.arange(401, dtype=np.uint16)  # 300 would be 44 in eight bits

    parcellation = saved(tmp_path, labels)

    assert parcellation.n_parcels == 400
    assert vertices_of(parcellation, 299) == [300]


def test_labels_that_agree_in_their_low_bits_stay_apart(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2**16 + 1, 2**32 + 1, 2**63 + 1], dtype=np.uint64)

    parcellation = saved(tmp_path, labels)

    assert parcellation.labels.tolist() == [1, 2**16 + 1, 2**32 + 1, 2**63 + 1]


@pytest.mark.parametrize("kind", INTEGERS)
def test_every_integer_type_gives_the_same_parcellation(tmp_path: Path, kind: str) -> None:
    expected = saved(tmp_path, np.array([0, 7, 7, 3])).digest()

    parcellation = saved(tmp_path, np.array([0, 7, 7, 3], dtype=kind))

    assert parcellation.digest() == expected


def test_labels_need_not_be_contiguous(tmp_path: Path) -> None:
    parcellation = saved(tmp_path, np.array([0, 90, 0, 5, 90]))

    assert parcellation.labels.tolist() == [5, 90]
    assert vertices_of(parcellation, 1) == [1, 4]


def test_labels_in_another_byte_order_are_the_same(tmp_path: Path) -> None:
    expected = saved(tmp_path, np.array([0, 300, 2], dtype="<i2")).digest()

    parcellation = saved(tmp_path, np.array([0, 300, 2], dtype=">i2"))

    assert parcellation.digest() == expected


def test_float_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="float64, not integers"):
        saved(tmp_path, np.array([0.0, 1.0, 2.0]))


def test_negative_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="negative labels"):
        saved(tmp_path, np.array([0, 1, -1]))


def test_a_parcellation_of_background_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every label is 0"):
        saved(tmp_path, np.zeros(5, dtype=np.int32))


def test_three_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 3 axes"):
        saved(tmp_path, np.ones((2, 2, 2)))


def test_dense_weights_equal_the_same_sparse_ones(tmp_path: Path) -> None:
    dense = np.array([[0.5, 0.0], [0.5, 0.25], [0.0, 0.0]], dtype=np.float32)
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_matrix(dense))

    parcellation = read_parcellation("s.npz", tmp_path)

    assert parcellation.kind == "soft"
    assert parcellation.digest() == saved(tmp_path, dense).digest()


def test_a_column_without_weight_counts_as_an_empty_parcel(tmp_path: Path) -> None:
    parcellation = saved(tmp_path, np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 1.0]]))

    assert (parcellation.n_parcels, parcellation.n_empty) == (2, 1)
    assert parcellation.labels.tolist() == [0, 2]


def test_negative_weights_make_a_signed_parcellation(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([[0.5, -0.1], [0.0, 1.0]]))

    parcellation = read_parcellation("signed:p.npy", tmp_path)

    assert parcellation.kind == "signed"
    assert parcellation.weights.toarray().tolist() == [[0.5, 0.0], [-0.1, 1.0]]


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not finite"):
        saved(tmp_path, np.array([[0.5, np.nan], [0.0, 1.0]]))


def test_a_member_of_an_archive_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", small=np.array([0, 1]), large=np.array([0, 1, 2]))

    parcellation = read_parcellation("all.npz:large", tmp_path)

    assert parcellation.n_parcels == 2


def test_an_unknown_member_is_answered_with_the_nearest(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", schaefer100=np.array([0, 1]), yeo7=np.array([0, 1]))

    with pytest.raises(DataError, match="did you mean 'schaefer100'"):
        read_parcellation("all.npz:shaefer100", tmp_path)


def test_an_archive_of_several_arrays_needs_a_member(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", a=np.array([0, 1]), b=np.array([0, 1]))

    with pytest.raises(DataError, match=r"write all\.npz:MEMBER, one of: a, b"):
        read_parcellation("all.npz", tmp_path)


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{"a": 1}]), allow_pickle=True)

    with pytest.raises(DataError, match="not plain numbers"):
        read_parcellation("p.npy", tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.npy: no such file"):
        read_parcellation("absent.npy", tmp_path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a \.npy or \.npz file"):
        read_parcellation("p.mat", tmp_path)


def test_empty_parcels_may_be_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 1.0]]))

    with pytest.raises(DataError, match=r"p\.npy: has 1 parcels without vertices; set on_empty"):
        read_parcellation("p.npy", tmp_path, empty="error")


def test_hemispheres_with_the_same_labels_have_different_parcels(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.array([0, 1, 500], np.uint16))
    np.save(tmp_path / "R.npy", np.array([1, 0, 2], np.uint8))

    parcellation = read_parcellation("{hemisphere}.npy", tmp_path)

    assert parcellation.labels.tolist() == [1, 500, 501, 502]
    assert parcellation.space.hemispheres == (3, 3)
    assert vertices_of(parcellation, 2) == [3]


def test_hemispheres_with_labels_of_their_own_keep_them(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.array([0, 1, 3]))
    np.save(tmp_path / "R.npy", np.array([2, 4, 0]))

    parcellation = read_parcellation("{hemisphere}.npy", tmp_path)

    assert parcellation.labels.tolist() == [1, 2, 3, 4]
    assert vertices_of(parcellation, 1) == [3]


def test_labels_of_hemispheres_are_never_wrapped_around(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.array([1, 2**64 - 2], np.uint64))
    np.save(tmp_path / "R.npy", np.array([1, 2]))

    with pytest.raises(DataError, match="labels too large"):
        read_parcellation("{hemisphere}.npy", tmp_path)


def test_weights_of_both_hemispheres_make_the_same_parcels(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.array([[0.5, 0.0]]))
    np.save(tmp_path / "R.npy", np.array([[0.25, 0.0], [0.0, 1.0]]))

    parcellation = read_parcellation("{hemisphere}.npy", tmp_path)

    assert parcellation.weights.toarray().tolist() == [[0.5, 0.25, 0.0], [0.0, 0.0, 1.0]]


def test_hemispheres_of_different_numbers_of_weights_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.ones((2, 2)))
    np.save(tmp_path / "R.npy", np.ones((2, 3)))

    with pytest.raises(DataError, match="2 parcels in the left hemisphere, 3 in the right"):
        read_parcellation("{hemisphere}.npy", tmp_path)


def test_labels_beside_weights_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "L.npy", np.array([1, 2]))
    np.save(tmp_path / "R.npy", np.ones((2, 2)))

    with pytest.raises(DataError, match="labels in one hemisphere, weights in the other"):
        read_parcellation("{hemisphere}.npy", tmp_path)


def test_a_summary_says_what_the_parcellation_says(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.0]]))
    parcellation = read_parcellation("signed:p.npy", tmp_path)

    summary = describe_parcellation("signed:p.npy", tmp_path)

    assert (summary.kind, summary.n_parcels, summary.n_empty) == ("signed", 1, 1)
    assert (summary.n_vertices, summary.digest) == (3, parcellation.digest())


def test_a_summary_is_remembered_without_opening_the_file(tmp_path: Path) -> None:
    saved(tmp_path, np.array([0, 1, 2]))
    known = describe_parcellation("p.npy", tmp_path)
    status = (tmp_path / "p.npy").stat()
    (tmp_path / "p.npy").write_bytes(b"x" * status.st_size)
    os.utime(tmp_path / "p.npy", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert describe_parcellation("p.npy", tmp_path) is known


def test_a_summary_of_an_edited_file_is_made_anew(tmp_path: Path) -> None:
    saved(tmp_path, np.array([0, 1, 2]))
    known = describe_parcellation("p.npy", tmp_path)
    saved(tmp_path, np.array([0, 1, 1]))
    os.utime(tmp_path / "p.npy", ns=(1, 1))  # a clock too coarse to tell both writes apart

    assert describe_parcellation("p.npy", tmp_path).n_parcels == known.n_parcels - 1


def test_weights_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no parcels: every weight is 0"):
        saved(tmp_path, np.zeros((3, 2)))
