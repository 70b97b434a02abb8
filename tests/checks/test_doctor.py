"""``jobpool doctor``: damage is found, named, and repaired from results and attempts."""

import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.checks.findings import Finding
from jobpool.errors import Fault, RequestError
from jobpool.journal.attempts import all_attempts
from jobpool.journal.workers import own_worker_record
from jobpool.pool import Pool
from jobpool.task import Cause, Claim, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool, shard_files
from tests.support.simulated import SimulatedWorker, a_mixed_pool

NOW = 1_700_001_000.0
COUNTS = {TaskState.DONE: 3, TaskState.WAITING: 7}


def nobody(_: int) -> bool:
    return False


def everybody(_: int) -> bool:
    return True


def check(
    folder: Path,
    *,
    repair: bool = False,
    force: bool = False,
    is_alive: Callable[[int], bool] = nobody,
    now: float = NOW,
) -> list[Finding]:
    context = RepairContext(is_alive=is_alive, server_time=now, repair=repair, force=force)
    return check_pool(Pool(folder), context)


def open_problems(findings: list[Finding]) -> list[str]:
    return [str(finding) for finding in findings if finding.is_open]


def counts_of(folder: Path) -> dict[TaskState, int]:
    return {state: n for state, n in Pool(folder).counts().items() if n}


def attempts_of(folder: Path, position: int) -> int:
    return Pool(folder).record(position).attempts


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool to copy, not to change."""
    return a_mixed_pool(a_pool(tmp_path_factory.mktemp("mixed")))


@pytest.fixture
def folder(mixed: Path, fast_path: Path) -> Path:
    """Return a pool with three tasks done and two failed, of ten."""
    return Path(shutil.copytree(mixed, fast_path / "pool"))


def damage(path: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def flip(offset: int) -> Callable[[bytearray], object]:
    return lambda content: content.__setitem__(offset, content[offset] ^ 0x10)


def cut(size: int) -> Callable[[bytearray], object]:
    return lambda content: content.__delitem__(slice(size, None))


def test_a_pool_in_order_has_no_findings(folder: Path) -> None:
    assert check(folder) == []


def assert_repaired(folder: Path) -> None:
    """Assert that the damage was named, is gone, and changed no count."""
    found = open_problems(check(folder))
    repaired = open_problems(check(folder, repair=True))
    again = check(folder)

    assert any("state/00" in text for text in found)
    assert repaired == []
    assert again == []
    assert counts_of(folder) == COUNTS
    assert (attempts_of(folder, 1), attempts_of(folder, 8)) == (2, 1)


@pytest.mark.parametrize("offset", range(0, 384, 3))
def test_a_flipped_byte_anywhere_is_repaired(folder: Path, offset: int) -> None:
    damage(shard_files(folder)[0], flip(offset))

    assert_repaired(folder)


@pytest.mark.parametrize("size", [0, 1, 39, 40, 47, 64, 100, 383])
def test_a_truncated_state_file_is_repaired(folder: Path, size: int) -> None:
    damage(shard_files(folder)[0], cut(size))

    assert_repaired(folder)


def test_a_zeroed_state_file_is_repaired(folder: Path) -> None:
    path = shard_files(folder)[0]
    path.write_bytes(bytes(path.stat().st_size))

    assert_repaired(folder)


def test_a_state_file_that_is_too_long_is_repaired(folder: Path) -> None:
    damage(shard_files(folder)[0], lambda content: content.extend(b"more"))

    assert_repaired(folder)


def test_a_missing_state_file_is_repaired(folder: Path) -> None:
    shard_files(folder)[0].unlink()

    assert_repaired(folder)


def test_the_file_before_its_repair_is_kept(folder: Path) -> None:
    path = shard_files(folder)[0]
    damage(path, flip(70))
    damaged = path.read_bytes()

    check(folder, repair=True)

    assert (path.parent / "00.damaged").read_bytes().partition(b"\n")[2] == damaged


def test_an_intact_record_is_kept_by_a_repair(folder: Path) -> None:
    before = Pool(folder).record(3)
    damage(shard_files(folder)[0], flip(64 + 32 * 4))

    check(folder, repair=True)

    assert Pool(folder).record(3) == before


def test_a_state_file_of_a_newer_format_is_left_alone(folder: Path) -> None:
    path = shard_files(folder)[0]
    head = path.read_bytes()[:36].replace(b"JP01", b"JP03")
    newer = head + crc_of(head) + path.read_bytes()[40:]
    path.write_bytes(newer)

    found = open_problems(check(folder, repair=True))

    assert "install the newer jobpool" in found[0]
    assert path.read_bytes() == newer


def crc_of(head: bytes) -> bytes:
    return zlib.crc32(head).to_bytes(4, "little")


def held_through_repair(folder: Path) -> tuple[SimulatedWorker, Claim]:
    worker = SimulatedWorker(folder, 9)
    claim = worker.claim(2)
    damage(shard_files(folder)[0], flip(64 + 32 * 2))
    check(folder, repair=True)
    return worker, claim


def test_a_worker_that_held_a_task_through_its_repair_may_hand_in_its_result(folder: Path) -> None:
    worker, claim = held_through_repair(folder)

    assert worker.end(claim, Cause.DONE)
    assert (Pool(folder).record(2).state, Pool(folder).record(2).owner) == (TaskState.DONE, 9)


def test_a_failure_of_a_worker_that_held_a_task_through_its_repair_changes_nothing(
    folder: Path,
) -> None:
    worker, claim = held_through_repair(folder)

    assert not worker.end(claim, Cause.ERROR)
    assert Pool(folder).record(2).state is TaskState.WAITING


def test_a_task_claimed_again_after_its_repair_is_not_ended_by_its_old_worker(
    folder: Path,
) -> None:
    worker, claim = held_through_repair(folder)
    SimulatedWorker(folder, 10).claim(2)

    assert not worker.end(claim, Cause.DONE)
    assert Pool(folder).record(2).owner == 10


def test_a_repair_is_refused_while_a_living_worker_holds_a_task(folder: Path) -> None:
    SimulatedWorker(folder, 9).claim(2)
    damage(shard_files(folder)[0], flip(70))
    before = shard_files(folder)[0].read_bytes()

    with pytest.raises(RequestError, match="000000000009; stop them"):
        check(folder, repair=True, is_alive=everybody)

    assert shard_files(folder)[0].read_bytes() == before


def test_a_repair_is_refused_while_a_worker_may_hold_a_task_of_a_damaged_file(
    folder: Path,
) -> None:
    own_worker_record(started=1.0, cores=1).write(folder, SimulatedWorker(folder, 9).name)
    shard_files(folder)[0].unlink()

    with pytest.raises(RequestError, match="000000000009; stop them"):
        check(folder, repair=True, is_alive=everybody)


def test_force_repairs_while_a_worker_holds_a_task(folder: Path) -> None:
    SimulatedWorker(folder, 9).claim(2)
    damage(shard_files(folder)[0], flip(70))

    check(folder, repair=True, force=True, is_alive=everybody)

    assert counts_of(folder) == {
        TaskState.DONE: 3,
        TaskState.RUNNING: 1,
        TaskState.WAITING: 6,
    }


def test_a_result_that_comes_during_a_repair_is_kept(folder: Path) -> None:
    worker = SimulatedWorker(folder, 9)
    claim = worker.claim(2)

    def is_alive(_: int) -> bool:  # asked after all was read: the worker was late, not dead
        if worker.pool.record(2).state is TaskState.RUNNING:
            worker.finish(claim)
        return False

    found = check(folder, repair=True, is_alive=is_alive)

    assert found == []
    assert Pool(folder).record(2).state is TaskState.DONE


def test_a_done_task_without_its_result_is_computed_again(folder: Path) -> None:
    SimulatedWorker(folder, 7).results_file.unlink()

    found = open_problems(check(folder))
    check(folder, repair=True)

    assert len(found) == 3
    assert "not on disk" in found[0]
    assert counts_of(folder) == {TaskState.WAITING: 10}
    assert check(folder) == []


def test_a_finished_result_of_a_waiting_task_is_not_computed_again(folder: Path) -> None:
    worker = SimulatedWorker(folder, 9)
    claim = worker.claim(2)
    worker.pool.take_back(2, claim.fence, Cause.LOST)
    worker.write_end(claim, Cause.LOST)
    worker.write_result(claim)

    found = open_problems(check(folder))
    check(folder, repair=True)

    assert "its result is on disk, but the task is still waiting" in found[0]
    assert Pool(folder).record(2).state is TaskState.DONE
    assert open_problems(check(folder)) == []


def test_a_result_of_a_dead_worker_is_counted_by_a_repair(folder: Path) -> None:
    worker = SimulatedWorker(folder, 9)
    worker.write_result(worker.claim(2))

    found = check(folder)
    check(folder, repair=True)

    assert open_problems(found) == []
    assert any("its worker died" in str(finding) for finding in found)
    assert Pool(folder).record(2).state is TaskState.DONE


def test_the_task_of_a_living_worker_is_left_alone(folder: Path) -> None:
    worker = SimulatedWorker(folder, 9)
    worker.write_result(worker.claim(2))

    assert check(folder, is_alive=everybody) == []


def test_a_missing_end_of_an_attempt_is_written_by_a_repair(folder: Path) -> None:
    worker = SimulatedWorker(folder, 9)
    worker.pool.take_back(2, worker.claim(2).fence, Cause.LOST)

    found = check(folder)
    check(folder, repair=True)

    assert "ended as lost" in str(found[0])
    assert [one.cause for one in all_attempts(folder) if one.worker == worker.name] == [Cause.LOST]
    assert check(folder) == []


def test_an_index_behind_its_record_is_mended(folder: Path) -> None:
    path = shard_files(folder)[0]
    before = path.read_bytes()
    SimulatedWorker(folder, 9).do(2)
    after = path.read_bytes()
    path.write_bytes(before[:64] + after[64:])  # killed between records and index

    found = check(folder)
    check(folder, repair=True)

    assert open_problems(found) == []
    assert "older than the records of 1 task" in str(found[0])
    assert counts_of(folder) == {TaskState.DONE: 4, TaskState.WAITING: 6}
    assert check(folder) == []


def test_a_last_line_cut_short_is_normal(folder: Path) -> None:
    with SimulatedWorker(folder, 7).attempts_file.open("ab") as stream:
        stream.write(b'{"format":1,"task":"abc')

    found = check(folder)

    assert open_problems(found) == []
    assert "its last line is incomplete" in str(found[0])


def test_a_damaged_line_is_set_aside_by_a_repair(folder: Path) -> None:
    path = SimulatedWorker(folder, 7).attempts_file
    damage(path, flip(20))

    found = open_problems(check(folder))
    check(folder, repair=True)

    assert f"attempts/00/{path.name}: line 1 is damaged" in found[0]
    assert path.with_name(f"{path.name}.damaged").stat().st_size > 0
    assert open_problems(check(folder)) == []


def test_a_damaged_result_sends_its_task_back(folder: Path) -> None:
    damage(SimulatedWorker(folder, 7).results_file, flip(20))

    check(folder, repair=True)

    assert open_problems(check(folder)) == []
    assert counts_of(folder) == {TaskState.DONE: 2, TaskState.WAITING: 8}


def test_the_leftovers_of_a_killed_write_are_removed_when_they_are_old(folder: Path) -> None:
    old, young = folder / "cache" / ".a.host-1-f.tmp", folder / "cache" / ".b.host-1-f.tmp"
    old.touch()
    young.touch()
    os.utime(old, (NOW - 7200, NOW - 7200))
    os.utime(young, (NOW - 60, NOW - 60))

    check(folder, repair=True)

    assert not old.exists()
    assert young.exists()


def test_a_crowded_folder_is_noted(folder: Path) -> None:
    for number in range(1001):
        (folder / "cache" / str(number)).touch()

    found = check(folder)

    assert [str(finding.place) for finding in found] == ["cache"]


def test_an_unreadable_experiment_is_a_problem(folder: Path) -> None:
    (folder / "experiment.yaml").write_text("runner: [", encoding="utf-8")

    found = open_problems(check(folder))

    assert found[0].startswith("problem: experiment.yaml: cannot be used")


def test_a_dead_worker_that_holds_tasks_is_noted(folder: Path) -> None:
    SimulatedWorker(folder, 9).claim(2)

    found = check(folder)

    assert open_problems(found) == []
    assert "worker 000000000009: is dead and still holds 1 task" in str(found[0])


def test_the_command_fails_until_the_pool_is_repaired(folder: Path, jobpool: Jobpool) -> None:
    damage(shard_files(folder)[0], flip(70))

    first = jobpool("doctor", folder)
    repair = jobpool("doctor", folder, "--repair")
    last = jobpool("doctor", folder)

    assert (first.returncode, repair.returncode, last.returncode) == (Fault.POOL, 0, 0)
    assert "state/00: 1 of 10 records are damaged; repair it with --repair" in first.stdout
    assert "9 records kept, 1 rebuilt from results" in repair.stdout
    assert "all is well" in last.stdout


def test_a_state_file_from_another_place_is_made_anew(fast_path: Path) -> None:
    folder = a_pool(fast_path, 5000)
    SimulatedWorker(folder, 7).do(1, 2600)
    first, second = shard_files(folder)
    shutil.copyfile(second, first)

    found = open_problems(check(folder))
    check(folder, repair=True)

    assert "it belongs to another place in the pool" in found[0]
    assert counts_of(folder) == {TaskState.DONE: 2, TaskState.WAITING: 4998}
    assert check(folder) == []


def test_a_state_file_of_an_extension_cut_short_is_noted(folder: Path) -> None:
    (folder / "state" / "01").touch()

    found = check(folder)

    assert open_problems(found) == []
    assert "an extension was interrupted" in str(found[0])


def test_a_repair_cut_short_is_begun_again(folder: Path) -> None:
    path = shard_files(folder)[0]
    damage(path, flip(5))
    whole = path.read_bytes()
    check(folder, repair=True)
    path.write_bytes(path.read_bytes()[:50] + whole[50:])  # half of it written

    check(folder, repair=True)

    assert check(folder) == []
    assert counts_of(folder) == COUNTS


def test_another_result_stands_in_for_one_that_is_gone(folder: Path) -> None:
    early, late = SimulatedWorker(folder, 8), SimulatedWorker(folder, 9)
    claim = early.claim(2)
    early.pool.take_back(2, claim.fence, Cause.LOST)
    early.write_end(claim, Cause.LOST)
    early.write_result(claim)
    late.do(2)
    late.results_file.unlink()

    found = open_problems(check(folder))
    check(folder, repair=True)

    assert "is not on disk; another result is" in found[0]
    record = Pool(folder).record(2)
    assert (record.state, record.owner) == (TaskState.DONE, 8)
    assert open_problems(check(folder)) == []


def test_lines_about_tasks_of_another_pool_are_noted(folder: Path, fast_path: Path) -> None:
    other = SimulatedWorker(a_pool(fast_path / "other", 50), 7)
    mine = set(Pool(folder).grid.ids())
    strange = [i for i in range(50) if other.pool.grid.id(i) not in mine]
    other.do(strange[0])
    with SimulatedWorker(folder, 7).results_file.open("ab") as stream:
        stream.write(other.results_file.read_bytes())

    found = check(folder)

    assert open_problems(found) == []
    assert "1 line about tasks that this pool does not have" in str(found[0])


def test_a_damaged_line_of_a_living_worker_is_left_in_its_file(folder: Path) -> None:
    path = SimulatedWorker(folder, 7).attempts_file
    damage(path, flip(20))
    before = path.read_bytes()

    found = check(folder, repair=True, force=True, is_alive=everybody)

    assert len(open_problems(found)) == 1
    assert path.read_bytes() == before
