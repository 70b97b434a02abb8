"""Results that a person should look at before they are believed."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobpool.pool import Pool
from jobpool.report.making import report_of_pool
from jobpool.runners.base import Doubt
from jobpool.runners.evaluate.results import EvaluateResults
from jobpool.runners.function import FunctionResults
from tests.support.builders import a_pool
from tests.support.report_pages import REQUEST, rows_of, silent, table_of
from tests.support.simulated import SimulatedWorker


def a_table(**columns: list[Any]) -> pd.DataFrame:
    usual: dict[str, list[Any]] = {
        "task": ["aa", "bb", "cc"],
        "r2": [0.1, 0.2, 0.3],
        "n_undefined": [0, 0, 0],
        "search_decided": [True, True, True],
        "n_candidates": [10, 10, 10],
        "n_test_fold0": [9, 9, 9],
        "n_test_fold1": [9, 9, 9],
        "r2_fold0": [0.1, 0.2, 0.3],
    }
    return pd.DataFrame(usual | columns)


def doubts(**columns: list[Any]) -> list[Doubt]:
    return EvaluateResults().doubts(a_table(**columns))


def test_sound_results_raise_no_doubt() -> None:
    assert doubts() == []


def test_results_of_an_older_version_raise_no_doubt() -> None:
    assert EvaluateResults().doubts(pd.DataFrame({"task": ["aa"], "r2": [0.1]})) == []


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"n_undefined": [0, 2, 0]}, "not defined"),
        ({"search_decided": [True, False, None]}, "share one score"),
        ({"n_constant_candidates": [0, 11, 10]}, "can only predict a constant"),
        (
            {
                "n_constant_candidates": [10, 41, 40],  # the last two of eight fits each
                "fits_made": [None, 8, 0],
                "fits_reused": [None, 0, 8],
            },
            "can only predict a constant",
        ),
        ({"n_failed": [0, 7, None]}, "candidates failed"),
        ({"cautions": [None, "own draws without a seed", None]}, "without a seed"),
        ({"n_constant_folds": [0, 2, None]}, "everybody gets the same prediction"),
        ({"r2_fold0": [0.1, -6e7, 0.3]}, "the lowest is -6e+07"),
    ],
)
def test_a_doubtful_result_is_counted(columns: dict[str, list[Any]], what: str) -> None:
    (doubt,) = doubts(**columns)

    assert what in doubt.what
    assert (doubt.n, doubt.of, doubt.task) == (1, 3, "bb")


class Doubtful(FunctionResults):
    """Results of any function, all of them doubtful."""

    def doubts(self, frame: pd.DataFrame) -> list[Doubt]:
        return [Doubt(what="odd", n=len(frame), of=len(frame), task="aa", cure="look")]


def test_the_report_lists_doubtful_results(tmp_path: Path) -> None:
    pool = Pool(a_pool(tmp_path))
    SimulatedWorker(pool.folder).do(0, 1)

    made = report_of_pool(pool, Doubtful(), None, REQUEST, silent)

    (row,) = rows_of(table_of(made.report, "doubts"))
    assert (row["what"], row["what to do"], row["one of them"]) == ("odd", "look", "aa")
    assert row["results"] == row["of"] > 0
