"""The study table: what is read, and what every mistake in it says."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.analysis.study_table import LABELS, LOWER_IS_BETTER, from_results, read_study_table
from jobpool.errors import DataError
from jobpool.learning.scores import METRICS
from tests.support.synthetic_study import a_study

HEADER = "parcellation,size,type,pipeline,target,score"
ROWS = ("small,10,hard,svm,age,0.1", "large,20,hard,svm,age,0.3")


def a_file(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "study.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def results(**columns: Sequence[object]) -> pd.DataFrame:
    """Return collected results of two parcellations for two targets."""
    return pd.DataFrame(
        {
            "task": ["t1", "t2", "t3", "t4"],
            "parcellation": ["small", "small", "large", "large"],
            "parcels": [10, 10, 20, 20],
            "parcellation_kind": ["hard", "hard", "soft", "soft"],
            "pipeline": ["svm"] * 4,
            "target": ["age", "sex", "age", "sex"],
            "target_kind": ["regression", "binary", "regression", "binary"],
            "r2": [0.1, np.nan, 0.2, np.nan],
            "mae": [4.0, np.nan, 3.0, np.nan],
            "roc_auc": [np.nan, 0.6, np.nan, 0.7],
            "task_seconds": [1.0, 2.0, 3.0, 4.0],
            "peak_memory_mb": [100.0, 110.0, 120.0, 130.0],
            **columns,
        }
    )


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_a_table_is_the_same_from_every_kind_of_file(ending: str, tmp_path: Path) -> None:
    study = a_study()
    path = tmp_path / f"study{ending}"
    writers: dict[str, Callable[[], object]] = {
        ".csv": lambda: study.to_csv(path, index=False),
        ".tsv": lambda: study.to_csv(path, sep="\t", index=False),
        ".parquet": lambda: study.to_parquet(path, index=False),
    }
    writers[ending]()

    table = read_study_table(path)

    expected = study.sort_values(["size", "parcellation", "pipeline", "target"], ignore_index=True)
    pd.testing.assert_frame_equal(table.frame, expected, check_like=True, check_dtype=False)


def test_columns_that_may_be_left_out_are_filled_in(tmp_path: Path) -> None:
    table = read_study_table(a_file(tmp_path, *ROWS))

    row = table.frame.iloc[0]
    assert (row["strategy"], row["set"], row["members"], row["task"]) == ("single", "", 1, "")
    assert np.isnan(row["seconds"])
    assert np.isnan(row["memory_mb"])


def test_a_table_of_mean_ranks_needs_neither_pipeline_nor_target(tmp_path: Path) -> None:
    path = a_file(tmp_path, "small,10,hard,2", header="parcellation,size,type,mean_rank")

    table = read_study_table(path)

    assert table.measure == "mean_rank"
    assert table.frame[["pipeline", "target", "mean_rank"]].iloc[0].tolist() == ["all", "all", 2.0]


@pytest.mark.parametrize("written", ["", "n/a", "nan"])
def test_an_unknown_cost_may_be_written_in_every_usual_way(written: str, tmp_path: Path) -> None:
    path = a_file(tmp_path, f"{ROWS[0]},{written}", header=f"{HEADER},seconds")

    table = read_study_table(path)

    assert table.frame["seconds"].isna().all()


@pytest.mark.parametrize("written", ["-", "unknown", "-1"])
def test_the_words_for_an_unknown_cost_may_be_given(written: str, tmp_path: Path) -> None:
    path = a_file(tmp_path, f"{ROWS[0]},{written}", header=f"{HEADER},seconds")

    table = read_study_table(path, missing=[written])

    assert table.frame["seconds"].isna().all()


@pytest.mark.parametrize("written", ["0,1", "1_0", "1e", "0x1", "0.1 %"])
def test_a_score_that_is_no_plain_number_is_refused(written: str, tmp_path: Path) -> None:
    path = a_file(tmp_path, f'small,10,hard,svm,age,"{written}"')

    with pytest.raises(DataError, match=r"column 'score', line 2: .* is no finite number"):
        read_study_table(path)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_empty_cells_are_filled_as_columns_left_out(ending: str, tmp_path: Path) -> None:
    study = a_study()
    about = ["strategy", "set", "members"]
    single = study["strategy"] == "single"
    path = tmp_path / f"study{ending}"
    mixed = pd.concat([study[single].drop(columns=about), study[~single]], ignore_index=True)
    writers: dict[str, Callable[..., object]] = {".csv": mixed.to_csv, ".parquet": mixed.to_parquet}
    writers[ending](path, index=False)

    table = read_study_table(path)

    whole = study.sort_values(["size", "parcellation", "pipeline", "target"], ignore_index=True)
    pd.testing.assert_frame_equal(table.frame[about], whole[about], check_dtype=False)


def test_an_ensemble_says_how_many_members_it_has(tmp_path: Path) -> None:
    header = f"{HEADER},strategy,members"
    path = a_file(tmp_path, f"{ROWS[0]},,", f"{ROWS[1]},voted,", header=header)

    with pytest.raises(DataError, match="column 'members', line 3: '' is missing"):
        read_study_table(path)


def test_a_name_that_looks_like_a_number_stays_as_it_is(tmp_path: Path) -> None:
    table = read_study_table(a_file(tmp_path, "007,10,hard,svm,age,0.1"))

    assert table.frame["parcellation"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["small,10,hard,svm,age,good"], "column 'score', line 2: 'good' is no finite number"),
        (["small,10,hard,svm,age,inf"], "column 'score', line 2: 'inf' is no finite number"),
        ([ROWS[0], "large,20,hard,svm,age,"], "column 'score', line 3: '' is missing"),
        ([ROWS[0], "large,20,hard,svm,age,NaN"], "column 'score', line 3: 'NaN' is missing"),
        (["small,ten,hard,svm,age,0.1"], "column 'size', line 2: 'ten' is no finite number"),
        (["small,10.5,hard,svm,age,0.1"], "column 'size', line 2: '10.5' is no whole number"),
        (["small,0,hard,svm,age,0.1"], "column 'size', line 2: '0' is no whole number"),
        ([",10,hard,svm,age,0.1"], "column 'parcellation', line 2: '' is empty; fill it in"),
        (
            [*ROWS, "small,10,hard,svm,age,0.2"],
            "lines 2, 4 are all of parcellation 'small', pipeline 'svm', target 'age'; keep one",
        ),
        (
            [*ROWS, "small,11,hard,svm,sex,0.2"],
            "column 'size': parcellation 'small' has two values: 10 in line 2, 11 in line 4; give",
        ),
        (
            [*ROWS, "small,10,soft,svm,sex,0.2"],
            "column 'type': parcellation 'small' has two values: hard in line 2, soft in line 4",
        ),
        ([], "has no rows; give one per parcellation"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(rows: list[str], said: str, tmp_path: Path) -> None:
    path = a_file(tmp_path, *rows)

    with pytest.raises(DataError) as caught:
        read_study_table(path)

    assert str(caught.value).startswith(f"{path}: {said}")


def test_many_wrong_values_are_counted(tmp_path: Path) -> None:
    path = a_file(tmp_path, *(f"p{i},10,hard,svm,age,x" for i in range(5)))

    with pytest.raises(DataError, match=r"line 2: 'x' .*\(4 more rows like it\)"):
        read_study_table(path)


def test_a_missing_column_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    path = a_file(tmp_path, ROWS[0], header=HEADER.replace("size", "sizes"))

    with pytest.raises(DataError, match="no column 'size'; did you mean 'sizes'"):
        read_study_table(path)


def test_a_mean_rank_of_zero_is_refused(tmp_path: Path) -> None:
    path = a_file(tmp_path, "small,10,hard,0", header="parcellation,size,type,mean_rank")

    with pytest.raises(DataError, match="column 'mean_rank', line 2: '0' is not above 0"):
        read_study_table(path)


def test_a_table_has_scores_or_mean_ranks(tmp_path: Path) -> None:
    path = a_file(tmp_path, f"{ROWS[0]},1", header=f"{HEADER},mean_rank")

    with pytest.raises(DataError, match="both 'score' and 'mean_rank'; keep the one"):
        read_study_table(path)


def test_the_first_reported_score_of_each_target_is_taken() -> None:
    table = from_results(results(), "POOL")

    assert table.metrics == {"age": "r2", "sex": "roc_auc"}
    assert table.frame["score"].tolist() == [0.1, 0.6, 0.2, 0.7]
    assert table.frame["seconds"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert table.frame["type"].tolist() == ["hard", "hard", "soft", "soft"]


def test_a_score_that_is_better_when_lower_is_negated() -> None:
    table = from_results(results(), "POOL", {"regression": "mae"})

    assert table.metrics == {"age": "mae", "sex": "roc_auc"}
    assert table.frame["score"].tolist() == [-4.0, 0.6, -3.0, 0.7]
    assert table.score_label("age") == "Negated mean absolute error"
    assert table.score_label("sex") == "ROC AUC"


def test_a_result_without_a_score_counts_as_missing() -> None:
    frame = results(r2=[0.1, np.nan, None, np.nan])

    table = from_results(frame, "POOL")

    assert table.no_score[["parcellation", "target"]].to_numpy().tolist() == [["large", "age"]]
    assert len(table.frame) == 3


def test_how_a_parcellation_came_about_is_its_type_where_it_is_known() -> None:
    table = from_results(results(parcellation_type=["random"] * 2 + ["soft"] * 2), "POOL")

    assert sorted(table.frame["type"].unique()) == ["random", "soft"]


def test_a_task_that_found_its_fits_costs_what_these_took() -> None:
    table = from_results(results(fit_seconds=[50.0, np.nan, 30.0, np.nan]), "pool")

    seconds = table.frame.set_index(["parcellation", "target"])["seconds"].to_dict()
    assert seconds == {
        ("small", "age"): 50.0,
        ("small", "sex"): 2.0,
        ("large", "age"): 30.0,
        ("large", "sex"): 4.0,
    }


def test_ensembles_keep_their_set() -> None:
    frame = results(
        strategy=["single"] * 2 + ["voted"] * 2,
        inputs=["small"] * 2 + ["random_10_1"] * 2,
        members=[1, 1, 2, 2],
    )

    table = from_results(frame, "POOL")

    assert table.singles.frame["set"].unique().tolist() == [""]
    assert table.ensembles.frame["set"].unique().tolist() == ["random_10_1"]


def test_results_without_any_score_are_refused() -> None:
    frame = results().drop(columns=["r2", "mae", "roc_auc"])

    with pytest.raises(DataError, match=r"POOL: no score in its columns .*wait for the first"):
        from_results(frame, "POOL")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"regression": "rmse"}, "kind 'regression' have no score 'rmse' (choose from: r2, mae)"),
        ({"regression": "roc_auc"}, "have no score 'roc_auc' (choose from: r2, mae)"),
        ({"binary": "parcels"}, "have no score 'parcels' (choose from: roc_auc)"),
        ({"binary": "task"}, "have no score 'task' (choose from: roc_auc)"),
        (
            {"binery": "roc_auc"},
            "no result has a target of kind 'binery'; did you mean 'binary'? (choose from: binary, "
            "regression)",
        ),
    ],
)
def test_a_metric_that_is_no_score_is_refused(metrics: dict[str, str], said: str) -> None:
    with pytest.raises(DataError) as caught:
        from_results(results(), "POOL", metrics)

    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["f1", "task"])
def test_a_kind_without_results_yet_takes_any_metric(name: str) -> None:
    frame = results(roc_auc=[np.nan] * 4)

    table = from_results(frame, "POOL", {"binary": name})

    assert table.metrics == {"age": "r2"}
    assert table.no_score["target"].tolist() == ["sex", "sex"]


def test_scores_are_those_that_the_caller_names() -> None:
    frame = results(gain=[1.0, np.nan, 2.0, np.nan])

    table = from_results(frame, "POOL", {"regression": "gain"}, ("r2", "gain", "roc_auc"))

    assert table.metrics == {"age": "gain", "sex": "roc_auc"}


def test_a_column_that_the_caller_does_not_name_is_no_score() -> None:
    with pytest.raises(DataError, match=r"no score 'mae' .*\(choose from: r2\)"):
        from_results(results(), "POOL", {"regression": "mae"}, ("r2", "roc_auc"))


def test_the_metrics_are_those_that_tasks_report() -> None:
    every = {name: metric for kind in METRICS.values() for name, metric in kind.items()}

    lower = {name for name, metric in every.items() if metric.lower_is_better}

    assert LABELS.keys() == every.keys()
    assert lower == LOWER_IS_BETTER
