"""The ROI cache as a runner sees it: right values, whatever happened to the files."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

from jobpool.brain.maps import MapBlock, MapProblems, Maps
from jobpool.cache.roi import extraction
from jobpool.cache.roi.build import Progress
from jobpool.cache.roi.cache import RoiCache
from jobpool.cache.roi.store import roi_key
from jobpool.errors import DataError, OutOfTimeError
from tests.support.cache_study import MODALITIES, N_SPANS, NAMES, PER_SPAN, CacheStudy, N, flip


@pytest.fixture
def study(fast_path: Path) -> CacheStudy:
    return CacheStudy(fast_path).write()


def assert_right(study: CacheStudy, name: str, cache: RoiCache | None = None) -> None:
    values = (cache or study.cache()).matrix(name).values
    np.testing.assert_allclose(values, study.expected(name), rtol=1e-5, atol=1e-7)


def roll(path: Path) -> None:
    """Give other vertices to the parcels of a file, at a time that is later for sure."""
    time_ns = path.stat().st_mtime_ns
    np.save(path, np.roll(np.load(path), 37, axis=0))
    os.utime(path, ns=(time_ns, time_ns + 1_000_000))


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_plain_numpy(study: CacheStudy, name: str) -> None:
    assert_right(study, name)


def test_a_matrix_says_what_it_is_made_of(study: CacheStudy) -> None:
    found = study.cache().matrix("hard")

    assert (found.kind, found.n_parcels, found.n_empty) == ("hard", 400, 0)
    assert (dict(found.dropped), found.n_non_finite, found.hit) == ({}, 0, False)
    assert found.values.shape == (N, MODALITIES * 400)


def test_values_that_are_there_are_not_computed_again(study: CacheStudy) -> None:
    study.cache().matrix("hard")

    found = study.cache().matrix("hard")

    assert found.hit
    assert study.spans_read() == [0, 3, 6, 9]


def test_values_are_mapped_from_disk(study: CacheStudy) -> None:
    values = study.cache().matrix("soft").values

    assert isinstance(values, np.memmap)
    assert not values.flags.writeable


def test_whoever_needs_one_parcellation_reads_the_maps_for_all(study: CacheStudy) -> None:
    cache = study.cache()
    cache.matrix("hard")

    assert_right(study, "soft", cache)
    assert_right(study, "coarse", cache)

    assert study.spans_read() == [0, 3, 6, 9]


def test_a_full_cache_has_two_files_for_each_parcellation(study: CacheStudy) -> None:
    study.cache().fill()

    files = [path for path in study.files("*") if path.is_file()]

    assert len(files) == 2 * len(NAMES)
    assert sorted(path.suffix for path in files) == [".json"] * 3 + [".npy"] * 3


def test_a_fill_says_what_it_did(study: CacheStudy) -> None:
    progress: list[Progress] = []

    report = study.cache().fill(progress.append)

    assert (report.n_participants, report.n_packed, dict(report.problems)) == (N, 3, {})
    assert (progress[0].spans, progress[0].n_spans, progress[0].packed) == (0, N_SPANS, 0)
    assert (progress[-1].spans, progress[-1].packed, progress[-1].n_parcellations) == (
        N_SPANS,
        3,
        3,
    )


def test_a_parcellation_added_later_is_computed_alone(study: CacheStudy) -> None:
    study.cache("hard", "soft").fill()
    before = study.files("*.npy")

    assert_right(study, "coarse")

    assert len(study.files("*.npy")) == len(before) + 1
    assert study.spans_read() == [0, 0, 3, 3, 6, 6, 9, 9]


# opens of maps are counted by the interpreter itself, in a process of its own
COUNT = """
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from tests.support.cache_study import CacheStudy
study = CacheStudy(Path(sys.argv[1]))
for name in sys.argv[2:]:
    study.cache().matrix(name)
names = [Path(one).name for one in opened]
print(*(name for name in names if name.startswith("map") and name.endswith(".npy")))
"""


def maps_opened(study: CacheStudy, *names: str) -> list[str]:
    """Return the maps that a process opens while it asks for matrices, in the order of time."""
    ran = subprocess.run(
        [sys.executable, "-c", COUNT, study.folder, *names],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


def test_every_map_is_opened_once_for_all_parcellations(study: CacheStudy) -> None:
    opened = maps_opened(study, *NAMES)

    others = [name for name in opened if name != "map00.npy"]  # whose header says what all are
    assert sorted(others) == [f"map{one:02}.npy" for one in range(1, N)]


def test_a_hit_opens_no_map(study: CacheStudy) -> None:
    study.cache().fill()

    assert maps_opened(study, *NAMES) == []


@pytest.mark.parametrize("position", [0, 7, 100, 128, 150, -1])
def test_a_damaged_byte_of_a_matrix_is_noticed(study: CacheStudy, position: int) -> None:
    study.cache("soft").fill()
    (path,) = study.files("*.npy")

    flip(path, position)

    assert_right(study, "soft", study.cache("soft"))
    assert study.cache("soft").matrix("soft").hit


def test_a_matrix_cut_short_is_computed_again(study: CacheStudy) -> None:
    study.cache("soft").fill()

    os.truncate(study.files("*.npy")[0], 150)

    assert_right(study, "soft")


@pytest.mark.parametrize("ending", [".npy", ".json"])
def test_a_missing_file_is_made_again(study: CacheStudy, ending: str) -> None:
    study.cache("soft").fill()
    study.files(f"*{ending}")[0].unlink()

    assert_right(study, "soft", study.cache("soft"))

    assert study.cache("soft").matrix("soft").hit


def test_a_damaged_record_is_not_believed(study: CacheStudy) -> None:
    study.cache("soft").fill()
    (record,) = study.files("*.json")
    record.write_bytes(record.read_bytes().replace(b'"n_parcels":5', b'"n_parcels":6'))

    found = study.cache("soft").matrix("soft")

    assert (found.n_parcels, found.hit) == (5, False)


@pytest.mark.parametrize("position", [0, 5000, -200, -10, -1])
def test_a_damaged_byte_of_a_block_is_noticed(study: CacheStudy, position: int) -> None:
    study.cache().matrix("hard")  # the blocks stay: they hold the others too
    flip(study.files("*.block")[0], position)

    cache = study.cache()

    assert_right(study, "soft", cache)
    assert_right(study, "coarse", cache)


def test_a_block_cut_short_is_computed_again(study: CacheStudy) -> None:
    study.cache().matrix("hard")
    os.truncate(study.files("*.block")[1], 5)

    assert_right(study, "soft")


def test_an_edited_map_gives_new_values(study: CacheStudy) -> None:
    study.cache().fill()
    before = study.cache().matrix("hard").values.copy()

    study.edit_map(7)

    assert_right(study, "hard")
    changed = (study.cache().matrix("hard").values != before).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [7]


def test_an_edited_map_leaves_the_blocks_of_others_in_use(study: CacheStudy) -> None:
    study.cache().matrix("hard")

    study.edit_map(7)

    assert_right(study, "soft")
    assert study.spans_read() == [0, 3, 6, 6, 9]


def test_a_changed_label_gives_new_values(study: CacheStudy) -> None:
    study.cache().fill()
    labels = np.load(study.folder / "hard.npy")
    labels[3] = 77

    np.save(study.folder / "hard.npy", labels)

    assert_right(study, "hard")
    assert study.cache().matrix("soft").hit


@pytest.mark.parametrize("name", NAMES)
def test_a_parcellation_edited_between_two_tasks_gives_new_values(
    study: CacheStudy, name: str
) -> None:
    cache = study.cache()
    cache.fill()

    roll(study.folder / f"{name}.npy")

    assert_right(study, name, cache)
    others = [cache.matrix(other).hit for other in NAMES if other != name]
    assert others == [True, True]


def test_a_parcellation_mended_between_two_tasks_can_be_used(study: CacheStudy) -> None:
    labels = (study.folder / "hard.npy").read_bytes()
    (study.folder / "hard.npy").write_bytes(b"no array")
    cache = study.cache()
    problems = cache.fill().problems

    (study.folder / "hard.npy").write_bytes(labels)

    assert_right(study, "hard", cache)
    assert list(problems) == ["hard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapsBesideAnEdit(Maps):
    """Maps in front of which a parcellation is edited once while the study is looked at."""

    study: CacheStudy

    def spans(self) -> tuple[tuple[int, int], ...]:
        if not self.study.log.exists():
            self.study.log.touch()
            roll(self.study.folder / "hard.npy")
        return Maps.spans(self)


def test_a_parcellation_edited_while_it_is_looked_at_is_read_again(study: CacheStudy) -> None:
    plain = study.maps()
    known = {field.name: getattr(plain, field.name) for field in fields(Maps)}
    maps = MapsBesideAnEdit(**known, study=study)

    found = study.cache(maps=maps).matrix("hard").values

    np.testing.assert_allclose(found, study.expected("hard"), rtol=1e-5, atol=1e-7)
    again = study.cache(maps=maps).matrix("hard")
    np.testing.assert_array_equal(again.values, found)
    assert again.hit


def test_the_same_content_under_another_name_is_the_same_values(study: CacheStudy) -> None:
    np.save(study.folder / "twin.npy", np.load(study.folder / "hard.npy").astype(np.uint16))
    study.sources["twin"] = "twin.npy"
    study.cache("hard").fill()

    assert study.cache("twin").matrix("twin").hit


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedMaps(Maps):
    """Maps of which one is edited while it is read for the first time."""

    study: CacheStudy

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[MapBlock]:
        yield from Maps.blocks(self, start, stop)
        if not self.study.log.exists():
            self.study.log.touch()
            self.study.edit_map(2)


def test_a_map_edited_while_it_is_read_is_read_again(study: CacheStudy) -> None:
    plain = study.maps()
    known = {field.name: getattr(plain, field.name) for field in fields(Maps)}
    maps = EditedMaps(**known, study=study)

    found = study.cache(maps=maps).matrix("hard").values

    np.testing.assert_allclose(found, study.expected("hard"), rtol=1e-5, atol=1e-7)
    assert study.cache(maps=maps).matrix("hard").hit


@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelledMaps(Maps):
    """Maps that are read just before a parcellation changes."""

    study: CacheStudy

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[MapBlock]:
        if not self.study.log.exists():
            self.study.log.touch()
            file = self.study.folder / "hard.npy"
            np.save(file, np.load(file)[::-1])
        yield from Maps.blocks(self, start, stop)


def test_a_parcellation_edited_while_maps_are_read_is_read_again(
    study: CacheStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "_KEPT_BYTES", 0)  # so that it is read for every block
    plain = study.maps()
    known = {field.name: getattr(plain, field.name) for field in fields(Maps)}
    maps = RelabelledMaps(**known, study=study)

    found = study.cache(maps=maps).matrix("hard").values

    np.testing.assert_allclose(found, study.expected("hard"), rtol=1e-5, atol=1e-7)


def test_values_do_not_depend_on_spans(study: CacheStudy) -> None:
    plain = study.maps()
    whole = Maps(**{field.name: getattr(plain, field.name) for field in fields(Maps)})
    in_one = RoiCache(study.folder / "other", whole, study.sources, study.folder)

    for_all = [in_one.matrix(name).values for name in NAMES]

    in_many = [study.cache().matrix(name).values for name in NAMES]
    assert [one.tobytes() for one in for_all] == [one.tobytes() for one in in_many]


def test_values_do_not_depend_on_the_memory_for_weights(
    study: CacheStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = [study.cache().matrix(name).values.tobytes() for name in NAMES]
    study.edit_map(0)
    study.edit_map(0)
    monkeypatch.setattr(extraction, "_KEPT_BYTES", 0)
    monkeypatch.setattr(extraction, "_WEIGHT_BYTES", 0)
    monkeypatch.setattr(extraction, "_ROW_BYTES", 1)
    monkeypatch.setattr(extraction, "_COLUMNS", 1)

    little = [study.cache().matrix(name).values for name in NAMES]

    unchanged = [one[1:].tobytes() for one in little]
    assert unchanged == [one[len(one) // N :] for one in plenty]


def test_a_parcellation_that_cannot_be_used_is_no_problem_of_the_others(study: CacheStudy) -> None:
    (study.folder / "broken.npy").write_bytes(b"no array")
    np.save(study.folder / "short.npy", np.arange(10))
    study.sources |= {"broken": "broken.npy", "short": "short.npy"}

    report = study.cache().fill()

    assert report.n_packed == 3
    assert sorted(report.problems) == ["broken", "short"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", "it has 10 vertices, not 500"),
        ("gone", "no such file"),
        ("hrad", "is not in the study; it has: hard, soft.*did you mean 'hard'"),
    ],
)
def test_what_is_wrong_with_a_parcellation_is_said_to_who_asks(
    study: CacheStudy, name: str, message: str
) -> None:
    np.save(study.folder / "short.npy", np.arange(10))
    study.sources |= {"short": "short.npy", "gone": "gone.npy"}

    with pytest.raises(DataError, match=message):
        study.cache().matrix(name)


def test_dropped_participants_have_no_values(study: CacheStudy) -> None:
    (study.folder / "map04.npy").unlink()
    maps = study.maps(problems=MapProblems(missing="drop"))

    found = study.cache(maps=maps).matrix("hard")

    assert dict(found.dropped) == {4: "no map"}
    assert np.flatnonzero(np.isnan(found.values).all(axis=1)).tolist() == [4]


def test_values_left_out_within_parcels_are_counted(study: CacheStudy) -> None:
    path = study.folder / "map04.npy"
    values = np.load(path)
    values[[0, 401, 450], 0] = np.nan  # two of them in the background of the hard parcellation
    np.save(path, values)
    maps = study.maps(problems=MapProblems(non_finite="drop"))

    counts = [study.cache(maps=maps).matrix(name).n_non_finite for name in NAMES]

    assert counts == [1, 3, 0]


def test_no_work_is_begun_after_the_deadline(study: CacheStudy) -> None:
    with pytest.raises(OutOfTimeError, match="4 pieces of work remain"):
        study.cache().matrix("hard", deadline=time.time() - 1)

    assert study.spans_read() == []


def test_values_that_are_there_need_no_time(study: CacheStudy) -> None:
    study.cache().fill()

    assert study.cache().matrix("hard", deadline=time.time() - 1).hit


FULL = """
import os, sys
from pathlib import Path
from jobpool.brain.maps import find_maps
from jobpool.cache.roi.build import Progress
from jobpool.cache.roi.cache import RoiCache
from jobpool.errors import StorageError
from tests.support.cache_study import CacheStudy
study = CacheStudy(Path(sys.argv[1]))
disk = Path(sys.argv[2])
cache = RoiCache(disk, study.maps(), study.sources, study.folder)
try:
    cache.fill()
except StorageError as error:
    print(error)
files = [path for path in disk.rglob("*") if path.is_file() and path.suffix != ".block"]
print([path.name for path in files if not path.with_suffix(".json").exists()])
"""


@pytest.mark.parametrize("size_kb", [4, 16, 48, 108])
def test_a_full_disk_leaves_nothing_half_written(study: CacheStudy, size_kb: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = study.folder / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={size_kb}k none {disk} && "
    script = mount + f'exec {sys.executable} -c "$CODE" {study.folder} {disk}'

    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env={**os.environ, "CODE": FULL},
        capture_output=True,
        text=True,
        check=True,
    )

    said, left = ran.stdout.splitlines()
    assert "cannot write: No space left on device" in said
    assert left == "[]"


def test_all_that_makes_values_is_in_their_key() -> None:
    usual = {"maps": "maps", "parcellation": "parcellation", "divisor": 1.0}

    keys = {
        roi_key(**usual | other)  # type: ignore[arg-type]
        for other in ({}, {"maps": "edited"}, {"parcellation": "another"}, {"divisor": 255.0})
    }

    assert len(keys) == 4


def test_a_key_stays_the_same_in_every_version() -> None:
    key = roi_key(maps="maps", parcellation="parcellation", divisor=1.0)

    assert key == "2ad2a925be74f548b081ba26dcbe07b4"


def test_spans_are_as_long_as_the_study_of_these_tests_says(study: CacheStudy) -> None:
    assert len(study.maps().spans()) == N_SPANS
    assert N_SPANS * PER_SPAN == N
