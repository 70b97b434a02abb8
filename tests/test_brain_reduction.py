from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.maps import Maps, find_maps
from jobpool.brain.parcellations import Parcellation, read_parcellation
from jobpool.brain.reduction import roi_means
from jobpool.errors import DataError

RNG = np.random.default_rng(0)
MAPS = RNG.normal(10.0, 1.0, (6, 2000, 2))
LABELS = RNG.permutation(np.arange(2000, dtype=np.uint16) % 401)  # 0 to 400


def maps_of(folder: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Maps:
    np.save(folder / "m.npy", values)
    return find_maps("m.npy", folder, tuple(f"sub-{one}" for one in range(len(values))))


def parcels_of(
    folder: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> Parcellation:
    np.save(folder / "p.npy", values)
    return read_parcellation("p.npy", folder)


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
    with pytest.raises(DataError, match="has 2000 vertices, the parcellation 1999"):
        roi_means(maps_of(tmp_path, MAPS), parcels_of(tmp_path, LABELS[1:]))
