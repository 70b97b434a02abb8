"""``jobpool rerun``: what is done is computed again, and its result counts until it is replaced."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.admin.transitions import hold, release, rerun, retry
from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.errors import DamagedStateError
from jobpool.journal.attempts import all_attempts
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import all_results
from jobpool.overview.spending import AGAIN, USEFUL, read_spending
from jobpool.pool import Ending, Pool
from jobpool.table.records import RECORD
from jobpool.table.shards import MAGIC, PLAIN
from jobpool.task import CLAIMS_PER_RUN, Cause, Feedback, TaskState, run_of
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import SimulatedWorker

OLD, NEW, OTHER = 1, 2, 3  # numbers of workers
RAISES = Feedback(error=77)


def some(folder: Path, *positions: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.isin(np.arange(len(Pool(folder).grid)), positions)


def run_again(folder: Path, *positions: int) -> int:
    pool = Pool(folder, durable=False)
    return rerun(pool, some(folder, *positions))


def table_of(folder: Path, jobpool: Jobpool, *options: object) -> pd.DataFrame:
    """Return what is collected, in the order of places in the pool."""
    file = folder.parent / "results.csv"
    done = jobpool("collect", folder, "-o", file, *options)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(file).sort_values("task", key=lambda ids: ids.map(places_of(folder).get))


def places_of(folder: Path) -> dict[str, int]:
    return {task: place for place, task in enumerate(Pool(folder).grid.ids())}


def findings_of(folder: Path, *, repair: bool = False) -> list[str]:
    """Return what a check finds, or what was wrong before a repair."""
    context = RepairContext(is_alive=lambda _: False, server_time=time.time(), repair=repair)
    return [finding.what for finding in check_pool(Pool(folder), context)]


@pytest.fixture
def folder(fast_path: Path) -> Path:
    """Return a pool of six tasks: 0, 1 and 2 are done, 1 is to be computed again."""
    pool = a_pool(fast_path, 6)
    worker = SimulatedWorker(pool, OLD)
    for position in (0, 1, 2):
        worker.finish(worker.claim(position), value=100 + position)
    assert run_again(pool, 1) == 1
    return pool


def test_only_what_is_done_is_returned(folder: Path) -> None:
    assert run_again(folder, 0, 1, 4) == 1
    assert Pool(folder).counts()[TaskState.DONE] == 1


def test_a_dry_run_counts_and_changes_nothing(folder: Path) -> None:
    before = [shard.path.read_bytes() for shard in Pool(folder).shards]

    n_changed = rerun(Pool(folder), some(folder, 0, 1, 2, 3), dry_run=True)

    assert n_changed == 2
    assert [shard.path.read_bytes() for shard in Pool(folder).shards] == before


def test_the_record_keeps_the_accepted_claim_beside_the_running_one(folder: Path) -> None:
    claim = SimulatedWorker(folder, NEW).claim(1)

    record = Pool(folder).record(1)

    assert record.accepted is not None
    assert (record.state, record.owner, record.fence) == (TaskState.RUNNING, NEW, claim.fence)
    assert (record.accepted.state, record.accepted.owner) == (TaskState.DONE, OLD)
    assert (record.accepted.fence, claim.fence) == (1, CLAIMS_PER_RUN + 1)


def test_what_a_task_is_known_to_need_stays_known(fast_path: Path) -> None:
    pool = a_pool(fast_path, 2)
    worker = SimulatedWorker(pool, OLD)
    claim = worker.claim(0)
    worker.pool.end(Ending(claim=claim, cause=Cause.MEMORY, feedback=Feedback(memory_mb=4096)))
    worker.do(0)

    run_again(pool, 0)

    record = Pool(pool).record(0)
    assert (record.memory_mb, record.attempts, record.cause) == (4096, 0, None)


@pytest.mark.parametrize("ended", [None, Cause.ERROR, Cause.PREEMPTED])
def test_the_old_row_is_shown_marked_until_the_new_result_is_accepted(
    folder: Path, jobpool: Jobpool, ended: Cause | None
) -> None:
    worker = SimulatedWorker(folder, NEW)
    claim = worker.claim(1)
    if ended is not None:
        worker.write_end(claim, ended)
        worker.pool.end(Ending(claim=claim, cause=ended, feedback=RAISES))

    table = table_of(folder, jobpool)

    assert table["value"].to_list() == [100, 101, 102]
    assert table["rerun_pending"].to_list() == [False, True, False]


def test_a_parked_rerun_keeps_the_old_row(folder: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(folder, NEW)
    for _ in range(3):
        claim = worker.claim(1)
        worker.write_end(claim, Cause.ERROR, "ValueError: no")
        worker.pool.end(Ending(claim=claim, cause=Cause.ERROR, feedback=RAISES))

    table = table_of(folder, jobpool)

    assert Pool(folder).record(1).state is TaskState.PARKED
    assert table["value"].to_list() == [100, 101, 102]
    assert table["failed_attempts"].to_list() == [0, 0, 0]  # of the attempt that the row is from


def test_fresh_leaves_old_rows_out(folder: Path, jobpool: Jobpool) -> None:
    table = table_of(folder, jobpool, "--fresh")

    assert table["value"].to_list() == [100, 102]
    assert "rerun_pending" not in table


def test_only_the_new_result_counts_once_it_is_accepted(folder: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(folder, NEW)
    worker.finish(worker.claim(1), value=201)

    table = table_of(folder, jobpool)

    assert table["value"].to_list() == [100, 201, 102]
    assert "rerun_pending" not in table
    assert Pool(folder).record(1).accepted is None


def test_nothing_is_said_of_a_result_that_a_rerun_replaced(folder: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(folder, NEW)
    worker.finish(worker.claim(1), value=201)

    done = jobpool("collect", folder)

    assert "left out" not in done.stderr


def test_a_result_that_is_not_accepted_yet_does_not_count(folder: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(folder, NEW)
    worker.write_result(worker.claim(1), value=201)

    table = table_of(folder, jobpool)

    assert table["value"].to_list() == [100, 101, 102]


def test_the_long_table_is_marked_too(folder: Path, jobpool: Jobpool) -> None:
    table = table_of(folder, jobpool, "--long")

    assert table.columns.to_list()[:3] == ["task", "number", "rerun_pending"]
    assert table["rerun_pending"].to_list() == [False, True, False]


def test_what_is_collected_says_that_rows_are_earlier_ones(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("collect", folder)

    assert "1 earlier row of a task that is being rerun: --fresh leaves" in done.stderr
    assert "rerun_pending" in done.stdout.splitlines()[0]


def test_a_task_is_computed_again_as_often_as_is_asked(folder: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(folder, NEW)
    worker.finish(worker.claim(1), value=201)
    run_again(folder, 1)
    waiting = table_of(folder, jobpool)
    claim = worker.claim(1)
    worker.finish(claim, value=301)

    table = table_of(folder, jobpool)

    assert claim.fence == 2 * CLAIMS_PER_RUN + 1
    assert waiting["value"].to_list() == [100, 201, 102]
    assert table["value"].to_list() == [100, 301, 102]


def test_a_late_worker_of_the_old_claim_changes_nothing(fast_path: Path) -> None:
    pool = a_pool(fast_path, 2)
    late, other = SimulatedWorker(pool, OLD), SimulatedWorker(pool, NEW)
    claim = late.claim(0)
    other.pool.take_back(0, claim.fence, Cause.LOST)
    other.finish(other.claim(0), value=7)
    run_again(pool, 0)

    assert not late.finish(claim, value=8)
    assert Pool(pool).record(0).state is TaskState.WAITING


def test_a_late_worker_of_the_same_run_is_welcome(folder: Path, jobpool: Jobpool) -> None:
    late, other = SimulatedWorker(folder, NEW), SimulatedWorker(folder, OTHER)
    claim = late.claim(1)
    other.pool.take_back(1, claim.fence, Cause.LOST)

    assert late.finish(claim, value=201)
    assert table_of(folder, jobpool)["value"].to_list() == [100, 201, 102]


def test_numbers_of_a_new_run_are_above_all_that_were_given(fast_path: Path) -> None:
    pool = a_pool(fast_path, 2)
    late, other = SimulatedWorker(pool, OLD), SimulatedWorker(pool, NEW)
    claim = late.claim(0)
    other.pool.take_back(0, claim.fence, Cause.LOST)
    stray = other.claim(0)
    late.pool.take_back(0, stray.fence, Cause.LOST)
    late.finish(claim, value=7)  # the first claim counts, and the second was given, too
    run_again(pool, 0)
    other.claim(0)
    late.pool.take_back(0, CLAIMS_PER_RUN + 1, Cause.ERROR)

    assert not other.finish(stray, value=8)  # it was computed before


def test_hold_and_retry_keep_the_old_result(folder: Path, jobpool: Jobpool) -> None:
    pool, chosen = Pool(folder), some(folder, 1)
    hold(pool, chosen)
    held = pool.record(1)
    release(pool, chosen)
    SimulatedWorker(folder, NEW).fail(1)
    retry(pool, chosen, failed=True)

    assert held.state is TaskState.HELD
    assert held.accepted == pool.record(1).accepted
    assert table_of(folder, jobpool)["value"].to_list() == [100, 101, 102]


def test_status_counts_it_among_those_that_wait(folder: Path, jobpool: Jobpool) -> None:
    found = json.loads(jobpool("status", folder, "--json").stdout)

    assert (found["done"], found["waiting"], found["rerun"]) == (2, 4, 1)


def test_status_counts_reruns_where_nothing_else_happened(folder: Path, jobpool: Jobpool) -> None:
    run_again(folder, 0, 2)

    shown = jobpool("status", folder).stdout

    assert "rerun             3  of these are rerun" in shown


def test_why_says_which_result_counts(folder: Path, jobpool: Jobpool) -> None:
    shown = jobpool("why", folder, Pool(folder).grid.id(1)).stdout

    assert "is being rerun: its result of " in shown
    assert f"by worker {worker_name(OLD)}, counts until a new one is accepted" in shown


def test_the_log_numbers_attempts_by_run(folder: Path, jobpool: Jobpool) -> None:
    SimulatedWorker(folder, NEW).do(1)

    shown = jobpool("log", folder, "--task", Pool(folder).grid.id(1)).stdout

    assert "attempt 1 began" in shown
    assert "attempt 1 of rerun 1 ended: done" in shown


def test_what_is_meant_must_be_said(folder: Path, jobpool: Jobpool) -> None:
    done = jobpool("rerun", folder)

    assert done.returncode == 2
    assert "say which tasks: their ids, --only or --skip; or --all" in " ".join(done.stderr.split())


def test_the_command_says_what_it_did(folder: Path, jobpool: Jobpool) -> None:
    ids = Pool(folder).grid.ids()[:3]

    counted = jobpool("rerun", folder, *ids, "--dry-run")
    done = jobpool("rerun", folder, *ids)
    again = jobpool("rerun", folder, *ids)

    assert counted.stdout == "2 tasks would be rerun\n"
    assert done.stdout.startswith("2 tasks wait to be rerun; their earlier results count until")
    assert again.stdout == "nothing to rerun: no selected task is done\n"


def test_nothing_is_wrong_with_a_pool_under_rerun(folder: Path, jobpool: Jobpool) -> None:
    waiting = findings_of(folder)
    worker = SimulatedWorker(folder, NEW)
    claim = worker.claim(1)
    worker.write_end(claim, Cause.ERROR)
    worker.end(claim, Cause.ERROR)
    failed = findings_of(folder)
    worker.do(1)

    assert waiting == failed == findings_of(folder) == []


def test_a_repair_changes_nothing_of_a_pool_under_rerun(folder: Path, jobpool: Jobpool) -> None:
    before = Pool(folder).record(1)

    assert findings_of(folder, repair=True) == []
    assert Pool(folder).record(1) == before


def damage(folder: Path, position: int, *, accepted: bool) -> None:
    shard, slot = Pool(folder).locate(position)
    at = shard.accepted_offset(slot) if accepted else shard.record_offset(slot)
    content = bytearray(shard.path.read_bytes())
    content[at + 5] ^= 0x10
    shard.path.write_bytes(content)


def test_a_damaged_accepted_record_is_noticed(folder: Path) -> None:
    damage(folder, 1, accepted=True)

    with pytest.raises(DamagedStateError):
        SimulatedWorker(folder, NEW).claim(1)


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("is_tried", [True, False])
def test_a_repair_makes_both_claims_from_the_evidence(
    folder: Path, jobpool: Jobpool, accepted: bool, is_tried: bool
) -> None:
    n_tried = 1 if is_tried or accepted else 0
    for _ in range(n_tried):
        SimulatedWorker(folder, NEW).fail(1)
    damage(folder, 1, accepted=accepted)

    findings_of(folder, repair=True)

    record = Pool(folder).record(1)
    assert record.accepted is not None
    assert (record.state, run_of(record.fence)) == (TaskState.WAITING, 1)
    assert (record.accepted.fence, record.accepted.owner) == (1, OLD)
    assert record.attempts == n_tried
    assert table_of(folder, jobpool)["value"].to_list() == [100, 101, 102]
    assert findings_of(folder) == []


def test_a_state_file_that_is_gone_is_made_with_both_claims(folder: Path, jobpool: Jobpool) -> None:
    SimulatedWorker(folder, NEW).fail(1)
    Pool(folder).shards[0].path.unlink()

    findings_of(folder, repair=True)

    assert table_of(folder, jobpool)["rerun_pending"].to_list() == [False, True, False]


def test_a_truncated_file_of_the_new_format_is_repaired(folder: Path, jobpool: Jobpool) -> None:
    shard = Pool(folder).shards[0]
    SimulatedWorker(folder, NEW).fail(1)
    with shard.path.open("r+b") as stream:
        stream.truncate(shard.accepted_offset(0))

    found = findings_of(folder)
    findings_of(folder, repair=True)

    assert any("truncated" in what for what in found)
    assert table_of(folder, jobpool)["value"].to_list() == [100, 101, 102]


def test_a_new_result_that_nobody_ended_is_found(folder: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(folder, NEW)
    claim = worker.claim(1)
    worker.write_result(claim, value=201)
    worker.write_end(claim, Cause.DONE)
    worker.pool.take_back(1, claim.fence, Cause.LOST)

    findings_of(folder, repair=True)

    assert table_of(folder, jobpool)["value"].to_list() == [100, 201, 102]
    assert Pool(folder).record(1).accepted is None


def test_an_old_result_that_is_gone_is_named(folder: Path, jobpool: Jobpool) -> None:
    SimulatedWorker(folder, OLD).results_file.unlink()

    found = findings_of(folder)
    findings_of(folder, repair=True)

    assert "waits to be rerun, but its earlier result, of claim 1, is not on disk" in found
    assert Pool(folder).record(1).accepted is None


def test_a_new_result_that_is_gone_gives_way_to_the_old_one(folder: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(folder, NEW)
    worker.finish(worker.claim(1), value=201)
    worker.results_file.unlink()

    findings_of(folder, repair=True)

    table = table_of(folder, jobpool)
    assert table["value"].to_list() == [100, 101, 102]
    assert table["rerun_pending"].to_list() == [False, True, False]


def test_a_file_gets_the_new_format_with_its_first_rerun(fast_path: Path) -> None:
    pool = a_pool(fast_path, 6)
    SimulatedWorker(pool).do(0)
    shard = Pool(pool).shards[0]
    before = shard.path.read_bytes()

    run_again(pool, 0)

    after = shard.path.read_bytes()
    assert (before[:4], after[:4]) == (PLAIN, MAGIC)
    assert len(after) == len(before) + 6 * RECORD.size


KILLER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from jobpool.admin.transitions import rerun
from jobpool.pool import Pool

left = int(sys.argv[2])

def dying(write):
    def written(*arguments):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return write(*arguments)
    return written

os.pwrite, os.pwritev, os.ftruncate = map(dying, (os.pwrite, os.pwritev, os.ftruncate))
pool = Pool(Path(sys.argv[1]))
print(rerun(pool, np.ones(len(pool.grid), bool)))
"""


@pytest.mark.parametrize("n_writes", range(9))
def test_a_kill_between_two_writes_loses_nothing(
    fast_path: Path, jobpool: Jobpool, n_writes: int
) -> None:
    pool = a_pool(fast_path, 6)
    worker = SimulatedWorker(pool, OLD)
    for position in (0, 1, 2):
        worker.finish(worker.claim(position), value=100 + position)

    killed = subprocess.run(
        [sys.executable, "-c", KILLER, str(pool), str(n_writes)], capture_output=True, check=False
    )
    found = findings_of(pool)
    between = table_of(pool, jobpool)
    run_again(pool, 0, 1, 2)
    another = SimulatedWorker(pool, NEW)
    for position in range(6):
        another.finish(another.claim(position), value=200)
    after = table_of(pool, jobpool)

    assert killed.returncode == -9, killed.stderr
    assert [one for one in found if "the index is older" not in one] == []
    assert between["value"].to_list() == [100, 101, 102]
    assert after["value"].to_list() == [200] * 6


def test_the_writes_of_a_rerun_are_as_many_as_the_kills_tried(folder: Path) -> None:
    pool = a_pool(folder.parent / "another", 6)
    SimulatedWorker(pool, OLD).do(0, 1, 2)

    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(pool), "9"], capture_output=True, check=False, text=True
    )

    assert (done.returncode, done.stdout) == (0, "3\n")


def test_eight_workers_compute_again_what_is_returned_while_they_work(
    fast_path: Path, jobpool: Jobpool
) -> None:
    pool, n_tasks, n_times = a_pool(fast_path, 60), 60, 2
    for _ in range(n_times):
        working = [
            subprocess.Popen(
                [sys.executable, "-m", "jobpool", "work", str(pool)], stderr=subprocess.DEVNULL
            )
            for _ in range(8)
        ]
        for _ in range(10):
            time.sleep(0.1)
            rerun(Pool(pool), np.ones(n_tasks, bool))
        assert [one.wait(60) for one in working] == [0] * 8
    assert jobpool("work", pool).returncode == 0

    opened = Pool(pool)
    records = [opened.record(position) for position in range(n_tasks)]
    accepted = {(opened.grid.id(n), one.fence, one.owner) for n, one in enumerate(records)}
    results = [(one.task, one.fence, int(one.worker, 16)) for one in all_results(pool)]
    assert {one.state for one in records} == {TaskState.DONE}
    assert len(table_of(pool, jobpool)) == n_tasks
    assert accepted <= set(results)
    newest = {task: max(f for t, f, _ in results if t == task) for task, _, _ in results}
    assert {(task, fence) for task, fence, _ in accepted} == set(newest.items())
    claims = [(one.task, one.fence) for one in all_attempts(pool)]
    assert len(claims) == len(set(claims)) == len(results)
    assert findings_of(pool) == []


def test_a_rerun_takes_nothing_of_what_was_finished_before(folder: Path, jobpool: Jobpool) -> None:
    grid, kept = Pool(folder).grid, folder / "checkpoints"
    before = grid.checkpoint_of(1, 1)
    now = grid.checkpoint_of(1, CLAIMS_PER_RUN + 1)
    for name in (before, now):
        (kept / name).mkdir()

    left = findings_of(folder)
    jobpool("work", folder)

    assert (before, now) == (grid.id(1), f"{grid.id(1)}.1")
    assert left == []  # a task that waits keeps its checkpoints
    assert list(kept.iterdir()) == []


def test_a_checkpoint_of_a_rerun_that_is_done_is_removed_by_a_repair(folder: Path) -> None:
    SimulatedWorker(folder, NEW).do(1)
    left = folder / "checkpoints" / Pool(folder).grid.checkpoint_of(1, CLAIMS_PER_RUN + 1)
    left.mkdir()

    findings_of(folder, repair=True)

    assert not left.exists()


def test_the_hours_of_the_old_result_are_useful_until_it_is_replaced(folder: Path) -> None:
    everything = np.ones(6, bool)
    waiting = read_spending(Pool(folder), everything, now=0.0)
    SimulatedWorker(folder, NEW).do(1)
    done = read_spending(Pool(folder), everything, now=0.0)

    assert waiting.frame["use"].to_list() == [USEFUL] * 3
    assert sorted(done.frame["use"]) == sorted([USEFUL, USEFUL, USEFUL, AGAIN])
