from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from jobpool.brain.arrays import Array
from jobpool.brain.maps import MapBlock, MapProblems, Maps, find_maps
from jobpool.brain.parcellations import Parcellation, read_parcellation
from jobpool.brain.reduction import Reducer
from jobpool.errors import DataError

RNG = np.random.default_rng(0)
MAPS = RNG.normal(10.0, 1.0, (6, 2000, 2))
LABELS = RNG.permutation(np.arange(2000, dtype=np.uint16) % 401)  # 0 to 400


def maps_of(folder: Path, values: Array) -> Maps:
    np.save(folder / "m.npy", values)
    return find_maps("m.npy", folder, tuple(f"sub-{one}" for one in range(len(values))))


def parcels_of(folder: Path, values: Array) -> Parcellation:
    np.save(folder / "p.npy", values)
    return read_parcellation("signed:p.npy" if values.min() < 0 else "p.npy", folder)


def roi_means(maps: Maps, parcellation: Parcellation, divisor: float = 1.0) -> Array:
    reducer = Reducer(parcellation, divisor)
    return np.concatenate([reducer.reduce(block) for block in maps.blocks()])


def block_of(values: Array, finite: Array | None = None, start: int = 0) -> MapBlock:
    return MapBlock(start=start, values=values, finite=finite, dtype=np.dtype(np.float64))


def test_means_of_400_parcels_equal_a_loop_over_labels(tmp_path: Path) -> None:
    expected = np.stack(
        [
            MAPS[:, label == LABELS, modality].mean(axis=1)
            for modality in (0, 1)
            for label in range(1, 401)
        ],
        axis=1,
    )

    means = roi_means(maps_of(tmp_path, MAPS), parcels_of(tmp_path, LABELS))

    np.testing.assert_allclose(means, expected, rtol=1e-13)


def test_soft_weights_give_the_weighted_mean(tmp_path: Path) -> None:
    weights = RNG.random((2000, 5)) * (RNG.random((2000, 5)) > 0.7)
    expected = np.stack(
        [np.average(MAPS[:, :, 0], axis=1, weights=weights[:, parcel]) for parcel in range(5)],
        axis=1,
    )

    means = roi_means(maps_of(tmp_path, MAPS[:, :, 0]), parcels_of(tmp_path, weights))

    np.testing.assert_allclose(means, expected, rtol=1e-13)


def test_a_divisor_gives_the_unit_back(tmp_path: Path) -> None:
    stored = np.full((2, 2000), 51, np.uint8)

    means = roi_means(maps_of(tmp_path, stored), parcels_of(tmp_path, LABELS), divisor=255)

    np.testing.assert_allclose(means, 0.2, rtol=1e-7)


def test_single_precision_maps_give_single_precision_means(tmp_path: Path) -> None:
    single = maps_of(tmp_path, MAPS.astype(np.float32))

    means = roi_means(single, parcels_of(tmp_path, LABELS))

    assert means.dtype == np.float32


def test_one_file_per_participant_gives_the_same_means(tmp_path: Path) -> None:
    parcellation = parcels_of(tmp_path, LABELS)
    expected = roi_means(maps_of(tmp_path, MAPS[:2]), parcellation)
    np.save(tmp_path / "a.npy", MAPS[0])
    np.save(tmp_path / "b.npy", MAPS[1])

    means = roi_means(find_maps("{participant}.npy", tmp_path, ("a", "b")), parcellation)

    np.testing.assert_array_equal(means, expected)


def test_a_map_that_is_not_finite_is_named(tmp_path: Path) -> None:
    damaged = MAPS.copy()
    damaged[3, 7, 1] = np.nan

    with pytest.raises(DataError, match="the map of sub-3 has values that are not finite"):
        roi_means(maps_of(tmp_path, damaged), parcels_of(tmp_path, LABELS))


def test_a_parcellation_of_other_vertices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have 2000 vertices, the parcellation 1999"):
        roi_means(maps_of(tmp_path, MAPS), parcels_of(tmp_path, LABELS[1:]))


def test_values_do_not_depend_on_who_is_read_together(tmp_path: Path) -> None:
    reducer = Reducer(parcels_of(tmp_path, LABELS))
    together = reducer.reduce(block_of(MAPS))

    alone = [reducer.reduce(block_of(MAPS[one : one + 1], start=one)) for one in range(6)]

    assert np.concatenate(alone).tobytes() == together.tobytes()


def test_a_vertex_that_is_not_finite_is_left_out_of_that_mean(tmp_path: Path) -> None:
    values = np.array([[1.0, np.nan, 3.0, 8.0], [1.0, 2.0, 3.0, 8.0]])
    np.save(tmp_path / "m.npy", values)
    maps = find_maps("m.npy", tmp_path, ("a", "b"), MapProblems(non_finite="drop"))

    means = roi_means(maps, parcels_of(tmp_path, np.array([1, 1, 1, 2])))

    assert means.tolist() == [[2, 8], [2, 8]]


def test_the_weight_of_a_vertex_that_is_not_finite_does_not_count(tmp_path: Path) -> None:
    finite = np.array([[[True], [False], [True]]])
    weights = np.array([[0.5], [1.0], [0.25]])

    means = Reducer(parcels_of(tmp_path, weights)).reduce(
        block_of(np.array([[[2.0], [0.0], [8.0]]]), finite)
    )

    np.testing.assert_allclose(means, [[(0.5 * 2 + 0.25 * 8) / 0.75]], rtol=1e-15)


def test_a_parcel_without_a_finite_vertex_has_no_value(tmp_path: Path) -> None:
    finite = np.array([[[False, True], [False, True], [True, True]]])

    means = Reducer(parcels_of(tmp_path, np.array([1, 1, 2]))).reduce(
        block_of(np.array([[[0.0, 4.0], [0.0, 6.0], [7.0, 9.0]]]), finite)
    )

    np.testing.assert_array_equal(means, [[np.nan, 7, 5, 9]])


def test_a_participant_that_is_dropped_has_no_values(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(2000))
    maps = find_maps("{participant}.npy", tmp_path, ("a", "b"), MapProblems(missing="drop"))

    means = roi_means(maps, parcels_of(tmp_path, LABELS))

    assert np.isnan(means).all(axis=1).tolist() == [False, True]


def signed(n_parcels: int, density: float = 1.0) -> Array:
    rng = np.random.default_rng(n_parcels)
    chosen = rng.random((2000, n_parcels)) < density
    return np.where(chosen, rng.normal(size=(2000, n_parcels)), 0.0)


@pytest.mark.parametrize("density", [0.02, 1.0])
def test_signed_weights_give_the_least_squares(tmp_path: Path, density: float) -> None:
    weights = signed(30, density)
    expected = np.linalg.lstsq(weights, MAPS[:, :, 1].T)[0].T

    values = roi_means(maps_of(tmp_path, MAPS), parcels_of(tmp_path, weights))

    np.testing.assert_allclose(values[:, 30:], expected, rtol=1e-10, atol=1e-12)


def test_parcels_that_depend_on_each_other_give_the_smallest_coefficients(tmp_path: Path) -> None:
    weights = np.concatenate([signed(5), signed(5)[:, :2]], axis=1)
    expected = np.linalg.lstsq(weights, MAPS[:, :, 0].T)[0].T

    values = roi_means(maps_of(tmp_path, MAPS[:, :, 0]), parcels_of(tmp_path, weights))

    np.testing.assert_allclose(values, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n_left_out", [3, 1500])
def test_least_squares_leave_out_what_is_not_finite(tmp_path: Path, n_left_out: int) -> None:
    weights, values = signed(8, 0.5), MAPS[:2].copy()
    values[0, :n_left_out, 1] = np.inf
    np.save(tmp_path / "m.npy", values)
    maps = find_maps("m.npy", tmp_path, ("a", "b"), MapProblems(non_finite="drop"))
    expected = np.linalg.lstsq(weights[n_left_out:], values[0, n_left_out:, 1])[0]

    found = roi_means(maps, parcels_of(tmp_path, weights))

    np.testing.assert_allclose(found[0, 8:], expected, rtol=1e-9)
    np.testing.assert_allclose(found[1, 8:], np.linalg.lstsq(weights, values[1, :, 1])[0])


def test_a_signed_parcel_without_a_finite_vertex_has_no_value(tmp_path: Path) -> None:
    weights = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    finite = np.array([[[False], [False], [True], [True]]])

    values = Reducer(parcels_of(tmp_path, weights)).reduce(
        block_of(np.array([[[0.0], [0.0], [6.0], [5.0]]]), finite)
    )

    np.testing.assert_array_equal(values, [[np.nan, 3.0]])


@pytest.mark.parametrize("n_copies", [1, 2])
def test_least_squares_do_not_depend_on_who_is_read_together(tmp_path: Path, n_copies: int) -> None:
    weights = np.tile(signed(40), n_copies)
    reducer = Reducer(parcels_of(tmp_path, weights), divisor=2)
    together = reducer.reduce(block_of(MAPS))

    alone = [reducer.reduce(block_of(MAPS[one : one + 1], start=one)) for one in range(6)]

    assert np.concatenate(alone).tobytes() == together.tobytes()


def test_sparse_signed_weights_equal_dense_ones(tmp_path: Path) -> None:
    weights = signed(6, 0.3)
    sparse.save_npz(tmp_path / "w.npz", sparse.coo_matrix(weights))
    expected = Reducer(parcels_of(tmp_path, weights)).reduce(block_of(MAPS))

    values = Reducer(read_parcellation("signed:w.npz", tmp_path)).reduce(block_of(MAPS))

    np.testing.assert_array_equal(values, expected)
