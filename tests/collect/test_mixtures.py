"""Results of different inputs: named in their rows, by collect, doctor, status and the report."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobpool.admin.create import create_pool
from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.cli.collect import _tell
from jobpool.collect.collect import Collected, collect_pool
from jobpool.experiment.config import load_experiment
from jobpool.journal.made_of import FILE_NAME, agree, read_agreed, within
from jobpool.overview.status import read_status
from jobpool.pool import Pool
from jobpool.runners import forms_of
from jobpool.runners.evaluate.results import EvaluateResults
from jobpool.runners.evaluate.runner import Evaluate
from tests.collect.test_rows import a_fold, a_result
from tests.support.brain_study import StudyOnDisk
from tests.support.report_pages import pool_report
from tests.support.simulated import SimulatedWorker

OLD = {"maps": "aaaa", "parcellation hard": "1111"}


@pytest.fixture
def worker(tmp_path: Path) -> SimulatedWorker:
    """A pool of the runner evaluate with tasks `hard age`, `hard sex`, `soft age`, `soft sex`."""
    study = StudyOnDisk(tmp_path)
    shutil.rmtree(study.pool)
    study.config["evaluate"]["outer_folds"] = 2
    experiment = load_experiment(study.written(), forms=forms_of)
    runner = Evaluate(experiment)
    create_pool(study.pool, experiment, runner.task_grid(), runner.prepare, now=time.time())
    return SimulatedWorker(study.pool)


def finish(
    worker: SimulatedWorker,
    name: str,
    made_of: Mapping[str, str] | None = None,
    numpy: str = "2.0",
    **changes: Any,
) -> None:
    """Finish the task of a parcellation and a target."""
    result = result_of(made_of, numpy, **changes)
    worker.finish(worker.claim(place_of(worker, name)), **result)


def place_of(worker: SimulatedWorker, name: str) -> int:
    """Return the position of the whole task of a parcellation and a target."""
    grid = worker.pool.grid
    wanted = dict(zip(("parcellation", "target"), name.split(), strict=True)) | {"fold": "all"}
    points = [dict(grid.point(one)) for one in range(len(grid))]
    (place,) = [n for n, one in enumerate(points) if wanted.items() <= one.items()]
    return place


def result_of(
    made_of: Mapping[str, str] | None = None, numpy: str = "2.0", **changes: Any
) -> dict[str, Any]:
    inputs = {"made_of": dict(OLD if made_of is None else made_of)}
    versions = {"python": "3.11.4", "numpy": numpy}
    return a_result(a_fold(0), a_fold(1), versions=versions, **inputs, **changes)


def collected(worker: SimulatedWorker, by: str = "task") -> Collected:
    return collect_pool(Pool(worker.pool.folder), by=by)


def mixtures_of(found: Collected) -> dict[tuple[str, str], str | None]:
    """Return what the column says, by parcellation and target."""
    assert found.mixed is not None
    rows = found.frame[["parcellation", "target", found.mixed]].astype(object)
    rows = rows.where(rows.notna(), None)
    return {(one[0], one[1]): one[2] for one in rows.itertuples(index=False)}


def test_results_of_one_world_have_no_such_column(worker: SimulatedWorker) -> None:
    finish(worker, "hard age")
    finish(worker, "soft age", {"maps": "aaaa", "parcellation soft": "2222"})

    found = collected(worker)

    assert (found.mixtures, found.mixed) == ((), None)
    assert "mixture" not in found.frame


def test_rows_of_other_inputs_than_most_name_them(worker: SimulatedWorker) -> None:
    finish(worker, "hard age")
    finish(worker, "hard sex")
    finish(worker, "soft age", {"maps": "bbbb"}, numpy="2.1")

    found = collected(worker)

    assert mixtures_of(found) == {
        ("hard", "age"): None,
        ("hard", "sex"): None,
        ("soft", "age"): "maps, version of numpy",
    }


def test_a_row_whose_folds_are_of_two_worlds_names_them(worker: SimulatedWorker) -> None:
    finish(worker, "hard age", {"maps": "aaaa, bbbb"})
    finish(worker, "hard sex", {"maps": "aaaa"})

    assert mixtures_of(collected(worker))["hard", "age"] == "maps"


def test_folds_of_an_older_jobpool_with_other_values_are_named() -> None:
    old = [result_of(roi_values=key) for key in ("k1", "k2")]
    for one in old:
        del one["made_of"]

    merged: Any = EvaluateResults().merge(old)

    assert within(merged["made_of"]) == ["ROI values"]


def test_a_fold_of_an_older_jobpool_beside_one_of_this_with_other_values_is_named() -> None:
    old, new = result_of(roi_values="k1"), result_of({"maps": "aaaa"}, roi_values="k2")
    del old["made_of"]

    merged: Any = EvaluateResults().merge([old, new])

    assert within(merged["made_of"]) == ["ROI values"]


def test_folds_of_the_same_content_under_another_key_are_one_world() -> None:
    merged: Any = EvaluateResults().merge([result_of(roi_values=key) for key in ("k1", "k2")])

    assert within(merged["made_of"]) == []


@pytest.mark.parametrize("by", ["task", "fold"])
def test_every_table_has_the_column(worker: SimulatedWorker, by: str) -> None:
    finish(worker, "hard age", {"maps": "bbbb"})
    finish(worker, "hard sex")
    finish(worker, "soft sex")

    found = collected(worker, by)

    assert set(found.frame["mixture"].dropna()) == {"maps"}
    assert set(found.long()["mixture"].dropna()) == {"maps"}


def test_collect_says_what_is_mixed(
    worker: SimulatedWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(worker, "hard age", {"maps": "bbbb"})
    finish(worker, "hard sex")
    finish(worker, "soft sex")

    _tell(worker.pool, collected(worker))

    first, second = capsys.readouterr().err.splitlines()
    assert first == "results of different inputs; the column mixture names them:"
    assert second.startswith("  maps: bbbb in 1 result, aaaa in 2 results (such as task ")


def test_the_head_of_a_report_says_what_is_mixed(worker: SimulatedWorker) -> None:
    finish(worker, "hard age", {"maps": "bbbb"})
    finish(worker, "hard sex")
    finish(worker, "soft sex")

    (said,) = pool_report(worker.pool.folder).report.warnings

    assert said.startswith("Results of different inputs are compared and averaged: maps: ")


def findings_of(worker: SimulatedWorker) -> list[str]:
    context = RepairContext(is_alive=lambda _: False, server_time=time.time())
    found = check_pool(Pool(worker.pool.folder), context)
    return [str(one) for one in found if one.place == "results"]


def test_doctor_takes_other_inputs_for_a_problem(worker: SimulatedWorker) -> None:
    finish(worker, "hard age", {"maps": "bbbb"})
    finish(worker, "hard sex")
    finish(worker, "soft sex")

    (found,) = findings_of(worker)

    assert found.startswith("problem: results: not the same in all results: maps: bbbb in 1 result")


def test_doctor_takes_other_versions_for_a_note(worker: SimulatedWorker) -> None:
    finish(worker, "hard age", numpy="2.1")
    finish(worker, "hard sex")

    (found,) = findings_of(worker)

    assert found.startswith("note: results: not the same in all results: version of numpy: 2.1 in")


def test_a_result_that_does_not_count_is_no_mixture(worker: SimulatedWorker) -> None:
    finish(worker, "hard age")
    claim = worker.claim(place_of(worker, "soft age"))
    worker.write_result(claim, **result_of({"maps": "bbbb"}))

    assert findings_of(worker) == []
    assert collected(worker).mixtures == ()


def test_a_damaged_line_about_inputs_is_noted_while_the_others_count(
    worker: SimulatedWorker,
) -> None:
    folder, lock = worker.pool.folder, worker.pool.info.lock
    path = folder / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b"hard", b"herd", 1))
    agree(folder, lock, {"maps": "aaaa"}, {})
    context = RepairContext(is_alive=lambda _: False, server_time=time.time())

    (said,) = [str(one) for one in check_pool(Pool(folder), context) if one.place == FILE_NAME]

    assert said.startswith("note: made-of.jsonl: line 1 is damaged or incomplete")
    assert read_agreed(folder).inputs == {"maps": "aaaa"}


def test_status_names_versions_of_a_library_that_tasks_were_run_with(
    worker: SimulatedWorker,
) -> None:
    for version in ("2.0", "2.1", "2.0"):
        agree(worker.pool.folder, worker.pool.info.lock, {}, {"numpy": version, "scipy": "1.0"})

    said = str(read_status(Pool(worker.pool.folder)))

    assert "tasks were at some time run with numpy 2.0 and 2.1: jobpool doctor" in said
    assert "scipy" not in said
