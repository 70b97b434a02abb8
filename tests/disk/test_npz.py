"""Archives of arrays that are damaged somewhere."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobpool.brain.arrays import ArrayFile
from jobpool.disk.npz import UNREADABLE, array_names, open_npz
from jobpool.errors import DataError

ARRAYS = {"header": np.frombuffer(b'{"format":1}', np.uint8), "codes": np.eye(3)}


def packed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ARRAYS)  # type: ignore[arg-type]  # numpy's stub
    return buffer.getvalue()


CONTENT = packed()
ENCRYPTED = CONTENT.rindex(b"PK\x01\x02") + 8  # a flag of the last array
PLACES = st.integers(0, len(CONTENT) - 1)
FEWER_CHECKS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def flipped(folder: Path, place: int, bits: int) -> Path:
    content = bytearray(CONTENT)
    content[place] ^= bits
    path = folder / "arrays.npz"
    path.write_bytes(content)
    return path


@FEWER_CHECKS
@given(place=PLACES, bits=st.integers(1, 255))
@example(place=ENCRYPTED, bits=1)
def test_a_damaged_archive_raises_nothing_that_is_not_foreseen(
    tmp_path: Path, place: int, bits: int
) -> None:
    path = flipped(tmp_path, place, bits)

    with suppress(*UNREADABLE), open_npz(path) as archive:
        np.testing.assert_array_equal(archive["codes"], ARRAYS["codes"])


@FEWER_CHECKS
@given(place=PLACES, bits=st.integers(1, 255))
@example(place=ENCRYPTED, bits=1)
def test_an_array_in_a_damaged_archive_is_read_or_named(
    tmp_path: Path, place: int, bits: int
) -> None:
    path = flipped(tmp_path, place, bits)

    with suppress(DataError):
        np.testing.assert_array_equal(ArrayFile(path=path, member="codes").read(), np.eye(3))


def test_the_arrays_of_an_archive_are_named_in_its_order(tmp_path: Path) -> None:
    path = flipped(tmp_path, 0, 0)

    assert array_names(path) == ("header", "codes")


def test_a_pickle_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, codes=np.array([{}], object))

    with pytest.raises(ValueError, match="allow_pickle"), open_npz(path) as archive:
        archive["codes"]
