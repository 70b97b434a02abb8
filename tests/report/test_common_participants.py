"""Parcellations that lost other participants are ranked on those that all of them can use."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from jobpool.admin.create import create_pool
from jobpool.analysis.study_table import read_study_table
from jobpool.analysis.whole import analyse
from jobpool.cli.extend import extend
from jobpool.collect.collect import collect_pool
from jobpool.collect.predictions import EVERYTHING, predictions_frame
from jobpool.errors import DataError
from jobpool.learning.participants import NOT_FINITE, OF_OTHERS
from jobpool.pool import Pool
from jobpool.report.making import Made
from jobpool.report.progress import states_of
from jobpool.runners import load_study, make_results, make_runner
from jobpool.runners.base import RunContext, prepare
from jobpool.runners.evaluate import results as of_results
from jobpool.task import TaskState
from tests.support.report_pages import pool_report, section_of, table_of
from tests.support.simulated import BEGAN, SimulatedWorker

N, EASY = 100, 60  # the others are noise, and lack a parcel of the small parcellation


def a_study(folder: Path, n: int = N, **settings: Any) -> Path:
    """Write a study in which one parcellation has no value for those who are hard to predict."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=N)
    noise = np.array([1, 1, 1, 1.8, 1, 1, 1, 1.8])
    maps = signal[:, None] + rng.normal(size=(N, 8)) * noise
    maps[EASY:, 7] = np.nan
    np.save(folder / "maps.npy", maps)
    np.save(folder / "large.npy", np.array([1, 1, 2, 2, 3, 3, 3, 3]))  # 7 is one of four vertices
    np.save(folder / "small.npy", np.array([0, 0, 0, 1, 0, 0, 0, 2]))
    age = 50 + 10 * np.where(np.arange(N) < EASY, signal, 3 * rng.normal(size=N))
    table = {"participant_id": range(N), "age": age, "old": np.where(age > 50, "yes", "no")}
    frame = pd.DataFrame(table)
    frame.loc[n:, ["age", "old"]] = None
    frame.to_csv(folder / "people.csv", index=False)
    section = {
        "maps": "maps.npy",
        "participants": "people.csv",
        "candidates": 12,
        "on_non_finite": "drop",
        "predictions": "keep",
        "splits": "plain",
        "outer_folds": 3,
        "by_fold": {"parcellations": ["large"]},
        **settings,
    }
    axes = {
        "parcellation": [{"glob": ["large.npy", "small.npy"]}],
        "pipeline": "elastic",
        "target": ["age", "old"],
    }
    study = {"runner": "evaluate", "axes": axes, "evaluate": section}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yaml"


def a_pool(folder: Path, n: int = N, **settings: Any) -> Path:
    """Make the pool of the study, and do all of its tasks."""
    experiment, runner, grid = load_study(a_study(folder, n, **settings))
    pool = folder / "pool"
    create_pool(pool, experiment, grid, partial(prepare, runner), now=BEGAN)
    done(pool)
    return pool


def done(pool: Path) -> None:
    """Do all tasks of a pool."""
    worker = SimulatedWorker(pool)
    doing = make_runner(worker.pool.experiment(), pool)
    waiting = states_of(worker.pool) == TaskState.WAITING
    for place in np.flatnonzero(waiting & ~worker.pool.grid.parts.is_dormant).tolist():
        context = RunContext(cores=1, cache=pool / "cache", checkpoint=pool / "checkpoint")
        point = dict(worker.pool.grid.point(place))
        worker.finish(worker.claim(place), **doing.run(point, context))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_pool(tmp_path_factory.mktemp("common"))


@pytest.fixture(scope="module")
def made(pool: Path) -> Made:
    return pool_report(pool)


def scores_of(made: Made) -> pd.DataFrame:
    assert made.analysis is not None
    return made.analysis.table.frame.set_index(["target", "parcellation"])


def best_of(made: Made) -> str:
    """Return the parcellation with the highest score in age."""
    rows = scores_of(made).reset_index()
    rows = rows[rows["target"] == "age"].sort_values("score")
    return str(rows["parcellation"].iloc[-1])


def test_every_parcellation_uses_the_same_participants(made: Made, pool: Path) -> None:
    opened = Pool(pool)
    runner = make_runner(opened.experiment(), pool)
    frame, _ = predictions_frame(opened, runner, make_results("evaluate"), EVERYTHING)

    people = frame.groupby(["parcellation", "target"])["participant"].agg(set)

    assert [set(map(int, one)) for one in people] == [set(range(EASY))] * 4
    assert scores_of(made)["n_used"].tolist() == [EASY] * 4


def test_scores_are_those_of_a_study_of_common_participants(made: Made, tmp_path: Path) -> None:
    alone = pool_report(a_pool(tmp_path, n=EASY))

    found, expected = scores_of(made), scores_of(alone)

    assert found["score"].tolist() == pytest.approx(expected["score"].tolist())
    assert found["sd"].tolist() == pytest.approx(expected["sd"].tolist())


def test_the_order_is_that_on_common_participants(made: Made, tmp_path: Path) -> None:
    own = pool_report(a_pool(tmp_path, compare_on="own"))

    assert best_of(made) == "large"
    assert best_of(own) == "small"


def test_those_left_out_for_another_parcellation_are_counted(pool: Path) -> None:
    rows = collect_pool(Pool(pool)).frame

    of_one = rows[(rows["parcellation"] == "large") & (rows["target"] == "age")]
    assert of_one[["n_used", "n_dropped"]].to_numpy().tolist() == [[EASY, N - EASY]]


def test_a_warning_stands_at_every_rank_on_own_participants(tmp_path: Path) -> None:
    made = pool_report(a_pool(tmp_path, compare_on="own"))

    said = "not on the same participants for all parcellations: age (60 to 100), old (60 to 100)"
    for name in ("ranks", "best", "trade-offs"):
        assert said in " ".join(section_of(made.report, name).warnings)
    assert said in " ".join(made.report.warnings)
    assert table_of(made.report, "ranks").frame["n_used"].tolist() == [60, 100]


def test_no_warning_stands_at_ranks_on_common_participants(made: Made) -> None:
    assert section_of(made.report, "ranks").warnings == ()
    assert (
        section_of(made.report, "coverage")
        .notes[0]
        .startswith(
            "Scores are of the participants whom every parcellation can use: age (60), old (60)."
        )
    )
    assert made.report.warnings == ()


def test_a_parcellation_that_is_added_later_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    study, pool = a_study(tmp_path), tmp_path / "pool"
    (tmp_path / "small.npy").rename(tmp_path / "later.npy")
    first = yaml.safe_load(study.read_text())
    first["axes"]["parcellation"] = [{"glob": ["large.npy"]}]
    study.write_text(yaml.safe_dump(first))
    experiment, runner, grid = load_study(study)
    create_pool(pool, experiment, grid, partial(prepare, runner), now=BEGAN)
    done(pool)
    first["axes"]["parcellation"] = [{"glob": ["large.npy", "later.npy"]}]
    study.write_text(yaml.safe_dump(first))
    extend(study, pool)

    done(pool)

    rows = collect_pool(Pool(pool)).frame.set_index(["target", "parcellation"])["n_used"]
    assert rows.loc["age"].to_dict() == {"large": N, "later": EASY}
    assert section_of(pool_report(pool).report, "ranks").warnings


def test_parcellations_that_nobody_has_in_common_are_refused(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    maps = np.load(tmp_path / "maps.npy")
    maps[:EASY, :2] = np.nan
    np.save(tmp_path / "maps.npy", maps)
    experiment, runner, grid = load_study(study)
    create_pool(tmp_path / "pool", experiment, grid, partial(prepare, runner), now=BEGAN)

    with pytest.raises(DataError, match=r"large loses 60, small loses 40.*or set compare_on: own"):
        done(tmp_path / "pool")


def test_a_table_from_elsewhere_is_warned_of_other_participants(tmp_path: Path) -> None:
    rows = [(f"p{size}", size, "hard", "svm", "age", size / 100, 100 + size) for size in (5, 10)]
    columns = ["parcellation", "size", "type", "pipeline", "target", "score", "n_used"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "t.csv", index=False)

    found = analyse(read_study_table(tmp_path / "t.csv"))

    assert "age (105 to 110)" in found.other_people


def test_the_reasons_are_those_that_results_know() -> None:
    assert of_results._OF_PARCELS == (NOT_FINITE, OF_OTHERS)
