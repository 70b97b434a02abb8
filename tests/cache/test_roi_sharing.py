"""Many processes fill one cache: they share the work, and may be killed at any moment."""

import multiprocessing
import os
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from jobpool.cache.roi.cache import RoiCache
from jobpool.disk.coordination import Leases
from tests.support.cache_study import NAMES, CacheStudy, fill_all
from tests.support.processes import exit_codes, wait_until

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.cache_study"])


@pytest.fixture
def study(fast_path: Path) -> CacheStudy:
    return CacheStudy(fast_path).write()


def start(study: CacheStudy, n: int, slow_s: float) -> list[BaseProcess]:
    """Start processes that ask for every matrix and check its values."""
    processes: list[BaseProcess] = [
        _CONTEXT.Process(target=fill_all, args=(study.folder, slow_s)) for _ in range(n)
    ]
    for one in processes:
        one.start()
    return processes


def make_leases_old(study: CacheStudy) -> int:
    """Let the leases look as they do a minute after their holders died; return how many."""
    leases = [path for path in study.files("*.json") if path.parent.name == "leases"]
    for path in leases:
        os.utime(path, (0, 0))
    return len(leases)


def assert_all_right(study: CacheStudy, cache: RoiCache) -> None:
    for name in NAMES:
        values = cache.matrix(name).values
        np.testing.assert_allclose(values, study.expected(name), rtol=1e-5, atol=1e-7)


def test_processes_that_start_together_read_every_span_once(study: CacheStudy) -> None:
    codes = exit_codes(start(study, 8, slow_s=0.1))

    assert codes == [0] * 8
    assert study.spans_read() == [0, 3, 6, 9]


def test_processes_that_start_together_leave_nothing_but_values(study: CacheStudy) -> None:
    exit_codes(start(study, 4, slow_s=0.0))

    files = [path for path in study.files("*") if path.is_file()]
    assert sorted(path.suffix for path in files) == [".json"] * 3 + [".npy"] * 3


def test_a_span_of_a_killed_process_is_taken_over(study: CacheStudy) -> None:
    (killed,) = start(study, 1, slow_s=60)
    wait_until(lambda: study.spans_read() != [])
    killed.kill()
    killed.join()

    n_leases = make_leases_old(study)

    assert n_leases == 1
    assert_all_right(study, study.cache())
    assert len(study.spans_read()) == 5


def test_a_span_of_a_live_process_is_waited_for(study: CacheStudy) -> None:
    started = start(study, 1, slow_s=0.3)
    wait_until(lambda: study.spans_read() != [])

    assert_all_right(study, study.cache())

    assert exit_codes(started) == [0]
    assert study.spans_read() == [0, 3, 6, 9]


@pytest.mark.parametrize("seed", range(4))
def test_whoever_is_killed_when_nobody_reads_half_a_value(study: CacheStudy, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(4):
        doomed = start(study, 2, slow_s=0.002)
        time.sleep(rng.uniform(0.0, 0.08))
        for one in doomed:
            one.kill()
        exit_codes(doomed)
        make_leases_old(study)

    assert study.cache().verify() == ()
    assert_all_right(study, study.cache())


def test_what_killed_processes_left_can_be_pruned(study: CacheStudy) -> None:
    doomed = start(study, 3, slow_s=60)
    wait_until(lambda: len(study.spans_read()) == 3)
    for one in doomed:
        one.kill()
    exit_codes(doomed)
    for path in study.files(".*.tmp"):
        os.utime(path, (0, 0))
    make_leases_old(study)

    removed = study.cache().prune()

    assert len(removed) == 6  # a lease and an unfinished block of each
    assert [path for path in study.files("*") if path.is_file()] == []


def test_two_processes_that_both_hold_a_span_do_no_harm(study: CacheStudy) -> None:
    started = start(study, 2, slow_s=0.2)
    wait_until(lambda: len(study.spans_read()) >= 2)
    make_leases_old(study)

    assert_all_right(study, study.cache())

    assert exit_codes(started) == [0, 0]


def test_a_lease_alone_keeps_nobody_from_what_is_there(study: CacheStudy) -> None:
    study.cache().fill()
    leases = Leases(study.folder / "cache" / "roi" / "leases")

    with leases.take(study.files("*.npy")[0].stem):
        assert study.cache().matrix("hard").hit
