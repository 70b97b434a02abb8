"""Results of the runner evaluate as rows, from what is in the files."""

from typing import Any

import numpy as np
import pytest

from jobpool.collect.row_columns import typed
from jobpool.runners.evaluate.results import merge_results, metric_names, result_rows


def a_fold(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "fold": number,
        "scores": {"r2": 0.1 * (number + 1), "mae": 3.0},
        "search_score": {"r2": 0.25},
        "chosen": {"alpha": 10.0**number, "l1_ratio": 0.5},
        "candidate": number,
        "n_train": 80,
        "n_test": 20 + number,
        "n_unconverged": 1,
        "converged": True,
        "seconds": 1.5,
        **changes,
    }


def a_result(*folds: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "kind": "regression",
        "folds": list(folds),
        "n_candidates": 60,
        "seed": 7,
        "roi_values": "abc",
        "participants": {"in_table": 105, "used": 101},
        "n_features": 12,
        "n_empty_parcels": 0,
        "n_non_finite": 3,
        "versions": {"numpy": "2.0"},
        "seconds": {"total": 4.0},
        **changes,
    }


def test_a_row_of_a_task_holds_means_then_each_fold() -> None:
    (row,) = result_rows(a_result(a_fold(0), a_fold(1)), "task")

    assert (row["r2"], row["mae"], row["search_r2"]) == pytest.approx((0.15, 3.0, 0.25))
    assert (row["r2_fold0"], row["r2_fold1"], row["alpha_fold1"]) == (0.1, 0.2, 10.0)
    assert (row["n_used"], row["n_dropped"], row["n_unconverged"]) == (101, 4, 2)


def test_rows_by_fold_hold_the_values_of_that_fold() -> None:
    first, second = result_rows(a_result(a_fold(0), a_fold(1)), "fold")

    assert (first["fold"], first["r2"], first["alpha"], first["n_test"]) == (0, 0.1, 1.0, 20)
    assert (second["fold"], second["r2"], second["alpha"], second["n_test"]) == (1, 0.2, 10.0, 21)
    assert (first["search_r2"], first["n_used"], first["seconds"]) == (0.25, 101, 1.5)


def test_a_row_counts_what_is_the_same_for_everybody() -> None:
    first = a_fold(0, n_constant_features=3, constant_predictions=True)
    second = a_fold(1, n_constant_features=5, constant_predictions=False)

    (row,) = result_rows(a_result(first, second), "task")

    assert (row["n_constant_features"], row["n_constant_folds"]) == (5, 1)


def test_a_row_counts_failed_fits_with_the_first_error() -> None:
    failing = a_fold(1, n_failed=4, first_error="ValueError: n_components")

    (row,) = result_rows(a_result(a_fold(0, n_failed=0), failing), "task")

    assert (row["n_failed"], row["first_error"]) == (4, "ValueError: n_components")


@pytest.mark.parametrize("by", ["task", "fold"])
def test_the_positive_class_stands_in_every_row(by: str) -> None:
    rows = result_rows(a_result(a_fold(0), a_fold(1), kind="binary", classes=["Yes", "no"]), by)

    assert {row["positive_class"] for row in rows} == {"no"}


def test_a_regression_has_no_positive_class() -> None:
    (row,) = result_rows(a_result(a_fold(0), classes=[]), "task")

    assert "positive_class" not in row


def test_a_mean_is_missing_if_a_fold_has_no_score() -> None:
    broken = a_fold(1, scores={"r2": None, "mae": 5.0})

    (row,) = result_rows(a_result(a_fold(0), broken), "task")

    assert (row["r2"], row["mae"]) == (None, 4.0)


def test_scores_in_another_order_are_averaged_by_name() -> None:
    turned = a_fold(1, scores={"mae": 5.0, "r2": 0.3})

    (row,) = result_rows(a_result(a_fold(0), turned), "task")

    assert (row["r2"], row["mae"]) == pytest.approx((0.2, 4.0))


def test_a_result_of_the_first_jobpool_still_gives_its_rows() -> None:
    old = a_result(a_fold(0), seconds={"values": 0.5, "total": 2.0})
    del old["roi_values"], old["n_non_finite"]

    (row,) = result_rows(old, "task")

    assert (row["n_non_finite"], row["roi_values"], row["seconds"]) == (0, "", 2.0)


def test_a_fold_of_an_ensemble_has_what_it_has() -> None:
    fold = a_fold(0, search_score={}, chosen={"member": "b"}, n_left_out=2, fit_seconds=9.0)
    del fold["candidate"]

    (row,) = result_rows(a_result(fold, fits={"made": 1, "reused": 7, "waited_s": 0.5}), "fold")

    assert (row["member"], row["n_left_out"], row["fit_seconds"]) == ("b", 2, 9.0)
    assert {"candidate", "search_r2", "fits_made"}.isdisjoint(row)


def test_a_row_of_an_ensemble_counts_fits() -> None:
    fits = {"made": 1, "reused": 7, "waited_s": 0.5}

    (row,) = result_rows(
        a_result(
            a_fold(0, n_left_out=2, fit_seconds=9.0),
            a_fold(1, n_left_out=1, fit_seconds=2.5),
            fits=fits,
        ),
        "task",
    )

    assert (row["fits_made"], row["fits_reused"], row["fits_waited_s"]) == (1, 7, 0.5)
    assert row["fit_seconds"] == 11.5
    assert row["n_left_out"] == 3


def test_merged_parts_give_the_rows_of_the_whole() -> None:
    parts = [a_result(a_fold(number)) for number in (1, 0)]

    merged = merge_results(parts)

    whole = a_result(a_fold(0), a_fold(1))
    assert result_rows(merged, "fold") == result_rows(whole, "fold")
    assert merged["seconds"] == {"total": 8.0}


def test_fits_of_merged_parts_add_up() -> None:
    fits = {"made": 1, "reused": 7, "waited_s": 0.25}

    merged = merge_results([a_result(a_fold(number), fits=fits) for number in (0, 1)])

    assert merged["fits"] == {"made": 2, "reused": 14, "waited_s": 0.5}


def test_the_metrics_are_the_scores_alone() -> None:
    assert metric_names(a_result(a_fold(0))) == ("r2", "mae")


def test_numbers_of_numpy_are_numbers_of_a_table() -> None:
    columns: dict[str, list[Any]] = {
        "n": [np.int64(1), None],
        "f": [np.float32(0.5), 1],
        "b": [np.bool_(True), False],
    }

    kinds = [str(typed(values).dtype) for values in columns.values()]

    assert kinds == ["Int64", "float64", "bool"]
