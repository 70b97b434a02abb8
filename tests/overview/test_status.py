"""``jobpool status``: counts that are never wrong, and an estimate that is never absurd."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jobpool as jobpool_api
from jobpool.admin.create import create_pool
from jobpool.errors import DamagedStateError, Fault, SelectionError
from jobpool.journal.workers import own_worker_record
from jobpool.liveness.judge import Life
from jobpool.liveness.waits import HeldLock
from jobpool.overview.counts import Counts
from jobpool.overview.status import (
    Shortage,
    Status,
    find_status,
    read_status,
    status_json,
)
from jobpool.overview.time_left import estimate
from jobpool.pool import Ending, Pool
from jobpool.table.grid import Attribute, full_product
from jobpool.table.selection import select
from jobpool.task import Axis, Cause, Feedback, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool, an_experiment, shard_files
from tests.support.parts import a_split_pool, position_of, put
from tests.support.simulated import SimulatedWorker, a_mixed_pool

MIXED = Counts(waiting=7, returned=2, running=0, done=3, parked=0, held=0)


def alive(_: int) -> Life:
    return Life.ALIVE


def status_of(folder: Path, *by: str, only: tuple[str, ...] = ()) -> Status:
    pool = Pool(folder)
    chosen = select(pool.grid, only) if only else None
    return find_status(pool, chosen, by, judge=alive, now=time.time())


def counts_or_error(folder: Path) -> object:
    try:
        return status_of(folder).counts
    except DamagedStateError as error:
        return error.file


def a_pool_of_sites(folder: Path) -> Path:
    axes = (Axis(name="site", values=("north", "south")), Axis(name="seed", values=(1, 2, 3)))
    size = Attribute(name="beds", axis="site", values=(10, 10))
    grid = full_product(axes, (size,))
    create_pool(folder / "pool", an_experiment(folder, *axes), grid, lambda _: None, now=0)
    return folder / "pool"


def test_every_task_is_counted_in_the_state_it_is_in(fast_path: Path) -> None:
    folder = a_mixed_pool(a_pool(fast_path))
    SimulatedWorker(folder, 9).claim(2)

    counts = status_of(folder).counts

    assert counts == Counts(waiting=6, returned=2, running=1, done=3, parked=0, held=0)
    assert (counts.total, counts.remaining) == (10, 7)


def test_counts_by_axis_add_up_to_the_tasks_of_each_value(fast_path: Path) -> None:
    folder = a_pool_of_sites(fast_path)
    SimulatedWorker(folder).do(0, 1, 2)

    by_site = status_of(folder, "site").by[0]

    assert [(value, counts.total) for value, counts in by_site.values] == [
        ("north", 3),
        ("south", 3),
    ]
    assert sum(counts.done for _, counts in by_site.values) == 3


def test_tasks_are_counted_by_an_attribute_of_an_axis(fast_path: Path) -> None:
    folder = a_pool_of_sites(fast_path)

    by_beds = status_of(folder, "beds").by[0]

    assert [(value, counts.total) for value, counts in by_beds.values] == [(10, 6)]


def test_axes_with_many_values_are_shown_only_when_asked_for(fast_path: Path) -> None:
    folder = a_pool(fast_path, 13)

    assert status_of(folder).by == ()
    assert len(status_of(folder, "number").by[0].values) == 13


def test_a_selection_counts_only_what_it_selects(fast_path: Path) -> None:
    folder = a_pool_of_sites(fast_path)

    found = status_of(folder, only=("site=north",))

    assert found.counts.total == 3
    assert [value for value, _ in found.by[0].values] == ["north"]


def test_an_unknown_axis_is_answered_with_the_nearest_one(fast_path: Path) -> None:
    folder = a_pool_of_sites(fast_path)

    with pytest.raises(SelectionError, match=r"it has: site, seed, beds; did you mean 'site'\?"):
        status_of(folder, "sit")


def test_each_worker_that_holds_tasks_is_counted_once(fast_path: Path) -> None:
    folder = a_pool(fast_path)
    SimulatedWorker(folder, 1).claim(0)
    SimulatedWorker(folder, 1).claim(1)
    SimulatedWorker(folder, 2).claim(2)
    lives = {1: Life.ALIVE, 2: Life.DEAD}

    found = find_status(Pool(folder), None, (), judge=lives.__getitem__, now=time.time())

    assert found.workers == {Life.ALIVE: 1, Life.DEAD: 1, Life.UNKNOWN: 0}


def test_silent_workers_are_said_to_be_unresponsive(fast_path: Path) -> None:
    workers = {Life.ALIVE: 1, Life.DEAD: 2, Life.UNKNOWN: 1}
    found = replace(read_status(Pool(a_pool(fast_path))), workers=workers)

    assert "1 worker alive, 2 unresponsive (their tasks will be requeued), 1 unknown" in str(found)


def test_cores_of_jobs_that_nothing_uses_are_counted(fast_path: Path) -> None:
    folder = a_pool(fast_path)
    worker = SimulatedWorker(folder, 1)
    worker.claim(0)
    own_worker_record(started=1.0, cores=1, spare_cores=15).write(folder, worker.name)

    found = read_status(Pool(folder))

    assert found.idle_cores == 15
    assert "15 cores of running jobs idle, as the jobs did not ask for them: " in str(found)


def test_a_worker_of_this_host_whose_process_is_gone_looks_dead(
    fast_path: Path, jobpool: Jobpool
) -> None:
    folder = a_pool(fast_path)
    living, gone = SimulatedWorker(folder, 1), SimulatedWorker(folder, 2)
    living.claim(0)
    gone.claim(1)
    record = own_worker_record(started=1.0, cores=1)
    record.write(folder, living.name)
    replace(record, start_ticks=1).write(folder, gone.name)  # of an earlier process

    shown = json.loads(jobpool("status", folder, "--json").stdout)

    assert shown["workers"] == {"alive": 1, "dead": 1, "unknown": 0}


@pytest.mark.parametrize("offset", range(0, 384, 5))
def test_a_flipped_byte_never_gives_a_wrong_count(fast_path: Path, offset: int) -> None:
    folder = a_mixed_pool(a_pool(fast_path))
    (path,) = shard_files(folder)
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x21
    path.write_bytes(content)

    found = counts_or_error(folder)

    assert found in (MIXED, "state/00")


@pytest.mark.parametrize("size", [0, 3, 39, 45, 64, 300, 383])
def test_a_truncated_state_file_never_gives_a_wrong_count(fast_path: Path, size: int) -> None:
    folder = a_mixed_pool(a_pool(fast_path))
    (path,) = shard_files(folder)
    path.write_bytes(path.read_bytes()[:size])

    found = counts_or_error(folder)

    assert found == "state/00"


def test_a_zeroed_state_file_is_named(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_mixed_pool(a_pool(fast_path))
    (path,) = shard_files(folder)
    path.write_bytes(bytes(path.stat().st_size))

    shown = jobpool("status", folder)

    assert shown.returncode == Fault.POOL
    assert f"{path}: its head is damaged" in shown.stderr
    assert "doctor" in shown.stderr


def test_a_steady_rate_is_carried_on() -> None:
    each_second = 1000 * np.arange(1000, 1101)

    found = estimate(each_second, 50, working=True, now=1100.0)

    assert found.eta_s == pytest.approx(50, rel=0.05)


def test_a_night_without_workers_does_not_lower_the_rate() -> None:
    evening = 1000 * np.arange(0, 100)
    morning = 1000 * np.arange(40_000, 40_100)

    found = estimate(np.concatenate([evening, morning]), 60, working=True, now=40_100.0)

    assert found.eta_s == pytest.approx(60, rel=0.05)


def test_the_rate_falls_when_nothing_ends_any_more() -> None:
    each_second = 1000 * np.arange(1000, 1100)

    found = estimate(each_second, 100, working=True, now=1600.0)

    assert found.eta_s is not None
    assert found.eta_s > 500


@pytest.mark.parametrize("n_done", [0, 1, 2])
def test_nothing_is_foretold_from_too_few_ends(n_done: int) -> None:
    found = estimate(1000 * np.arange(n_done), 100, working=True, now=10.0)

    assert found.eta_s is None
    assert found.why_not == "too few tasks finished recently"


def test_nothing_is_foretold_while_no_worker_runs() -> None:
    found = estimate(1000 * np.arange(100), 100, working=False, now=100.0)

    assert found.why_not == "no worker is running"


def test_ends_of_last_month_say_nothing_about_the_present_rate() -> None:
    found = estimate(1000 * np.arange(100), 100, working=True, now=30 * 86400.0)

    assert found.eta_s is None


def test_ends_from_a_clock_that_is_ahead_give_no_negative_time() -> None:
    found = estimate(1000 * np.arange(100, 200), 100, working=True, now=150.0)

    assert found.eta_s is not None
    assert found.eta_s > 0


def test_a_finished_pool_has_no_time_left() -> None:
    found = estimate(np.array([1000]), 0, working=False, now=2.0)

    assert found.eta_s == 0


def end_short(folder: Path, position: int, cause: Cause, feedback: Feedback) -> None:
    worker = SimulatedWorker(folder)
    worker.pool.end(Ending(claim=worker.claim(position), cause=cause, feedback=feedback))


def test_tasks_that_are_superseded_are_not_counted(fast_path: Path) -> None:
    folder = a_split_pool(fast_path)

    found = status_of(folder, "site", "phase")

    assert (found.counts.total, found.counts.waiting) == (5, 5)
    assert [counts.total for _, counts in found.by[0].values] == [1, 1, 3]
    assert [(value, counts.total) for value, counts in found.by[1].values] == [
        ("all", 2),
        (1, 1),
        (2, 1),
        (3, 1),
    ]


def test_a_task_that_was_split_is_counted_by_its_parts(fast_path: Path) -> None:
    folder = a_split_pool(fast_path)
    SimulatedWorker(folder).fail(position_of(folder, "south"), Cause.TIME)

    found = status_of(folder, only=("site=south",))

    assert (found.counts.total, found.counts.waiting, found.counts.returned) == (3, 3, 0)


def test_the_part_axis_is_shown_only_where_something_is_in_parts(fast_path: Path) -> None:
    folder = a_split_pool(fast_path)

    assert [one.name for one in status_of(folder).by] == ["site", "phase"]
    assert [one.name for one in status_of(folder, only=("site!=west",)).by] == ["site"]


@pytest.mark.parametrize("cause", [Cause.MEMORY, Cause.TIME])
def test_a_task_that_lacked_something_counts_as_returned(fast_path: Path, cause: Cause) -> None:
    folder = a_pool(fast_path)

    end_short(folder, 2, cause, Feedback(memory_mb=4096))

    assert (status_of(folder).counts.returned, status_of(folder).counts.waiting) == (1, 10)


def test_tasks_that_wait_for_a_larger_worker_are_told_with_the_least_bounds(
    fast_path: Path,
) -> None:
    folder = a_pool(fast_path)
    end_short(folder, 1, Cause.MEMORY, Feedback(memory_mb=8192))
    end_short(folder, 2, Cause.MEMORY, Feedback(memory_mb=4096))
    end_short(folder, 3, Cause.TIME, Feedback(core_s=8192))

    found = status_of(folder).shortage

    assert found == Shortage(n_tasks=3, memory_mb=4096, core_s=8192)


def test_a_done_task_needs_no_larger_worker(fast_path: Path) -> None:
    folder = a_pool(fast_path)
    end_short(folder, 1, Cause.MEMORY, Feedback(memory_mb=8192))
    SimulatedWorker(folder).do(1)

    assert status_of(folder).shortage.n_tasks == 0


def test_each_kind_of_stuck_task_leads_to_its_next_step(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_pool(fast_path)
    end_short(folder, 1, Cause.MEMORY, Feedback(memory_mb=4096))
    put(folder, 2, state=TaskState.PARKED)
    put(folder, 3, state=TaskState.HELD)

    shown = jobpool("status", folder).stdout

    assert f"1 waiting task needs more than 4 GB: jobpool plan {folder}" in shown
    assert f"requeue the parked tasks: jobpool retry {folder}" in shown
    assert f"release the held tasks: jobpool release {folder}" in shown


def test_json_holds_the_counts_of_the_pool(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_mixed_pool(a_pool(fast_path))

    shown = json.loads(jobpool("status", folder, "--json", "--by", "number").stdout)

    assert (shown["done"], shown["returned"], shown["remaining"], shown["total"]) == (3, 2, 7, 10)
    assert [row["value"] for row in shown["by"]["number"]] == list(range(10))


def test_waiting_means_the_same_in_every_output(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_mixed_pool(a_pool(fast_path))  # two of seven tasks failed before

    text = jobpool("status", folder, "--by", "number").stdout
    status = json.loads(jobpool("status", folder, "--json", "--by", "number").stdout)
    plan = json.loads(jobpool("plan", folder, "--json").stdout)
    opened = jobpool_api.open(folder)

    assert "    waiting           7  2 of them failed and were requeued" in text.splitlines()
    assert [status["waiting"], plan["waiting"], opened.status().counts.waiting] == [7, 7, 7]
    assert sum(row["waiting"] for row in status["by"]["number"]) == 7
    assert [task.state for task in opened].count("waiting") == 7
    assert opened.why(Pool(folder).grid.id(1)).n_waiting == 7
    assert "7</b>&nbsp;waiting" in opened._repr_html_()


def test_a_lock_that_is_held_says_in_json_since_when(fast_path: Path) -> None:
    held = HeldLock(file="state/00", since=1.7e9, holder="process 7 on node1")
    found = replace(status_of(a_pool(fast_path)), held_locks=(held,))

    (shown,) = json.loads(status_json(found))["held_locks"]

    assert shown["since"] == "2023-11-14T22:13:20+00:00"


def test_a_terminal_without_unicode_gets_bars_of_plain_characters(fast_path: Path) -> None:
    folder = a_mixed_pool(a_pool(fast_path))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "jobpool", "status", str(folder)]

    shown = subprocess.run(command, capture_output=True, env=environment, check=True)

    assert b"#######......" in shown.stdout


def test_watching_ends_when_all_is_done(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_pool(fast_path, 2)
    SimulatedWorker(folder).do(0, 1)

    shown = jobpool("status", folder, "--watch", "--every", "10m")

    assert "nothing is left to do" in shown.stdout


def test_a_failed_task_leads_to_the_command_that_says_why(
    fast_path: Path, jobpool: Jobpool
) -> None:
    folder = a_pool(fast_path, 2)
    worker = SimulatedWorker(folder)
    worker.fail(0, Cause.MEMORY)

    shown = jobpool("status", folder)

    assert "1 of them failed" in shown.stdout
    assert f"jobpool errors {folder}" in shown.stdout


@pytest.mark.parametrize("words", [["status"], ["--help"]])
def test_a_quick_command_loads_no_heavy_library(fast_path: Path, words: list[str]) -> None:
    folder = a_pool(fast_path)
    program = (
        "import atexit, sys\n"
        "heavy = {'pandas', 'sklearn', 'scipy', 'matplotlib', 'pyarrow', 'joblib'}\n"
        "atexit.register(lambda: print(sorted(heavy & sys.modules.keys()), file=sys.stderr))\n"
        "from jobpool.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, *words, *[str(folder)][: words == ["status"]]]

    shown = subprocess.run(command, capture_output=True, text=True, check=True)

    assert shown.stderr.strip() == "[]"


def test_an_estimate_for_a_selection_knows_the_workers_outside_it(fast_path: Path) -> None:
    folder = a_pool_of_sites(fast_path)
    north = int(np.flatnonzero(select(Pool(folder).grid, ("site=north",)))[0])
    SimulatedWorker(folder).claim(north)

    found = status_of(folder, only=("site=south",))

    assert (found.counts.running, found.workers[Life.ALIVE]) == (0, 1)
    assert found.estimate.why_not == "too few tasks finished recently"
