import os
from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.arrays import Array
from jobpool.cache.roi import RoiCache, roi_key

KEY = roi_key(maps="maps", parcellation="parcellation", divisor=1.0)
VALUES = np.arange(12.0).reshape(3, 4)


class Counting:
    """Makes the values, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Array:
        self.calls += 1
        return VALUES


def filled(folder: Path) -> RoiCache:
    cache = RoiCache(folder)
    cache.values(KEY, {}, Counting())
    return cache


def file_of(folder: Path, ending: str) -> Path:
    return next(folder.rglob(f"*{ending}"))


def test_values_that_are_there_are_not_computed_again(tmp_path: Path) -> None:
    cache, compute = filled(tmp_path), Counting()

    values, were_there = cache.values(KEY, {}, compute)

    assert (compute.calls, were_there) == (0, True)
    np.testing.assert_array_equal(values, VALUES)


def test_values_are_mapped_from_disk(tmp_path: Path) -> None:
    values, _ = RoiCache(tmp_path).values(KEY, {}, Counting())

    assert isinstance(values, np.memmap)
    assert not values.flags.writeable


def test_a_parcellation_takes_two_files(tmp_path: Path) -> None:
    filled(tmp_path)

    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))

    assert names == [f"roi/{KEY[:2]}/{KEY}.json", f"roi/{KEY[:2]}/{KEY}.npy"]


@pytest.mark.parametrize("position", [0, 7, 100, 128, 150, 223])
def test_a_damaged_byte_is_noticed(tmp_path: Path, position: int) -> None:
    cache, compute = filled(tmp_path), Counting()
    content = bytearray(file_of(tmp_path, ".npy").read_bytes())
    content[position] ^= 1
    file_of(tmp_path, ".npy").write_bytes(content)

    values, _ = cache.values(KEY, {}, compute)

    np.testing.assert_array_equal(values, VALUES)
    assert compute.calls == 1


def test_values_cut_short_are_computed_again(tmp_path: Path) -> None:
    cache, compute = filled(tmp_path), Counting()
    os.truncate(file_of(tmp_path, ".npy"), 150)

    values, _ = cache.values(KEY, {}, compute)

    np.testing.assert_array_equal(values, VALUES)
    assert compute.calls == 1


@pytest.mark.parametrize("ending", [".npy", ".json"])
def test_a_missing_file_is_made_again(tmp_path: Path, ending: str) -> None:
    cache = filled(tmp_path)
    file_of(tmp_path, ending).unlink()
    cache.values(KEY, {}, Counting())
    compute = Counting()

    values, were_there = cache.values(KEY, {}, compute)

    np.testing.assert_array_equal(values, VALUES)
    assert (compute.calls, were_there) == (0, True)


def test_a_damaged_record_is_not_believed(tmp_path: Path) -> None:
    cache, compute = filled(tmp_path), Counting()
    record = file_of(tmp_path, ".json")
    record.write_bytes(record.read_bytes().replace(b'"format":1', b'"format":2'))

    cache.values(KEY, {}, compute)

    assert compute.calls == 1


def test_values_that_another_worker_stored_meanwhile_are_kept(tmp_path: Path) -> None:
    def compute() -> Array:
        filled(tmp_path)
        return VALUES

    values, _ = RoiCache(tmp_path).values(KEY, {}, compute)

    np.testing.assert_array_equal(values, VALUES)
    assert len(list(tmp_path.rglob("*.npy"))) == 1


@pytest.mark.parametrize(
    "other",
    [
        roi_key(maps="edited", parcellation="parcellation", divisor=1.0),
        roi_key(maps="maps", parcellation="another", divisor=1.0),
        roi_key(maps="maps", parcellation="parcellation", divisor=255.0),
    ],
)
def test_all_that_makes_the_values_is_in_the_key(other: str) -> None:
    assert other != KEY


def test_a_key_stays_the_same_in_every_version() -> None:
    assert KEY == "f7c4c87347da46e0ae832fa68e93744f"
