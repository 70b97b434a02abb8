"""``jobpool report``: what it takes, writes and refuses."""

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.admin.create import create_pool
from jobpool.cli.report import report
from jobpool.needs.learning import learn
from jobpool.pool import Pool
from jobpool.table.grid import full_product
from jobpool.task import Axis
from tests.conftest import Jobpool
from tests.support.builders import an_experiment
from tests.support.report_pages import EVIL, a_full_pool, unpacked
from tests.support.synthetic_study import a_study


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_full_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("study") / "study.csv"
    a_study(ensembles=False).to_csv(file, index=False)
    return file


def test_a_pool_becomes_one_file(pool: Path, tmp_path: Path, jobpool: Jobpool) -> None:
    page = tmp_path / "report.html"

    said = jobpool("report", pool, "-o", page, "--only", "site=oslo")

    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr.splitlines()[-1] == f"{page}: {page.stat().st_size / 1e6:.1f} MB"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert "<dt>selection</dt><dd>site=oslo</dd>" in page.read_text(encoding="utf-8")


def test_what_is_left_is_told_once_something_is_learned(tmp_path: Path) -> None:
    folder, page = a_full_pool(tmp_path), tmp_path / "report.html"
    learn(Pool(folder), time.time())

    report(folder, page)

    assert re.search("core-(hours|seconds) to go", page.read_text(encoding="utf-8"))


def test_a_table_from_elsewhere_becomes_one_file(tmp_path: Path, study: Path) -> None:
    report(None, tmp_path / "report.html", table=study)

    assert "<title>study.csv</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_published_ranks_give_the_published_coefficient(tmp_path: Path) -> None:
    table = Path(__file__).parents[1] / "assets" / "published-ranks.csv"

    report(None, tmp_path / "report.html", table=table, region_method="published")

    page = (tmp_path / "report.html").read_bytes()
    terms, coefficients = unpacked(page)["tables"]["regression-0"]["columns"][:2]
    assert (terms["values"][-1], coefficients["values"][-1]) == ("log10(size)", -0.277596)
    assert b"7 to 4,000 parcels" in page


def test_figures_are_written_beside(tmp_path: Path, study: Path) -> None:
    report(None, tmp_path / "report.html", table=study, figures=tmp_path / "figures")

    assert {file.suffix for file in (tmp_path / "figures").iterdir()} == {".png", ".svg"}


def test_figures_that_cannot_be_written_are_told_in_a_sentence(
    tmp_path: Path, study: Path, jobpool: Jobpool
) -> None:
    page = tmp_path / "report.html"

    said = jobpool("report", "--table", study, "-o", page, "--figures", "/proc/figures")

    assert (said.returncode, "Traceback" in said.stderr) == (1, False)
    assert said.stderr.splitlines()[-1].startswith("jobpool: /proc/figures: is no folder and ")


def test_a_pool_without_a_study_has_no_figures(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(pool, tmp_path / "report.html", figures=tmp_path / "figures")

    assert "no figures: the results are no study of parcellations" in capsys.readouterr().err


def test_the_name_of_a_pool_is_escaped(tmp_path: Path) -> None:
    axis = Axis(name="site", values=("oslo", "lima"))
    experiment = replace(an_experiment(tmp_path / "study", axis), name=EVIL)
    create_pool(tmp_path / "pool", experiment, full_product([axis]), lambda _: None, now=0)

    report(tmp_path / "pool", tmp_path / "report.html")

    assert EVIL not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "advice"),
    [
        ((), 2, "give a pool, or --table FILE"),
        (("POOL", "--table", "x.csv", "-o", "r.html"), 2, "give a pool, or --table FILE"),
        (("POOL",), 2, "say where to write: -o report.html"),
        (("POOL", "-o", "r.pdf"), 2, "write .html"),
        (("POOL", "-o", "nowhere/r.html"), 2, "no such folder: nowhere"),
        (("POOL", "-o", "/proc/r.html"), 2, "/proc/r.html cannot be written"),
        (("POOL", "-o", "r.html", "--figures", "/dev/null"), 2, "is a file; name a folder"),
        (("POOL", "-o", "r.html", "--metric", "mae"), 2, "is not KIND=NAME"),
        (("POOL", "-o", "r.html", "--metric", "regression=mae"), 1, "leave --metric out"),
        (("--table", "x.csv", "--only", "a=b", "-o", "r.html"), 2, "are for a pool"),
        (("--table", "x.csv", "-o", "r.html"), 1, "x.csv: no such file"),
        (
            ("--table", "x.csv", "-o", "r.html", "--region", "7-9"),
            2,
            "largest size, such as 7:3000",
        ),
        (
            ("--table", "x.csv", "-o", "r.html", "--region", "9:7"),
            2,
            "largest size, such as 7:3000",
        ),
        (("POOL", "-o", "r.html", "--region-method", "publshed"), 2, "did you mean 'published'"),
        (
            ("POOL", "-o", "r.html", "--region-method", "published", "--region", "7:9"),
            2,
            "leave one out",
        ),
        (("nopool", "-o", "r.html"), 1, "nopool: no such folder"),
        (("POOL", "-o", "r.html", "--only", "nothing=1"), 1, "the pool has no 'nothing'"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    pool: Path, words: tuple[str, ...], code: int, advice: str, jobpool: Jobpool
) -> None:
    said = jobpool("report", *(pool if word == "POOL" else word for word in words), COLUMNS=300)

    assert (said.returncode, "Traceback" in said.stderr) == (code, False)
    assert advice in " ".join(said.stderr.replace("│", " ").split())
