"""``collect``: one row per task or part, whatever happened on the way."""

from pathlib import Path

import pandas as pd
import pytest

from jobpool.collect import accepted
from jobpool.collect.collect import worth_starting
from jobpool.errors import DamagedStateError, RequestError
from jobpool.task import Cause, TaskState
from tests.support.builders import a_pool, shard_files
from tests.support.parts import (
    Plain,
    a_pool_in_parts,
    collected,
    do_north,
    do_part,
    do_whole,
    finish_with,
    position_of,
    position_of_north,
    put,
    rows_of,
    split_north,
)
from tests.support.simulated import BEGAN, SimulatedWorker


def test_two_workers_that_finish_the_same_task_give_the_row_that_counts(fast_path: Path) -> None:
    folder = a_pool(fast_path)
    slow, quick = SimulatedWorker(folder, 1), SimulatedWorker(folder, 2)
    claim = slow.claim(3)
    slow.pool.take_back(3, claim.fence, Cause.LOST)
    quick.finish(quick.claim(3), value="counts")
    slow.finish(claim, value="came too late")

    found = collected(folder, runner=Plain())

    assert [(row["value"], row["worker"]) for row in rows_of(found)] == [("counts", quick.name)]
    assert found.n_refused == 1


def test_a_result_in_a_file_that_is_not_listed_yet_is_found(
    fast_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3)
    monkeypatch.setattr(accepted, "worker_files", lambda *_: [])  # as NFS, for half a minute

    found = collected(worker.pool.folder, runner=Plain())

    assert (found.n_rows, found.lost) == (1, ())


def test_a_result_written_twice_gives_one_row(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    claim = worker.claim(3)
    worker.write_result(claim)
    worker.finish(claim)

    found = collected(worker.pool.folder, runner=Plain())

    assert found.n_rows == 1


def test_a_result_that_the_pool_did_not_accept_yet_gives_no_row(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.write_result(worker.claim(3))

    found = collected(worker.pool.folder, runner=Plain())

    assert (found.n_rows, found.lost) == (0, ())


def test_parts_give_the_row_that_the_whole_task_gives(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 3)
    do_part(worker, 1)
    do_part(worker, 2)

    whole, merged = rows_of(collected(worker.pool.folder))

    assert (whole["site"], merged["site"]) == ("north", "south")
    assert (whole["beds"], merged["beds"]) == (10, 250)
    assert [whole[name] for name in ("phase", "doses", "worker", "failed_attempts")] == [
        merged[name] for name in ("phase", "doses", "worker", "failed_attempts")
    ]


def test_the_seconds_of_parts_add_up(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_part(worker, 1)
    do_part(worker, 2)
    do_part(worker, 3)

    (row,) = rows_of(collected(worker.pool.folder))

    assert row["task_seconds"] == 30


def test_all_workers_of_a_set_are_named_once(fast_path: Path) -> None:
    folder = a_pool_in_parts(fast_path)
    first, second = SimulatedWorker(folder, 1), SimulatedWorker(folder, 2)
    do_part(first, 1)
    do_part(second, 2)
    do_part(first, 3)

    (row,) = rows_of(collected(folder))

    assert row["worker"] == f"{first.name} {second.name}"


def test_an_incomplete_set_is_named_with_what_is_missing(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 2)

    found = collected(worker.pool.folder)

    assert found.n_rows == 1
    assert [str(one) for one in found.incomplete] == ["site=south: 2 of 3 parts missing: 1, 3"]


def test_a_set_that_is_not_selected_is_not_called_incomplete(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)

    found = collected(worker.pool.folder, "site=north")

    assert (found.n_rows, found.incomplete) == (1, ())


def test_a_part_that_is_not_selected_counts_as_missing(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_part(worker, 1)
    do_part(worker, 2)
    do_part(worker, 3)

    found = collected(worker.pool.folder, "phase=1,2")

    assert found.n_rows == 0
    assert found.incomplete[0].missing == (3,)


def test_a_task_that_was_split_gives_the_row_of_its_parts(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    split_north(worker)
    do_north(worker, 2)
    do_north(worker, 1)
    do_north(worker, 3)

    found = collected(worker.pool.folder, "site=north")

    (row,) = rows_of(found)
    assert (row["site"], row["phase"], row["doses"]) == ("north", "all", "[1, 2, 3]")
    assert (found.incomplete, found.lost, found.n_strange) == ((), (), 0)


def test_a_task_that_was_split_is_incomplete_until_all_parts_are_done(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    split_north(worker)
    do_north(worker, 2)

    found = collected(worker.pool.folder, "site=north")

    assert found.n_rows == 0
    assert [str(one) for one in found.incomplete] == ["site=north: 2 of 3 parts missing: 1, 3"]


def test_a_task_that_was_not_split_is_no_incomplete_set(fast_path: Path) -> None:
    folder = a_pool_in_parts(fast_path)

    assert collected(folder, "site=north").incomplete == ()


def test_a_whole_task_that_is_done_gives_its_row_whatever_its_parts_gave(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    split_north(worker)
    do_north(worker, 1)
    put(worker.pool.folder, position_of_north(worker), state=TaskState.WAITING)
    do_whole(worker)

    found = collected(worker.pool.folder, "site=north")

    assert [row["doses"] for row in rows_of(found)] == ["[1, 2, 3]"]
    assert (found.incomplete, found.n_refused) == ((), 0)


def test_rows_stand_in_the_order_of_the_axes(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 50))
    worker.do(*range(50))

    found = collected(worker.pool.folder, runner=Plain())

    assert found.frame["number"].tolist() == list(range(50))


def test_a_result_named_like_an_axis_keeps_a_column_of_its_own(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.finish(worker.claim(0), number=77, worker="me")

    (row,) = rows_of(collected(worker.pool.folder, runner=Plain()))

    assert (row["number"], row["result_number"], row["result_worker"]) == (0, 77, "me")


def test_a_row_lacks_what_its_result_lacks(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    worker.finish(worker.claim(0), a=1)
    worker.finish(worker.claim(1), b=2)

    found = collected(worker.pool.folder, runner=Plain())

    assert sorted(((row["a"], row["b"]) for row in rows_of(found)), key=str) == [
        (1, None),
        (None, 2),
    ]


def test_failed_attempts_are_counted_in_the_row(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.fail(0)
    worker.fail(0)
    worker.do(0)

    (row,) = rows_of(collected(worker.pool.folder, runner=Plain()))

    assert row["failed_attempts"] == 2


def test_a_damaged_state_file_gives_no_table(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3)
    (path,) = shard_files(worker.pool.folder)
    content = bytearray(path.read_bytes())
    content[64 + 3 * 32] ^= 1
    path.write_bytes(content)

    with pytest.raises(DamagedStateError, match="state/00"):
        collected(worker.pool.folder)


def test_a_whole_task_gives_the_same_rows_by_part_as_its_parts(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 3)
    do_part(worker, 1)
    do_part(worker, 2)

    frame = collected(worker.pool.folder, by="phase").frame

    assert frame["site"].tolist() == ["north"] * 3 + ["south"] * 3
    assert frame["phase"].tolist() == [1, 2, 3] * 2
    assert frame["dose"].tolist() == [0.5, 1.0, 1.5] * 2


def test_rows_by_part_name_the_task_that_they_belong_to(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_part(worker, 1)
    do_part(worker, 2)
    do_part(worker, 3)

    by_part = collected(worker.pool.folder, by="phase").frame

    (whole,) = collected(worker.pool.folder).frame["task"]
    assert by_part["task"].tolist() == [whole] * 3


def test_by_part_an_incomplete_set_gives_the_rows_that_are_there(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_part(worker, 2)

    found = collected(worker.pool.folder, by="phase")

    assert found.frame["dose"].tolist() == [1.0]
    assert [str(one) for one in found.incomplete] == ["site=south: 2 of 3 parts missing: 1, 3"]


def test_a_selection_of_parts_chooses_these_of_a_whole_task_too(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 1)
    do_part(worker, 2)

    found = collected(worker.pool.folder, "phase=2", by="phase")

    assert found.frame[["site", "dose"]].to_numpy().tolist() == [["north", 1.0], ["south", 1.0]]
    assert found.incomplete == ()


def test_parts_that_a_pool_does_not_have_are_refused(fast_path: Path) -> None:
    folder = a_pool_in_parts(fast_path)

    with pytest.raises(RequestError, match="by 'site'; write one of: task, phase"):
        collected(folder, by="site")


def test_two_processes_give_the_table_of_one(fast_path: Path) -> None:
    folder = a_pool_in_parts(fast_path)
    workers = [SimulatedWorker(folder, number) for number in (1, 2, 3)]
    do_whole(workers[0])
    do_part(workers[1], 1)
    do_part(workers[2], 2)
    do_part(workers[1], 3)

    several = collected(folder, processes=2)

    pd.testing.assert_frame_equal(several.frame, collected(folder).frame)
    assert (several.n_rows, several.incomplete, several.lost) == (2, (), ())


def test_a_small_pool_is_read_by_one_process(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(1, 2, 3)

    assert worth_starting(worker.pool.folder, cores=64) == 1


def test_the_long_form_has_one_row_per_score(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    worker.finish(worker.claim(0), a=0.5, b=1.5, c="no")
    worker.finish(worker.claim(1), a=2.5, n=3)

    long = collected(worker.pool.folder, runner=Plain()).long()

    assert long.columns.tolist() == ["task", "number", "metric", "score"]
    assert long[["number", "metric", "score"]].to_numpy().tolist() == [
        [0, "a", 0.5],
        [1, "a", 2.5],
        [0, "b", 1.5],
    ]


def test_memory_with_cores_are_those_of_the_attempt_that_gave_the_result(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    part = position_of(worker.pool.folder, site="south", phase=1)
    worker.fail(part)  # with 100 MB
    finish_with(worker, part, 41.5, 4)

    (row,) = rows_of(collected(worker.pool.folder, by="phase"))

    assert (row["peak_memory_mb"], row["cores"]) == (41.5, 4)


def test_of_several_parts_the_largest_memory_counts(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    parts = [position_of(worker.pool.folder, site="south", phase=phase) for phase in (1, 2, 3)]
    finish_with(worker, parts[0], 10.0, 1)
    finish_with(worker, parts[1], 30.0, 2)
    finish_with(worker, parts[2], 20.0, 1)

    (row,) = rows_of(collected(worker.pool.folder))

    assert (row["peak_memory_mb"], row["cores"]) == (30.0, 2)
    assert row["ended"].timestamp() == BEGAN + 10


def test_memory_is_missing_where_the_attempt_left_no_record(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    claim = worker.claim(0)
    worker.write_result(claim)
    worker.end(claim, Cause.DONE)

    (row,) = rows_of(collected(worker.pool.folder, runner=Plain()))

    assert (row["peak_memory_mb"], row["cores"], row["task_seconds"]) == (None, None, 10.0)


def test_a_score_that_is_no_number_stays_missing(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    worker.finish(worker.claim(0), a=float("nan"))
    worker.finish(worker.claim(1), a=0.5)

    found = collected(worker.pool.folder, runner=Plain())

    assert sorted(found.frame["a"].dropna()) == [0.5]
    assert found.n_rows == 2
