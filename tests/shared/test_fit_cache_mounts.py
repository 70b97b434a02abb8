"""Fits on two clients of one shared file system: each is made once, and seen at once."""

import multiprocessing
from pathlib import Path

import pytest

from jobpool.cache.fits.cache import Bucket
from jobpool.disk.locks import best_lock
from tests.shared.conftest import Mounts
from tests.support.fit_study import a_bucket, fill_some, has, put

pytestmark = pytest.mark.shared
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.fit_study"])
N_KEYS = 40


@pytest.fixture
def folders(mounts: Mounts) -> tuple[Path, Path]:
    """Return a folder in which processes leave traces, as each of the two mounts shows it."""
    (mounts[0] / "made").mkdir()
    (mounts[0] / "counts").mkdir()
    return mounts


def fill_on_both(folders: tuple[Path, Path], kind: str, n: int) -> list[int | None]:
    """Run processes that make fits, half of them on each client; return their exit codes."""
    processes = [
        _CONTEXT.Process(target=fill_some, args=(folders[seed % 2], kind, seed, N_KEYS))
        for seed in range(n)
    ]
    for one in processes:
        one.start()
    for one in processes:
        one.join(120)
    return [one.exitcode for one in processes]


def is_seen(number: int, here: Bucket, there: Bucket) -> bool:
    """Put a fit on one client, and say whether the other has it."""
    put(here, number)
    return has(there, number)


@pytest.mark.parametrize("kind", ["fresh", "exclusive"])
def test_each_fit_is_made_once_by_processes_of_both_clients(
    folders: tuple[Path, Path], kind: str
) -> None:
    codes = fill_on_both(folders, kind, 6)

    assert codes == [0] * 6
    assert len(list((folders[0] / "made").iterdir())) == N_KEYS


def test_what_one_client_puts_the_other_sees_at_once(folders: tuple[Path, Path]) -> None:
    kind = best_lock(folders[0])
    here, there = (a_bucket(folder, kind) for folder in folders)
    put(here, 0)
    has(there, 0)

    seen = [is_seen(number, here, there) for number in range(1, 12)]

    assert seen == [True] * 11
