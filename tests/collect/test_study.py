"""``jobpool collect`` on a real pool of the runner evaluate; docs/results.md says what it gives."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from jobpool.collect.attempts import attempts_frame
from jobpool.collect.collect import Collected, collect
from jobpool.collect.frames import provenance, write_frame
from jobpool.collect.predictions import EVERYTHING, write_predictions
from jobpool.experiment.config import load_experiment
from jobpool.learning.scores import METRICS
from jobpool.pool import Pool
from jobpool.runners import forms_of, make_results, make_runner
from tests.support.evaluate_study import SPLIT, a_finished_study
from tests.support.places import CHECKOUT

PAGE = CHECKOUT / "docs" / "results.md"
SCORES = {name for metrics in METRICS.values() for name in metrics}
KEYS = ["parcellation", "pipeline", "target", "fold"]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with tempfile.TemporaryDirectory() as folder:
        yield Pool(a_finished_study(Path(folder) / "study"))


@pytest.fixture(scope="module")
def by_task(pool: Pool) -> Collected:
    return collect(pool, make_results("evaluate"))


@pytest.fixture(scope="module")
def by_fold(pool: Pool) -> Collected:
    return collect(pool, make_results("evaluate"), by="fold")


@pytest.fixture(scope="module")
def predictions(pool: Pool) -> pd.DataFrame:
    file = pool.folder.parent / "predictions.parquet"
    runner = make_runner(
        load_experiment(pool.folder.parent / "study.yaml", forms=forms_of), pool.folder
    )
    write_predictions(file, pool, runner, make_results("evaluate"), EVERYTHING, provenance(pool))
    return pd.read_parquet(file)


def names_in_tables(head: str) -> list[str]:
    """Return what stands in backticks in the first column of each table below a line."""
    tables = re.findall(rf"{head}\n((?:\|.*\n)+)", PAGE.read_text(encoding="utf-8"))
    first = [line.split("|")[1] for table in tables for line in table.splitlines()]
    return [name for cell in first for name in re.findall("`([^`]+)`", cell)]


def columns_told(level: str) -> list[str]:
    return names_in_tables(rf"<!-- level:.*\b{level}\b.* -->")


def parameters_told() -> list[str]:
    _, _, section = PAGE.read_text(encoding="utf-8").partition("\n## Parameters\n")
    first = [line.split("|")[1] for line in section.partition("\n## ")[0].splitlines()[3:] if line]
    return [name for cell in first for name in re.findall("`([^`]+)`", cell)]


def is_told(column: str, told: str) -> bool:
    """Say whether a name on the page stands for a column."""
    pattern = re.escape(told).replace("<score>", f"({'|'.join(SCORES)})")
    pattern = pattern.replace("<parameter>", f"({'|'.join(parameters_told())})")
    return re.fullmatch(pattern.replace("<k>", r"\d+"), column) is not None


@pytest.fixture(scope="module")
def columns(
    pool: Pool, by_task: Collected, by_fold: Collected, predictions: pd.DataFrame
) -> Mapping[str, list[str]]:
    return {
        "task": by_task.frame.columns.tolist(),
        "fold": by_fold.frame.columns.tolist(),
        "long": by_fold.long().columns.tolist(),
        "predictions": predictions.columns.tolist(),
        "attempts": attempts_frame(pool).columns.tolist(),
    }


LEVELS = ["task", "fold", "long", "predictions", "attempts"]


@pytest.mark.parametrize("level", LEVELS)
def test_every_column_is_on_the_page(columns: Mapping[str, list[str]], level: str) -> None:
    told = columns_told(level)

    assert [one for one in columns[level] if not any(is_told(one, name) for name in told)] == []


@pytest.mark.parametrize("level", LEVELS)
def test_every_name_on_the_page_is_a_column(columns: Mapping[str, list[str]], level: str) -> None:
    told = columns_told(level)

    assert [name for name in told if not any(is_told(one, name) for one in columns[level])] == []
    assert told


def test_every_score_is_on_the_page() -> None:
    _, _, section = PAGE.read_text(encoding="utf-8").partition("\n## Scores\n")

    assert {name for name in SCORES if f"`{name}`" not in section.partition("\n## ")[0]} == set()


def test_means_over_the_rows_by_fold_are_the_rows_by_task(
    by_task: Collected, by_fold: Collected
) -> None:
    keys = [*KEYS[:3]]

    means = by_fold.frame.groupby(keys)[list(by_fold.metrics)].mean()

    expected = by_task.frame.set_index(keys)[list(by_fold.metrics)].sort_index()
    pd.testing.assert_frame_equal(means, expected)


def test_a_task_split_into_folds_has_all_that_a_whole_one_has(by_task: Collected) -> None:
    frame = by_task.frame[
        (by_task.frame["pipeline"] == "elastic") & (by_task.frame["target"] == "age")
    ]
    whole, split = (frame[frame["parcellation"] == name].iloc[0] for name in ("a", SPLIT))

    assert split.index[split.notna()].tolist() == whole.index[whole.notna()].tolist()


def test_folds_that_are_missing_are_named(by_fold: Collected) -> None:
    assert len(by_fold.incomplete) == 5
    assert str(by_fold.incomplete[0]).endswith("target=sex: 2 of 2 parts missing: 0, 1")


def test_scores_follow_from_the_predictions(by_fold: Collected, predictions: pd.DataFrame) -> None:
    groups = predictions.groupby(KEYS)
    r2 = groups.apply(lambda rows: r2_score(rows["y"], rows["predicted"]))
    found = by_fold.frame.set_index(KEYS)["r2"].dropna()

    np.testing.assert_allclose(found, r2.reindex(found.index), rtol=1e-12)


def test_areas_under_the_curve_follow_from_the_decisions(
    by_fold: Collected, predictions: pd.DataFrame
) -> None:
    binary = predictions[predictions["target"] == "sex"].groupby(KEYS)
    areas = binary.apply(lambda rows: roc_auc_score(rows["y"], rows["decision"]))
    found = by_fold.frame.set_index(KEYS)["roc_auc"].dropna()

    np.testing.assert_allclose(found, areas.reindex(found.index), rtol=1e-12)


def test_every_participant_is_predicted_once_per_task(predictions: pd.DataFrame) -> None:
    counts = predictions.groupby(["task", "participant"]).size()

    assert set(counts) == {1}
    assert set(counts.groupby("task").size()) == {60}


def test_one_line_reads_a_parquet_file_as_it_was_written(
    by_fold: Collected, tmp_path: Path
) -> None:
    write_frame(tmp_path / "folds.parquet", by_fold.frame)

    table = pd.read_parquet(tmp_path / "folds.parquet")

    pd.testing.assert_frame_equal(table, by_fold.frame)


def test_one_line_reads_a_csv_file_as_it_was_written_but_for_ids_of_digits(
    by_fold: Collected, tmp_path: Path
) -> None:
    frame = by_fold.frame.drop(columns="worker")
    write_frame(tmp_path / "folds.csv", frame)

    table = pd.read_csv(tmp_path / "folds.csv", parse_dates=["ended"])

    pd.testing.assert_frame_equal(table, frame, check_dtype=False)
