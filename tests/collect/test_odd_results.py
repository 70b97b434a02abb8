"""One odd result among many never breaks a table, and what is left out of one is told."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobpool.collect.collect import Collected, collect, collect_pool
from jobpool.collect.frames import write_frame
from jobpool.collect.row_columns import joined, typed
from jobpool.pool import Pool
from jobpool.runners.evaluate.results import EvaluateResults
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import SimulatedWorker

HUGE = 10**400
ODD: list[Any] = [
    HUGE,
    -HUGE,
    2**70,
    2**63,
    "caf\udce9",
    "NaN",
    "",
    math.inf,
    True,
    None,
    [1, {"a": [2, "\ud800"]}],
    '=1,"2"\t\r\n\0',
]


def collected(folder: Path, *results: dict[str, Any]) -> Collected:
    """Return the table of a pool whose tasks gave these results, in this order."""
    worker = SimulatedWorker(a_pool(folder, len(results)))
    order = sorted(range(len(results)), key=lambda i: dict(worker.pool.grid.point(i))["number"])
    for position, result in zip(order, results, strict=True):
        worker.finish(worker.claim(position), **result)
    return collect_pool(Pool(worker.pool.folder))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_value_beside_a_number_gives_both_tables(
    fast_path: Path, odd: object, suffix: str
) -> None:
    found = collected(fast_path, {"score": 0.5}, {"score": odd})

    write_frame(fast_path / f"wide{suffix}", found.frame)
    write_frame(fast_path / f"long{suffix}", found.long())

    assert found.frame["number"].tolist() == [0, 1]
    assert float(found.frame["score"][0]) == 0.5
    assert found.long()["score"][0] == 0.5


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_names_of_values_may_be_any_text(fast_path: Path, suffix: str) -> None:
    odd = {"": 1, "a\nb": 2, "k\udcff": 3, "k\\udcff": 4, "task": 5}
    found = collected(fast_path, odd)

    write_frame(fast_path / f"wide{suffix}", found.frame)
    write_frame(fast_path / f"long{suffix}", found.long())

    assert found.metrics == ("", "a\nb", "result_k\\udcff", "k\\udcff", "result_task")
    assert found.frame[list(found.metrics)].to_numpy().tolist() == [[1, 2, 3, 4, 5]]


def test_a_whole_number_beyond_all_fractions_is_infinite() -> None:
    assert typed([HUGE, -HUGE, None, 1]).tolist()[:2] == [math.inf, -math.inf]


def test_the_word_nan_among_numbers_leaves_them_numbers() -> None:
    column = joined([typed([1, 2]), typed(["NaN", None])])

    assert column.tolist()[:2] == [1.0, 2.0]
    assert column.dtype == "float64"


def test_words_alone_stay_words() -> None:
    assert typed(["NaN", "nan"]).tolist() == ["NaN", "nan"]


def test_other_words_among_numbers_are_text() -> None:
    assert typed(["NaN", "none", 1]).tolist() == ["NaN", "none", "1"]


def test_what_is_no_number_under_the_name_of_a_score_is_counted(fast_path: Path) -> None:
    found = collected(fast_path, {"score": 0.5}, {"score": "failed"}, {"score": 2})

    assert found.long()["score"].tolist() == [0.5, 2.0]
    assert found.n_no_numbers == {"score": 1}


def test_whole_scores_stay_whole_in_the_long_form(fast_path: Path) -> None:
    found = collected(fast_path, {"hits": 2**53 + 1}, {"hits": 3})

    assert found.long()["score"].tolist() == [2**53 + 1, 3]


def test_the_command_tells_what_the_long_form_leaves_out(fast_path: Path, jobpool: Jobpool) -> None:
    collected(fast_path, {"score": 0.5}, {"score": "failed"})

    shown = jobpool("collect", fast_path / "pool", "-o", fast_path / "long.csv", "--long")

    assert pd.read_csv(fast_path / "long.csv")["score"].tolist() == [0.5]
    assert "1 value of score left out: no number; see the table without --long" in shown.stderr


def test_a_result_of_another_runner_is_left_out_by_name(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.finish(worker.claim(0), folds=[{"fold": 0}])

    found = collect(worker.pool, EvaluateResults())

    assert found.unreadable == (worker.pool.grid.id(0),)
    assert found.n_rows == 0
