"""What is remembered of parcellations is never believed against their files."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.parcellations import Choice, Parcellation, read_parcellation
from jobpool.cache.roi import extraction
from jobpool.errors import DataError
from tests.cache.test_roi import roll
from tests.support.cache_study import CacheStudy


@pytest.fixture
def study(fast_path: Path) -> CacheStudy:
    study = CacheStudy(fast_path).write()
    study.cache().fill()
    return study


def memory_of(study: CacheStudy) -> Path:
    return study.folder / "cache" / "digests.json"


def test_a_process_that_starts_reads_no_parcellation_again(
    study: CacheStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "read_parcellation", None)  # a call would fail

    assert study.cache().matrix("soft").hit


def test_an_edited_parcellation_is_read_again(study: CacheStudy) -> None:
    study.cache().matrix("hard")
    labels = np.load(study.folder / "hard.npy")

    np.save(study.folder / "hard.npy", labels[::-1])

    found = study.cache().matrix("hard").values
    np.testing.assert_allclose(found, study.expected("hard"), rtol=1e-5, atol=1e-7)


def test_a_digest_is_not_remembered_for_a_file_that_changed_meanwhile(
    study: CacheStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_of(study).unlink()

    def read_then_edit(text: str, folder: Path, empty: Choice) -> Parcellation:
        found = read_parcellation(text, folder, empty)
        roll(study.folder / "hard.npy")
        return found

    monkeypatch.setattr(extraction, "read_parcellation", read_then_edit)
    with suppress(DataError):  # it changes every time it is read
        study.cache().matrix("hard")
    monkeypatch.undo()

    found = study.cache().matrix("hard").values
    np.testing.assert_allclose(found, study.expected("hard"), rtol=1e-5, atol=1e-7)


def test_a_parcellation_that_is_gone_is_missed(study: CacheStudy) -> None:
    (study.folder / "hard.npy").unlink()

    with pytest.raises(DataError, match="no such file"):
        study.cache().matrix("hard")


@pytest.mark.parametrize("content", [b"", b"no JSON\n", b'{"format":1}\n'])
def test_a_damaged_memory_is_made_again(study: CacheStudy, content: bytes) -> None:
    before = memory_of(study).read_bytes()
    memory_of(study).write_bytes(content)

    hits = [study.cache().matrix(name).hit for name in study.sources]

    assert hits == [True, True, True]
    assert len(memory_of(study).read_bytes()) == len(before)


def test_a_memory_that_cannot_be_written_is_no_problem(study: CacheStudy) -> None:
    memory_of(study).unlink()
    memory_of(study).mkdir()  # a folder in its place

    assert study.cache().matrix("hard").hit
