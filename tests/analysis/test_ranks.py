"""Ranks and their means on a table worked by hand; what cannot be ranked."""

from pathlib import Path

import pandas as pd
import pytest

from jobpool.analysis.coverage import combined_pipelines, complete_part, coverage
from jobpool.analysis.ranks import best, rank
from jobpool.analysis.study_table import StudyTable, read_study_table

# score of each parcellation      elastic      svm
#                                 age   sex    age   sex
BY_HAND = {
    "p10": (10, "hard", (0.10, 0.60, 0.20, 0.70)),
    "p20": (20, "random", (0.30, 0.60, 0.10, 0.80)),
    "p40": (40, "hard", (0.30, 0.70, 0.40, 0.80)),
    "p80": (80, "random", (0.50, 0.65, 0.30, 0.75)),
}
# ranks within each pipeline      elastic      svm
# and target, the highest 1       age   sex    age   sex    mean
#                          p10    4     3.5    3     4      14.5 / 4 = 3.625
#                          p20    2.5   3.5    4     1.5    11.5 / 4 = 2.875
#                          p40    2.5   1      1     1.5     6   / 4 = 1.5
#                          p80    1     2      2     3       8   / 4 = 2
COLUMNS = (("elastic", "age"), ("elastic", "sex"), ("svm", "age"), ("svm", "sex"))


def rows_by_hand() -> pd.DataFrame:
    return pd.DataFrame(
        [
            (name, size, kind, pipeline, target, score)
            for name, (size, kind, scores) in BY_HAND.items()
            for (pipeline, target), score in zip(COLUMNS, scores, strict=True)
        ],
        columns=["parcellation", "size", "type", "pipeline", "target", "score"],
    )


def a_table(rows: pd.DataFrame, folder: Path) -> StudyTable:
    rows.to_csv(folder / "study.csv", index=False)
    return read_study_table(folder / "study.csv")


def without(rows: pd.DataFrame, *cells: tuple[str, str, str]) -> pd.DataFrame:
    keys = pd.MultiIndex.from_frame(rows[["parcellation", "pipeline", "target"]])
    return rows[~keys.isin(cells)]


def test_ties_share_the_mean_of_their_ranks(tmp_path: Path) -> None:
    ranking = rank(a_table(rows_by_hand(), tmp_path))

    ranks = ranking.cells.pivot(
        index="parcellation", columns=["pipeline", "target"], values="rank"
    ).sort_index(axis=1)
    assert ranks.to_numpy().tolist() == [
        [4.0, 3.5, 3.0, 4.0],
        [2.5, 3.5, 4.0, 1.5],
        [2.5, 1.0, 1.0, 1.5],
        [1.0, 2.0, 2.0, 3.0],
    ]


def test_the_mean_rank_is_a_mean_over_pipelines_with_targets(tmp_path: Path) -> None:
    ranking = rank(a_table(rows_by_hand(), tmp_path))

    assert ranking.overall["parcellation"].tolist() == ["p10", "p20", "p40", "p80"]
    assert ranking.overall["mean_rank"].tolist() == [3.625, 2.875, 1.5, 2.0]
    assert ranking.overall["n_cells"].tolist() == [4, 4, 4, 4]


def test_each_pipeline_has_its_own_means(tmp_path: Path) -> None:
    ranking = rank(a_table(rows_by_hand(), tmp_path))

    means = ranking.by_pipeline.pivot(index="parcellation", columns="pipeline", values="mean_rank")
    # p10: (4 + 3.5) / 2, (3 + 4) / 2; and so on
    assert means.to_numpy().tolist() == [[3.75, 3.5], [3.0, 2.75], [1.75, 1.25], [1.5, 2.5]]


def test_each_type_has_the_mean_of_its_parcellations(tmp_path: Path) -> None:
    ranking = rank(a_table(rows_by_hand(), tmp_path))

    # hard: (3.625 + 1.5) / 2, sizes 10, 40; random: (2.875 + 2) / 2, sizes 20, 80
    assert ranking.by_type.to_numpy().tolist() == [
        ["hard", 2, 2.5625, 25.0],
        ["random", 2, 2.4375, 50.0],
    ]


def test_pipelines_are_compared_by_ranks_of_all_pairs(tmp_path: Path) -> None:
    ranking = rank(a_table(rows_by_hand(), tmp_path), within=("target",))

    # age: 0.5 is 1, 0.4 is 2, three times 0.3 are (3 + 4 + 5) / 3 = 4, 0.2 is 6, twice 0.1 are 7.5
    # sex: twice 0.8 are 1.5, 0.75 is 3, twice 0.7 are 4.5, 0.65 is 6, twice 0.6 are 7.5
    means = ranking.by_pipeline.pivot(index="parcellation", columns="pipeline", values="mean_rank")
    assert means.to_numpy().tolist() == [[7.5, 5.25], [5.75, 4.5], [4.25, 1.75], [3.5, 3.5]]


def test_a_table_of_mean_ranks_is_taken_as_it_is(tmp_path: Path) -> None:
    rows = rows_by_hand().rename(columns={"score": "mean_rank"})

    ranking = rank(a_table(rows, tmp_path))

    # p10: (0.10 + 0.60 + 0.20 + 0.70) / 4
    assert ranking.overall["mean_rank"].iloc[0] == pytest.approx(0.4)


def test_the_best_share_a_place(tmp_path: Path) -> None:
    rows = rows_by_hand()
    rows.loc[rows["parcellation"] == "p80", "score"] = rows.loc[
        rows["parcellation"] == "p40", "score"
    ].to_numpy()

    places = best(rank(a_table(rows, tmp_path)), "pipeline", most=1)

    assert places[["pipeline", "place", "parcellation"]].to_numpy().tolist() == [
        ["elastic", 1, "p40"],
        ["elastic", 1, "p80"],
        ["svm", 1, "p40"],
        ["svm", 1, "p80"],
    ]


def test_the_best_of_a_target_are_averaged_over_pipelines(tmp_path: Path) -> None:
    places = best(rank(a_table(rows_by_hand(), tmp_path)), "target", most=2)

    # age: p80 (1 + 2) / 2, p40 (2.5 + 1) / 2; sex: p40 (1 + 1.5) / 2, p80 (2 + 3) / 2, p20 too
    assert places[["target", "place", "parcellation", "mean_rank"]].to_numpy().tolist() == [
        ["age", 1, "p80", 1.5],
        ["age", 2, "p40", 1.75],
        ["sex", 1, "p40", 1.25],
        ["sex", 2, "p20", 2.5],
        ["sex", 2, "p80", 2.5],
    ]


def test_a_complete_table_has_nothing_to_say_about_its_cells(tmp_path: Path) -> None:
    covered = coverage(a_table(rows_by_hand(), tmp_path))

    assert covered.complete
    assert covered.sentences() == ()
    assert covered.missing.empty


def test_a_parcellation_with_a_missing_cell_is_named_rather_than_ranked(tmp_path: Path) -> None:
    rows = without(rows_by_hand(), ("p20", "svm", "sex"))

    ranking = rank(a_table(rows, tmp_path))

    # without p20: p10 3, 3, 3, 3; p40 2, 1, 1, 1; p80 1, 2, 2, 2
    assert ranking.overall["parcellation"].tolist() == ["p10", "p40", "p80"]
    assert ranking.overall["mean_rank"].tolist() == [3.0, 1.25, 1.75]
    assert ranking.coverage.left_out_parcellations == ("p20",)
    assert ranking.coverage.sentences() == (
        "1 of 16 cells (parcellation, pipeline and target) have no result; ranks are those of the "
        "3 parcellations that have all of 4 pairs of pipeline and target.",
        "Parcellations left out of ranks, 1: p20.",
    )


def test_a_target_that_most_lack_is_left_out_before_they_are(tmp_path: Path) -> None:
    # three of four parcellations lack svm x sex: 3/4 of the column, 1/4 of each parcellation
    lacking = [(name, "svm", "sex") for name in ("p10", "p20", "p40")]

    covered = coverage(a_table(without(rows_by_hand(), *lacking), tmp_path))

    assert covered.left_out_columns == (("svm", "sex"),)
    assert covered.left_out_parcellations == ()
    assert covered.n_ranked_columns == 3
    assert covered.missing.to_numpy().tolist() == [list(cell) for cell in lacking]


def test_of_equal_shares_the_parcellation_is_left_out(tmp_path: Path) -> None:
    covered = coverage(a_table(without(rows_by_hand(), ("p40", "svm", "age")), tmp_path))

    # one of four cells of p40, one of four cells of svm x age
    assert covered.left_out_parcellations == ("p40",)
    assert covered.left_out_columns == ()


def test_the_part_that_is_ranked_is_complete(tmp_path: Path) -> None:
    rows = without(rows_by_hand(), ("p10", "svm", "age"), ("p20", "elastic", "sex"))
    table = a_table(rows, tmp_path)

    part = complete_part(table, coverage(table))

    # first p10, one of its four cells; then of p20's four cells and of the three left in
    # elastic x sex one is missing: a third is more than a quarter
    counts = part.frame.groupby("parcellation").size()
    assert counts.to_dict() == {"p20": 3, "p40": 3, "p80": 3}
    assert ("elastic", "sex") not in set(
        zip(part.frame["pipeline"], part.frame["target"], strict=True)
    )


def test_a_combination_that_nobody_has_counts_as_missing(tmp_path: Path) -> None:
    lacking = [(name, "svm", "sex") for name in BY_HAND]

    covered = coverage(a_table(without(rows_by_hand(), *lacking), tmp_path))

    assert (covered.n_cells, covered.n_present) == (16, 12)
    assert covered.left_out_columns == (("svm", "sex"),)


def test_a_pipeline_of_ensembles_alone_is_a_combined_one(tmp_path: Path) -> None:
    rows = rows_by_hand().assign(strategy="single")
    voted = rows.assign(strategy="voted", parcellation="v", size=50, type="ensemble")
    voted = voted.iloc[:1].assign(pipeline="elastic+svm")

    combined = combined_pipelines(a_table(pd.concat([rows, voted]), tmp_path))

    assert combined == ("elastic+svm",)
