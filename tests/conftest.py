"""Fixtures for all tests."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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

    def run(*words: object, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "jobpool", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    return run
