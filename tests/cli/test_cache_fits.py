"""`jobpool cache` and the fits: counted, checked, and removed only when there is no room."""

import os
import time
from pathlib import Path

import pytest

from jobpool.cache.fits.cache import FitCache
from jobpool.cache.fits.maintenance import FitsInfo, find_damaged_fits, look_at_fits, prune_fits
from jobpool.errors import Fault
from tests.cli.test_cache import pool, typed
from tests.support.cache_study import flip
from tests.support.fit_study import a_bucket, files_in, has, put

__all__ = ["pool"]  # a fixture


def make_old(path: Path, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(path, (then, then))


def test_fits_are_counted(fast_path: Path) -> None:
    cache = FitCache(fast_path / "cache", "flock")
    put(cache.bucket("a"), 1, 2)
    put(cache.bucket("b"), 1, 2, 3)

    found = look_at_fits(fast_path / "cache")

    size = sum(path.stat().st_size for path in files_in(fast_path, "*.fits"))
    assert found == FitsInfo(n_buckets=2, n_fits=5, n_bytes=size)


def test_no_fits_are_nothing(fast_path: Path) -> None:
    found = look_at_fits(fast_path / "cache")

    assert found == FitsInfo(n_buckets=0, n_fits=0, n_bytes=0)
    assert find_damaged_fits(fast_path / "cache", "flock", repair=True) == ()
    assert prune_fits(fast_path / "cache", "flock", 0, dry_run=False) == ()


def test_fits_behind_damage_are_counted(fast_path: Path) -> None:
    put(a_bucket(fast_path), 1, 2, 3)
    path = a_bucket(fast_path).path
    flip(path, path.read_bytes().index(b"JPFR") + 5)

    assert look_at_fits(fast_path / "cache").n_fits == 2


def test_fits_are_not_pruned_without_a_limit(fast_path: Path) -> None:
    put(a_bucket(fast_path), 1)

    assert prune_fits(fast_path / "cache", "flock", None, dry_run=False) == ()


def test_what_killed_processes_left_beside_fits_is_pruned(fast_path: Path) -> None:
    put(a_bucket(fast_path), 1)
    root = fast_path / "cache" / "fits"
    lease, beside = root / "leases" / "0a" / "key.json", root / "0a" / ".x.fits.host-1-a.tmp"
    lease.parent.mkdir(parents=True)
    beside.parent.mkdir(exist_ok=True)
    lease.touch()
    beside.touch()
    make_old(lease, 70)
    make_old(beside, 4000)

    removed = prune_fits(fast_path / "cache", "flock", None, dry_run=False)

    assert {one.path for one in removed} == {lease, beside}
    assert files_in(fast_path, "*") == [a_bucket(fast_path).path]


def test_a_limit_removes_the_least_recently_used_buckets(fast_path: Path) -> None:
    cache = FitCache(fast_path / "cache", "flock")
    for name, age_s in (("a", 100.0), ("b", 300.0), ("c", 200.0)):
        put(cache.bucket(name), 1)
        make_old(cache.bucket(name).path, age_s)
    has(cache.bucket("b"), 1)

    size = cache.bucket("a").path.stat().st_size
    removed = prune_fits(fast_path / "cache", "flock", 2 * size, dry_run=False)

    assert [one.path for one in removed] == [cache.bucket("c").path]
    assert not has(cache.bucket("c"), 1)


def test_a_dry_run_removes_no_fit(fast_path: Path) -> None:
    put(a_bucket(fast_path), 1)

    removed = prune_fits(fast_path / "cache", "flock", 0, dry_run=True)

    assert [one.path for one in removed] == [a_bucket(fast_path).path]
    assert has(a_bucket(fast_path), 1)


def test_info_shows_the_fits(pool: Path) -> None:
    put(a_bucket(pool), 1, 2)

    shown = typed("info", pool)

    assert shown.stdout.splitlines()[-1].startswith("2 fits: 2.")
    assert shown.stdout.splitlines()[-1].endswith(" kB in 1 file")


def test_damage_of_a_fit_is_an_exit_code(pool: Path) -> None:
    put(a_bucket(pool), 1, 2)
    path = a_bucket(pool).path
    flip(path, -1)

    found = typed("verify", pool)

    assert found.exit_code == Fault.POOL
    assert found.stdout.startswith(f"damaged: {path}: bytes ")
    assert found.stdout.splitlines()[-1] == "1 damaged file left"


def test_damage_of_a_fit_is_repaired_on_demand(pool: Path) -> None:
    put(a_bucket(pool), 1, 2)
    flip(a_bucket(pool).path, -1)

    repaired = typed("verify", pool, "--repair")

    assert repaired.exit_code == 0
    assert repaired.stdout.splitlines()[-1] == "all is well"
    assert [has(a_bucket(pool), number) for number in (1, 2)] == [True, False]


@pytest.mark.parametrize(("limit", "n_left"), [("20kB", 1), ("1kB", 0)])
def test_a_limit_spares_fits_as_long_as_there_are_values(
    pool: Path, limit: str, n_left: int
) -> None:
    typed("fill", pool)
    put(a_bucket(pool), *range(5))

    pruned = typed("prune", pool, "--limit", limit)

    assert pruned.exit_code == 0, pruned.output
    assert len(files_in(pool, "*.fits")) == n_left
    assert len(files_in(pool, "*.npy")) < 2
