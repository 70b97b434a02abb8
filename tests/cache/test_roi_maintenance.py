"""What is in a cache, whether it is whole, and what may go."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.cache.roi.blocks import Block, Blocks
from jobpool.cache.roi.cache import RoiCache
from jobpool.cache.roi.maintenance import prune
from jobpool.disk.coordination import Leases
from jobpool.errors import DataError
from tests.support.cache_study import N_SPANS, NAMES, CacheStudy, N, flip


@pytest.fixture
def study(fast_path: Path) -> CacheStudy:
    return CacheStudy(fast_path).write()


@pytest.fixture
def full(study: CacheStudy) -> RoiCache:
    study.cache().fill()
    return study.cache()


def names_of(paths: list[Path]) -> set[str]:
    return {path.name for path in paths}


def make_old(path: Path, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(path, (then, then))


def make_all_old(paths: list[Path]) -> None:
    for path in paths:
        make_old(path, 4000)


def test_an_empty_cache_has_nothing(study: CacheStudy) -> None:
    found = study.cache().info()

    assert (found.n_participants, found.n_spans, found.n_files) == (N, N_SPANS, 0)
    assert [one.state for one in found.parcellations] == ["none"] * 3


def test_what_is_packed_is_told_from_what_is_in_blocks(study: CacheStudy) -> None:
    study.cache().matrix("hard")
    study.files("*.block")[0].unlink()

    found = study.cache().info().parcellations

    assert [(one.name, one.state, one.n_spans) for one in found] == [
        ("hard", "packed", N_SPANS - 1),
        ("soft", "part", N_SPANS - 1),
        ("coarse", "part", N_SPANS - 1),
    ]


def test_sizes_are_those_on_disk(study: CacheStudy, full: RoiCache) -> None:
    found = full.info()

    files = [path for path in study.files("*") if path.is_file()]
    assert found.n_bytes == sum(path.stat().st_size for path in files)
    assert found.n_bytes == sum(one.n_bytes for one in found.parcellations)
    assert [(one.kind, one.n_parcels) for one in found.parcellations] == [
        *(("hard", 400), ("soft", 5), ("hard", 4))
    ]


def test_values_of_former_maps_are_unused(study: CacheStudy, full: RoiCache) -> None:
    size = full.info().n_bytes

    study.edit_map(0)

    found = study.cache().info()
    assert (found.n_unused, found.unused_bytes) == (3, size)


def test_a_problem_of_a_parcellation_is_told(study: CacheStudy) -> None:
    study.sources["gone"] = "gone.npy"

    found = study.cache().info().parcellations[-1]

    assert found.state == "none"
    assert "no such file" in found.problem


def test_a_whole_cache_is_without_damage(study: CacheStudy) -> None:
    study.cache().matrix("hard")

    assert study.cache().verify() == ()


@pytest.mark.parametrize(("pattern", "position"), [("*.npy", -1), ("*.block", 0), ("*.block", -1)])
def test_a_damaged_byte_is_found(study: CacheStudy, pattern: str, position: int) -> None:
    study.cache().matrix("hard")
    path = study.files(pattern)[0]
    flip(path, position)

    found = study.cache().verify()

    assert [(one.path, one.removed) for one in found] == [(path, False)]
    assert path.exists()


def test_repair_removes_what_is_damaged(study: CacheStudy, full: RoiCache) -> None:
    path = study.files("*.npy")[0]
    flip(path, -1)

    found = full.verify(repair=True)

    assert [one.removed for one in found] == [True]
    assert not path.exists()
    assert full.verify() == ()


def test_a_cache_in_use_has_nothing_to_prune(study: CacheStudy, full: RoiCache) -> None:
    assert full.prune() == ()
    assert full.matrix("hard").hit


def test_blocks_that_are_still_needed_are_kept(study: CacheStudy) -> None:
    study.cache().matrix("hard")

    assert study.cache().prune() == ()


def test_what_nothing_uses_is_pruned(study: CacheStudy, full: RoiCache) -> None:
    study.cache().matrix("hard")
    study.edit_map(0)
    study.cache().matrix("soft")
    size = study.cache().info().n_bytes

    removed = study.cache().prune()

    assert len(removed) == 2 * len(NAMES)
    assert study.cache().info().n_bytes == size - sum(one.n_bytes for one in removed)
    assert study.cache().matrix("soft").hit


def test_blocks_of_former_maps_are_pruned(study: CacheStudy) -> None:
    study.cache().matrix("hard")
    study.edit_map(7)
    make_all_old(study.files("*.block"))

    removed = study.cache().prune()

    assert sorted(one.path.suffix for one in removed) == [".block", ".json", ".npy"]


def test_young_blocks_are_kept(study: CacheStudy) -> None:
    study.cache().matrix("hard")
    before = study.files("*.block")
    study.edit_map(7)

    removed = study.cache().prune()

    assert sorted(one.path.suffix for one in removed) == [".json", ".npy"]
    assert study.files("*.block") == before


class BusyBlocks(Blocks):
    """Blocks of which a worker finishes one as soon as its span was looked at."""

    def of(self, span: str) -> list[Block]:
        found = super().of(span)
        for path in self._folder.glob(f"??/{span}-*.away"):
            path.rename(path.with_suffix(".block"))
        return found


def test_a_block_finished_while_blocks_are_looked_at_is_kept(study: CacheStudy) -> None:
    cache = study.cache()
    cache.matrix("hard")
    before = study.files("*.block")
    make_all_old(before)
    before[0].rename(before[0].with_suffix(".away"))
    root = study.folder / "cache" / "roi"
    places = replace(cache._places, blocks=BusyBlocks(root))

    removed = prune(places, cache._planner.layout(), None, dry_run=False)

    assert removed == ()
    assert study.files("*.block") == before


def test_a_parcellation_that_left_the_study_is_pruned(study: CacheStudy, full: RoiCache) -> None:
    removed = study.cache("hard", "soft").prune()

    assert len(removed) == 2
    assert study.cache("hard").matrix("hard").hit


def test_nothing_is_pruned_while_a_parcellation_cannot_be_read(
    study: CacheStudy, full: RoiCache
) -> None:
    before = study.files("*.npy")
    (study.folder / "soft.npy").unlink()

    with pytest.raises(DataError, match="nothing was removed"):
        study.cache().prune()

    assert study.files("*.npy") == before


def test_nothing_is_pruned_while_no_map_can_be_read(study: CacheStudy, full: RoiCache) -> None:
    before = study.files("*.npy")
    for_later = [path.rename(path.with_suffix(".away")) for path in study.folder.glob("map*.npy")]

    with pytest.raises(DataError):
        study.cache().prune()

    assert study.files("*.npy") == before
    assert len(for_later) == N


def test_a_dry_run_removes_nothing(study: CacheStudy, full: RoiCache) -> None:
    before = study.files("*")

    removed = study.cache("hard").prune(dry_run=True)

    assert len(removed) == 4
    assert study.files("*") == before


def test_what_killed_processes_left_is_pruned(study: CacheStudy, full: RoiCache) -> None:
    root = study.folder / "cache" / "roi"
    old, young = root / ".a.npy.host-1-x.tmp", root / ".b.npy.host-1-x.tmp"
    old.touch()
    young.touch()
    make_old(old, 4000)
    held = Leases(root / "leases").take("dead")
    held.__enter__()
    lease = root / "leases" / "dead.json"
    make_old(lease, 70)

    removed = full.prune()

    held.__exit__(None, None, None)
    assert {one.path for one in removed} == {old, lease}
    assert young.exists()


def test_a_limit_removes_the_least_recently_used_values_first(
    study: CacheStudy, full: RoiCache
) -> None:
    sizes = {one.name: one.n_bytes for one in full.info().parcellations}
    for path in study.files("*.json"):
        make_old(path, 1000)
    full.matrix("soft")
    full.matrix("coarse")

    removed = full.prune(sizes["coarse"] + sizes["soft"])

    assert sum(one.n_bytes for one in removed) == sizes["hard"]
    assert [study.cache().matrix(name).hit for name in ("soft", "coarse")] == [True, True]


def test_a_limit_of_nothing_empties_the_cache(study: CacheStudy, full: RoiCache) -> None:
    full.prune(0)

    assert full.info().n_files == 0
