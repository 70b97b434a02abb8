"""Many processes make fits together: none is made twice, and whoever is killed blocks nobody."""

import multiprocessing
import random
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from jobpool.cache.fits.maintenance import find_damaged_fits, prune_fits
from jobpool.disk.locks import LOCKS
from tests.support.fit_study import (
    a_bucket,
    files_in,
    fill_some,
    hang,
    has,
    key_of,
    put,
    put_for_ever,
    read_for_ever,
)
from tests.support.processes import exit_codes, wait_until

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.fit_study"])
N_KEYS = 60


@pytest.fixture
def folder(fast_path: Path) -> Path:
    """Return a folder in which processes leave traces."""
    (fast_path / "made").mkdir()
    (fast_path / "counts").mkdir()
    return fast_path


def start(do: Callable[..., None], *arguments: object) -> BaseProcess:
    process = _CONTEXT.Process(target=do, args=arguments)
    process.start()
    return process


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def rewrite(folder: Path) -> bytes:
    """Replace the file of the bucket by another with the same fits; return its first line."""
    file = a_bucket(folder)._file
    with file.locked() as held:
        file.rewrite(held)
        return file.path.read_bytes().split(b"\n")[0]


def kill_writers(folder: Path, kind: str, rng: random.Random) -> None:
    """Kill four processes, one after another, while they put fits."""
    for first in (0, 1000, 2000, 3000):
        doomed = start(put_for_ever, folder, kind, first)
        wait_until(partial(has, a_bucket(folder, kind), first, 30_000))
        time.sleep(rng.uniform(0, 0.1))
        kill(doomed)


def put_and_prune(folder: Path, n: int) -> None:
    for _ in range(n):
        put(a_bucket(folder), *range(6))
        prune_fits(folder / "cache", "flock", 0, dry_run=False)


@pytest.mark.parametrize("kind", LOCKS)
def test_eight_processes_make_every_fit_once(folder: Path, kind: str) -> None:
    started = [start(fill_some, folder, kind, seed, N_KEYS) for seed in range(8)]

    assert exit_codes(started) == [0] * 8
    counts = [int(path.read_text()) for path in (folder / "counts").iterdir()]
    assert (len(counts), sum(counts)) == (16, N_KEYS)
    assert len(list((folder / "made").iterdir())) == N_KEYS


def test_processes_that_make_fits_leave_one_file(folder: Path) -> None:
    exit_codes([start(fill_some, folder, "flock", seed, N_KEYS) for seed in range(4)])

    assert [path.suffix for path in files_in(folder, "*")] == [".fits"]


def test_a_fit_of_a_killed_process_is_taken_over(folder: Path) -> None:
    killed = start(hang, folder, 0.4, 0)
    wait_until((folder / "begun").exists)
    kill(killed)

    started = [start(fill_some, folder, "flock", seed, 4, 0.4) for seed in range(8)]

    assert exit_codes(started) == [0] * 8
    assert len(list((folder / "made").iterdir())) == 4


def test_a_fit_of_a_terminated_process_is_taken_over(folder: Path) -> None:
    stopped = start(hang, folder, 0.4, 0)
    wait_until((folder / "begun").exists)
    stopped.terminate()
    stopped.join()

    filled = a_bucket(folder, lease_s=0.4).fill([key_of(0)], lambda _: put(a_bucket(folder), 0))

    assert filled.made == 1


def test_a_fit_of_a_live_process_is_not_taken(folder: Path) -> None:
    lives = start(hang, folder, 0.2, 0)
    wait_until((folder / "begun").exists)
    time.sleep(0.6)

    with a_bucket(folder, lease_s=0.2).take(key_of(0)) as mine:
        kill(lives)

    assert not mine


def test_waiting_is_told(folder: Path) -> None:
    lives = start(hang, folder, 0.3, 0)
    wait_until((folder / "begun").exists)
    kill(lives)
    bucket = a_bucket(folder, lease_s=0.3)

    filled = bucket.fill([key_of(0), key_of(1)], lambda key: put(bucket, int(key == key_of(1))))

    assert filled.made == 2
    assert filled.waited_s > 0.0


@pytest.mark.parametrize(("kind", "seed"), [("flock", 0), ("lockf", 1), ("fresh", 2)])
def test_whoever_is_killed_while_it_puts_leaves_whole_fits(
    folder: Path, kind: str, seed: int
) -> None:
    kill_writers(folder, kind, random.Random(seed))

    bucket = a_bucket(folder, kind)
    numbers = {key_of(1000 * a + b): 1000 * a + b for a in range(4) for b in range(200)}
    found = [numbers[key] for key in sorted(bucket.keys())]
    assert len(found) >= 4
    assert all(has(bucket, number, n=30_000) for number in found)
    assert find_damaged_fits(folder / "cache", kind, repair=False) == ()


def test_readers_see_whole_fits_while_others_write_or_prune(folder: Path) -> None:
    reader = start(read_for_ever, folder, 6)
    wait_until((folder / "read").exists)
    put_and_prune(folder, 20)
    put(a_bucket(folder), *range(6))
    wait_until(lambda: (folder / "read").read_text() == "6")
    (folder / "stop").touch()

    assert exit_codes([reader]) == [0]


def test_writers_lose_no_fit_to_a_file_that_is_replaced_meanwhile(folder: Path) -> None:
    started = [start(fill_some, folder, "flock", seed, N_KEYS) for seed in range(4)]
    wait_until(lambda: len(a_bucket(folder).keys()) > 3)

    copies = {rewrite(folder) for _ in range(20)}

    assert exit_codes(started) == [0] * 4
    assert len(copies) == 20
