"""The order of rows changes no bit of any result."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from jobpool.analysis.comparison import compare_strategies, summarise_strategies, trade_off
from jobpool.analysis.coverage import coverage
from jobpool.analysis.ranks import best, rank
from jobpool.analysis.regions import find_region
from jobpool.analysis.scaling import fit_power_law, regress
from jobpool.analysis.study_table import StudyTable, from_results, read_study_table
from jobpool.analysis.whole import analyse
from tests.support.synthetic_study import a_study

SEEDS = range(20)
# a study with a missing cell, with ties in scores, with parcellations of equal size
STUDY = a_study(n_parcellations=10, n_targets=2).round({"score": 2}).drop(index=[40])
COLLECTED = STUDY.rename(
    columns={
        "size": "parcels",
        "type": "parcellation_kind",
        "score": "r2",
        "seconds": "task_seconds",
        "memory_mb": "peak_memory_mb",
        "set": "inputs",
    }
)


def text_of(value: object) -> str:
    """Return all that a result holds, floats to their last bit."""
    if isinstance(value, pd.DataFrame):
        return value.to_csv()
    if is_dataclass(value):
        return "\n".join(
            f"{one.name}: {text_of(getattr(value, one.name))}" for one in fields(value)
        )
    if isinstance(value, dict):
        return "\n".join(f"{key}: {text_of(one)}" for key, one in value.items())
    return repr(value)


def shuffled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=seed)


def written(frame: pd.DataFrame, path: Path) -> StudyTable:
    frame.to_csv(path, index=False)
    return read_study_table(path)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> StudyTable:
    return written(STUDY, tmp_path_factory.mktemp("study") / "study.csv")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_gives_the_same_table_in_any_order(
    seed: int, table: StudyTable, tmp_path: Path
) -> None:
    other = written(shuffled(STUDY, seed), tmp_path / "study.csv")

    assert text_of(replace(other, source=table.source, order=table.order)) == text_of(table)


@pytest.mark.parametrize("seed", SEEDS)
def test_results_give_the_same_table_in_any_order(seed: int) -> None:
    usual = from_results(COLLECTED, "POOL")

    other = from_results(shuffled(COLLECTED, seed), "POOL")

    assert text_of(replace(other, order=usual.order)) == text_of(usual)


@pytest.mark.parametrize(
    "function",
    [
        coverage,
        rank,
        lambda table: rank(table, within=("target",)),
        lambda table: best(rank(table), "target"),
        compare_strategies,
        trade_off,
        pytest.param(analyse, marks=pytest.mark.slow),
    ],
)
def test_a_function_of_tables_gives_the_same_in_any_order(
    function: Callable[[StudyTable], object], table: StudyTable
) -> None:
    others = [replace(table, frame=shuffled(table.frame, seed)) for seed in SEEDS]

    found = {text_of(function(other)) for other in others}

    assert found == {text_of(function(table))}


@pytest.mark.parametrize("function", [fit_power_law, find_region, regress])
def test_a_function_of_mean_ranks_gives_the_same_in_any_order(
    function: Callable[[pd.DataFrame], object], table: StudyTable
) -> None:
    points = rank(table.singles).by_pipeline
    others = [shuffled(points, seed) for seed in SEEDS]

    found = {text_of(function(other)) for other in others}

    assert found == {text_of(function(points))}


def test_a_summary_is_the_same_in_any_order(table: StudyTable) -> None:
    compared = compare_strategies(table)
    others = [shuffled(compared, seed) for seed in SEEDS]

    found = {text_of(summarise_strategies(other)) for other in others}

    assert found == {text_of(summarise_strategies(compared))}
