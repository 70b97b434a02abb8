"""The file of a report: its data, its safety, and that it is always the same."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobpool.collect.collect import Collected
from jobpool.report.parts import DataTable, Report, Section
from jobpool.report.results import results_table
from jobpool.report.writing import html_of, rounded, table_json
from jobpool.table.columns import OF_RESULTS
from jobpool.table.grid import full_product
from jobpool.task import Axis
from tests.support.report_pages import EVIL, a_full_pool, pool_report, study_report, unpacked


def a_table(**columns: object) -> DataTable:
    return DataTable(name="some", title="Some", frame=pd.DataFrame(columns), source="made up")


def column_of(**columns: object) -> dict[str, object]:
    """Return the only column of a table as it is packed."""
    (packed,) = table_json(a_table(**columns))["columns"]
    return {
        key: value.tolist() if hasattr(value, "tolist") else value for key, value in packed.items()
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = a_full_pool(tmp_path_factory.mktemp("pool"))
    return html_of(pool_report(folder).report)


def test_texts_that_repeat_become_codes() -> None:
    packed = column_of(site=["a", "b", "a", "a", None])

    assert (packed["known"], packed["codes"]) == (["a", "b"], [0, 1, 0, 0, -1])


def test_texts_that_differ_stay_as_they_are() -> None:
    assert column_of(task=["x", "y", None])["values"] == ["x", "y", None]


def test_whole_numbers_stay_whole() -> None:
    packed = column_of(size=[1, 2**40])

    assert (packed["values"], packed["whole"]) == ([1, 2**40], True)


def test_numbers_keep_six_digits() -> None:
    found = rounded(np.array([1 / 3, 2e-9 / 3, 123456.789, -1e6 / 3]))

    assert found.tolist() == [0.333333, 6.66667e-10, 123457.0, -333333.0]


def test_a_flag_is_told_in_words() -> None:
    assert column_of(front=[True, False, True, True, True])["known"] == ["yes", "no"]


def test_half_a_character_is_shown_as_an_escape() -> None:
    assert column_of(name=pd.Series(["caf\udce9"], dtype=object))["values"] == ["caf\\udce9"]


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = a_full_pool(tmp_path)

    assert html_of(pool_report(folder).report) == html_of(pool_report(folder).report)


def test_a_text_of_the_pool_cannot_end_a_script(page: bytes) -> None:
    assert b"document.title=" not in re.sub(rb'content="[^"]*"', b"", page)
    assert page.lower().count(b"</script>") == 3


def test_a_text_of_the_pool_reaches_the_data_unchanged(page: bytes) -> None:
    columns = unpacked(page)["tables"]["results"]["columns"]

    assert EVIL in next(column["known"] for column in columns if column["name"] == "site")


def test_a_title_is_escaped() -> None:
    report = Report(title=EVIL, facts=((EVIL, EVIL),), tiles=(), sections=())

    assert EVIL.encode() not in html_of(report)


def test_the_page_lets_nothing_run_but_its_own_scripts(page: bytes) -> None:
    policy = re.search(rb'Content-Security-Policy" content="([^"]*)"', page)

    assert policy is not None
    assert policy[1].startswith(b"default-src &#39;none&#39;; script-src &#39;sha256-")
    assert b"unsafe-inline" not in policy[1].split(b"style-src")[0]


def test_no_address_outside_is_named_but_in_the_drawing_library(page: bytes) -> None:
    assert re.findall(rb"(?:https?:)?//[a-z]+\.[a-z]", page.split(b"packed-data")[0]) == []
    assert not re.search(rb"(?:src|href)=\"(?!#|data:)", page)


def test_every_anchor_leads_somewhere(page: bytes) -> None:
    anchors = set(re.findall(rb'id="([^"]+)"', page))

    assert set(re.findall(rb'href="#([^"]+)"', page)) <= anchors


def test_no_anchor_stands_twice(tmp_path: Path) -> None:
    page = html_of(study_report(tmp_path).report)

    anchors = re.findall(rb' id="([^"]+)"', page)

    assert sorted(anchors) == sorted(set(anchors))


def many_rows(n_numbers: int) -> Collected:
    """Return results with so many columns of numbers that only a file of some MB holds."""
    rng = np.random.default_rng(1)
    scores = rng.random((30_001, n_numbers))
    frame = pd.DataFrame(scores, columns=[f"score_{i}" for i in range(n_numbers)])
    frame.insert(0, "site", rng.integers(0, 200, len(frame)).astype(str))
    frame.insert(0, "task", [f"task{i}" for i in range(len(frame))])
    return Collected(
        frame=frame,
        by="task",
        id="task",
        own={name: name for name in OF_RESULTS},
        axes=("site",),
        attributes=(),
        metrics=("score_59",),
        incomplete=(),
        lost=(),
        earlier=None,
        mixtures=(),
        mixed=None,
        unreadable=(),
        n_refused=0,
        n_strange=0,
        damaged=(),
    )


def test_a_large_table_leaves_out_what_is_wanted_least() -> None:
    grid = full_product([Axis(name="site", values=("0", "1"))])

    table = results_table(many_rows(60), grid, "see there")

    kept = [str(name) for name in table.frame.columns]
    assert 30 < len(kept) < 62
    assert kept == ["task", "site", *(f"score_{i}" for i in range(len(kept) - 3)), "score_59"]
    assert table.note.startswith(f"Not in this table: score_{len(kept) - 3}, ")


def test_a_page_of_30000_rows_takes_few_bytes() -> None:
    grid = full_product([Axis(name="site", values=("0", "1"))])
    table = results_table(many_rows(1), grid, "see there")
    section = Section(name="all", title="All", text="", items=(table,))

    page = html_of(Report(title="big", facts=(), tiles=(), sections=(section,)))

    assert len(page) < 2_400_000
