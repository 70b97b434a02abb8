"""Names of columns: axes, results and what jobpool itself writes never stand in one column."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobpool.admin.create import create_pool
from jobpool.collect.attempts import attempts_frame
from jobpool.collect.collect import collect
from jobpool.collect.predictions import EVERYTHING, write_predictions
from jobpool.errors import ConfigError
from jobpool.experiment.config import InPool, load_experiment, read_experiment
from jobpool.journal.attempts import Attempt
from jobpool.pool import Pool
from jobpool.table import columns
from jobpool.table.columns import ID, OF_ATTEMPTS, OF_RESULTS, OF_SCORES, OF_SOURCE, why_not
from jobpool.table.grid import Attribute, full_product
from jobpool.table.selection import select
from jobpool.task import Axis, Cause
from tests.conftest import Jobpool
from tests.support.builders import a_pool, an_experiment
from tests.support.parts import Doses, Plain, a_pool_in_parts, do_part
from tests.support.report_pages import pool_report, table_of
from tests.support.simulated import SimulatedWorker

LISTS = {name: getattr(columns, name) for name in vars(columns) if name.startswith("OF_")}
WRITTEN = sorted({ID, *(one for names in LISTS.values() if type(names) is tuple for one in names)})


def an_old_pool(folder: Path, *names: str, **more: Any) -> SimulatedWorker:
    """Make a pool of two tasks whose axes have names that are refused now, and do one of them."""
    axes = [Axis(name=name, values=(f"{name} 1",)) for name in names]
    axes.append(Axis(name="n", values=(0, 1)))
    grid = full_product(axes, more.get("attributes", ()))
    create_pool(folder / "pool", an_experiment(folder, *axes), grid, lambda _: None, now=0)
    return SimulatedWorker(folder / "pool")


@pytest.mark.parametrize("name", [*WRITTEN, "step", "bracket", "configuration", "stage"])
def test_an_axis_named_like_a_column_of_jobpool_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"runner: function\naxes: {{{name}: [1, 2]}}", encoding="utf-8")

    with pytest.raises(ConfigError, match=f"give the axis another name than '{name}'"):
        load_experiment(file)


def test_an_axis_that_the_pool_has_is_not_refused_when_it_is_extended(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("runner: function\naxes: {cores: [1, 2], node: [a]}", encoding="utf-8")

    _, problems = read_experiment(file, pool=InPool(axes=("cores",)))

    assert [problem.key for problem in problems] == ["axes.node"]


def test_every_column_of_the_results_is_in_the_list(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.finish(worker.claim(0), value=1)

    frame = collect(worker.pool, Plain()).frame

    assert set(frame.columns) == {ID, "number", "value", *OF_RESULTS}


def test_every_column_of_the_attempts_is_in_the_list(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.fail(0, Cause.MEMORY)

    frame = attempts_frame(worker.pool)

    assert set(frame.columns) == {ID, "number", *OF_ATTEMPTS}
    assert {field.name for field in fields(Attempt)} <= {ID, *OF_ATTEMPTS}


def test_every_column_of_scores_is_in_the_list(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.finish(worker.claim(0), value=1)

    jobpool("collect", worker.pool.folder, "--long", "-o", fast_path / "long.csv")

    table = pd.read_csv(fast_path / "long.csv")
    assert set(table.columns) == {ID, "number", *OF_SCORES, *OF_SOURCE}


def test_every_name_in_the_report_beside_an_axis_is_in_the_list(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.finish(worker.claim(0), value=1)
    for _ in range(3):
        worker.fail(1)

    report = pool_report(worker.pool.folder).report

    tables = [table for section in report.sections for table in (*section.items, *section.tables)]
    beside = [frame for one in tables if "number" in (frame := getattr(one, "frame", {}))]
    # a name with a blank is none that an axis can have
    named = {str(name) for frame in beside for name in frame if " " not in str(name)}
    assert {name for name in named if why_not(name) is None} == {"number", "value"}


def test_an_old_pool_keeps_both_the_axis_and_the_column(fast_path: Path) -> None:
    worker = an_old_pool(fast_path, "cores", "ended", "task")
    worker.finish(worker.claim(0), value=1, cores=7)

    (row,) = collect(worker.pool, Plain()).frame.to_dict("records")

    assert (row["cores"], row["ended"], row["task"]) == ("cores 1", "ended 1", "task 1")
    assert row["jobpool_task"] == worker.pool.grid.id(0)
    assert row["jobpool_ended"].timestamp() > 0
    assert "jobpool_cores" in row
    assert row["result_cores"] == 7


def test_attempts_of_an_old_pool_keep_both_the_axis_and_the_column(fast_path: Path) -> None:
    worker = an_old_pool(fast_path, "cause", "seconds")
    worker.fail(0, Cause.MEMORY)

    (row,) = attempts_frame(worker.pool).to_dict("records")

    assert (row["cause"], row["jobpool_cause"]) == ("cause 1", "memory")
    assert (row["seconds"], row["jobpool_seconds"]) == ("seconds 1", 10.0)


def test_a_file_of_an_old_pool_keeps_both_the_axis_and_where_it_came_from(
    fast_path: Path, jobpool: Jobpool
) -> None:
    worker = an_old_pool(fast_path, "pool", "score")
    worker.finish(worker.claim(0), value=1)

    jobpool("collect", worker.pool.folder, "--long", "-o", fast_path / "long.csv")

    (row,) = pd.read_csv(fast_path / "long.csv").to_dict("records")
    assert (row["pool"], row["jobpool_pool"]) == ("pool 1", "pool")
    assert (row["score"], row["result_score"]) == ("score 1", 1)


def test_a_report_of_an_old_pool_has_both_the_axis_and_the_number(fast_path: Path) -> None:
    worker = an_old_pool(fast_path, "results", "ended", "core-hours", "state")
    worker.finish(worker.claim(0), tasks=1)
    axis = Axis(name="tasks", values=("a", "b"))
    folder = fast_path / "other"
    create_pool(folder / "pool", an_experiment(folder, axis), full_product([axis]), print, now=0)

    made = pool_report(worker.pool.folder)
    progress = table_of(pool_report(folder / "pool").report, "progress-0").frame

    assert table_of(made.report, "results").frame["jobpool_ended"].notna().all()
    assert progress["tasks (axis)"].tolist() == ["a", "b"]
    assert progress["tasks"].tolist() == [1, 1]


def test_a_result_named_like_another_with_the_prefix_keeps_its_column(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.finish(worker.claim(0), number=7, result_number=8)

    (row,) = collect(worker.pool, Plain()).frame.to_dict("records")

    assert (row["number"], row["result_result_number"], row["result_number"]) == (0, 7, 8)


def test_what_is_predicted_under_the_name_of_an_axis_is_kept(fast_path: Path) -> None:
    class Sites(Doses):
        def predictions(self, *arguments: Any) -> Any:
            del arguments
            yield {"phase": [1], "site": ["predicted"]}

    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_part(worker, 1)

    write_predictions(fast_path / "p.csv", worker.pool, Sites(), Sites(), EVERYTHING, {})

    (row,) = pd.read_csv(fast_path / "p.csv").to_dict("records")
    assert (row["site"], row["result_site"]) == ("south", "predicted")


def test_an_attribute_named_like_an_axis_is_a_column_that_can_be_selected(fast_path: Path) -> None:
    beds = Attribute(name="site", axis="n", values=(10, 250))
    worker = an_old_pool(fast_path, "site", attributes=[beds])
    worker.finish(worker.claim(1), value=1)

    (row,) = collect(worker.pool, Plain()).frame.to_dict("records")

    place = dict(worker.pool.grid.point(1))["n"]
    assert (row["site"], row["value_site"]) == ("site 1", (10, 250)[int(place)])
    assert select(Pool(worker.pool.folder).grid, ["value_site>100"]).sum() == 1


def test_a_pool_of_before_reads_the_values_of_a_column_as_it_did(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("site\n007\n0.50\n\nnone\n", encoding="utf-8")
    file = tmp_path / "study.yaml"
    text = "runner: function\naxes: {site: {table: t.csv, column: site}}\nfunction: {call: 'a:b'}"
    file.write_text(text, encoding="utf-8")

    experiment, problems = read_experiment(file, pool=InPool(reading=1))

    assert not problems
    assert experiment is not None
    assert experiment.axes[0].values == ("0.50", "007", "none")
