"""A rerun of tasks that can be split into parts, and of those that were."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.admin.transitions import rerun
from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.collect.collect import Collected, collect
from jobpool.collect.predictions import EVERYTHING, Wanted, write_predictions
from jobpool.pool import Ending, Pool
from jobpool.task import Cause, TaskState
from tests.support.parts import (
    WHOLE,
    Doses,
    a_pool_in_parts,
    do_part,
    do_whole,
    position_of,
    rows_of,
)
from tests.support.simulated import SimulatedWorker

OLD, NEW = 1, 2


@pytest.fixture
def folder(fast_path: Path) -> Path:
    """Return a pool whose north is done as a whole, whose south was done in parts."""
    pool = a_pool_in_parts(fast_path)
    worker = SimulatedWorker(pool, OLD)
    do_whole(worker)
    for phase in (1, 2, 3):
        do_part(worker, phase)
    return pool


def run_again(folder: Path, site: str, *phases: int | str) -> None:
    pool = Pool(folder, durable=False)
    places = [position_of(folder, site=site, phase=phase) for phase in phases]
    assert rerun(pool, np.isin(np.arange(len(pool.grid)), places)) == len(places)


def finish(folder: Path, site: str, *phases: int) -> None:
    worker = SimulatedWorker(folder, NEW)
    for phase in phases:
        claim = worker.claim(position_of(folder, site=site, phase=phase))
        worker.finish(claim, doses=[phase])


def split_north(folder: Path) -> None:
    """Let the whole task end for lack of time."""
    worker = SimulatedWorker(folder, NEW)
    claim = worker.claim(position_of(folder, site="north", phase="all"))
    worker.write_end(claim, Cause.TIME)
    worker.pool.end(Ending(claim=claim, cause=Cause.TIME))


def shown(folder: Path, by: str = "task", *, fresh: bool = False) -> list[tuple[object, ...]]:
    """Return site, phase, who made it (old 1, new 2), and whether it is to be replaced."""
    found: Collected = collect(Pool(folder), Doses(), by=by, fresh=fresh)
    assert found.lost == ()
    return [
        (
            *(row["site"], row["phase"]),
            {int(name, 16) for name in row["worker"].split()},
            row.get("rerun_pending", False),
        )
        for row in rows_of(found)
    ]


def findings_of(folder: Path, *, repair: bool = False) -> list[str]:
    context = RepairContext(is_alive=lambda _: False, server_time=1.0, repair=repair)
    return [finding.what for finding in check_pool(Pool(folder), context)]


def test_parts_of_a_split_task_are_rerun_one_by_one(folder: Path) -> None:
    run_again(folder, "south", 2)
    waiting = shown(folder, "phase")[3:]
    by_task = shown(folder)
    finish(folder, "south", 2)

    old, new = {OLD}, {NEW}
    assert waiting == [("south", 1, old, False), ("south", 2, old, True), ("south", 3, old, False)]
    assert by_task == [("north", "all", old, False), ("south", "all", old, True)]
    assert shown(folder) == [("north", "all", old, False), ("south", "all", {OLD, NEW}, False)]
    assert shown(folder, "phase")[4] == ("south", 2, new, False)
    assert findings_of(folder) == []


def test_a_set_with_a_part_under_rerun_is_incomplete_when_fresh(folder: Path) -> None:
    run_again(folder, "south", 2)

    found = collect(Pool(folder), Doses(), fresh=True)

    assert [(dict(one.point)["site"], one.missing) for one in found.incomplete] == [("south", (2,))]
    assert shown(folder, fresh=True) == [("north", "all", {OLD}, False)]


def test_a_whole_task_that_is_split_in_its_rerun_keeps_its_row_until_all_parts_are_done(
    folder: Path,
) -> None:
    run_again(folder, "north", "all")
    split_north(folder)
    finish(folder, "north", 1, 2)
    by_task, by_phase = shown(folder), shown(folder, "phase")
    fresh = shown(folder, "phase", fresh=True)
    found = findings_of(folder)
    finish(folder, "north", 3)

    old, new = {OLD}, {NEW}
    assert by_task[0] == ("north", "all", old, True)
    assert by_phase[:3] == [("north", phase, old, True) for phase in (1, 2, 3)]
    assert fresh[:2] == [("north", 1, new, False), ("north", 2, new, False)]
    assert shown(folder)[0] == ("north", "all", new, False)
    assert shown(folder, "phase")[:3] == [("north", phase, new, False) for phase in (1, 2, 3)]
    assert found == findings_of(folder) == []


def test_parts_of_a_task_that_was_split_in_its_rerun_are_rerun_without_the_first_result(
    folder: Path,
) -> None:
    run_again(folder, "north", "all")
    split_north(folder)
    finish(folder, "north", 1, 2, 3)
    run_again(folder, "north", 1, 2, 3)

    assert shown(folder)[0] == ("north", "all", {NEW}, True)
    assert findings_of(folder, repair=True) == []
    assert Pool(folder).record(position_of(folder, site="north", phase="all")).state is (
        TaskState.SUPERSEDED
    )


def end_north_late(folder: Path) -> None:
    """Let the whole task be done late, after one of its parts, which was then to be rerun."""
    late, other = SimulatedWorker(folder, OLD), SimulatedWorker(folder, NEW)
    claim = late.claim(position_of(folder, site="north", phase="all"))
    other.pool.take_back(claim.position, claim.fence, Cause.LOST)
    split_north(folder)
    finish(folder, "north", 1)
    run_again(folder, "north", 1)
    other.fail(position_of(folder, site="north", phase=2))
    assert not late.finish(claim, **WHOLE)
    findings_of(folder, repair=True)


def test_parts_tried_before_a_rerun_of_the_whole_begin_anew(fast_path: Path) -> None:
    folder = a_pool_in_parts(fast_path)
    end_north_late(folder)
    run_again(folder, "north", "all")
    waiting = findings_of(folder)
    split_north(folder)

    pool = Pool(folder)
    north = position_of(folder, site="north", phase="all")
    parts = [pool.record(part) for part in pool.grid.parts.of(north)]
    assert waiting == findings_of(folder) == []
    assert {(part.state, part.attempts, part.cause) for part in parts} == {
        (TaskState.WAITING, 0, None)
    }
    assert {part.accepted for part in parts} == {None}
    assert shown(folder) == [("north", "all", {OLD}, True)]


def test_parts_computed_before_a_rerun_of_the_whole_do_not_count_for_it(folder: Path) -> None:
    # the whole task was done late, after one of its parts
    pool = Pool(folder)
    north = position_of(folder, site="north", phase="all")
    run_again(folder, "north", "all")
    split_north(folder)
    finish(folder, "north", 1)
    record = pool.record(north)
    shard, slot = pool.locate(north)
    with shard.transaction() as transaction:  # as the doctor does with a result that came late
        transaction.restore(
            slot, record._replace(state=TaskState.DONE, cause=Cause.DONE, owner=NEW, accepted=None)
        )
        for part in pool.grid.parts.of(north):
            superseded = transaction.record(part - transaction.first)._replace(
                state=TaskState.SUPERSEDED
            )
            transaction.restore(part - transaction.first, superseded)
    run_again(folder, "north", "all")
    split_north(folder)

    findings_of(folder, repair=True)

    states = [Pool(folder).record(part).state for part in pool.grid.parts.of(north)]
    assert states == [TaskState.WAITING] * 3


@pytest.mark.parametrize("phase", ["all", 1, 2])
def test_damaged_records_of_a_split_task_under_rerun_are_made_again(
    folder: Path, phase: int | str
) -> None:
    run_again(folder, "north", "all")
    split_north(folder)
    finish(folder, "north", 1)
    before = shown(folder), shown(folder, "phase"), Pool(folder).counts()
    shard, slot = Pool(folder).locate(position_of(folder, site="north", phase=phase))
    content = bytearray(shard.path.read_bytes())
    content[shard.record_offset(slot) + 5] ^= 0x10
    shard.path.write_bytes(content)

    findings_of(folder, repair=True)

    assert (shown(folder), shown(folder, "phase"), Pool(folder).counts()) == before
    assert findings_of(folder) == []


def test_a_part_of_a_whole_that_is_done_is_no_task_to_rerun(folder: Path) -> None:
    pool = Pool(folder)
    chosen = np.arange(len(pool.grid)) == position_of(folder, site="north", phase=2)

    assert rerun(pool, chosen) == 0
    assert WHOLE["doses"] == [1, 2, 3]


def test_predictions_of_an_earlier_result_are_marked(folder: Path) -> None:
    run_again(folder, "south", 1)
    pool, file = Pool(folder), folder.parent / "predictions.csv"

    write_predictions(file, pool, Doses(), Doses(), EVERYTHING, {})
    marked = pd.read_csv(file).groupby(["site", "phase"])["rerun_pending"].any().to_dict()
    write_predictions(file, pool, Doses(), Doses(), Wanted(fresh=True), {})
    fresh = set(pd.read_csv(file).groupby(["site", "phase"]).groups)

    assert [pair for pair, is_earlier in marked.items() if is_earlier] == [("south", 1)]
    assert marked.keys() - fresh == {("south", 1)}
