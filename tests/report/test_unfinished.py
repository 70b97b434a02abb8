"""A study that is half done is never shown as complete: what has no result is a missing cell."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from jobpool.admin.create import create_pool
from jobpool.report.making import Made
from jobpool.report.parts import Report
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.task import ALL, Axis, Cause, Value
from tests.support.builders import an_experiment
from tests.support.report_pages import pool_report, rows_of, section_of, table_of
from tests.support.simulated import BEGAN, SimulatedWorker

AXES = (
    Axis(name="parcellation", values=("hard_10", "hard_20", "hard_30", "soft_40", "voted")),
    Axis(name="pipeline", values=("elastic",)),
    Axis(name="target", values=("age", "sex")),
)
FOLDS = Axis(name="fold", values=(ALL, 0, 1))
ABOUT: dict[str, tuple[Value, ...]] = {
    "parcels": (10, 20, 30, 40, 30),
    "parcellation_type": ("hard", "hard", "hard", "soft", "ensemble"),
    "strategy": ("single", "single", "single", "single", "voted"),
    "members": (1, 1, 1, 1, 2),
    "inputs": ("hard_10", "hard_20", "hard_30", "soft_40", "set"),
}


def a_study_pool(folder: Path, attributes: Sequence[str], split: str = "") -> SimulatedWorker:
    """Make a pool of ten cells; those of the parcellation `split` enter as one task per fold."""
    about = [Attribute(name=one, axis="parcellation", values=ABOUT[one]) for one in attributes]
    whole = full_product(AXES, about)
    names = np.array(AXES[0].values)[whole.column("parcellation")]
    grid = split_parts(whole, FOLDS, names == split)
    experiment = an_experiment(folder / "study", *AXES)
    create_pool(folder / "pool", experiment, grid, lambda _: None, now=BEGAN)
    return SimulatedWorker(folder / "pool")


def place_of(grid: Grid, *values: Value) -> int:
    """Return the position of the task with these values, in the order of the axes."""
    wanted = [axis.values.index(value) for axis, value in zip(grid.axes, values, strict=True)]
    place: int = grid.codes.T.tolist().index(wanted)
    return place


def finish(worker: SimulatedWorker, *names: str, fold: str | int = ALL, **more: Value) -> None:
    """Finish the tasks of some parcellations and targets, written as ``hard_10 age``."""
    for name in names:
        parcellation, target = name.split()
        place = place_of(worker.pool.grid, parcellation, "elastic", target, fold)
        worker.finish(worker.claim(place), r2=0.1 + place / 1000, **more)


def missing_of(report: Report) -> list[str]:
    """Return the cells that are listed as incomplete."""
    rows = rows_of(table_of(report, "missing-cells"))
    assert {row["state"] for row in rows} == {"incomplete: no result"}
    return [f"{row['parcellation']} {row['target']}" for row in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with four results, one that is lost, and one part of two."""
    worker = a_study_pool(tmp_path_factory.mktemp("half"), [*ABOUT], split="soft_40")
    finish(worker, "hard_10 age", "hard_10 sex", "hard_20 age", "voted age")
    finish(worker, "soft_40 age", fold=0)
    lost = place_of(worker.pool.grid, "hard_30", "elastic", "age", ALL)
    worker.end(worker.claim(lost), Cause.DONE)
    return worker.pool.folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    return pool_report(folder)


def test_cells_that_nobody_has_done_are_counted(made: Made) -> None:
    text = section_of(made.report, "coverage").text

    assert text == (
        "4 single parcellations, 2 pairs of pipeline and target: 3 of 8 cells with a result."
    )


def test_cells_without_a_result_are_listed(made: Made) -> None:
    assert missing_of(made.report) == [
        "hard_20 sex",
        "hard_30 age",  # lost
        "hard_30 sex",
        "soft_40 age",  # a part of it is there
        "soft_40 sex",
    ]


def test_an_ensemble_that_is_not_done_counts_as_missing(made: Made) -> None:
    assert made.analysis is not None

    missing = made.analysis.table.no_score

    about = ["target", "strategy", "members", "size", "type", "set"]
    assert missing.loc[missing["strategy"] != "single", about].to_numpy().tolist() == [
        ["sex", "voted", 2, 30, "ensemble", "set"]
    ]


def test_the_results_are_those_that_there_are(made: Made) -> None:
    assert made.analysis is not None

    table = made.analysis.table

    assert (len(table.frame), len(table.no_score)) == (4, 6)
    assert len(table_of(made.report, "results").frame) == 4


def test_only_selected_cells_can_be_missing(folder: Path) -> None:
    report = pool_report(folder, "target=age", "parcellation=hard_10,hard_20,soft_40").report

    assert missing_of(report) == ["soft_40 age"]


def test_a_study_that_is_done_misses_nothing(tmp_path: Path) -> None:
    worker = a_study_pool(tmp_path, [*ABOUT])
    finish(worker, *(f"{name} {target}" for name in AXES[0].values for target in ("age", "sex")))

    section = section_of(pool_report(worker.pool.folder).report, "coverage")

    assert (section.items, section.text.endswith(": 8 of 8 cells with a result.")) == ((), True)


def test_sizes_that_only_results_tell_are_no_obstacle(tmp_path: Path) -> None:
    worker = a_study_pool(tmp_path, [])
    finish(worker, "hard_10 age", parcels=10, parcellation_type="hard")
    finish(worker, "hard_20 age", parcels=20, parcellation_type="hard")

    found = pool_report(worker.pool.folder)

    assert found.analysis is not None
    assert found.report.warnings == ()


def test_the_head_says_which_class_of_a_target_is_positive(tmp_path: Path) -> None:
    worker = a_study_pool(tmp_path, ["parcels", "parcellation_type"])
    finish(worker, "hard_10 age")
    finish(worker, "hard_10 sex", positive_class="no")

    report = pool_report(worker.pool.folder).report

    assert dict(report.facts)["positive class"] == "sex: no"
