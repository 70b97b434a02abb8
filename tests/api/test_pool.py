"""Looking at a pool, and changing what its tasks wait for."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import jobpool as jp
from jobpool.execution.health import ExcludedNode, exclude_node
from jobpool.pool import Pool
from jobpool.task import Cause
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.evaluate_study import a_finished_study
from tests.support.simulated import SimulatedWorker


@pytest.fixture
def worked(fast_path: Path) -> Path:
    """Return a pool of 12 tasks: 5 done, 2 failed."""
    worker = SimulatedWorker(a_pool(fast_path, 12))
    place = {dict(worker.pool.grid.point(i))["number"]: i for i in range(12)}
    worker.do(*(place[number] for number in (0, 2, 4, 6, 8)))
    worker.fail(place[1], Cause.MEMORY)
    worker.fail(place[3], Cause.ERROR)
    return worker.pool.folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool of the runner evaluate with tasks that are done whole, and in parts."""
    return a_finished_study(tmp_path_factory.mktemp("study"))


def test_a_folder_that_is_no_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(jp.JobpoolError, match="not a pool; make one with: jobpool init"):
        jp.open(tmp_path)


def test_the_results_are_those_that_collect_writes(worked: Path, jobpool: Jobpool) -> None:
    file = worked.parent / "results.parquet"
    jobpool("collect", worked, "-o", file, "--only", "number<7")

    found = jp.open(worked).results(only="number<7")

    assert len(found) == 4
    assert_frame_equal(found, pd.read_parquet(file))


@pytest.mark.parametrize(("by", "long"), [("task", False), ("fold", False), ("fold", True)])
def test_the_results_by_part_are_those_that_collect_writes(
    study: Path, jobpool: Jobpool, tmp_path: Path, by: str, long: bool
) -> None:
    file = tmp_path / "results.parquet"
    jobpool("collect", study, "-o", file, "--by", by, *["--long"][: int(long)])

    assert_frame_equal(jp.open(study).results(by, long=long), pd.read_parquet(file))


def test_the_predictions_are_those_that_collect_writes(
    study: Path, jobpool: Jobpool, tmp_path: Path
) -> None:
    file = tmp_path / "predictions.parquet"
    jobpool("collect", study, "--predictions", file, "--only", "fold=0")

    found = jp.open(study).predictions(only="fold=0")

    assert len(found)
    # a file that grows does not say which of its two types for texts pandas had
    assert_frame_equal(found, pd.read_parquet(file), check_dtype=False)


def test_a_pool_without_predictions_is_refused(worked: Path) -> None:
    with pytest.raises(jp.RequestError, match="kept no predictions"):
        jp.open(worked).predictions()


def test_the_attempts_are_those_that_collect_writes(worked: Path, jobpool: Jobpool) -> None:
    file = worked.parent / "attempts.parquet"
    jobpool("collect", worked, "-o", file, "--attempts", "--skip", "number=0")

    found = jp.open(worked).attempts(skip="number=0")

    assert set(found["cause"]) == {"done", "memory", "error"}
    assert_frame_equal(found, pd.read_parquet(file))


def test_a_table_says_what_it_came_from(worked: Path) -> None:
    about = jp.open(worked).results(only={"number": [0, 2]}).attrs["jobpool"]

    assert (about["experiment"], about["only"], about["by"]) == ("test", ["number=0,2"], "task")


def test_a_result_that_is_gone_is_a_warning(worked: Path) -> None:
    SimulatedWorker(worked).results_file.unlink()

    with pytest.warns(UserWarning, match="5 tasks done without a result on disk") as caught:
        jp.open(worked).results()

    assert [one.filename for one in caught] == [__file__]


def test_the_status_prints_what_the_command_prints(worked: Path, jobpool: Jobpool) -> None:
    shown = jobpool("status", worked, PYTHONIOENCODING="utf-8")

    assert str(jp.open(worked).status()) == shown.stdout.rstrip("\n")


def test_the_status_counts_a_selection_by_an_axis(worked: Path) -> None:
    found = jp.open(worked).status("number", only=["number<4"])

    assert (found.counts.done, found.counts.returned, found.counts.total) == (2, 2, 4)
    assert [value for value, _ in found.by[0].values] == [0, 1, 2, 3]


def test_the_kinds_of_failure_are_a_table(worked: Path) -> None:
    found = jp.open(worked).errors()

    assert sorted(found["cause"]) == ["error", "memory"]
    assert found["n_tasks"].to_list() == [1, 1]


def test_the_kinds_of_failure_of_one_cause_are_a_table(worked: Path) -> None:
    pool = jp.open(worked)
    short = [task.id for task in pool if task.cause == "memory"]

    found = pool.errors(cause="memory")

    assert found["tasks"].to_list() == [tuple(short)]


def test_an_unknown_cause_is_refused(worked: Path) -> None:
    with pytest.raises(jp.SelectionError, match="did you mean 'memory'"):
        jp.open(worked).errors(cause="memori")


def test_tasks_come_in_the_order_of_the_axes(worked: Path) -> None:
    found = list(jp.open(worked))

    assert [task.point["number"] for task in found] == list(range(12))
    assert [task.state for task in found[:4]] == ["done", "waiting", "done", "waiting"]
    assert (found[1].cause, found[1].n_failed, found[0].n_failed) == ("memory", 1, 0)
    assert (found[0].worker, found[5].worker) == ("000000000001", None)


def test_the_cause_of_a_rerun_that_failed_is_told(worked: Path) -> None:
    pool, grid = jp.open(worked), Pool(worked).grid
    pool.rerun(only="number=0")
    position = [grid.point(place) for place in range(12)].index((("number", 0),))
    SimulatedWorker(worked, 2).fail(position, Cause.MEMORY)

    task = next(iter(pool))

    assert (task.point, task.state, task.cause) == ({"number": 0}, "waiting", "memory")


def test_dormant_parts_are_no_tasks(study: Path) -> None:
    pool = jp.open(study)

    assert len(list(pool)) == len(pool) == pool.status().counts.total


def test_a_task_that_is_held_can_be_released(worked: Path) -> None:
    pool = jp.open(worked)

    held = pool.hold(only={"number": [9, 10]})
    counted = pool.release(dry_run=True)
    released = pool.release()

    assert (held, counted, released) == (2, 2, 2)


def test_an_excluded_node_can_be_released(worked: Path) -> None:
    exclude_node(worked, ExcludedNode(node="node017", since=time.time(), why="they fail"))
    pool = jp.open(worked)

    counted = pool.release(node="node017", dry_run=True)
    released = [pool.release(node="node017"), pool.release(node="node017")]

    assert (counted, released) == (1, [1, 0])


def test_a_node_is_not_released_with_tasks(worked: Path) -> None:
    with pytest.raises(jp.RequestError, match="goes without tasks"):
        jp.open(worked).release(only="number=1", node="node017")


def test_a_task_can_be_held_by_its_id(worked: Path) -> None:
    pool = jp.open(worked)
    last = list(pool)[-1]

    pool.hold(last.id[:6])

    assert [task.id for task in pool if task.state == "held"] == [last.id]


def test_holding_nothing_in_particular_is_refused(worked: Path) -> None:
    with pytest.raises(jp.SelectionError, match="everything=True"):
        jp.open(worked).hold()


def test_failures_can_be_forgotten(worked: Path) -> None:
    pool = jp.open(worked)

    assert pool.retry(failed=True) == 2
    assert pool.status().counts.returned == 0


def test_what_a_pool_is_asked_leaves_the_umask_alone(worked: Path) -> None:
    before = os.umask(0o027)

    jp.open(worked).hold(everything=True)

    assert os.umask(before) == 0o027


def test_nothing_is_printed(worked: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pool = jp.open(worked)

    pool.status(), pool.results(), pool.errors(), pool.hold(everything=True), list(pool)

    assert capfd.readouterr() == ("", "")


def test_what_a_notebook_shows_escapes_values(tmp_path: Path) -> None:
    config = {
        "name": "<b>bold</b>",
        "runner": "function",
        "function": {"call": "tests.support.tasks:nothing"},
        "axes": {"site": ["<script>alert(1)</script>", "b & c"]},
    }

    shown = jp.init(config, tmp_path / "pool")._repr_html_()

    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "b &amp; c" in shown
    assert "<b>bold" not in shown


def test_what_a_notebook_shows_has_progress_by_axis(worked: Path) -> None:
    shown = jp.open(worked)._repr_html_()

    assert "41.6 %" in shown
    assert "<b>number</b>" in shown
    assert "<style" not in shown


def test_a_report_is_written(study: Path, tmp_path: Path) -> None:
    jp.open(study).report(tmp_path / "report.html", only={"pipeline": "elastic"})

    assert "pipeline=elastic" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_of_another_name_is_refused(worked: Path) -> None:
    with pytest.raises(jp.RequestError, match=r"write report\.html"):
        jp.open(worked).report("report.pdf")


def test_a_place_that_cannot_be_written_is_an_error_of_jobpool(
    worked: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(jp.AccessError, match="Not a directory"):
        jp.open(worked).report(tmp_path / "file" / "report.html")


def test_a_task_is_explained_as_the_command_explains_it(worked: Path, jobpool: Jobpool) -> None:
    pool = jp.open(worked)
    last = list(pool)[-1].id

    found = pool.why(last[:5])

    assert str(found) + "\n" == jobpool("why", worked, last).stdout
    assert found.task == last


def test_a_plan_prints_what_the_command_prints(worked: Path, jobpool: Jobpool) -> None:
    shown = jobpool("plan", worked, PATH="/nowhere")

    found = jp.open(worked).plan()

    assert found.backlog.n_waiting == 7
    assert str(found).partition("\n")[0] == shown.stdout.partition("\n")[0]


def test_a_submission_can_be_seen_before_it_is_made(fast_path: Path) -> None:
    config = {
        "runner": "function",
        "function": {"call": "tests.support.tasks:nothing"},
        "axes": {"number": range(4)},
        "passes": {"first": {"cores": 1, "memory_gb": 2, "walltime": "1h"}},
    }
    pool = jp.init(config, fast_path / "pool")

    found = pool.submit("first", 9, only="number<3", dry_run=True)

    assert "--array=0-2" in found.commands[0]
    assert "number<3" in found.commands[0]
    assert found.jobs == ()
    assert "only 3 tasks waiting: 3 jobs instead of 9" in found.notes


def test_a_pass_that_is_not_there_is_refused(worked: Path) -> None:
    with pytest.raises(jp.RequestError, match="no pass 'first'"):
        jp.open(worked).submit("first")


def test_a_result_counts_until_its_task_was_rerun(worked: Path, jobpool: Jobpool) -> None:
    pool, file = jp.open(worked), worked.parent / "results.parquet"

    moved = pool.rerun(only="number<3")

    jobpool("collect", worked, "-o", file)
    assert (moved, pool.status().counts.done) == (2, 3)
    assert_frame_equal(pool.results(), pd.read_parquet(file))
    assert len(pool.results(fresh=True)) == 3


def test_rerunning_nothing_in_particular_is_refused(worked: Path) -> None:
    with pytest.raises(jp.SelectionError, match="everything=True"):
        jp.open(worked).rerun()


def test_a_relative_folder_stays_that_of_the_folder_where_it_was_opened(
    fast_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, n_tasks in {"one": 2, "other": 3}.items():
        a_pool(fast_path / name, n_tasks)
    monkeypatch.chdir(fast_path / "one")
    pool = jp.open("pool")

    monkeypatch.chdir(fast_path / "other")

    assert len(pool) == 2
    assert repr(pool) == "Pool('pool')"


@pytest.mark.parametrize("number", [0, -1, 1.5, "2"])
@pytest.mark.parametrize("name", ["workers", "cores", "jobs", "jobs of the plan"])
def test_a_number_that_asks_for_nothing_is_refused(worked: Path, name: str, number: Any) -> None:
    pool = jp.open(worked)
    asks: dict[str, Callable[[], object]] = {
        "workers": lambda: pool.run(workers=number),
        "cores": lambda: pool.run(cores=number),
        "jobs": lambda: pool.submit(jobs=number, dry_run=True),
        "jobs of the plan": lambda: pool.plan(number),
    }

    with pytest.raises(jp.RequestError, match="must be a whole number of at least 1"):
        asks[name]()


def test_a_task_instead_of_its_id_is_refused(worked: Path) -> None:
    pool = jp.open(worked)
    task: Any = next(iter(pool))

    with pytest.raises(jp.RequestError, match=r"Task is no id; .* such as task\.id"):
        pool.hold(task)


def test_a_report_in_a_folder_that_is_not_there_is_refused(worked: Path, tmp_path: Path) -> None:
    with pytest.raises(jp.RequestError, match=r"no such folder: .*reports; make it first"):
        jp.open(worked).report(tmp_path / "reports" / "report.html")
