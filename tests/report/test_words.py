"""A report speaks of what there is: no word of ensembles, regions or markers that are not there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.analysis.comparison import is_interpreters_own, trade_off
from jobpool.analysis.study_table import from_results, read_study_table
from jobpool.analysis.whole import analyse
from jobpool.overview.spending import RUNNING, USEFUL, Spending
from jobpool.report.making import _cost_tiles
from jobpool.report.parts import Figure, Report
from jobpool.report.study import study_sections
from jobpool.report.writing import table_json
from tests.support.report_pages import section_of, study_report, table_of
from tests.support.synthetic_study import a_study


def words_of(report: Report) -> str:
    """Return all sentences of a report, and the titles of its axes."""
    said = [one for section in report.sections for one in (section.title, section.text)]
    said += [note for section in report.sections for note in section.notes]
    for section in report.sections:
        for item in (*section.items, *section.tables):
            said += [item.title, item.caption if isinstance(item, Figure) else item.note]
            if isinstance(item, Figure):
                said += re.findall(r"'text': '([^']*)'", str(item.layout))
    return " ".join(said)


def with_folds(n_folds: int = 3) -> pd.DataFrame:
    """Return collected results of a study with scores of single folds."""
    study = a_study(n_parcellations=8, ensembles=False)
    names = {"size": "parcels", "type": "parcellation_type", "score": "r2"}
    frame = study.rename(columns=names)
    rng = np.random.default_rng(0)
    for fold in range(n_folds):
        frame[f"r2_fold{fold}"] = frame["r2"] + rng.normal(size=len(frame)) / 100
    return frame


def test_a_study_without_ensembles_has_no_word_of_them(tmp_path: Path) -> None:
    report = study_report(tmp_path, a_study(ensembles=False)).report

    assert not re.search("ensemble|member|marker|[Ss]trateg|voted|stacked|grid", words_of(report))


def test_only_strategies_that_are_there_are_explained(tmp_path: Path) -> None:
    frame = a_study()
    frame = frame[frame["strategy"].isin(["single", "voted"])]

    text = section_of(study_report(tmp_path, frame).report, "strategies-section").text

    assert text.startswith("Voted:")
    assert "Stacked" not in text


def test_mean_ranks_are_not_called_scores(tmp_path: Path) -> None:
    study = a_study(ensembles=False).groupby(["parcellation", "size", "type"], as_index=False)
    ranks = study["score"].mean()
    ranks["mean_rank"] = ranks["score"].rank(ascending=False)

    report = study_report(tmp_path, ranks.drop(columns="score")).report

    assert section_of(report, "scores").title == "Mean ranks by target"
    assert not re.search("outer folds|negated|higher is better", words_of(report))


def test_the_chosen_target_alone_names_the_axis() -> None:
    frame = with_folds()
    frame["roc_auc"] = 0.5 + frame["r2"] / 10
    binary = frame["target"] == "target_02"
    frame.loc[binary, "r2"] = np.nan
    frame.loc[~binary, "roc_auc"] = np.nan

    (figure,) = section_figures(frame, "scores")

    assert figure.y_titles == {"target_01": "R²", "target_02": "ROC AUC", "target_03": "R²"}
    assert " or " not in figure.layout["yaxis"]["title"]["text"]


def section_figures(frame: pd.DataFrame, name: str) -> list[Figure]:
    sections = study_sections(analyse(from_results(frame, "POOL")))
    (section,) = [one for one in sections if one.name == name]
    return [item for item in section.items if isinstance(item, Figure)]


def test_scores_have_bars_of_their_spread_over_folds() -> None:
    frame = with_folds()

    table = from_results(frame, "POOL").frame
    (figure,) = section_figures(frame, "scores")

    folds = frame[["r2_fold0", "r2_fold1", "r2_fold2"]]
    expected = dict(zip(frame["task"], np.std(folds.to_numpy(), axis=1, ddof=1), strict=True))
    assert dict(zip(table["task"], table["sd"], strict=True)) == pytest.approx(expected)
    assert set(table["n_folds"]) == {3}
    assert figure.traces[0]["error_y"]["array"] == {"$": "sd"}


def test_a_fold_without_a_score_does_not_count_in_the_spread() -> None:
    frame = with_folds()
    frame.loc[0, "r2_fold1"] = np.nan

    table = from_results(frame, "POOL").frame

    assert table.loc[table["task"] == frame["task"][0], "n_folds"].tolist() == [2]


def test_nothing_lost_is_not_less_than_nothing() -> None:
    hours = [0.1, 0.2, 0.3]  # 0.6 one by one, and 0.6000000000000001 the other way round
    uses = [USEFUL, RUNNING, USEFUL]
    frame = pd.DataFrame({"worker": ["a"] * 3, "core_hours": hours, "use": uses})
    spent = Spending(frame=frame, failed=())

    tile, _ = _cost_tiles(spent, [])

    assert spent.lost == 0
    assert "0.0 % of them lost" in tile.detail


def costs(tmp_path: Path, memory: list[float]) -> pd.DataFrame:
    sizes = (10, 20, 40, 80)
    rows = [
        (f"p{size}", size, "hard", "svm", "age", size / 100, 1.0, mb)
        for size, mb in zip(sizes, memory, strict=True)
    ]
    columns = [
        "parcellation",
        "size",
        "type",
        "pipeline",
        "target",
        "score",
        "seconds",
        "memory_mb",
    ]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "t.csv", index=False)
    return trade_off(read_study_table(tmp_path / "t.csv"))


def test_the_memory_of_the_interpreter_makes_no_front(tmp_path: Path) -> None:
    pairs = costs(tmp_path, [210.0, 214.0, 218.0, 500.0]).set_index("parcellation")

    front = pairs.index[pairs["front_memory"]].tolist()

    assert front == ["p40", "p80"]  # 210 to 218 are one and the same; 40 parcels are the best there
    assert not is_interpreters_own(pairs["memory_mb"])


def test_memory_that_is_the_interpreters_own_has_no_front(tmp_path: Path) -> None:
    frame = a_study(ensembles=False)
    frame["memory_mb"] = 214 + frame["size"] / frame["size"].max()

    section = section_of(study_report(tmp_path, frame).report, "trade-offs")

    _, memory = (item for item in section.items if isinstance(item, Figure))
    assert "front" not in {trace["name"] for trace in memory.traces}
    assert "joins" not in memory.caption
    assert section.notes == (
        "Peak memory has no front: no task took a tenth more than the least, so that it is that of "
        "the interpreter and its libraries.",
    )


def test_a_table_says_which_columns_are_printed(tmp_path: Path) -> None:
    report = study_report(tmp_path).report

    printed = table_json(table_of(report, "compared"))["printed"]

    assert printed[:3] == ["parcellation", "pipeline", "target"]
    assert len(printed) <= 8
