"""``jobpool doctor --repair`` beside workers that go on: nothing that they finish is undone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobpool.checks import housekeeping
from jobpool.checks.consistency import Consistency
from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.checks.evidence import EvidenceReader
from jobpool.checks.findings import Finding
from jobpool.checks.housekeeping import set_aside_lines
from jobpool.checks.rebuild import Rebuilder
from jobpool.checks.shards import rebuild_shard
from jobpool.disk.files import replace_whole
from jobpool.journal.attempts import all_attempts
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import all_results
from jobpool.liveness.judge import Life, judge
from jobpool.pool import Pool
from jobpool.table.records import Record
from jobpool.task import Cause, TaskState
from tests.support.builders import a_pool
from tests.support.parts import a_split_pool, damage_records, position_of, states_of
from tests.support.simulated import SimulatedWorker

NOW = 1_700_001_000.0
N_REPAIRS, N_TASKS = 100, 150


@pytest.fixture
def folder(fast_path: Path) -> Path:
    return a_pool(fast_path, 10)


def consistency(pool: Pool, reader: EvidenceReader, *, may_repair: bool = True) -> Consistency:
    return Consistency(
        pool=pool, reader=reader, is_alive=lambda _: False, now=NOW, may_repair=may_repair
    )


def records_of(pool: Pool) -> list[Record | None]:
    return [pool.record(position) for position in range(len(pool.grid))]


@pytest.mark.parametrize("may_repair", [True, False])
def test_a_task_done_after_results_were_read_stays_done(folder: Path, may_repair: bool) -> None:
    pool = Pool(folder)
    reader = EvidenceReader(pool)
    evidence = reader.read()
    SimulatedWorker(folder, 7).do(2)

    check = consistency(pool, reader, may_repair=may_repair)
    found = list(check.check_records(records_of(pool), evidence))

    assert found == []
    assert pool.record(2).state is TaskState.DONE
    assert len(list(all_attempts(folder))) == 1


def test_a_task_done_while_its_damaged_file_is_repaired_stays_done(folder: Path) -> None:
    pool = Pool(folder)
    reader = EvidenceReader(pool)
    reader.read()
    SimulatedWorker(folder, 7).do(2)
    damage_records(folder, 2)

    rebuild_shard(
        pool.shards[0],
        lambda: Rebuilder(grid=pool.grid, evidence=reader.read(), park_after=3, now=NOW),
    )

    assert pool.record(2).state is TaskState.DONE


def test_a_whole_task_done_after_results_were_read_is_not_split(fast_path: Path) -> None:
    folder = a_split_pool(fast_path)
    whole, part = position_of(folder, "south"), position_of(folder, "south", 1)
    pool = Pool(folder)
    SimulatedWorker(folder, 7).fail(whole, Cause.TIME)
    SimulatedWorker(folder, 7).do(part)
    reader = EvidenceReader(pool)
    evidence, before = reader.read(), records_of(pool)
    SimulatedWorker(folder, 8).do(*range(part + 1, part + 3))

    found = list(consistency(pool, reader).check_families(before, evidence))

    assert found == []
    assert set(states_of(folder, "south")[1:]) == {TaskState.DONE}


def test_a_line_appended_while_damaged_ones_are_set_aside_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = SimulatedWorker(folder, 7)
    worker.do(2)
    with worker.results_file.open("ab") as stream:
        stream.write(b"damaged\n")

    def late(path: Path, data: bytes) -> None:
        worker.write_result(worker.claim(3))
        replace_whole(path, data)

    monkeypatch.setattr(housekeeping, "replace_whole", late)
    set_aside_lines(worker.results_file, [2])

    assert len(list(all_results(folder))) == 2


def repairs_beside(workers: "subprocess.Popen[bytes]", folder: Path) -> Iterator[list[Finding]]:
    """Repair again and again while workers run."""
    while workers.poll() is None:
        pool = Pool(folder)

        def is_alive(owner: int, pool: Pool = pool) -> bool:
            return judge(pool, worker_name(owner), pool.now()) is not Life.DEAD

        yield check_pool(
            pool,
            RepairContext(is_alive=is_alive, server_time=pool.now(), repair=True, force=True),
        )


def test_a_hundred_repairs_beside_workers_undo_nothing(fast_path: Path) -> None:
    folder = a_pool(fast_path, N_TASKS, call="tests.support.tasks:blinks")
    command = [sys.executable, "-m", "jobpool", "run", str(folder), "--workers", "3"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as workers:
        findings = list(repairs_beside(workers, folder))

    assert len(findings) >= N_REPAIRS
    assert [str(one) for found in findings for one in found if one.repaired] == []
    assert len(list(all_results(folder))) == N_TASKS
    assert Pool(folder).counts()[TaskState.DONE] == N_TASKS
