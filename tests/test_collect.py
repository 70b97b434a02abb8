"""``jobpool collect``: one row per task, whatever happened on the way."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobpool.errors import DamagedStateError
from jobpool.grid import Attribute, Grid, full_product, split_parts
from jobpool.making import create_pool
from jobpool.pool import Pool
from jobpool.report.attempts import attempt_columns
from jobpool.report.collecting import Collected, collect
from jobpool.report.tables import to_frame, write_table
from jobpool.runners.base import RunContext
from jobpool.selection import select
from jobpool.task import Axis, Cause, Json, TaskState, Value
from tests.builders import a_pool, an_experiment, shard_files
from tests.conftest import Jobpool
from tests.cut_pool import put
from tests.simulated import SimulatedWorker

WHOLE = {"doses": [1, 2, 3]}


class Doses:
    """Gives one number per part; a whole task gives them all."""

    def lay_out(self) -> Grid:
        raise NotImplementedError

    def prepare(self, pool: Path) -> None:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError

    def run(self, point: Mapping[str, Value], context: RunContext) -> dict[str, Json]:
        raise NotImplementedError

    def merge(self, parts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
        doses: list[Json] = []
        for part in parts:
            found = part["doses"]
            assert isinstance(found, list)
            doses += found
        return {"doses": doses}

    def row(self, result: Mapping[str, Json]) -> dict[str, Value | None]:
        return {"doses": str(result["doses"])}


class Plain(Doses):
    """Makes the result itself the row."""

    def row(self, result: Mapping[str, Any]) -> dict[str, Value | None]:
        return dict(result)


def a_pool_in_parts(folder: Path) -> Path:
    """Make a pool of two sites; the tasks of the second are cut into three parts."""
    sites = Axis(name="site", values=("north", "south"))
    parts = Axis(name="phase", values=("all", 1, 2, 3))
    beds = Attribute(name="beds", axis="site", values=(10, 250))
    whole = full_product([sites], [beds])
    grid = split_parts(whole, parts, whole.column("site") == 1)
    create_pool(folder / "pool", an_experiment(folder, sites), grid, lambda _: None, now=0)
    return folder / "pool"


def position_of(folder: Path, **point: Value) -> int:
    grid = Pool(folder).grid
    return next(i for i in range(len(grid)) if dict(grid.point(i)) == point)


def do_part(worker: SimulatedWorker, phase: int) -> None:
    position = position_of(worker.pool.folder, site="south", phase=phase)
    worker.finish(worker.claim(position), doses=[phase])


def do_whole(worker: SimulatedWorker) -> None:
    position = position_of(worker.pool.folder, site="north", phase="all")
    worker.finish(worker.claim(position), **WHOLE)


def collected(folder: Path, *only: str, runner: Doses | None = None) -> Collected:
    pool = Pool(folder)
    return collect(pool, runner or Doses(), select(pool.grid, only) if only else None)


def rows_of(found: Collected) -> list[dict[str, object]]:
    return [
        dict(zip(found.columns, values, strict=True))
        for values in zip(*found.columns.values(), strict=True)
    ]


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


def cut_north(worker: SimulatedWorker) -> None:
    worker.fail(position_of(worker.pool.folder, site="north", phase="all"), Cause.TIME)


def do_north(worker: SimulatedWorker, phase: int) -> None:
    position = position_of(worker.pool.folder, site="north", phase=phase)
    worker.finish(worker.claim(position), doses=[phase])


def test_a_task_that_was_cut_gives_the_row_of_its_parts(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    cut_north(worker)
    do_north(worker, 2)
    do_north(worker, 1)
    do_north(worker, 3)

    found = collected(worker.pool.folder, "site=north")

    (row,) = rows_of(found)
    assert (row["site"], row["phase"], row["doses"]) == ("north", "all", "[1, 2, 3]")
    assert (found.incomplete, found.lost, found.n_strange) == ((), (), 0)


def test_a_task_that_was_cut_is_incomplete_until_all_parts_are_done(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    cut_north(worker)
    do_north(worker, 2)

    found = collected(worker.pool.folder, "site=north")

    assert found.n_rows == 0
    assert [str(one) for one in found.incomplete] == ["site=north: 2 of 3 parts missing: 1, 3"]


def test_a_task_that_was_not_cut_is_no_incomplete_set(fast_path: Path) -> None:
    folder = a_pool_in_parts(fast_path)

    assert collected(folder, "site=north").incomplete == ()


def test_a_whole_task_that_is_done_gives_its_row_whatever_its_parts_gave(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    cut_north(worker)
    do_north(worker, 1)
    put(worker.pool.folder, position_of_north(worker), state=TaskState.WAITING)
    do_whole(worker)

    found = collected(worker.pool.folder, "site=north")

    assert [row["doses"] for row in rows_of(found)] == ["[1, 2, 3]"]
    assert (found.incomplete, found.n_refused) == ((), 0)


def position_of_north(worker: SimulatedWorker) -> int:
    return position_of(worker.pool.folder, site="north", phase="all")


def test_rows_stand_in_the_order_of_the_axes(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 50))
    worker.do(*range(50))

    found = collected(worker.pool.folder, runner=Plain())

    assert list(found.columns["number"]) == list(range(50))


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

    assert sorted(zip(found.columns["a"], found.columns["b"], strict=True), key=str) == [
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


def test_a_done_task_without_a_result_is_named_aloud(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3)
    worker.results_file.unlink()

    shown = jobpool("collect", worker.pool.folder)

    assert shown.returncode == 1
    assert f"1 task done without a result on disk: {worker.pool.grid.id(3)}" in shown.stderr
    assert "jobpool doctor" in shown.stderr


def test_a_damaged_line_is_named_aloud(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3, 4)
    with worker.results_file.open("ab") as stream:
        stream.write(b'{"format":1,"ta')

    shown = jobpool("collect", worker.pool.folder)

    assert shown.returncode == 0
    assert f"1 damaged line left out: {worker.results_file} line 3" in shown.stderr


@pytest.mark.parametrize(("suffix", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet)])
def test_the_file_holds_every_row(
    fast_path: Path, jobpool: Jobpool, suffix: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 30))
    worker.do(*range(0, 30, 2))
    file = fast_path / f"results{suffix}"

    shown = jobpool("collect", worker.pool.folder, "-o", file)
    table = read(file)

    assert shown.returncode == 0
    assert len(table) == table["task"].nunique() == 15
    assert set(table["task"]) == {worker.pool.grid.id(i) for i in range(0, 30, 2)}


def test_incomplete_sets_are_told_with_exit_code_zero(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 2)
    file = fast_path / "incomplete.csv"

    shown = jobpool("collect", worker.pool.folder, "--incomplete", file)

    assert shown.returncode == 0
    assert "site=south: 2 of 3 parts missing: 1, 3" in shown.stderr
    assert file.read_text(encoding="utf-8").splitlines() == [
        "site,n_parts,missing",
        'south,3,"1, 3"',
    ]


def test_an_unknown_suffix_is_refused_before_any_work(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("collect", fast_path / "no-pool", "-o", fast_path / "results.xls")

    assert shown.returncode == 2
    assert "write .csv or .parquet" in " ".join(shown.stderr.split())


def test_a_missing_folder_is_refused_before_any_work(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("collect", fast_path / "no-pool", "-o", fast_path / "none" / "results.csv")

    assert shown.returncode == 2
    assert "no such folder" in shown.stderr


def test_without_a_file_the_first_rows_are_shown(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 25))
    worker.do(*range(25))

    shown = jobpool("collect", worker.pool.folder).stdout.splitlines()

    assert shown[0].split()[:3] == ["task", "number", "value"]
    assert len(shown) == 22
    assert shown[-1].startswith("... 25 rows of ")


def test_an_empty_pool_gives_an_empty_file(fast_path: Path, jobpool: Jobpool) -> None:
    file = fast_path / "results.csv"

    shown = jobpool("collect", a_pool(fast_path), "-o", file)

    assert shown.returncode == 0
    assert file.read_text(encoding="utf-8").strip() == ""


def test_whole_numbers_stay_whole_where_some_are_missing(fast_path: Path) -> None:
    file = fast_path / "table.csv"

    write_table(file, {"n": [1, None], "flag": [True, None], "x": [1, 0.5]})

    assert file.read_text(encoding="utf-8") == "n,flag,x\n1,True,1.0\n,,0.5\n"


def test_a_column_of_texts_among_numbers_becomes_text(fast_path: Path) -> None:
    file = fast_path / "table.parquet"

    write_table(file, {"part": ["all", 0, None]})

    assert pd.read_parquet(file)["part"].tolist()[:2] == ["all", "0"]


def test_a_whole_number_beyond_64_bits_is_kept_as_a_fraction() -> None:
    frame = to_frame({"n": [2**70, 1]})

    assert frame["n"].tolist() == [2.0**70, 1.0]


def test_attempts_give_one_row_each(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    worker.fail(0, Cause.MEMORY)
    worker.do(0)

    columns = attempt_columns(worker.pool)

    assert columns["cause"] == ["memory", "done"]
    assert columns["fence"] == [1, 2]
    assert columns["seconds"] == [10.0, 10.0]
    assert columns["number"] == [dict(worker.pool.grid.point(0))["number"]] * 2


def test_attempts_keep_to_a_selection(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.do(0, 1, 2)
    file = fast_path / "attempts.csv"

    jobpool("collect", worker.pool.folder, "--attempts", "--only", "number=1", "-o", file)

    assert pd.read_csv(file)["number"].tolist() == [1]
