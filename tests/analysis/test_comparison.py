"""Strategies against single parcellations, and what no other pair beats."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.analysis.comparison import (
    compare_strategies,
    pareto_front,
    summarise_strategies,
    trade_off,
)
from jobpool.analysis.study_table import StudyTable, read_study_table

COLUMNS = ["parcellation", "size", "type", "strategy", "members", "pipeline", "target"]
#                 size      score
SINGLES = {"s10": (10, 0.1), "s20": (20, 0.2), "s80": (80, 0.4), "s200": (200, 0.5)}


def a_table(folder: Path, rows: list[tuple[object, ...]]) -> StudyTable:
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "score", "seconds", "memory_mb"])
    frame.to_csv(folder / "study.csv", index=False)
    return read_study_table(folder / "study.csv")


def single(name: str, pipeline: str = "svm", more: float = 0.0) -> tuple[object, ...]:
    size, score = SINGLES[name]
    return (name, size, "hard", "single", 1, pipeline, "age", score + more, size, size * 10)


def ensemble(score: float, size: int = 40, pipeline: str = "svm") -> tuple[object, ...]:
    return (f"v{size}", size, "ensemble", "voted", 2, pipeline, "age", score, 500, 150)


def test_an_ensemble_is_compared_with_single_ones_of_half_to_double_its_size(
    tmp_path: Path,
) -> None:
    table = a_table(tmp_path, [*map(single, SINGLES), ensemble(0.45)])

    row = compare_strategies(table).iloc[0]

    # 40 parcels: 20 to 80 are comparable, with scores 0.2, 0.4
    assert row["n_comparable"] == 2
    assert row["mean_comparable"] == pytest.approx(0.3)
    assert (row["best_comparable"], row["best_comparable_name"]) == (0.4, "s80")
    assert row["gain_over_mean"] == pytest.approx(0.15)
    assert row["gain_over_best"] == pytest.approx(0.05)


def test_an_ensemble_is_compared_with_the_best_of_any_size(tmp_path: Path) -> None:
    table = a_table(tmp_path, [*map(single, SINGLES), ensemble(0.45)])

    row = compare_strategies(table).iloc[0]

    assert (row["best_single"], row["best_single_name"]) == (0.5, "s200")
    assert row["gain_over_best_single"] == pytest.approx(-0.05)


def test_an_ensemble_without_comparable_ones_has_no_gain(tmp_path: Path) -> None:
    table = a_table(tmp_path, [*map(single, SINGLES), ensemble(0.45, size=1_000)])

    compared = compare_strategies(table)

    row = compared.iloc[0]
    assert row["n_comparable"] == 0
    assert np.isnan(row["gain_over_best"])
    assert summarise_strategies(compared)["share_better"].isna().all()


def test_an_ensemble_of_two_pipelines_is_compared_with_both(tmp_path: Path) -> None:
    rows = [single("s20"), single("s20", "elastic", more=0.1), single("s20", "lgbm", more=0.2)]
    table = a_table(tmp_path, [*rows, ensemble(0.45, pipeline="elastic+svm")])

    row = compare_strategies(table).iloc[0]

    assert row["n_comparable"] == 2
    assert row["mean_comparable"] == pytest.approx(0.25)
    assert row["best_comparable_name"] == "s20 x elastic"


def test_the_summary_counts_ensembles_that_are_better(tmp_path: Path) -> None:
    rows = [*map(single, SINGLES), ensemble(0.45), ensemble(0.3, size=30), ensemble(0.9, size=999)]

    summary = summarise_strategies(compare_strategies(a_table(tmp_path, rows))).iloc[0]

    # 40 parcels: 0.45 against 0.4; 30 parcels: 0.3 against 0.2; 999 parcels: nothing
    assert (summary["n"], summary["n_compared"]) == (3, 2)
    assert summary["gain_over_best"] == pytest.approx((0.05 + 0.1) / 2)
    assert summary["share_better"] == 1.0


def test_a_study_without_ensembles_has_nothing_to_compare(tmp_path: Path) -> None:
    compared = compare_strategies(a_table(tmp_path, [*map(single, SINGLES)]))

    assert compared.empty
    assert summarise_strategies(compared).empty


def test_the_front_holds_what_nothing_beats(tmp_path: Path) -> None:
    table = a_table(tmp_path, [*map(single, SINGLES), ensemble(0.45)])

    pairs = trade_off(table).set_index("parcellation")

    # ranks: s200 1, v40 2, s80 3, s20 4, s10 5; seconds: 200, 500, 80, 20, 10; memory of v40: 150
    assert pairs["mean_rank"].to_dict() == {"s10": 5, "s20": 4, "v40": 2, "s80": 3, "s200": 1}
    assert pairs.index[pairs["front_time"]].tolist() == ["s10", "s20", "s80", "s200"]
    assert pairs.index[pairs["front_memory"]].tolist() == ["s10", "v40", "s200"]
    assert pairs["front"].all()


def test_an_unknown_cost_keeps_a_pair_from_the_front(tmp_path: Path) -> None:
    rows = [*map(single, SINGLES)]
    rows[-1] = (*rows[-1][:-2], "", "")

    pairs = trade_off(a_table(tmp_path, rows)).set_index("parcellation")

    assert pairs.index[pairs["front_time"]].tolist() == ["s10", "s20", "s80"]


def test_a_cost_known_for_some_targets_alone_is_unknown(tmp_path: Path) -> None:
    other = [(*single(name)[:6], "sex", *single(name)[7:]) for name in SINGLES]
    other[0] = (*other[0][:8], "", "")

    pairs = trade_off(a_table(tmp_path, [*map(single, SINGLES), *other]))

    assert pairs["seconds"].isna().tolist() == [True, False, False, False]


def test_equal_rows_are_on_the_front_together() -> None:
    front = pareto_front(np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0], [0.0, 9.0]]))

    assert front.tolist() == [True, True, False, True]


def test_a_row_is_on_the_front_exactly_if_no_row_beats_it() -> None:
    costs = np.random.default_rng(5).integers(0, 6, (200, 3)).astype(np.float64)
    others, own = costs[np.newaxis, :, :], costs[:, np.newaxis, :]
    no_worse = np.all(others <= own, axis=2)
    better = np.any(others < own, axis=2)

    front = pareto_front(costs)

    assert front.tolist() == np.logical_not(np.any(no_worse & better, axis=1)).tolist()
