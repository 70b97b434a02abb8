"""The time left counts what workers that run can take, and says what they cannot."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobpool.journal.workers import WorkerRecord, own_worker_record
from jobpool.overview.status import read_status, status_json, status_text
from jobpool.overview.time_left import beyond_all, ends_s, estimate
from jobpool.pool import Ending, Pool
from jobpool.table.grid import full_product
from jobpool.table.records import code_of
from jobpool.task import Axis, Cause, Feedback
from tests.support.builders import a_pool
from tests.support.simulated import SimulatedWorker

NOW = 1_700_000_000.0
GRID = full_product([Axis(name="number", values=tuple(range(4)))])
SMALL = WorkerRecord(host="n1", pid=1, started=NOW, end=NOW + 3600, cores=1, memory_mb=4096)
LARGE = replace(SMALL, cores=16, memory_mb=65536, end=NOW + 36_000)


def bounded(*, gb: Sequence[float] = (), core_s: Sequence[float] = ()) -> np.ndarray:
    bounds = np.zeros(len(GRID), np.uint32)
    bounds[: len(gb)] = [code_of(one * 1024) for one in gb]
    bounds[: len(core_s)] += np.array([code_of(one) << 8 for one in core_s], np.uint32)
    return bounds


def beyond(
    *living: WorkerRecord | None, bounds: np.ndarray | None = None, now: float = NOW
) -> list[int]:
    waiting = np.ones(len(GRID), bool)
    bounds = np.zeros(len(GRID), np.uint32) if bounds is None else bounds
    return np.flatnonzero(beyond_all(GRID, waiting, bounds, living, now)).tolist()


def test_any_worker_takes_a_task_without_bounds() -> None:
    assert beyond(SMALL) == []


@pytest.mark.parametrize("bounds", [bounded(gb=[4]), bounded(core_s=[3600])])
def test_what_was_too_large_for_as_large_a_worker_is_beyond_it(bounds: np.ndarray) -> None:
    assert beyond(SMALL, bounds=bounds) == [0]
    assert beyond(SMALL, LARGE, bounds=bounds) == []


def test_a_worker_near_its_end_takes_nothing_long() -> None:
    bounds = bounded(core_s=[600, 60])

    assert beyond(SMALL, bounds=bounds, now=NOW + 3000) == [0]
    assert beyond(SMALL, bounds=bounds, now=NOW + 3590) == [0, 1, 2, 3]


def test_what_no_worker_selects_is_beyond_all() -> None:
    first, second = replace(SMALL, only=("number=0",)), replace(SMALL, skip=("number>=2",))

    assert beyond(first) == [1, 2, 3]
    assert beyond(first, second) == [2, 3]


def test_a_selection_that_fits_the_pool_no_more_excludes_nothing() -> None:
    assert beyond(replace(SMALL, only=("colour=red",))) == []


def test_a_worker_of_which_nothing_is_known_may_take_everything() -> None:
    assert beyond(SMALL, None, bounds=bounded(gb=[100])) == []


def test_tasks_beyond_all_workers_do_not_count_in_the_time_left() -> None:
    each_second = 1000 * np.arange(100, 160)

    found = estimate(each_second, 99, working=True, now=160.0, beyond=40)

    assert found.eta_s == pytest.approx(60)
    assert str(found).startswith("about 1 min 00 s left, at 3,540 per hour in the last 1 min 00 s")
    assert str(found).endswith("; 40 tasks wait for other workers")


def test_jobs_that_end_before_are_named() -> None:
    each_second = 1000 * np.arange(100, 160)
    found = estimate(each_second, 6000, working=True, now=160.0)

    ends = ends_s([SMALL, replace(SMALL, end=NOW + 1920)], NOW)

    assert ends == 3480
    assert "but the jobs that run end in 58 min" in str(replace(found, ends_s=ends))


@pytest.mark.parametrize("living", [[SMALL, None], [replace(SMALL, end=None)], []])
def test_an_end_that_is_not_known_is_not_named(living: list[WorkerRecord | None]) -> None:
    assert ends_s(living, NOW) is None


def test_status_says_what_no_worker_that_runs_can_take(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 60)
    done, small = SimulatedWorker(folder, 1), SimulatedWorker(folder, 2)
    done.do(*range(50))
    claim = small.claim(50)
    small.pool.end(Ending(claim=claim, cause=Cause.MEMORY, feedback=Feedback(memory_mb=8192)))
    own_worker_record(started=0.0, cores=1, memory_mb=4096).write(folder, small.name)
    small.claim(51)

    found = read_status(Pool(folder))

    assert found.estimate.beyond == 1
    assert "; 1 task waits for other workers" in status_text(found)
    assert f"no worker that runs now can take 1 task: jobpool plan {folder}" in status_text(found)
    assert json.loads(status_json(found))["beyond_workers"] == 1
