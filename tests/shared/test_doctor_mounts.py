"""``jobpool doctor`` on two clients of one shared file system."""

from collections.abc import Iterator

import pytest

from jobpool.checks.findings import Finding
from jobpool.checks.probes.run import Reports, probe_here
from jobpool.checks.probes.verdict import examine, repair_lock
from jobpool.disk.locks import best_lock
from jobpool.pool import Pool
from tests.shared.conftest import Mounts, new_folder
from tests.support.builders import a_pool

pytestmark = pytest.mark.shared

ATOMIC = ("exclusive creation", "link", "rename")


Probing = tuple[Pool, Reports]


def silent(line: str) -> None:
    """Show no progress."""


def probe(volume: Mounts, lock: str) -> Probing:
    mounts = new_folder(volume)
    a_pool(mounts[0], lock=lock)
    pools = (mounts[0] / "pool", mounts[1] / "pool")
    return Pool(pools[0]), probe_here(pools, lock, silent)


@pytest.fixture(scope="module")
def fresh(volume: Mounts) -> Probing:
    """Return a pool with the lock that holds here, and what two clients say of it."""
    return probe(volume, "fresh")


@pytest.fixture(scope="module")
def stale(volume: Mounts) -> Probing:
    """Return a pool with a lock that does not hold here, and what two clients say of it."""
    return probe(volume, "flock")


def open_ones(findings: Iterator[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.is_open]


def test_the_lock_that_init_takes_here_is_the_careful_one(mounts: Mounts) -> None:
    assert best_lock(mounts[0]) == "fresh"


def test_the_careful_locks_hold_between_both_clients(fresh: Probing) -> None:
    pool, reports = fresh

    assert reports[0].locks["fresh"]
    assert reports[0].locks["exclusive"]
    assert open_ones(examine(pool, reports)) == []


def test_names_are_made_by_one_client_only(fresh: Probing) -> None:
    verdicts = {one.name: one.well for one in fresh[1][0].probes}

    assert [verdicts[name] for name in ATOMIC] == [True, True, True]


def test_nothing_of_the_probing_stays_in_the_pool(fresh: Probing) -> None:
    assert list(fresh[0].folder.glob("probe-*")) == []


def test_a_lock_that_shows_old_copies_is_refused(stale: Probing) -> None:
    pool, reports = stale

    found = open_ones(examine(pool, reports))

    assert not reports[0].locks["flock"]
    assert "flock does not hold on this fuse.glusterfs file system" in str(found[0])
    assert "then use fresh, which holds; repair it with --repair" in str(found[0])


def test_a_repair_gives_the_pool_a_lock_that_holds(stale: Probing) -> None:
    pool, reports = stale
    (finding, *_) = open_ones(examine(pool, reports))

    repaired = repair_lock(pool, reports, finding)

    assert not repaired.is_open
    assert Pool(pool.folder).info.lock == "fresh"
