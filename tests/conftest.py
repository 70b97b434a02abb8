"""Fixtures for all tests."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and commands fold their lines to it

Jobpool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """Return an empty folder in memory, where there is one: fsync costs nothing there."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="jobpool-test-", dir=memory))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def jobpool() -> Jobpool:
    """Return a function that runs the command line in a process of its own."""

    def run(*words: object, **variables: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "jobpool", *map(str, words)],
            env={**os.environ, **{name: str(value) for name, value in variables.items()}},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
