"""The fit cache as one process uses it: what is put comes back, also after a file was replaced."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jobpool.brain.arrays import Array
from jobpool.cache.fits.cache import FitCache
from jobpool.cache.fits.file import pack, unpack
from jobpool.disk.files import checked_line
from jobpool.disk.locks import LOCKS
from jobpool.errors import OutOfTimeError, PoolError, StorageError
from tests.support.fit_study import NAME, a_bucket, about_of, arrays_of, files_in, has, key_of, put
from tests.support.places import ASSETS

KEY = key_of(0)
NUMBERS = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes()
)


@given(
    arrays=st.dictionaries(
        st.text(), hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
    )
)
def test_arrays_come_back_to_the_bit(arrays: dict[str, Array]) -> None:
    entry = unpack(pack(KEY, arrays, {}), KEY)

    assert entry is not None
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in entry.arrays.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()
    }


def test_what_is_said_about_a_fit_comes_back() -> None:
    about = {"chosen": {"gamma": 0.1 + 0.2}, "converged": False, "why": None, "é": ["ü", 10**20]}

    entry = unpack(pack(KEY, {}, about), KEY)  # type: ignore[arg-type]

    assert entry is not None
    assert entry.about == about


def test_an_array_that_equals_another_takes_no_room() -> None:
    values = np.random.default_rng(0).random(1000)

    twice = pack(KEY, {"predicted": values, "decision": values.copy()}, {})

    assert len(twice) < len(pack(KEY, {"predicted": values}, {})) + 100


def test_predictions_take_less_than_their_bytes() -> None:
    arrays = arrays_of(0, 2000)

    record = pack(KEY, arrays, {})

    assert len(record) < 0.6 * sum(one.nbytes for one in arrays.values())


def test_an_array_of_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="array names holds object, not numbers"):
        pack(KEY, {"names": np.array(["a", None])}, {})


@pytest.mark.parametrize("key", ["", "0f", KEY.upper(), KEY[:-1] + "g"])
def test_what_is_no_key_is_refused(fast_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        a_bucket(fast_path).put(key, {}, {})


@pytest.mark.parametrize("kind", LOCKS)
def test_what_is_put_comes_back(fast_path: Path, kind: str) -> None:
    put(a_bucket(fast_path, kind), 1, 2)

    assert [has(a_bucket(fast_path, kind), number) for number in range(4)] == [
        *(False, True, True, False)
    ]


def test_an_empty_bucket_makes_no_file(fast_path: Path) -> None:
    bucket = a_bucket(fast_path)

    assert (bucket.get(KEY), bucket.keys()) == (None, frozenset())
    assert not bucket.path.parent.exists()


def test_what_is_there_is_not_put_again(fast_path: Path) -> None:
    put(a_bucket(fast_path), 1)
    size = a_bucket(fast_path).path.stat().st_size

    put(a_bucket(fast_path), 1)

    assert a_bucket(fast_path).path.stat().st_size == size


@pytest.mark.parametrize("kind", LOCKS)
def test_a_bucket_sees_what_others_put(fast_path: Path, kind: str) -> None:
    reader, writer = a_bucket(fast_path, kind), a_bucket(fast_path, kind)
    assert not has(reader, 1)
    put(writer, 1)
    assert has(reader, 1)
    put(writer, 2)

    assert has(reader, 2)
    assert reader.keys() == {key_of(1), key_of(2)}


def test_only_what_is_new_is_read(fast_path: Path) -> None:
    reader = a_bucket(fast_path)
    put(a_bucket(fast_path), 1)
    reader.keys()
    damaged = bytearray(reader.path.read_bytes())
    damaged[-1] ^= 1
    reader.path.write_bytes(damaged)
    put(a_bucket(fast_path), 2)

    assert reader.keys() == {key_of(1), key_of(2)}


def test_buckets_have_files_of_their_own(fast_path: Path) -> None:
    cache = FitCache(fast_path / "cache", "flock")
    put(cache.bucket("a"), 1)
    put(cache.bucket("b"), 2)

    assert [cache.bucket(name).keys() for name in "ab"] == [{key_of(1)}, {key_of(2)}]
    assert len(files_in(fast_path, "*.fits")) == 2


def test_a_cache_gives_the_same_bucket_again(fast_path: Path) -> None:
    cache = FitCache(fast_path / "cache", "flock")

    assert cache.bucket("a") is cache.bucket("a")


def test_a_bucket_not_used_for_long_is_opened_again(fast_path: Path) -> None:
    cache = FitCache(fast_path / "cache", "flock")
    first = cache.bucket("a")
    put(first, 1)

    others = [cache.bucket(str(number)) for number in range(100)]

    assert len(others) == 100
    assert cache.bucket("a") is not first
    assert has(cache.bucket("a"), 1)


def test_a_file_that_was_replaced_is_read_anew(fast_path: Path) -> None:
    reader = a_bucket(fast_path)
    put(a_bucket(fast_path), 1, 2)
    reader.keys()
    other = fast_path / "other"
    put(a_bucket(other), 3, 1)

    a_bucket(other).path.replace(reader.path)

    assert [has(reader, number) for number in (1, 2, 3)] == [True, False, True]


def test_a_file_that_was_removed_is_made_again(fast_path: Path) -> None:
    bucket = a_bucket(fast_path)
    put(bucket, 1)
    bucket.path.unlink()

    assert bucket.keys() == frozenset()
    put(bucket, 1)
    assert has(a_bucket(fast_path), 1)


def test_who_may_only_read_reads(fast_path: Path) -> None:
    put(a_bucket(fast_path, "fresh"), 1)
    a_bucket(fast_path).path.chmod(0o400)

    assert has(a_bucket(fast_path, "fresh"), 1)


def test_the_time_of_a_file_says_when_it_was_used(fast_path: Path) -> None:
    put(a_bucket(fast_path), 1)
    path = a_bucket(fast_path).path
    os.utime(path, (0, 0))

    has(a_bucket(fast_path), 1)

    assert path.stat().st_mtime > 0


def test_a_bucket_of_a_newer_format_is_refused(fast_path: Path) -> None:
    path = a_bucket(fast_path).path
    path.parent.mkdir(parents=True)
    path.write_bytes(checked_line({"format": 2, "bucket": NAME}))

    with pytest.raises(PoolError, match="install the newer jobpool"):
        a_bucket(fast_path).get(KEY)


@pytest.fixture
def old_fits(fast_path: Path) -> Path:
    """Return a copy of a cache of format 1."""
    shutil.copytree(ASSETS / "fits-format-1", fast_path / "cache")
    return fast_path


def test_fits_of_format_1_are_what_they_were(old_fits: Path) -> None:
    bucket = a_bucket(old_fits)

    first, second = bucket.get(key_of(0)), bucket.get(key_of(1))

    assert first is not None
    assert second is not None
    assert len(bucket.keys()) == 2
    assert first.about == {"chosen": {"alpha": 0.1}, "candidate": 7, "converged": True}
    assert {name: array.tolist() for name, array in first.arrays.items()} == {
        "rows": [*range(0, 300, 3)],
        "predicted": [one / 7 for one in range(100)],
        "decision": [one / 7 for one in range(100)],
    }
    assert {name: array.dtype.str for name, array in first.arrays.items()} == {
        "rows": "<i4",
        "predicted": "<f8",
        "decision": "<f8",
    }
    assert second.arrays["few"].tolist() == [[True, False]]
    assert second.about == {}


def test_fits_of_format_1_are_added_to(old_fits: Path) -> None:
    put(a_bucket(old_fits), 2)

    assert has(a_bucket(old_fits), 2)
    assert len(a_bucket(old_fits).keys()) == 3


def test_a_fill_makes_what_is_missing(fast_path: Path) -> None:
    bucket = a_bucket(fast_path)
    put(bucket, 1)
    numbers = {key_of(number): number for number in range(3)}
    made: list[int] = []
    counts: list[int] = []

    def make(key: str) -> None:
        made.append(numbers[key])
        put(bucket, numbers[key])

    filled = bucket.fill([*numbers, key_of(1)], make, on_progress=counts.append)

    assert sorted(made) == [0, 2]
    assert (filled.made, filled.waited_s) == (2, 0.0)
    assert counts == [2, 1, 0, 0]


def test_a_fill_leaves_no_lease(fast_path: Path) -> None:
    bucket = a_bucket(fast_path)

    bucket.fill([KEY], lambda _: put(bucket, 0))

    assert files_in(fast_path, "*.json") == []


def fail(key: str) -> None:
    raise KeyError(key)


def test_an_error_lets_go_of_the_fit(fast_path: Path) -> None:
    bucket = a_bucket(fast_path)

    with pytest.raises(KeyError):
        bucket.fill([KEY], fail)

    assert bucket.fill([KEY], lambda _: put(bucket, 0)).made == 1


def test_no_fit_is_begun_after_the_deadline(fast_path: Path) -> None:
    bucket = a_bucket(fast_path)

    with pytest.raises(OutOfTimeError, match=r"make fits.*2 pieces of work remain"):
        bucket.fill([KEY, key_of(1)], lambda _: put(bucket, 0), deadline=time.time() - 1)

    assert bucket.keys() == frozenset()


def test_fits_of_others_are_waited_for_until_the_deadline(fast_path: Path) -> None:
    bucket, other = a_bucket(fast_path), a_bucket(fast_path)

    with (
        other.take(KEY) as mine,
        pytest.raises(OutOfTimeError, match="wait for fits that other workers make"),
    ):
        bucket.fill([KEY], lambda _: put(bucket, 0), deadline=time.time() + 0.3)

    assert mine


def test_a_fit_that_is_there_cannot_be_taken(fast_path: Path) -> None:
    put(a_bucket(fast_path), 0)

    with a_bucket(fast_path).take(KEY) as mine:
        assert not mine


def test_who_makes_a_fit_must_put_it(fast_path: Path) -> None:
    with pytest.raises(StorageError, match="differs from what was written"):
        a_bucket(fast_path).fill([KEY], lambda _: None)


def test_about_is_of_the_fit_put_first(fast_path: Path) -> None:
    bucket = a_bucket(fast_path)
    put(bucket, 0)

    bucket.put(KEY, {}, {"another": 1})

    found = bucket.get(KEY)
    assert found is not None
    assert found.about == about_of(0)
