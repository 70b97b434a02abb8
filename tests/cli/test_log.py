"""``jobpool log``: what happened, in order."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobpool.admin.transitions import rerun
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.workers import own_worker_record
from jobpool.overview.history import history, history_of
from jobpool.pool import Pool
from jobpool.table.arrays import unchecked_table
from jobpool.task import Cause
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import BEGAN, SimulatedWorker


def told(folder: Path) -> list[str]:
    return [event.what for event in history(Pool(folder))]


def test_events_stand_in_the_order_of_their_times(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    own_worker_record(started=BEGAN - 5, cores=2, job="12_3").write(worker.pool.folder, worker.name)
    worker.fail(3, Cause.MEMORY, error="killed", job="12_3")
    worker.claim(3)

    events = told(worker.pool.folder)

    assert events[0].startswith("worker started on ")
    assert "2 cores, job 12_3" in events[0]
    assert events[1:] == [
        "attempt 1 began",
        "attempt 1 ended: memory after 10 s, peak 100 MB, on node1, job 12_3: killed",
        "attempt 2 began; it runs now",
    ]


def test_a_result_without_an_end_is_told(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.write_result(worker.claim(3))

    assert "attempt 1 wrote its result, and no end" in told(worker.pool.folder)


def test_an_end_found_by_another_worker_names_the_finder(fast_path: Path) -> None:
    folder = a_pool(fast_path)
    lost = Attempt(
        task=Pool(folder).grid.id(3),
        fence=1,
        worker="00000000000a",
        cause=Cause.LOST,
        started=None,
        ended=BEGAN,
        found_by="00000000000b",
    )

    write_attempt(folder, lost)

    assert told(folder) == ["attempt 1 ended: lost, found by 00000000000b"]


def test_a_damaged_worker_record_still_has_its_worker(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    path = own_worker_record(started=BEGAN, cores=2).write(worker.pool.folder, worker.name)
    path.write_bytes(b"{}")

    assert told(worker.pool.folder) == ["worker started; its record is damaged"]


def test_the_command_keeps_to_a_task(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3, 4)
    wanted, other = worker.pool.grid.id(3), worker.pool.grid.id(4)

    shown = jobpool("log", worker.pool.folder, "--task", wanted[:6]).stdout

    assert shown.count(wanted) == 2
    assert other not in shown


def test_the_command_keeps_to_a_worker(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_pool(fast_path)
    SimulatedWorker(folder, 0xA00000000001).do(3)
    SimulatedWorker(folder, 0xB00000000001).do(4)

    shown = jobpool("log", folder, "--worker", "a0").stdout

    assert shown.count("worker a00000000001") == 2
    assert "b00000000001" not in shown


def test_the_command_keeps_to_a_selection(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3, 4)
    number = dict(worker.pool.grid.point(3))["number"]

    shown = jobpool("log", worker.pool.folder, "--only", f"number={number}").stdout

    assert shown.count(worker.pool.grid.id(3)) == 2
    assert shown.count(worker.pool.grid.id(4)) == 0


def test_only_the_last_events_are_told_if_asked(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3, 4)

    shown = jobpool("log", worker.pool.folder, "--last", "1").stdout

    assert len(shown.splitlines()) == 1
    assert "ended: done" in shown


def test_an_unknown_task_is_an_error(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("log", a_pool(fast_path), "--task", "none")

    assert shown.returncode == 1
    assert "no task whose id begins with 'none'" in shown.stderr


def test_an_unknown_worker_is_an_error(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("log", a_pool(fast_path), "--worker", "none")

    assert shown.returncode == 1
    assert "no worker whose id begins with 'none'" in shown.stderr


def test_a_fresh_pool_has_no_history(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("log", a_pool(fast_path))

    assert (shown.returncode, shown.stdout) == (0, "")


def test_the_history_of_a_task_is_its_part_of_the_whole(fast_path: Path) -> None:
    folder = a_pool(fast_path)
    worker, other = SimulatedWorker(folder, 1), SimulatedWorker(folder, 2)
    worker.fail(3, Cause.MEMORY)
    other.fail(3)
    worker.do(4, 5)
    other.write_result(other.claim(3))

    found, whole = history_of(Pool(folder), 3), history(Pool(folder))

    assert found == [event for event in whole if event.task == Pool(folder).grid.id(3)]
    assert [event.worker for event in found] == [worker.name, other.name] * 2 + [other.name] * 2


def test_the_history_of_a_done_task_opens_no_results(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3)
    worker.results_file.unlink()
    worker.results_file.mkdir()  # cannot be read, whoever asks

    found = history_of(worker.pool, 3)

    assert [event.what.split(":")[0] for event in found] == ["attempt 1 began", "attempt 1 ended"]


def test_a_rerun_task_keeps_its_history(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3, 4)
    rerun(worker.pool, np.arange(10) == 3)
    worker.write_result(worker.claim(3))

    found, whole = history_of(worker.pool, 3), history(worker.pool)

    assert [event.what for event in found][-2:] == [
        "attempt 1 of rerun 1 wrote its result, and no end",
        "attempt 1 of rerun 1 began; it runs now",
    ]
    assert found == [event for event in whole if event.task == worker.pool.grid.id(3)]


def test_the_command_writes_json(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3)
    task = worker.pool.grid.id(3)

    shown = json.loads(jobpool("log", worker.pool.folder, "--task", task, "--json").stdout)

    assert shown["events"][0] == {
        "time": "2023-11-14T22:13:20.000+00:00",
        "worker": worker.name,
        "task": task,
        "axes": dict(worker.pool.grid.point(3)),
        "what": "attempt 1 began",
    }


def test_a_fresh_pool_has_no_events_in_json(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_pool(fast_path)

    shown = jobpool("log", folder, "--json")

    assert json.loads(shown.stdout) == {"pool": str(folder), "events": []}


def test_a_task_that_is_claimed_while_its_history_is_read_is_told(
    fast_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = SimulatedWorker(a_pool(fast_path))

    def read_then_claim(packed: bytes) -> Any:
        table = unchecked_table(packed)
        worker.claim(5)
        return table

    monkeypatch.setattr("jobpool.overview.history.unchecked_table", read_then_claim)

    assert [event.task for event in history(worker.pool)] == [worker.pool.grid.id(5)]
