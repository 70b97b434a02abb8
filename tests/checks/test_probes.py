"""The probes of a file system, by two real processes of this host."""

import json
import time
from pathlib import Path

import pytest

from jobpool.checks.probes.probes import Probed, at_most
from jobpool.checks.probes.run import Report, Reports, probe_folder, probe_here, probe_on_two_nodes
from jobpool.checks.probes.talk import ProbeError, Side, SilentPartnerError
from jobpool.checks.probes.verdict import examine
from jobpool.disk.locks import LOCKS, best_lock, holds, kinds_on
from jobpool.pool import Pool
from jobpool.scheduler.simulated import SimulatedScheduler
from tests.conftest import Jobpool
from tests.support.builders import a_pool

WELL = Report(
    host="one",
    probes=tuple(Probed(name=f"lock {kind}", well=True, what="60 counts") for kind in LOCKS),
)


def silent(line: str) -> None:
    """Show no progress."""


def with_probe(name: str, well: bool, what: str = "", value: float | None = None) -> Reports:
    """Return what both sides say if one more probe ended so."""
    one = Probed(name=name, well=well, what=what, value=value)
    probes = (*(other for other in WELL.probes if other.name != name), one)
    return Report(host="one", probes=probes), Report(host="two", probes=probes)


@pytest.fixture
def pool(fast_path: Path) -> Pool:
    return Pool(a_pool(fast_path, lock="flock"))


def findings_of(pool: Pool, reports: Reports) -> list[str]:
    return [str(finding) for finding in examine(pool, reports)]


def test_a_local_file_system_keeps_every_promise(pool: Pool) -> None:
    reports = probe_here((pool.folder, pool.folder), "flock", silent)

    kept = {one.name: one.well for one in reports[0].probes}
    room = kept.pop("room")
    assert room is not None
    assert set(kept.values()) == {True}
    assert list(pool.folder.glob("probe-*")) == []


def test_a_side_without_a_partner_gives_up(pool: Pool) -> None:
    with probe_folder(pool.folder, "flock") as folder:
        side = Side(folder=folder, number=0, patience_s=0.2)

        with pytest.raises(SilentPartnerError, match="has not answered"):
            side.meet()


def test_a_side_whose_partner_went_on_leaves_its_probe(pool: Pool) -> None:
    with probe_folder(pool.folder, "flock") as folder:
        behind, ahead = (Side(folder=folder, number=n, patience_s=0.2) for n in (0, 1))
        ahead.next_probe()
        with pytest.raises(SilentPartnerError):
            ahead.meet()

        with pytest.raises(ProbeError, match="could not finish this probe"):
            behind.meet()


def test_sides_that_fail_are_named_with_what_they_said(pool: Pool) -> None:
    with pytest.raises(ProbeError, match="ended without a report"):
        probe_here((pool.folder, pool.folder), "unheard-of", silent)


def test_a_call_that_never_returns_is_interrupted() -> None:
    with pytest.raises(ProbeError, match="no answer within"), at_most(0.05):
        time.sleep(60)


def test_a_job_that_ends_without_two_reports_says_so(pool: Pool) -> None:
    scheduler = SimulatedScheduler()

    def end(line: str) -> None:
        scheduler.end("1")

    with pytest.raises(ProbeError, match="job 1 ended without two reports; it said: nothing"):
        probe_on_two_nodes(pool.folder, "flock", (), end, scheduler=scheduler, ask_every_s=0.1)


def test_an_interrupted_probe_of_two_nodes_cancels_its_job(pool: Pool) -> None:
    scheduler = SimulatedScheduler()

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe_on_two_nodes(pool.folder, "flock", (), interrupt, scheduler=scheduler)

    assert scheduler.cancelled == [("1",)]


def test_a_lock_that_does_not_hold_is_a_problem_with_the_next_step(pool: Pool) -> None:
    reports = with_probe("lock flock", well=False, what="28 of 60 counts lost")

    (found,) = findings_of(pool, reports)

    assert found.startswith("problem: pool.json: flock does not hold on this")
    assert found.endswith("then use lockf, which holds; repair it with --repair")


def test_another_lock_that_does_not_hold_is_no_problem(pool: Pool) -> None:
    assert findings_of(pool, with_probe("lock lockf", well=False)) == []


def test_no_lock_that_holds_leaves_only_another_file_system(pool: Pool) -> None:
    probes = tuple(Probed(name=f"lock {kind}", well=False, what="lost") for kind in LOCKS)
    report = Report(host="one", probes=probes)

    (found,) = findings_of(pool, (report, report))

    assert found.endswith("move the pool to a file system whose locks hold")


def test_names_made_twice_are_a_problem(pool: Pool) -> None:
    (found,) = findings_of(pool, with_probe("exclusive creation", well=False, what="3 of 150"))

    assert found.startswith("problem: the file system: exclusive creation is not safe on this")


@pytest.mark.parametrize(("seconds", "weight"), [(2.0, "note"), (100.0, "problem")])
def test_stamps_that_differ_weigh_by_how_long_silence_may_be(
    pool: Pool, seconds: float, weight: str
) -> None:
    (found,) = findings_of(pool, with_probe("clocks", well=False, what="differ", value=seconds))

    assert found.startswith(f"{weight}: the file system: differ")


def test_little_room_is_noted(pool: Pool) -> None:
    found = findings_of(pool, with_probe("room", well=False, what="1.0 GB and 10 files left"))

    assert "1.0 GB and 10 files left" in found[0]
    assert found[0].startswith("note: ")


@pytest.mark.parametrize("kind", LOCKS)
def test_every_kind_of_lock_holds_on_a_local_disk(fast_path: Path, kind: str) -> None:
    assert holds(kind, fast_path)


def test_the_fastest_lock_is_taken_on_a_local_disk(fast_path: Path) -> None:
    assert best_lock(fast_path) == "flock"


@pytest.mark.parametrize(
    ("file_system", "options", "best"),
    [
        ("xfs", "rw,relatime", "flock"),
        ("nfs4", "rw,vers=4.2,local_lock=none", "flock"),
        ("nfs", "rw,vers=3,local_lock=flock", "lockf"),
        ("nfs", "rw,vers=3,local_lock=posix", "flock"),
        ("nfs", "rw,vers=3,nolock", "exclusive"),
        ("lustre", "rw,flock", "flock"),
        ("lustre", "rw,localflock", "exclusive"),
        ("beegfs", "rw", "exclusive"),
        ("fuse.glusterfs", "rw", "fresh"),
    ],
)
def test_a_lock_that_is_kept_by_one_host_alone_is_not_taken(
    file_system: str, options: str, best: str
) -> None:
    assert kinds_on(file_system, options)[0] == best


def test_doctor_shows_the_probes_as_a_table(pool: Pool, jobpool: Jobpool) -> None:
    done = jobpool("doctor", pool.folder)

    assert done.returncode == 0, done.stdout
    assert "  lock flock          ok  " in done.stdout
    assert "from two nodes: --nodes 2" in done.stdout


def test_doctor_gives_programs_one_object(pool: Pool, jobpool: Jobpool) -> None:
    done = jobpool("doctor", pool.folder, "--json")

    found = json.loads(done.stdout)
    assert found["problems"] == 0
    assert found["lock"] == "flock"
    assert {"name", "well", "what", "value"} == set(found["probes"][0]["probes"][0])
