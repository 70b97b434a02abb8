"""Which kind a parcellation is: labels in any shape, shares, and what must be said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from jobpool.brain.arrays import Array
from jobpool.brain.parcellations import Parcellation, describe_parcellation, read_parcellation
from jobpool.brain.reduction import Reducer
from jobpool.errors import DataError
from tests.brain.test_reduction import block_of
from tests.support.brain_images import write_dlabel, write_dscalar, write_gifti, write_nifti

LABELS = np.repeat(np.arange(7), 4).astype(np.int32)  # background and 6 parcels
STACKED = np.stack([LABELS, LABELS[::-1]], axis=1)
SHARES = np.random.default_rng(0).random((28, 3)) * 0.9


def saved(folder: Path, values: Array, kind: str = "") -> Parcellation:
    np.save(folder / "p.npy", values)
    return read_parcellation(f"{kind}:p.npy" if kind else "p.npy", folder)


SHAPES: dict[str, Callable[[Array], Array]] = {
    "column": lambda labels: labels[:, None],
    "row": lambda labels: labels[None, :],
    "column of 64 bits": lambda labels: labels[:, None].astype(np.int64),
    "column in another byte order": lambda labels: labels[:, None].astype(">i2"),
    "volume": lambda labels: labels.reshape(2, 7, 2),
    "volume of one map": lambda labels: labels.reshape(2, 7, 2, 1),
    "column of a volume": lambda labels: labels.reshape(28, 1, 1),
    "column in another order": lambda labels: np.asfortranarray(labels[:, None]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_integers_in_one_column_are_labels_whatever_their_shape(tmp_path: Path, shape: str) -> None:
    expected = saved(tmp_path, LABELS)

    found = saved(tmp_path, SHAPES[shape](LABELS))

    assert (found.kind, found.digest()) == ("hard", expected.digest())
    assert found.labels.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("turned", [False, True])
def test_a_sparse_column_of_integers_is_labels(tmp_path: Path, turned: bool) -> None:
    matrix = sparse.csr_matrix(LABELS[None, :] if turned else LABELS[:, None])
    sparse.save_npz(tmp_path / "s.npz", matrix)

    found = read_parcellation("s.npz", tmp_path)

    assert (found.kind, found.n_parcels, found.n_vertices) == ("hard", 6, 28)


def test_a_mask_of_true_or_false_is_one_parcel(tmp_path: Path) -> None:
    digests = {saved(tmp_path, mask).digest() for mask in (LABELS == 3, (LABELS == 3)[:, None])}

    assert digests == {saved(tmp_path, (LABELS == 3).astype(int)).digest()}


def test_integers_of_0_or_1_in_columns_are_one_parcel_each(tmp_path: Path) -> None:
    columns = (LABELS[:, None] == np.arange(1, 7)).astype(np.uint8)

    found = saved(tmp_path, columns)

    assert (found.kind, found.digest()) == ("soft", saved(tmp_path, LABELS).digest())


@pytest.mark.parametrize("kind", ["int16", "uint8", "float32", "float64"])
def test_columns_of_labels_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"p\.npy: holds whole numbers up to 6 in 2 columns: .* "):
        saved(tmp_path, STACKED.astype(kind))


def test_sparse_columns_of_labels_are_refused(tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "s.npz", sparse.csc_matrix(STACKED))

    with pytest.raises(DataError, match="holds whole numbers up to 6 in 2 columns"):
        read_parcellation("s.npz", tmp_path)


def test_a_grid_of_several_hard_atlases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds whole numbers up to 6 in 2 columns"):
        saved(tmp_path, STACKED.reshape(2, 7, 2, 2))


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_hard_atlases_stacked_in_one_image_are_refused(
    tmp_path: Path, kind: str, ending: str
) -> None:
    write_nifti(tmp_path / f"p{ending}", STACKED.reshape(2, 7, 2, 2).astype(kind))

    with pytest.raises(DataError, match=rf"Name one of them, p{ending}:1 to p{ending}:2"):
        read_parcellation(f"p{ending}", tmp_path)


def test_arrays_of_integers_of_a_surface_are_refused(tmp_path: Path) -> None:
    write_gifti(tmp_path / "p.gii", *STACKED.T.copy())

    with pytest.raises(DataError, match=r"Name one of them, p\.gii:1 to p\.gii:2"):
        read_parcellation("p.gii", tmp_path)


def test_one_column_of_several_can_be_named(tmp_path: Path) -> None:
    expected = saved(tmp_path, LABELS[::-1]).digest()
    np.save(tmp_path / "two.npy", STACKED)
    np.savez(tmp_path / "all.npz", two=STACKED)
    write_nifti(tmp_path / "two.nii.gz", STACKED.reshape(2, 7, 2, 2))
    write_gifti(tmp_path / "two.gii", *STACKED.T.copy())

    sparse.save_npz(tmp_path / "sparse.npz", sparse.csr_matrix(STACKED))

    names = ("two.npy:2", "all.npz:two:2", "two.nii.gz:2", "two.gii:2", "sparse.npz:2")
    digests = {read_parcellation(name, tmp_path).digest() for name in names}

    assert digests == {expected}


def test_one_map_of_labels_of_grayordinates_can_be_named(tmp_path: Path) -> None:
    rows = np.array([[0, 1, 1, 2, 2, 4, 4, 4, 0], [0, 0, 0, 1, 1, 1, 2, 2, 2]], np.float32)
    write_dlabel(tmp_path / "p.dlabel.nii", rows, {0: "none", 1: "a", 2: "b", 4: "d"})

    found = read_parcellation("p.dlabel.nii:2", tmp_path)

    assert (found.kind, found.labels.tolist()) == ("hard", [1, 2])
    with pytest.raises(DataError, match=r"holds 2 maps of labels; name one of them"):
        read_parcellation("p.dlabel.nii", tmp_path)


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", STACKED)

    with pytest.raises(DataError, match="has no column 3; it has 2, counted from 1"):
        read_parcellation("p.npy:3", tmp_path)


def test_a_member_whose_name_is_a_number_is_no_column(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"200": LABELS}
    np.savez(tmp_path / "all.npz", **arrays)

    assert read_parcellation("all.npz:200", tmp_path).n_parcels == 6


def test_labels_stored_as_floats_can_be_said_to_be_hard(tmp_path: Path) -> None:
    expected = saved(tmp_path, LABELS).digest()
    write_nifti(tmp_path / "p.nii", LABELS.reshape(2, 7, 2).astype(np.float32))

    assert saved(tmp_path, LABELS.astype(float), kind="hard").digest() == expected
    assert read_parcellation("hard:p.nii", tmp_path).digest() == expected


def test_labels_said_to_be_hard_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the label 0\.5, which is not a whole number"):
        saved(tmp_path, LABELS / 2, kind="hard")


@pytest.mark.parametrize("turned", [False, True])
def test_floats_in_one_column_are_labels_only_if_that_is_said(tmp_path: Path, turned: bool) -> None:
    values = LABELS[:, None].astype(float)  # as loadmat gives it
    values = values.T if turned else values
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_matrix(values))

    found = saved(tmp_path, values, kind="hard")

    assert found.digest() == saved(tmp_path, LABELS).digest()
    assert read_parcellation("hard:s.npz", tmp_path).digest() == found.digest()
    for name in ("p.npy", "s.npz"):
        np.save(tmp_path / "p.npy", values)
        with pytest.raises(DataError, match="labels are float64, not integers"):
            read_parcellation(name, tmp_path)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (1, 0), (4, 0), (0, 2, 2)])
def test_an_array_with_nothing_in_it_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="nothing in it"):
        saved(tmp_path, np.zeros(shape, np.int32))


@pytest.mark.parametrize("one", [1.5, np.nan])
def test_a_column_of_floats_above_1_is_not_a_parcel(tmp_path: Path, one: float) -> None:
    values = np.where(LABELS == 2, one, LABELS)[:, None]

    with pytest.raises(DataError, match="labels are float64, not integers"):
        saved(tmp_path, values)


def test_a_column_of_shares_is_a_parcel(tmp_path: Path) -> None:
    found = saved(tmp_path, SHARES[:, :1])

    assert (found.kind, found.n_parcels) == ("soft", 1)


def test_weights_in_percent_must_be_said_to_be_weights(tmp_path: Path) -> None:
    shares = saved(tmp_path, SHARES)

    with pytest.raises(DataError, match=r"has weights up to 8\d\.\d+, the first above 1 in col"):
        saved(tmp_path, SHARES * 100)
    percent = saved(tmp_path, SHARES * 100, kind="soft")

    maps = block_of(np.random.default_rng(1).normal(size=(2, 28, 1)))
    expected = np.einsum("nv,vp->np", maps.values[:, :, 0], SHARES) / SHARES.sum(axis=0)
    for one in (shares, percent):
        np.testing.assert_allclose(Reducer(one).reduce(maps), expected, rtol=1e-12)


def test_whole_percent_must_be_said_to_be_weights(tmp_path: Path) -> None:
    percent = np.round(SHARES * 100).astype(np.uint8)

    with pytest.raises(DataError, match="if they are weights, write kind: soft"):
        saved(tmp_path, percent)
    assert saved(tmp_path, percent, kind="soft").weights.toarray().T.tolist() == percent.tolist()


@pytest.mark.parametrize("trace", [-1e-9, -1e-7, -np.finfo(float).tiny])
def test_a_trace_of_a_negative_weight_counts_as_0(tmp_path: Path, trace: float) -> None:
    weights = SHARES.copy()
    weights[5, 1] = trace
    without = np.where(weights < 0, 0, weights)

    found = saved(tmp_path, weights)

    assert (found.kind, found.n_traces) == ("soft", 1)
    assert found.digest() == saved(tmp_path, without).digest()


@pytest.mark.parametrize("negative", [-1e-3, -0.07, -0.8])
def test_a_negative_weight_that_may_be_meant_is_refused(tmp_path: Path, negative: float) -> None:
    weights = SHARES.copy()
    weights[5, 1] = negative

    with pytest.raises(DataError, match=r"in column 2, whose greatest is 0\.8\d+; write kind: si"):
        saved(tmp_path, weights)


def test_a_trace_is_one_beside_the_weights_of_its_own_column(tmp_path: Path) -> None:
    weights = SHARES * [1, 1, 1e-8]
    weights[5, 2] *= -1

    with pytest.raises(DataError, match="in column 3, whose greatest is"):
        saved(tmp_path, weights)


def test_negative_weights_count_as_0_where_soft_is_said(tmp_path: Path) -> None:
    weights = SHARES.copy()
    weights[5, 1] = -0.07

    found = saved(tmp_path, weights, kind="soft")

    assert (found.kind, found.n_traces) == ("soft", 1)
    assert found.weights.toarray().T.tolist() == np.maximum(weights, 0).tolist()


def test_a_soft_column_without_a_positive_weight_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in column 2, where none is above 0"):
        saved(tmp_path, SHARES * [1, -1, 1], kind="soft")


def test_weights_said_to_be_signed_are_fitted_by_least_squares(tmp_path: Path) -> None:
    found = saved(tmp_path, SHARES, kind="signed")
    maps = block_of(np.random.default_rng(1).normal(size=(2, 28, 1)))

    values = Reducer(found).reduce(maps)

    expected = np.linalg.lstsq(SHARES, maps.values[:, :, 0].T)[0].T
    np.testing.assert_allclose(values, expected, rtol=1e-9)
    assert found.digest() != saved(tmp_path, SHARES).digest()


def test_one_row_of_grayordinates_can_be_said_to_be_weights(tmp_path: Path) -> None:
    row = np.linspace(0, 1, 9, dtype=np.float32)[None]
    write_dscalar(tmp_path / "p.dscalar.nii", row)

    found = read_parcellation("soft:p.dscalar.nii", tmp_path)

    np.testing.assert_array_equal(found.weights.toarray(), row)


@pytest.mark.parametrize("kind", ["soft", "signed"])
def test_a_file_that_says_it_holds_labels_is_not_taken_for_weights(
    tmp_path: Path, kind: str
) -> None:
    write_dlabel(tmp_path / "p.dlabel.nii", np.ones((1, 9), np.float32), {1: "a"})

    with pytest.raises(DataError, match="says that it holds labels"):
        read_parcellation(f"{kind}:p.dlabel.nii", tmp_path)


def test_columns_are_no_hard_parcellation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 2 columns, not one of labels; .* p\.npy:1"):
        saved(tmp_path, STACKED, kind="hard")


def test_pools_of_older_releases_take_any_negative_weight_for_signed(tmp_path: Path) -> None:
    weights = SHARES * 100
    weights[5, 1] = -1e-9

    assert saved(tmp_path, weights, kind="by-sign").kind == "signed"
    assert saved(tmp_path, np.abs(weights), kind="by-sign").kind == "soft"


@pytest.mark.parametrize("values", [LABELS[:, None], STACKED])
def test_pools_of_older_releases_take_no_labels_for_weights(tmp_path: Path, values: Array) -> None:
    with pytest.raises(DataError, match=r"holds (labels|whole numbers up to 6 in 2 columns)"):
        saved(tmp_path, values, kind="by-sign")


def test_pools_of_older_releases_keep_a_mask_in_a_column(tmp_path: Path) -> None:
    mask = (LABELS == 3)[:, None].astype(np.uint8)

    assert saved(tmp_path, mask, kind="by-sign").digest() == saved(tmp_path, mask).digest()


def test_a_summary_of_a_source_with_a_kind_is_made_anew_when_its_file_changes(
    tmp_path: Path,
) -> None:
    saved(tmp_path, SHARES)
    before = describe_parcellation("signed:p.npy", tmp_path)
    saved(tmp_path, np.concatenate([SHARES, SHARES]))

    assert describe_parcellation("signed:p.npy", tmp_path).n_vertices == 2 * before.n_vertices
