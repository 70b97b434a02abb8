"""`jobpool why`: what one task waits for, in one line."""

import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jobpool.admin.create import create_pool
from jobpool.admin.transitions import hold
from jobpool.experiment.config import Pass
from jobpool.needs.learning import forecast_of, forecast_of_task
from jobpool.plan.why import Obstacle, explain
from jobpool.pool import Pool
from jobpool.table.grid import full_product, split_parts
from jobpool.table.selection import select
from jobpool.task import Axis, Cause, Feedback, TaskState, label
from tests.conftest import Jobpool
from tests.support.builders import a_pool, an_experiment
from tests.support.needs_study import HOUR_S, forecast
from tests.support.simulated import WORKER, claim, end_claim

SMALL = Pass(name="small", cores=1, memory_gb=4, walltime_s=3 * HOUR_S)
PASSES = """
passes:
  second: {cores: 4, memory_gb: 8, walltime: 2h}
  first: {cores: 1, memory_gb: 1, walltime: 1h, skip: ["number=7"]}
"""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = a_pool(tmp_path)
    with (folder / "experiment.yaml").open("a", encoding="utf-8") as file:
        file.write(PASSES)
    return folder


def why(jobpool: Jobpool, pool: Path, position: int) -> list[str]:
    """Return the lines that are printed of a task, the first of which names it."""
    shown = jobpool("why", pool, Pool(pool).grid.id(position))
    assert shown.returncode == 0, shown.stderr
    return [line.strip() for line in shown.stdout.splitlines()]


def test_a_fresh_task_waits_for_its_turn(pool: Path, jobpool: Jobpool) -> None:
    lines = why(jobpool, pool, 3)

    assert lines[0] == f"{Pool(pool).grid.id(3)}  {label(Pool(pool).grid.point(3))}"
    assert lines[1] == (
        "waits for its turn among 10 tasks: any worker of pass first can take it "
        f"(jobpool submit {pool} --pass first)"
    )
    assert lines[2:] == [
        "how long tasks take is not known yet",
        "pass first: can take it",
        "pass second: can take it",
    ]


def test_a_task_that_ran_out_of_memory_waits_for_more(pool: Path, jobpool: Jobpool) -> None:
    end_claim(pool, 3, Cause.MEMORY, Feedback(memory_mb=1024), error="killed by the kernel")

    lines = why(jobpool, pool, 3)

    assert lines[1].startswith("waits for a worker with more than 1 GB: one of pass second can")
    assert lines[2].startswith("1 attempt failed;")
    assert lines[3].startswith("last attempt: memory after 1 min 00 s, ")
    assert lines[3].endswith("on n1: killed by the kernel")
    assert "pass first: too small: has 1 GB, that was too little" in lines


def test_a_task_that_ran_out_of_time_waits_for_longer(pool: Path, jobpool: Jobpool) -> None:
    end_claim(pool, 3, Cause.TIME, Feedback(core_s=3500.0))

    lines = why(jobpool, pool, 3)

    assert "more than 57 min" in lines[1]
    assert "pass first: too short: has 1 x 1h of time, that was too little" in lines


def test_a_task_larger_than_every_pass_waits_for_a_plan(pool: Path, jobpool: Jobpool) -> None:
    end_claim(pool, 3, Cause.MEMORY, Feedback(memory_mb=9000))

    lines = why(jobpool, pool, 3)

    assert lines[1].startswith("waits for a worker with more than any pass has (more than 8.")
    assert lines[1].endswith(f"jobpool plan {pool}")


def test_a_pass_that_does_not_select_a_task_is_named(pool: Path, jobpool: Jobpool) -> None:
    (position,) = np.flatnonzero(select(Pool(pool).grid, ["number=7"]))

    lines = why(jobpool, pool, int(position))

    assert "pass first: does not select it" in lines


def test_what_others_took_says_how_long_a_task_will_run(pool: Path, jobpool: Jobpool) -> None:
    for position in (0, 1, 2, 4, 5):
        end_claim(pool, position)

    lines = why(jobpool, pool, 3)

    assert any(line.startswith("expected on one core: ") for line in lines)
    assert any(line.startswith("pass second: can take it: finishes there with") for line in lines)


@pytest.mark.parametrize("position", [3, 6, 7, 9])
def test_what_is_foreseen_of_one_task_is_that_among_all(pool: Path, position: int) -> None:
    for done in (0, 1, 2, 4, 5):
        end_claim(pool, done, seconds=60.0 + done)
    end_claim(pool, 6, Cause.MEMORY, Feedback(memory_mb=1024))
    end_claim(pool, 7, Cause.TIME, Feedback(core_s=3500.0))
    every = forecast_of(Pool(pool), time.time())

    one = forecast_of_task(Pool(pool), position, time.time())

    assert every is not None
    assert one is not None
    assert one.seconds(2, 0.9).tolist() == [every.seconds(2, 0.9)[position]]
    assert one.memory_mb(1, 0.1).tolist() == [every.memory_mb(1, 0.1)[position]]
    assert one.chance(1, 50.0, 500.0).tolist() == [every.chance(1, 50.0, 500.0)[position]]


def test_a_whole_task_is_foreseen_with_its_parts(tmp_path: Path) -> None:
    number = Axis(name="number", values=tuple(range(6)))
    part = Axis(name="part", values=("all", 0, 1))
    experiment = an_experiment(tmp_path / "study", number)
    grid = split_parts(full_product([number]), part, np.zeros(6, bool))
    create_pool(tmp_path / "pool", experiment, grid, lambda _: None, now=time.time())
    pool = Pool(tmp_path / "pool")
    *others, whole = np.flatnonzero(~pool.grid.parts.is_part).tolist()
    end_claim(pool.folder, others[0], seconds=50.0)
    end_claim(pool.folder, others[1], seconds=60.0)
    end_claim(pool.folder, others[2], seconds=70.0)
    end_claim(pool.folder, others[3], seconds=80.0)
    end_claim(pool.folder, others[4], seconds=90.0)
    every = forecast_of(pool, time.time())

    one = forecast_of_task(pool, whole, time.time())

    assert every is not None
    assert one is not None
    assert one.seconds(1).tolist() == every.seconds(1)[[whole, whole + 1, whole + 2]].tolist()


def test_a_task_that_runs_names_its_worker(pool: Path, jobpool: Jobpool) -> None:
    claim(pool, 3)

    lines = why(jobpool, pool, 3)

    assert lines[1].startswith("runs for ")
    assert lines[1].endswith(" by worker 000000000abc on n1, job 7_1")


def test_a_task_of_a_dead_worker_says_so(pool: Path, jobpool: Jobpool) -> None:
    claim(pool, 3)
    worker_record = pool / "workers" / "00" / f"{WORKER:012x}.json"
    os.utime(worker_record, (time.time() - 3600, time.time() - 3600))

    lines = why(jobpool, pool, 3)

    assert lines[1].endswith("that worker is dead: the task will be requeued")


def test_a_task_that_is_done_names_who_did_it(pool: Path, jobpool: Jobpool) -> None:
    end_claim(pool, 3)

    lines = why(jobpool, pool, 3)

    assert lines[1].startswith("done by worker 000000000abc on n1, job 7_1; its row is in:")
    assert len(lines) == 3


def test_a_parked_task_shows_its_error_beside_the_way_on(pool: Path, jobpool: Jobpool) -> None:
    for_ever = Feedback(error=77)
    end_claim(pool, 3, Cause.ERROR, for_ever, error="ValueError: no scans")
    end_claim(pool, 3, Cause.ERROR, for_ever, error="ValueError: no scans")
    end_claim(pool, 3, Cause.ERROR, for_ever, error="ValueError: no scans")

    lines = why(jobpool, pool, 3)

    task = Pool(pool).grid.id(3)
    assert lines[1] == (
        "parked: it ended with the same error 3 times in a row; when that is fixed: "
        f"jobpool retry {pool} {task}"
    )
    assert any(line.endswith("ValueError: no scans") for line in lines)


def test_a_held_task_names_the_command_that_lets_it_go(pool: Path, jobpool: Jobpool) -> None:
    hold(Pool(pool), np.arange(10) == 3)

    lines = why(jobpool, pool, 3)

    assert lines[1].startswith("held back by a person; to let it go: jobpool release")


def a_pool_of_parts(folder: Path) -> Path:
    """Make a pool of one whole task, split in two: its first part is done."""
    number, part = Axis(name="number", values=(0,)), Axis(name="part", values=("all", 0, 1))
    experiment = an_experiment(folder / "study", number)
    grid = split_parts(full_product([number]), part, np.zeros(1, bool))
    create_pool(folder / "pool", experiment, grid, lambda _: None, now=time.time())
    end_claim(folder / "pool", 0, Cause.TIME, Feedback(core_s=3500.0))
    end_claim(folder / "pool", 1)
    return folder / "pool"


def test_a_task_that_was_split_counts_its_parts(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_of_parts(tmp_path)

    lines = why(jobpool, pool, 0)

    assert lines[1] == ("too long as a whole: its parts stand for it, 1 of 2 are done (1 waiting)")


def test_a_pass_whose_workers_take_a_task_apart_is_told(tmp_path: Path) -> None:
    pool = Pool(a_pool_of_parts(tmp_path))
    known = forecast([20, 2, 2])

    found = explain(pool, 0, known, [SMALL], time.time())

    assert [one.obstacle for one in found.verdicts] == [Obstacle.WHOLE]


def test_a_pass_in_which_a_task_hardly_ends_is_told(tmp_path: Path) -> None:
    pool = Pool(a_pool_of_parts(tmp_path))
    known = forecast([20, 20, 2])

    found = explain(pool, 1, known, [SMALL], time.time())

    assert [one.obstacle for one in found.verdicts] == [Obstacle.CHANCE]


def test_a_dormant_part_names_the_task_that_stands_for_it(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_of_parts(tmp_path)
    whole = Pool(pool).grid.id(0)
    shard, slot = Pool(pool).locate(2)
    with shard.transaction() as transaction:
        transaction.put(slot, transaction.record(slot)._replace(state=TaskState.SUPERSEDED))

    lines = why(jobpool, pool, 2)

    assert lines[1].startswith(f"the whole task {whole} stands for this part, and is superseded")


def test_the_beginning_of_an_id_is_enough(pool: Path, jobpool: Jobpool) -> None:
    task = Pool(pool).grid.id(3)

    shown = jobpool("why", pool, task[:5].upper())

    assert shown.stdout.startswith(task)


def test_an_id_of_several_tasks_lists_them(pool: Path, jobpool: Jobpool) -> None:
    first = Counter(name[0] for name in Pool(pool).grid.ids()).most_common(1)[0][0]

    refused = jobpool("why", pool, first)

    assert refused.returncode == 1
    assert f"tasks whose id begins with '{first}'; give more of it: " in refused.stderr
    assert "(number=" in refused.stderr


def test_an_unknown_id_names_the_nearest(pool: Path, jobpool: Jobpool) -> None:
    task = Pool(pool).grid.id(3)

    refused = jobpool("why", pool, f"{task[:-1]}0")

    assert refused.returncode == 1
    assert f"nearest: {task}" in refused.stderr
