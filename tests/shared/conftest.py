"""The fixture `mounts`: one GlusterFS for the whole test run, or a skip that says why not.

With ``JOBPOOL_REQUIRE_SHARED=1``, as in CI where it could be installed, a machine on which it
cannot be mounted fails the tests instead.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Never

import pytest

from tests.shared.gluster import Gluster, GlusterError, why_not

Mounts = tuple[Path, Path]


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep all tests that need the file system in one process, so that one is enough."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.xdist_group("shared"))


@pytest.fixture(scope="session")
def volume() -> Iterator[Mounts]:
    """Return the two mounts of a running file system."""
    reason = why_not()
    if reason:
        _go_without(reason)
    folder = Path(tempfile.mkdtemp(prefix="jobpool-shared-"))
    gluster = Gluster(folder)
    try:
        gluster.start()
    except GlusterError as error:
        shutil.rmtree(folder, ignore_errors=True)
        _go_without(f"GlusterFS is installed but cannot be mounted: {error}")
    yield gluster.mounts
    gluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mounts(volume: Mounts) -> Mounts:
    """Return one new folder, as each of the two mounts shows it."""
    return new_folder(volume)


def new_folder(volume: Mounts) -> Mounts:
    """Make a folder; return it as each of the two mounts shows it."""
    name = secrets.token_hex(4)
    (volume[0] / name).mkdir()
    return volume[0] / name, volume[1] / name


def _go_without(reason: str) -> Never:
    if os.environ.get("JOBPOOL_REQUIRE_SHARED") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
