"""What the report of a pool says: progress, cost, workers, what needs attention, results."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from jobpool.admin.transitions import choose, rerun
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.pool import Pool
from jobpool.report.parts import DataTable, Report, counting
from jobpool.report.timeline import covered
from jobpool.task import Cause
from tests.support.builders import a_pool
from tests.support.report_pages import (
    EVIL,
    a_full_pool,
    drawn,
    figures_of,
    in_order,
    names_of,
    pool_report,
    rows_of,
    section_of,
    table_of,
)
from tests.support.simulated import BEGAN, SimulatedWorker

CORE_HOURS = 10 / 3600  # of a simulated attempt: 10 s on a worker of unknown cores


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_full_pool(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def report(full: Path) -> Report:
    return pool_report(full).report


def column_of(table: DataTable, name: str) -> list[object]:
    values: list[object] = table.frame[name].tolist()
    return values


def costs_of(report: Report) -> dict[object, float]:
    """Return core-hours by outcome, in units of one simulated attempt."""
    rows = rows_of(table_of(report, "costs"))
    return {row["outcome"]: round(row["core-hours"] / CORE_HOURS, 6) for row in rows}


def test_a_pool_of_any_axes_has_these_sections(report: Report) -> None:
    names = ["progress", "attention", "averages", "costs", "workers", "all-results"]

    assert names_of(report.sections) == names


def test_an_empty_pool_has_a_report(fast_path: Path) -> None:
    report = pool_report(a_pool(fast_path)).report

    assert names_of(report.sections) == ["progress", "attention", "costs", "all-results"]


def test_states_are_counted_by_axis_value(report: Report) -> None:
    table = table_of(report, "progress-0")

    assert column_of(table, "site") == ["oslo", EVIL, "lima"]
    assert column_of(table, "tasks done") == [12, 12, 4]
    assert column_of(table, "tasks parked") == [0, 0, 1]
    assert column_of(table, "tasks running") == [0, 0, 1]
    assert column_of(table, "tasks waiting") == [0, 0, 6]
    assert column_of(table, "done in %") == [100.0, 100.0, 33.3]


def test_incomplete_cells_are_named(report: Report) -> None:
    table = table_of(report, "cells")

    states = column_of(table, "state")

    assert (states.count("complete"), states.count("incomplete: 1 missing")) == (28, 8)
    assert table.note == "8 cells of 36 not complete."


def test_a_pool_that_is_done_says_so(report: Report) -> None:
    shown = {tile.label: (tile.value, tile.detail) for tile in report.tiles}

    assert shown["tasks done"] == ("77.7 %", "28 of 36")
    assert shown["left"] == ("7", "1 running, 6 waiting")
    assert shown["need attention"] == ("2", "parked, or result lost")


def test_core_hours_are_grouped_by_outcome(report: Report) -> None:
    found = costs_of(report)

    assert (found["useful"], found["error"], found["memory"]) == (27, 3, 1)


def test_a_running_task_costs_until_now(full: Path, report: Report) -> None:
    (_, record), *_ = Pool(full).running()

    assert costs_of(report)["running"] == pytest.approx(
        2 * max(BEGAN + 100 - record.changed_ms / 1000, 0) / 10
    )


def test_a_result_that_does_not_count_was_done_again(fast_path: Path) -> None:
    folder = a_pool(fast_path)
    slow, quick = SimulatedWorker(folder, 1), SimulatedWorker(folder, 2)
    claim = slow.claim(3)
    slow.pool.take_back(3, claim.fence, Cause.LOST)
    quick.finish(quick.claim(3))
    slow.finish(claim)

    found = costs_of(pool_report(folder).report)

    assert found == {"useful": 1, "done again": 1}


def test_an_attempt_of_unknown_length_is_counted_as_such(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    claim = worker.claim(3)
    lost = Attempt(
        task=claim.id,
        fence=claim.fence,
        worker=worker.name,
        cause=Cause.LOST,
        started=None,
        ended=BEGAN,
    )
    write_attempt(worker.pool.folder, lost)

    section = section_of(pool_report(worker.pool.folder).report, "costs")

    assert section.notes == ("1 attempt of unknown duration counts as zero.",)


def test_cores_multiply_the_cost(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    claim = worker.claim(3)
    write_attempt(
        worker.pool.folder,
        Attempt(
            task=claim.id,
            fence=claim.fence,
            worker=worker.name,
            cause=Cause.TIME,
            started=BEGAN,
            ended=BEGAN + 10,
            cores=16,
        ),
    )
    worker.end(claim, Cause.TIME)

    assert costs_of(pool_report(worker.pool.folder).report) == {"time": 16}


def test_a_selection_is_reported_alone(full: Path) -> None:
    report = pool_report(full, "site=lima").report

    assert column_of(table_of(report, "progress-1"), "tasks") == [1] * 12
    assert len(table_of(report, "results").frame) == 3
    assert costs_of(report)["useful"] == 3


def test_a_parked_task_is_listed_with_its_error(report: Report) -> None:
    rows = {row["what"]: row for row in rows_of(table_of(report, "stuck"))}

    parked = rows["parked"]

    assert (parked["site"], parked["seed"], parked["last cause"]) == ("lima", "4", "error")
    assert parked["last error"] == f"ValueError: {EVIL}"


def test_a_lost_result_is_listed(full: Path, report: Report) -> None:
    rows = {row["what"]: row for row in rows_of(table_of(report, "stuck"))}

    assert rows["its result is lost"]["task"] == Pool(full).grid.id(in_order(full)[27])
    assert report.warnings == ("1 task done without a result on disk. Run: jobpool doctor",)


def test_failures_are_grouped(report: Report) -> None:
    rows = rows_of(table_of(report, "failures"))

    assert [(row["cause"], row["attempts"], row["parked"]) for row in rows] == [
        ("error", 3, 1),
        ("memory", 1, 0),
    ]


def test_results_are_averaged_over_the_other_axes(report: Report) -> None:
    rows = rows_of(table_of(report, "averages-0"))

    assert [row["site"] for row in rows] == ["oslo", EVIL, "lima"]
    assert [row["results"] for row in rows] == [12, 12, 3]
    assert rows[0]["score mean"] == pytest.approx(np.mean(np.arange(12)) / 10)


def test_every_row_of_the_results_has_its_task(full: Path, report: Report) -> None:
    ids = [Pool(full).grid.id(place) for place in in_order(full)]

    assert column_of(table_of(report, "results"), "task") == ids[:27]


def test_workers_are_listed_with_their_work(report: Report) -> None:
    rows = rows_of(table_of(report, "workers-table"))

    assert sorted(row["attempts"] for row in rows) == [14, 18]


def test_like_attempts_one_after_the_other_become_one_bar(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(1, 2, 3)

    (row,) = rows_of(table_of(pool_report(worker.pool.folder).report, "gantt"))

    assert (row["attempts"], row["milliseconds"]) == (3, 10_000)


def test_the_mean_number_of_open_intervals_is_exact() -> None:
    starts, ends = np.array([0.0, 1.5, 3.0]), np.array([4.0, 2.0, 3.5])

    found = covered(starts, ends, np.arange(5.0))

    assert found.tolist() == [1.0, 1.5, 1.0, 1.5]


def test_plotly_takes_every_figure(report: Report) -> None:
    made = [go.Figure(drawn(report, figure)) for figure in figures_of(report)]

    assert len(made) == 11


def test_counts_of_tasks_have_ticks_at_whole_numbers(fast_path: Path) -> None:
    report = pool_report(a_pool(fast_path, 3)).report

    (figure,) = (one for one in figures_of(report) if one.name == "figure-progress-0")

    assert figure.layout["xaxis"] == {
        "title": {"text": "tasks"},
        "rangemode": "tozero",
        "dtick": 1,
    }


def test_counts_of_attempts_have_ticks_at_whole_numbers(report: Report) -> None:
    (figure,) = (one for one in figures_of(report) if one.name == "figure-endings")

    assert figure.layout["yaxis"] == counting("attempts", 32)
    assert counting("attempts", 2)["dtick"] == 1


def test_captions_count_the_results_that_have_the_number(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    for place in range(4):
        worker.finish(worker.claim(place), **({"score": 0.5} if place < 3 else {"other": 1}))

    captions = {
        one.title: one.caption for one in figures_of(pool_report(worker.pool.folder).report)
    }

    assert captions["score by number"] == (
        "score of the 3 results that have it, for each of 3 values of number."
    )


def test_every_figure_names_a_table_of_the_report(report: Report) -> None:
    tables = {figure.table: table_of(report, figure.table) for figure in figures_of(report)}

    assert all(len(table.frame) for table in tables.values())


def test_an_axis_with_very_many_values_is_a_table_alone(fast_path: Path) -> None:
    report = pool_report(a_pool(fast_path, 1600)).report

    assert names_of(section_of(report, "progress").items) == ["progress-0"]


@pytest.fixture
def rerun_one(fast_path: Path) -> SimulatedWorker:
    """A pool of four results, one of which is being computed again."""
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(0, 1, 2, 3)
    task = worker.pool.grid.id(2)
    rerun(worker.pool, choose(worker.pool, (task,), (), ()))
    return worker


def test_results_of_tasks_that_are_rerun_are_marked(rerun_one: SimulatedWorker) -> None:
    table = table_of(pool_report(rerun_one.pool.folder).report, "results")

    marked = [row["task"] for row in rows_of(table) if row[table.marked_by]]

    assert marked == [rerun_one.pool.grid.id(2)]
    assert table.note == (
        "Marked rows are earlier results of tasks that are being rerun: rerun_pending."
    )


def test_a_report_says_at_its_head_that_results_are_earlier_ones(
    rerun_one: SimulatedWorker,
) -> None:
    report = pool_report(rerun_one.pool.folder).report

    assert report.warnings == (
        "1 result of a task that is being rerun: shown until the new result is accepted, and "
        "marked in the table of all results.",
    )


def test_no_row_is_marked_once_the_new_result_is_accepted(rerun_one: SimulatedWorker) -> None:
    rerun_one.do(2)

    report = pool_report(rerun_one.pool.folder).report

    assert (table_of(report, "results").marked_by, report.warnings) == ("", ())
