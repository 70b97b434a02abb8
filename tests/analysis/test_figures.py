"""The static figures: which there are, how large, with letters that can be read."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from typer import BadParameter

from jobpool.analysis.figures import strategies, trade_off_figure, write_figures
from jobpool.analysis.study_table import read_study_table
from jobpool.analysis.style import DPI, MM_PER_INCH, PALETTE
from jobpool.analysis.whole import Analysis, analyse
from jobpool.cli.report import report
from jobpool.errors import DataError
from tests.support.synthetic_study import a_study

SIZES_MM = {
    "rank-by-size": (89, 80),
    "rank-by-type": (183, 75),
    "rank-by-pipeline": (183, 75),
    "strategies": (183, 80),
    "trade-off": (183, 80),
    "score-by-size": (183, 72),
}
LETTERS = {
    "rank-by-size": (
        "Number of parcels",
        "Mean rank (1 is best)",
        "random",
        "law of all sizes: exponent",
    ),
    "rank-by-type": ("Number of parcels", "Mean rank, times that of hard (95 % interval)", "soft"),
    "rank-by-pipeline": ("Ranks within each pipeline", "Ranks among all pipelines together", "svm"),
    "strategies": ("Number of parcels, all members", "2 ensembles per point,", "voted"),
    "trade-off": ("Time per task (s)", "Peak memory (MB)", "nothing cheaper is better"),
    "score-by-size": ("target_01", "target_03", "Score", "Number of parcels", "elastic"),
}


def analysed(rows: pd.DataFrame, folder: Path) -> Analysis:
    rows.to_parquet(folder / "study.parquet", index=False)
    return analyse(read_study_table(folder / "study.parquet"))


def names_of(files: list[Path]) -> list[str]:
    return [file.stem for file in files if file.suffix == ".png"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(a_study(), tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def figures(found: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    write_figures(found, folder)
    return folder


def test_every_figure_is_there_in_two_kinds(figures: Path) -> None:
    expected = {f"{name}.{ending}" for name in SIZES_MM for ending in ("png", "svg")}

    assert {file.name for file in figures.iterdir()} == expected


@pytest.mark.parametrize("name", SIZES_MM)
def test_a_png_has_its_size_in_print(name: str, figures: Path) -> None:
    data = (figures / f"{name}.png").read_bytes()

    pixels = struct.unpack(">II", data[16:24])
    place = data.index(b"pHYs") + 4
    per_metre = struct.unpack(">II", data[place : place + 8])

    width_mm, height_mm = (n / DPI * MM_PER_INCH for n in pixels)
    assert per_metre == (11811, 11811)  # 300 dots per inch
    assert (width_mm, height_mm) == pytest.approx(SIZES_MM[name], abs=0.1)


@pytest.mark.parametrize("name", SIZES_MM)
def test_an_svg_has_its_size_in_print(name: str, figures: Path) -> None:
    text = (figures / f"{name}.svg").read_text(encoding="utf-8")

    both = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', text)

    assert both is not None
    size_mm = [float(one) / 72 * MM_PER_INCH for one in both.groups()]
    assert size_mm == pytest.approx(SIZES_MM[name], abs=0.1)


@pytest.mark.parametrize("name", SIZES_MM)
def test_a_png_is_drawn_in_colours_of_the_palette(name: str, figures: Path) -> None:
    pixels = imread(figures / f"{name}.png")[:, :, :3]

    inked = (pixels < 0.9).any(axis=2).mean()
    wanted = np.array([int(PALETTE[0][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    near = (np.abs(pixels - wanted) < 0.2).all(axis=2).sum()

    assert 0.01 < inked < 0.5
    assert near > 50


@pytest.mark.parametrize("name", SIZES_MM)
def test_an_svg_holds_its_letters_as_text(name: str, figures: Path) -> None:
    text = (figures / f"{name}.svg").read_text(encoding="utf-8")

    written = re.findall(r"<text[^>]*>([^<]*)</text>", text)

    assert [one for one in LETTERS[name] if not any(one in said for said in written)] == []


@pytest.mark.parametrize("name", SIZES_MM)
def test_no_letter_is_smaller_than_six_points(name: str, figures: Path) -> None:
    text = (figures / f"{name}.svg").read_text(encoding="utf-8")

    sizes = [float(one) for one in re.findall(r"font-size: ([\d.]+)px", text)]

    assert sizes
    assert min(sizes) >= 6


def test_the_same_analysis_gives_the_same_bytes(
    found: Analysis, figures: Path, tmp_path: Path
) -> None:
    again = write_figures(found, tmp_path / "again")

    differing = [one.name for one in again if one.read_bytes() != (figures / one.name).read_bytes()]
    assert differing == []


def test_an_svg_holds_no_date(figures: Path) -> None:
    text = (figures / "rank-by-size.svg").read_text(encoding="utf-8")

    assert "dc:date" not in text


def test_many_targets_fill_several_pages(tmp_path: Path) -> None:
    study = a_study(n_parcellations=6, n_targets=13, ensembles=False)

    files = write_figures(
        analysed(study.drop(columns=["seconds", "memory_mb"]), tmp_path), tmp_path
    )

    assert names_of(files)[-2:] == ["score-by-size-1", "score-by-size-2"]


def test_a_table_of_mean_ranks_has_figures_of_ranks_alone(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "parcellation": list("abcdefgh"),
            "size": [10, 20, 40, 80, 160, 320, 640, 1280],
            "type": ["hard", "soft"] * 4,
            "mean_rank": [8.0, 7.5, 6.0, 5.0, 4.5, 3.0, 2.0, 1.5],
        }
    )

    files = write_figures(analysed(rows, tmp_path), tmp_path)

    assert names_of(files) == ["rank-by-size", "rank-by-type"]


def test_a_study_of_one_type_with_one_pipeline_is_drawn(tmp_path: Path) -> None:
    study = a_study(ensembles=False)
    one = study[(study["type"] == "random") & (study["pipeline"] == "svm")]

    files = write_figures(analysed(one[one["target"] == "target_01"], tmp_path), tmp_path)

    assert names_of(files) == ["rank-by-size", "rank-by-type", "trade-off", "score-by-size"]


def test_a_study_without_ranks_still_shows_its_scores(tmp_path: Path) -> None:
    files = write_figures(analysed(a_study().iloc[:1], tmp_path), tmp_path)

    assert names_of(files) == ["trade-off", "score-by-size"]


def test_a_study_of_one_type_has_one_panel_of_types(tmp_path: Path) -> None:
    study = a_study(ensembles=False)

    write_figures(analysed(study[study["type"] == "random"], tmp_path), tmp_path)

    text = (tmp_path / "rank-by-type.svg").read_text(encoding="utf-8")
    assert re.findall(r'width="([\d.]+)pt"', text) == [f"{89 / MM_PER_INCH * 72:.6f}"]
    assert "Difference between types" not in text


def test_strategies_left_out_of_the_joint_ranking_are_still_compared(tmp_path: Path) -> None:
    study = a_study()
    stacked = study["strategy"] == "stacked"

    write_figures(analysed(study[~stacked | (study["target"] != "target_01")], tmp_path), tmp_path)

    text = (tmp_path / "strategies.svg").read_text(encoding="utf-8")
    assert ">stacked<" in text
    assert "higher than the best of them" in text


def test_points_with_equal_shares_lie_side_by_side(tmp_path: Path) -> None:
    study = a_study()
    best = study["score"].where(study["strategy"] == "single", 9.0)

    figure = strategies(analysed(study.assign(score=best), tmp_path))

    assert figure is not None
    lines = [line for line in figure.axes[1].lines if line.get_marker() != "None"]
    starts = {float(np.asarray(line.get_xdata(), np.float64)[0]) for line in lines}
    assert len(starts) == 3
    assert {float(np.asarray(line.get_ydata(), np.float64)[0]) for line in lines} == {100.0}


@pytest.mark.parametrize("draw", [strategies, trade_off_figure])
def test_a_legend_of_strategies_lies_below_all_panels(
    draw: Callable[[Analysis], Figure | None], found: Analysis
) -> None:
    figure = draw(found)

    assert figure is not None
    figure.draw_without_rendering()
    panels = [box for axes in figure.axes if (box := axes.get_tightbbox())]
    assert len(panels) == 2
    assert figure.legends[0].get_window_extent().y1 < min(box.y0 for box in panels)
    assert [axes.get_legend() for axes in figure.axes] == [None, None]


def test_letters_that_the_font_lacks_are_reported_once(tmp_path: Path) -> None:
    study = a_study(n_parcellations=6, ensembles=False).replace({"random": "年", "hard": "$a$"})
    reported: list[str] = []

    write_figures(analysed(study, tmp_path), tmp_path, reported.append)

    assert reported == ["the font of the figures lacks letters, drawn as boxes in png: 年"]
    assert "年" in (tmp_path / "rank-by-size.svg").read_text(encoding="utf-8")
    assert "$a$" in (tmp_path / "rank-by-size.svg").read_text(encoding="utf-8")


def test_a_file_is_no_folder_for_figures(found: Analysis, tmp_path: Path) -> None:
    (tmp_path / "figures").write_bytes(b"")

    with pytest.raises(DataError, match=r"figures: is no folder .*; give another folder"):
        write_figures(found, tmp_path / "figures")


@pytest.mark.parametrize("name", ["figures", "figures/of/mine"])
def test_a_file_is_refused_as_folder_before_any_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "figures").write_bytes(b"")

    with pytest.raises(BadParameter, match="figures is a file; name a folder"):
        report(None, tmp_path / "r.html", table=tmp_path / "none.csv", figures=tmp_path / name)
