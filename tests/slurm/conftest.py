"""The fixture `slurm`: one real cluster for the whole test run, or a skip that says why not.

With ``JOBPOOL_REQUIRE_SLURM=1``, as in CI, a machine without SLURM, or without the memory cgroups
that SLURM limits memory by, fails the tests instead.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Never

import pytest

from tests.slurm.cluster import Cluster, ClusterError
from tests.slurm.machine import memory_plugin, why_not


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep all tests that need the cluster in one process, so that one cluster is enough."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.get_closest_marker("slurm"):
                item.add_marker(pytest.mark.xdist_group("slurm"))


@pytest.fixture
def cluster_folder() -> Iterator[Path]:
    """A folder, not made yet, that suits a cluster: a short path, open to all."""
    with _short_folder() as folder:
        yield folder / "cluster"


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A running cluster of two idle nodes."""
    reason = why_not()
    if reason:
        _go_without(reason)
    with _short_folder() as folder:
        cluster = _started(folder)
        yield cluster
        cluster.stop()


@pytest.fixture(scope="session")
def slurm_without_accounting() -> Iterator[Cluster]:
    """A running cluster without memory cgroups or accounting; see `Cluster`."""
    reason = why_not()
    if reason:
        _go_without(reason)
    with _short_folder() as folder:
        cluster = Cluster(folder / "plain", None, accounting=False)
        cluster.start()
        yield cluster
        cluster.stop()


@pytest.fixture(scope="session")
def slurm_with_memory_limits(slurm: Cluster) -> Cluster:
    """The same cluster, where a job that takes more memory than it asked for is killed."""
    if slurm.memory_plugin is None:
        _go_without("no memory cgroup can be used here, so SLURM cannot limit memory")
    return slurm


def _started(folder: Path) -> Cluster:
    """Return a running cluster; without memory limits where it does not come up with them."""
    for plugin in dict.fromkeys((memory_plugin(), None)):
        cluster = Cluster(folder / (plugin or "no-limits").replace("/", "-"), plugin)
        try:
            cluster.start()
        except ClusterError as error:
            reason = f"SLURM is installed but does not start: {error}"
            if _is_required():
                break
        else:
            return cluster
    return _go_without(reason)


def _is_required() -> bool:
    return os.environ.get("JOBPOOL_REQUIRE_SLURM") == "1"


def _go_without(reason: str) -> Never:
    if _is_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def _short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jobpool-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
