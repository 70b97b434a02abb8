"""Fits of a few small arrays, and processes that make them, for tests of the fit cache."""

import hashlib
import random
import signal
import time
from pathlib import Path

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.cache.fits.cache import Bucket, FitCache

NAME = '["elastic","age",0]'


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def arrays_of(number: int, n: int = 50) -> dict[str, Array]:
    """Return what a fit gave, as far as this cache is concerned."""
    rng = np.random.default_rng(number)
    decision = rng.normal(size=n)
    return {
        "rows": np.flatnonzero(rng.random(2 * n) < 0.5).astype(np.int32),
        "predicted": decision,
        "decision": decision,
        "probability": rng.random(n),
    }


def about_of(number: int) -> dict[str, object]:
    return {"candidate": number, "chosen": {"C": number / 3}, "converged": True}


def a_bucket(folder: Path, kind: str = "flock", lease_s: float = 60.0) -> Bucket:
    """Return a bucket as a process that has just started sees it."""
    return FitCache(folder / "cache", kind, lease_s).bucket(NAME)


def put(bucket: Bucket, *numbers: int, n: int = 50) -> None:
    for number in numbers:
        bucket.put(key_of(number), arrays_of(number, n), about_of(number))  # type: ignore[arg-type]


def has(bucket: Bucket, number: int, n: int = 50) -> bool:
    """Say whether a bucket gives a fit; what it gives must be right."""
    found = bucket.get(key_of(number))
    if found is None:
        return False
    np.testing.assert_equal(dict(found.arrays), arrays_of(number, n))
    assert found.about == about_of(number)
    return True


def files_in(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in (folder / "cache").rglob(pattern) if path.is_file())


def fill_some(folder: Path, kind: str, seed: int, n_keys: int, lease_s: float = 60.0) -> None:
    """Ask for half of all fits, then for all, in an order of its own; a process's main function.

    A fit that is made leaves a file, which can be made once only.
    """
    rng = random.Random(seed)
    bucket = a_bucket(folder, kind, lease_s)
    wanted = {key_of(number): number for number in range(n_keys)}

    def make(key: str) -> None:
        (folder / "made" / key).touch(exist_ok=False)
        time.sleep(rng.uniform(0, 0.01))
        put(bucket, wanted[key])

    for n in (n_keys // 2, n_keys):
        filled = bucket.fill(rng.sample(sorted(wanted), n), make)
        (folder / "counts" / f"{seed}-{n}").write_text(str(filled.made))
    assert all(has(bucket, number) for number in wanted.values())


def hang(folder: Path, lease_s: float, number: int) -> None:
    """Begin a fit and never end it; a process's main function."""

    def make(_: str) -> None:
        (folder / "begun").touch()
        signal.pause()

    a_bucket(folder, lease_s=lease_s).fill([key_of(number)], make)


def put_for_ever(folder: Path, kind: str, first: int) -> None:
    """Put fits of a megabyte until killed; a process's main function."""
    bucket = a_bucket(folder, kind)
    while True:
        put(bucket, first, n=30_000)
        first += 1


def read_for_ever(folder: Path, n_keys: int) -> None:
    """Read fits until a file says stop; each is right or missing."""
    bucket = a_bucket(folder)
    while not (folder / "stop").exists():
        found = [has(bucket, number) for number in range(n_keys)]
        (folder / "read").write_text(str(sum(found)))
