"""What the report of a study says: every figure is a view of a table that the analysis made."""

import re
from pathlib import Path

import plotly.graph_objects as go
import pytest

from jobpool.report.making import Made
from jobpool.report.parts import EVERY, Figure, Report
from jobpool.report.study_strategies import GREY, NOT_COMPARED
from jobpool.report.writing import tables_of
from tests.support.report_pages import (
    drawn,
    figures_of,
    names_of,
    rows_of,
    section_of,
    study_report,
    table_of,
)
from tests.support.synthetic_study import a_study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return study_report(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def report(made: Made) -> Report:
    return made.report


def test_a_study_has_these_sections(report: Report) -> None:
    assert names_of(report.sections) == [
        "coverage",
        "ranks",
        "scores",
        "strategies-section",
        "best",
        "trade-offs",
        "all-results",
    ]


def test_plotly_takes_every_figure(report: Report) -> None:
    made = [go.Figure(drawn(report, figure)) for figure in figures_of(report)]

    assert len(made) == 7


def test_the_mean_ranks_are_those_of_the_analysis(made: Made) -> None:
    assert made.analysis is not None
    assert made.analysis.ranking is not None

    ranks = table_of(made.report, "ranks").frame
    overall = ranks[ranks["pipeline"] == EVERY].set_index("parcellation")["mean_rank"]

    expected = made.analysis.ranking.overall.set_index("parcellation")["mean_rank"]
    assert overall.to_dict() == expected.to_dict()


def test_the_power_law_is_drawn_in_its_region(made: Made) -> None:
    assert made.analysis is not None
    assert made.analysis.scaling is not None

    curves = table_of(made.report, "rank-curves").frame
    fit = curves[(curves["line"] == "fit") & (curves["pipeline"] == EVERY)]

    law = made.analysis.scaling.region
    assert (round(fit["size"].min()), round(fit["size"].max())) == (law.smallest, law.largest)
    assert (fit["low"] < fit["mean_rank"]).all()


def test_each_pipeline_has_a_power_law_of_its_own(report: Report) -> None:
    rows = rows_of(table_of(report, "power-laws"))

    assert {row["what"] for row in rows if row["of"] == "pipeline"} == {"elastic", "svm", "lgbm"}


def test_rivals_stand_beside_the_region(made: Made) -> None:
    assert made.analysis is not None
    assert made.analysis.scaling is not None

    regions = table_of(made.report, "regions").frame

    law = made.analysis.scaling.region
    assert regions["region"].tolist()[0::6] == ["chosen", "all sizes"]
    assert regions["exponent"].tolist()[0] == law.exponent
    assert regions["KS distance"].tolist()[:6] == sorted(regions["KS distance"].tolist()[:6])


def test_the_interval_that_includes_the_choice_is_told(made: Made) -> None:
    assert made.analysis is not None
    assert made.analysis.scaling is not None
    scaling = made.analysis.scaling

    section = section_of(made.report, "ranks")

    interval = f"{scaling.exponent_low:.4f} to {scaling.exponent_high:.4f}"
    assert any(interval in note and "chosen anew" in note for note in section.notes)


def test_every_regression_is_a_table(report: Report) -> None:
    titles = [table.title for table in tables_of(report) if table.name.startswith("regression")]

    law = "Regression: log10_rank ~ log10_size + C(type)"
    assert titles == [
        law,
        f"{law} + C(pipeline)",
        f"{law} + C(pipeline) + log10_size:C(pipeline)",
        "Regression: log10_rank ~ log10_size + C(ensemble) + log10_size:C(ensemble)",
    ]


def test_targets_have_laws_of_their_own(made: Made) -> None:
    assert made.analysis is not None

    laws = table_of(made.report, "laws-by-target").frame

    assert laws["exponent"].tolist() == made.analysis.laws_by_target["exponent"].tolist()


def test_nothing_is_said_of_a_region_that_is_not_there(tmp_path: Path) -> None:
    report = study_report(tmp_path, a_study(n_parcellations=4, ensembles=False)).report
    section = section_of(report, "ranks")

    figures = [item for item in section.items if isinstance(item, Figure)]
    words = " ".join([section.text, *section.notes, *(figure.caption for figure in figures)])

    assert len(section.items) == 1
    assert not re.search("region|power law|band|regression", words)


def test_the_reader_chooses_the_pipeline_or_the_target(report: Report) -> None:
    chosen = {figure.name: figure.choose for figure in figures_of(report)}

    assert (chosen["figure-ranks"], chosen["figure-scores"]) == ("pipeline", "target")


def test_strategies_are_left_out_where_there_are_none(tmp_path: Path) -> None:
    report = study_report(tmp_path, a_study(ensembles=False)).report

    assert "strategies-section" not in names_of(report.sections)


def test_what_is_left_out_of_the_joint_ranking_stands_below_its_figure(tmp_path: Path) -> None:
    frame = a_study()
    gone = (frame["strategy"] == "grid") & (frame["target"] == "target_01")

    report = study_report(tmp_path, frame[~gone]).report

    (figure,) = (one for one in figures_of(report) if one.name == "figure-together")
    assert "left out of ranks, 4: grid_random_100_x3_1" in figure.caption


def test_gains_over_nothing_comparable_are_a_sentence(tmp_path: Path) -> None:
    frame = a_study()
    frame["size"] = frame["size"].where(frame["strategy"] == "single", 10**6)

    report = study_report(tmp_path, frame).report

    section = section_of(report, "strategies-section")
    assert names_of(section.items) == ["figure-together", "strategies", "compared"]
    assert section.notes == (NOT_COMPARED,)


def test_a_strategy_alone_is_told_in_the_legend(tmp_path: Path) -> None:
    frame = a_study()
    frame = frame[frame["strategy"].isin(["single", "voted"])]

    report = study_report(tmp_path, frame).report

    legends = {one.name: one.layout.get("showlegend") for one in figures_of(report)}
    assert (legends["figure-gain-over-best"], legends["figure-together"]) == (True, True)


def test_a_strategy_has_one_colour_in_all_figures(tmp_path: Path) -> None:
    frame = a_study()
    gone = (frame["strategy"] == "grid") & (frame["target"] == "target_01")

    report = study_report(tmp_path, frame[~gone]).report

    figures = {one.name: one for one in figures_of(report)}
    together, gains = (
        {trace["name"]: trace["marker"]["color"] for trace in figures[name].traces}
        for name in ("figure-together", "figure-gain-over-best")
    )
    assert together == {"single": GREY, **gains}


def test_ensembles_are_told_from_single_parcellations_in_the_legend(report: Report) -> None:
    figures = {one.name: one for one in figures_of(report)}

    names = {trace["name"] for trace in figures["figure-trade-seconds"].traces}

    assert {"front", "svm, single", "svm, voted", "lgbm, stacked"} <= names
    assert names - {"front"} == {trace["name"] for trace in figures["figure-scores"].traces}


def test_a_pipeline_has_the_same_colour_beside_combined_ones(tmp_path: Path) -> None:
    frame = a_study()
    combined = frame["strategy"].ne("single") & frame["pipeline"].eq("elastic")
    frame["pipeline"] = frame["pipeline"].mask(combined, "elastic+svm")

    report = study_report(tmp_path, frame).report

    figures = {one.name: one for one in figures_of(report)}
    scores, costs = (
        {one["name"].partition(",")[0]: one["marker"]["color"] for one in figures[name].traces[1:]}
        for name in ("figure-scores", "figure-trade-seconds")
    )
    assert set(scores) - set(costs) == {"elastic+svm"}
    assert costs.items() <= scores.items()


def test_costs_are_left_out_where_none_is_known(tmp_path: Path) -> None:
    frame = a_study(ensembles=False).drop(columns=["seconds", "memory_mb"])

    report = study_report(tmp_path, frame).report

    assert "trade-offs" not in names_of(report.sections)


def test_the_costs_say_who_could_not_be_ranked(tmp_path: Path) -> None:
    frame = a_study(ensembles=False).iloc[1:]

    section = section_of(study_report(tmp_path, frame).report, "trade-offs")

    assert section.notes == (
        "Not ranked: 1 of 72 pairs of parcellation and pipeline. They lack a score for some "
        "target.",
    )


def test_the_power_law_is_drawn_above_the_points(report: Report) -> None:
    (figure,) = (one for one in figures_of(report) if one.name == "figure-ranks")

    names = [trace.get("name", "band") for trace in figure.traces]

    law = ["band", "band", *["outline", "power law"] * 3]
    assert names == ["region of the power law", *names[1:-8], *law]
    assert set(names[1:-8]) == {"hard", "random", "soft"}


def test_a_table_of_mean_ranks_is_reported(tmp_path: Path) -> None:
    frame = a_study(ensembles=False)
    mean_ranks = frame.groupby("parcellation", as_index=False).agg(
        size=("size", "first"), type=("type", "first"), mean_rank=("seconds", "mean")
    )

    report = study_report(tmp_path, mean_ranks).report

    assert names_of(report.sections) == ["coverage", "ranks", "scores", "best", "all-results"]


def test_missing_cells_are_listed(tmp_path: Path) -> None:
    frame = a_study(ensembles=False).iloc[1:]

    section = section_of(study_report(tmp_path, frame).report, "coverage")

    assert names_of(section.items) == ["missing-cells"]
    assert section.notes


def test_rows_lead_to_the_results_they_were_made_from(report: Report) -> None:
    results = set(table_of(report, "results").frame.columns)

    traced = {name: set(table_of(report, name).traced_by) for name in ("ranks", "scores", "best-0")}

    assert all(columns and columns <= results for columns in traced.values())
