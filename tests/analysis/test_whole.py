"""The whole analysis: what a study shows, and what it says where it cannot."""

from pathlib import Path

import pandas as pd
import pytest

from jobpool.analysis.study_table import StudyTable, read_study_table
from jobpool.analysis.whole import Analysis, analyse
from jobpool.experiment.report import RegionChoice
from tests.support.synthetic_study import a_study


def analysed(rows: pd.DataFrame, folder: Path) -> Analysis:
    return analyse(a_table(rows, folder))


def a_table(rows: pd.DataFrame, folder: Path) -> StudyTable:
    rows.to_parquet(folder / "study.parquet", index=False)
    return read_study_table(folder / "study.parquet")


def test_a_study_shows_everything(tmp_path: Path) -> None:
    found = analysed(a_study(n_parcellations=60), tmp_path)

    assert found.notes == ()
    assert found.scaling is not None
    assert found.scaling.region.exponent < -0.2
    assert sorted(found.scaling_by_pipeline) == ["elastic", "lgbm", "svm"]
    assert sorted(found.scaling_by_type) == ["hard", "random", "soft"]
    assert found.regression is not None
    assert found.regression.n == found.scaling.region.n
    assert found.regression_by_pipeline is not None
    assert found.regression_by_pipeline.n == 3 * found.scaling.region.n
    assert len(found.compared) == 12 * 9
    assert len(found.trade_off) == 72 * 3


def test_single_parcellations_are_ranked_without_ensembles(tmp_path: Path) -> None:
    found = analysed(a_study(), tmp_path)

    assert found.ranking is not None
    assert found.together is not None
    assert len(found.ranking.overall) == 24
    assert len(found.together.overall) == 24 + 12


def test_a_study_of_one_pipeline_compares_none(tmp_path: Path) -> None:
    study = a_study()

    found = analysed(study[study["pipeline"] == "svm"], tmp_path)

    assert found.across is None
    assert "In the regression: No pipeline term: all rows have pipeline 'svm'." in found.notes


def test_mean_ranks_from_elsewhere_show_how_they_scale(tmp_path: Path) -> None:
    study = a_study(ensembles=False).groupby(["parcellation", "size", "type"], as_index=False)
    scores = study["score"].mean()
    ranks = scores["score"].rank(ascending=False)

    found = analysed(scores.drop(columns="score").assign(mean_rank=ranks), tmp_path)

    assert found.scaling is not None
    assert found.scaling.whole.n == 24
    assert found.across is None
    assert found.trade_off.empty


def test_a_small_study_says_what_it_is_too_small_for(tmp_path: Path) -> None:
    found = analysed(a_study(n_parcellations=4, ensembles=False), tmp_path)

    assert found.ranking is not None
    assert found.scaling is None
    assert found.notes == (
        "No power law and no regression of all single parcellations: a region takes 5 different "
        "sizes, there are 4.",
    )
    assert found.regression is None


def test_a_single_row_has_no_ranks(tmp_path: Path) -> None:
    found = analysed(a_study().iloc[:1], tmp_path)

    assert found.ranking is None
    assert found.regression is None
    assert found.notes == (
        "No ranks: fewer than two parcellations have the same pipelines and targets.",
    )


def test_what_is_missing_is_said_of_single_ones_apart_from_ensembles(tmp_path: Path) -> None:
    study = a_study()
    lost = study[study["strategy"] == "voted"].index[0]

    found = analysed(study.drop(index=lost), tmp_path)

    assert found.coverage.complete
    assert found.together_notes[-1].startswith(
        "With ensembles: Parcellations left out of ranks, 1: voted_"
    )
    assert found.notes[-2:] == (
        found.together_notes[-1],
        "Pairs of parcellation and pipeline left out of score, time and memory, as they lack a "
        "target: 1 of 108.",
    )


def test_combined_pipelines_are_compared_rather_than_ranked(tmp_path: Path) -> None:
    study = a_study()
    voted = study[(study["strategy"] == "voted") & (study["pipeline"] == "svm")]

    found = analysed(pd.concat([study, voted.assign(pipeline="elastic+svm")]), tmp_path)

    assert found.together is not None
    assert "elastic+svm" not in set(found.together.cells["pipeline"])
    assert "elastic+svm" in set(found.compared["pipeline"])
    assert (
        "Pipelines that no single parcellation has are not ranked with others: elastic+svm."
        in found.notes
    )


def test_ensembles_alone_are_ranked_among_themselves(tmp_path: Path) -> None:
    study = a_study()

    found = analysed(study[study["strategy"] != "single"], tmp_path)

    assert found.ranking is None
    assert found.together is not None
    assert len(found.together.overall) == 12
    assert found.compared["n_comparable"].eq(0).all()


def test_ensembles_are_ranked_where_they_are(tmp_path: Path) -> None:
    study = a_study()
    without_lgbm = study[(study["strategy"] == "single") | (study["pipeline"] != "lgbm")]
    lost = without_lgbm[without_lgbm["strategy"] == "single"].index[0]

    found = analysed(without_lgbm.drop(index=lost), tmp_path)

    assert found.together is not None
    assert found.together.overall["strategy"].ne("single").sum() == 12
    assert set(found.together.cells["pipeline"]) == {"elastic", "svm"}
    assert found.together_notes[0] == (
        "With ensembles: pipelines x targets that no ensemble has are left out of ranks, 3: "
        "lgbm x target_01, lgbm x target_02, lgbm x target_03."
    )


def test_a_cell_that_no_one_was_to_have_does_not_count_as_missing(tmp_path: Path) -> None:
    study = a_study()
    singles = study["strategy"] == "single"
    pairs = (study["pipeline"] == "svm") ^ (study["target"] == "target_01")

    found = analysed(study[singles | pairs], tmp_path)

    # the ensembles have four of nine pairs, which are no product of pipelines by targets
    assert found.together is not None
    assert found.together.coverage.complete
    assert found.together.coverage.n_columns == 4


def test_ensembles_that_all_lack_something_else_are_not_ranked_with_others(tmp_path: Path) -> None:
    study = a_study()
    each = study.groupby("parcellation")
    lost = (study["strategy"] != "single") & (each.cumcount() == each.ngroup() % 9)

    found = analysed(study[~lost], tmp_path)

    assert found.together is None
    assert found.together_notes[-1] == "No ranks with ensembles: none is left to be ranked."
    assert not found.compared.empty


def test_a_pair_lacks_no_target_because_another_pipeline_does(tmp_path: Path) -> None:
    study = a_study()
    without_lgbm = study[(study["strategy"] == "single") | (study["pipeline"] != "lgbm")]

    found = analysed(without_lgbm, tmp_path)

    assert len(found.trade_off) == 24 * 3 + 12 * 2
    assert found.trade_off.groupby("pipeline").size().to_dict() == {
        "elastic": 36,
        "lgbm": 24,
        "svm": 36,
    }


@pytest.mark.parametrize(
    ("column", "said"), [("score", "all mean ranks are equal"), ("size", "all sizes are equal")]
)
def test_what_does_not_vary_is_said(column: str, said: str, tmp_path: Path) -> None:
    study = a_study(n_parcellations=8, ensembles=False)

    found = analysed(study.assign(**{column: 100}), tmp_path)

    assert found.notes[0] == (
        f"No power law and no regression of all single parcellations: {said}."
    )
    assert found.regression is None


def test_a_region_without_ensembles_shows_no_regression_of_them(tmp_path: Path) -> None:
    table = a_table(a_study(n_parcellations=60), tmp_path)

    found = analyse(table, RegionChoice(sizes=(1, 90)))

    assert found.regression is not None
    assert found.regression_ensemble_by_size is None
