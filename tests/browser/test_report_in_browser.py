"""A report in a real browser, opened from a file: it draws, sorts, filters, tells, and prints."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from jobpool.admin.transitions import choose, rerun
from jobpool.pool import Pool
from jobpool.report.making import Made
from jobpool.report.writing import html_of
from tests.browser.chromium import open_report, wait_until
from tests.support.report_pages import (
    EVIL,
    a_full_pool,
    figures_of,
    pool_report,
    study_report,
    table_of,
)
from tests.support.synthetic_study import a_study

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

A4 = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return study_report(tmp_path_factory.mktemp("study"), a_study(60, 6))


@pytest.fixture(scope="module")
def study_page(study: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("page") / "study.html"
    page.write_bytes(html_of(study.report))
    return page


@pytest.fixture(scope="module")
def narrow_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study whose tasks took about the same memory, with one strategy."""
    folder = tmp_path_factory.mktemp("narrow")
    frame = a_study()
    frame = frame[frame["strategy"].isin(["single", "voted"])]
    frame["memory_mb"] = 214 + 9 * (frame["size"] / frame["size"].max())
    page = folder / "narrow.html"
    page.write_bytes(html_of(study_report(folder, frame).report))
    return page


@pytest.fixture(scope="module")
def pool_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    page = folder / "pool & <i>.html"
    page.write_bytes(html_of(pool_report(a_full_pool(folder)).report))
    return page


@pytest.fixture
def shown(chromium: webdriver.Chrome, study_page: Path) -> webdriver.Chrome:
    """The browser with the study's report, for tests that each touch another part of it."""
    if chromium.current_url != study_page.as_uri():
        open_report(chromium, study_page)
    return chromium


@pytest.fixture
def fresh(chromium: webdriver.Chrome, study_page: Path) -> webdriver.Chrome:
    """The browser with the study's report as nobody has touched it."""
    open_report(chromium, study_page)
    return chromium


def complaints(browser: webdriver.Chrome) -> list[Any]:
    """Return what pages wrote to the console since it was asked last."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call] # selenium's own


def asked_for(browser: webdriver.Chrome) -> list[str]:
    """Return the addresses that were asked for since this was asked last."""
    log = browser.get_log("performance")  # type: ignore[no-untyped-call] # selenium's own
    messages = [json.loads(entry["message"])["message"] for entry in log]
    sent = [one for one in messages if one["method"] == "Network.requestWillBeSent"]
    return [one["params"]["request"]["url"] for one in sent]


def table(browser: webdriver.Chrome, name: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, f'.table[data-table="{name}"]')


def column(place: WebElement, number: int) -> list[str]:
    cells = place.find_elements(By.CSS_SELECTOR, f"tbody tr td:nth-child({number})")
    return [cell.text for cell in cells]


def click(browser: webdriver.Chrome, element: WebElement) -> None:
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element
    )
    element.click()


def count_of(place: WebElement) -> str:
    return place.find_element(By.CSS_SELECTOR, ".count").text


def printed(browser: webdriver.Chrome, **paper: object) -> bytes:
    made = browser.execute_cdp_cmd("Page.printToPDF", {**A4, **paper})
    return base64.b64decode(made["data"])


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


def test_a_report_opens_without_a_complaint(chromium: webdriver.Chrome, study_page: Path) -> None:
    complaints(chromium)

    open_report(chromium, study_page)

    assert complaints(chromium) == []


def test_a_report_asks_for_nothing_but_itself(chromium: webdriver.Chrome, study_page: Path) -> None:
    asked_for(chromium)

    open_report(chromium, study_page)

    outside = [url for url in asked_for(chromium) if not url.startswith(("data:", "blob:"))]
    assert outside == [study_page.as_uri()]


def test_every_figure_is_drawn(shown: webdriver.Chrome, study: Made) -> None:
    drawn = shown.execute_script(
        "return [...document.querySelectorAll('.plot')]"
        ".filter(p => p.querySelector('.main-svg .trace, .main-svg .boxlayer')).length"
    )

    assert drawn == len(figures_of(study.report))


def test_the_points_of_a_figure_are_the_rows_of_its_table(
    shown: webdriver.Chrome, study: Made
) -> None:
    drawn = shown.execute_script(
        "const plot = document.querySelector('.plot[data-figure=figure-ranks]');"
        "return plot.data.filter(t => t.mode === 'markers' && !t.xaxis).flatMap(t => t.y)"
    )

    ranks = table_of(study.report, "ranks").frame
    expected = ranks[ranks["pipeline"] == " all together"]["mean_rank"]
    assert sorted(drawn) == pytest.approx(sorted(expected), rel=1e-5)


def ticks_of(browser: webdriver.Chrome, figure: str, axis: str) -> list[str]:
    """Return the labels along an axis, `x` or `y`, of a figure."""
    labels: list[str] = browser.execute_script(
        f"return [...document.querySelectorAll('.plot[data-figure={figure}] .{axis}tick text')]"
        ".map(one => one.textContent)"
    )
    return labels


def test_a_wide_logarithmic_axis_has_round_ticks(shown: webdriver.Chrome) -> None:
    assert {"10", "100", "1,000", "2,000"} <= set(ticks_of(shown, "figure-scores", "x"))


def test_a_narrow_logarithmic_axis_has_ticks(chromium: webdriver.Chrome, narrow_page: Path) -> None:
    open_report(chromium, narrow_page)

    found = [float(text) for text in ticks_of(chromium, "figure-trade-memory-mb", "x")]

    assert len(found) >= 3
    assert 213 <= min(found) <= max(found) <= 224


def test_a_look_at_a_part_of_an_axis_has_ticks(fresh: webdriver.Chrome) -> None:
    plot = "document.querySelector('.plot[data-figure=figure-scores]')"

    fresh.execute_script(f"Plotly.relayout({plot}, {{'xaxis.range': [2.35, 2.6]}})")

    wait_until(lambda: "300" in ticks_of(fresh, "figure-scores", "x"), "ticks at equal steps")
    fresh.execute_script(f"Plotly.relayout({plot}, {{'xaxis.autorange': true}})")
    wait_until(lambda: "2,000" in ticks_of(fresh, "figure-scores", "x"), "round ticks")


def test_the_only_strategy_is_told_in_the_legend(
    chromium: webdriver.Chrome, narrow_page: Path
) -> None:
    open_report(chromium, narrow_page)

    legends = chromium.execute_script(
        "return [...document.querySelectorAll('.plot[data-figure=figure-gain-over-best] "
        ".legendtext')].map(one => one.textContent)"
    )
    assert legends == ["voted"]


def test_the_power_law_lies_above_the_points(shown: webdriver.Chrome) -> None:
    above = shown.execute_script(
        "const traces = [...document.querySelectorAll("
        "'.plot[data-figure=figure-ranks] .xy .scatterlayer > .trace')];"
        "const last = traces.findLastIndex(t => t.querySelector('.point'));"
        "return traces.slice(last + 1).filter(t => t.querySelector('.js-line')).length"
    )

    assert above >= 4  # line and outline, in the region and beyond


def test_a_choice_draws_another_target(shown: webdriver.Chrome) -> None:
    heights = (
        "return document.querySelector('.plot[data-figure=figure-scores]').data.flatMap(t => t.y)"
    )
    before = shown.execute_script(heights)
    option = shown.find_element(By.CSS_SELECTOR, "#choose-figure-scores option:last-child")

    click(shown, option)

    wait_until(lambda: shown.execute_script(heights) != before, "the other target")


def test_the_axis_is_titled_by_the_chosen_target(shown: webdriver.Chrome) -> None:
    title = "return document.getElementById('figure-scores').querySelector('.plot')"
    title += "._fullLayout.yaxis.title.text"

    assert shown.execute_script(title) == "Score"


def test_paper_has_the_columns_that_matter(fresh: webdriver.Chrome) -> None:
    fresh.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    place = table(fresh, "power-laws")

    heads = [one.text for one in place.find_elements(By.CSS_SELECTOR, "th") if one.is_displayed()]

    left = place.find_element(By.CSS_SELECTOR, ".unprinted").text
    fresh.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert heads == [
        *("of", "what", "exponent", "low", "high"),
        *("from parcels", "to parcels", "parcellations"),
    ]
    assert left.startswith("Not on paper: standard error, factor, R2")


def test_a_click_on_a_head_sorts(shown: webdriver.Chrome) -> None:
    place = table(shown, "best-1")
    head = place.find_element(By.CSS_SELECTOR, "th:nth-child(4)")
    click(shown, head.find_element(By.TAG_NAME, "button"))
    up = [int(text.replace(",", "")) for text in column(place, 4)]

    click(shown, head.find_element(By.TAG_NAME, "button"))

    down = [int(text.replace(",", "")) for text in column(place, 4)]
    assert (up, down) == (sorted(up), sorted(down, reverse=True))
    assert head.get_attribute("aria-sort") == "descending"


def test_what_is_typed_filters(fresh: webdriver.Chrome) -> None:
    place = table(fresh, "results")
    texts, numbers = (place.find_elements(By.CSS_SELECTOR, "thead input")[i] for i in (0, 1))
    fresh.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", texts
    )

    texts.send_keys("hard")
    numbers.send_keys("100..200")

    wait_until(lambda: "of 1,296 rows" in count_of(place), "the filter")
    wait_until(lambda: all(100 <= int(size) <= 200 for size in column(place, 2)), "the sizes")
    assert all(name.startswith("hard_") for name in column(place, 1))


def test_the_next_page_shows_other_rows(fresh: webdriver.Chrome) -> None:
    place = table(fresh, "results")
    before = column(place, 12)

    click(fresh, place.find_element(By.CSS_SELECTOR, '[aria-label="next page"]'))

    assert not set(before) & set(column(place, 12))
    assert count_of(place) == "rows 21 to 40 of 1,296 rows"


def test_a_row_leads_to_the_results_it_was_made_from(fresh: webdriver.Chrome) -> None:
    best = table(fresh, "best-1")
    name = column(best, 3)[0]

    click(fresh, best.find_element(By.CSS_SELECTOR, "tbody td.trace button"))

    results = table(fresh, "results")
    assert set(column(results, 1)) == {name}
    assert set(column(results, 4)) == {column(best, 1)[0]}
    assert count_of(results) == "6 of 1,296 rows"


def test_the_numbers_of_a_figure_unfold(shown: webdriver.Chrome) -> None:
    summary = shown.find_element(By.CSS_SELECTOR, "#table-ranks summary")

    click(shown, summary)

    assert len(column(table(shown, "ranks"), 1)) == 20


def test_an_anchor_in_the_address_unfolds_its_table(
    chromium: webdriver.Chrome, study_page: Path
) -> None:
    open_report(chromium, study_page)

    chromium.execute_script("location.hash = '#table-trade-off'")

    wait_until(lambda: len(column(table(chromium, "trade-off"), 1)) == 20, "the table")


def test_the_filtered_rows_are_saved_as_csv(fresh: webdriver.Chrome) -> None:
    text = fresh.execute_script(
        "const found = tables.get('results'); found.filters.set('size', '<10');"
        "found.refresh(); return found.csv()"
    )

    head, *lines = text.splitlines()
    assert head.startswith("parcellation,size,type,pipeline,target,score,")
    assert {int(line.split(",")[1]) < 10 for line in lines} == {True}


def test_a_point_under_the_mouse_tells_its_name(shown: webdriver.Chrome) -> None:
    plot = shown.find_element(By.CSS_SELECTOR, ".plot[data-figure=figure-ranks]")
    shown.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot
    )
    point = plot.find_elements(By.CSS_SELECTOR, ".xy .scatterlayer .point")[5]

    ActionChains(shown).move_to_element(point).perform()

    label = wait_until(
        lambda: [one.text for one in plot.find_elements(By.CSS_SELECTOR, ".hoverlayer text")],
        "the label",
    )
    assert re.search(r"parcels", " ".join(label))


def test_the_page_is_used_with_the_keyboard_alone(shown: webdriver.Chrome) -> None:
    button = table(shown, "best-1").find_element(By.CSS_SELECTOR, "th:nth-child(3) button")
    shown.execute_script("arguments[0].focus()", button)

    button.send_keys(" ")

    head = table(shown, "best-1").find_element(By.CSS_SELECTOR, "th:nth-child(3)")
    assert head.get_attribute("aria-sort") == "ascending"


def test_every_control_has_a_name(shown: webdriver.Chrome) -> None:
    nameless = shown.execute_script(
        "return [...document.querySelectorAll('main button, main input, main select')]"
        ".filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"
    )

    assert nameless == 0


def test_a_dark_screen_gets_dark_figures(shown: webdriver.Chrome) -> None:
    colour = (
        "return document.querySelector('.plot[data-figure=figure-ranks]')"
        "._fullLayout.font.color.toLowerCase()"
    )
    features = [{"name": "prefers-color-scheme", "value": "dark"}]

    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    wait_until(lambda: shown.execute_script(colour) == "#e6e9ef", "light letters")
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_report_prints_on_pages(shown: webdriver.Chrome) -> None:
    upright, across = printed(shown), printed(shown, landscape=True)

    assert pages_of(upright) >= 5
    assert pages_of(across) >= 5
    assert min(len(upright), len(across)) > 100_000


def test_paper_does_not_cut_a_figure(shown: webdriver.Chrome) -> None:
    shown.execute_script("dispatchEvent(new Event('beforeprint'))")

    widths = shown.execute_script(
        "return [...document.querySelectorAll('.plot .main-svg')].map(s => s.clientWidth)"
    )

    shown.execute_script("dispatchEvent(new Event('afterprint'))")
    assert max(widths) <= 703  # of 210 mm less 2 x 12 mm, at 96 points an inch


def test_texts_of_the_pool_do_nothing(chromium: webdriver.Chrome, pool_page: Path) -> None:
    complaints(chromium)

    open_report(chromium, pool_page)

    assert chromium.title == "test"
    assert complaints(chromium) == []
    assert column(table(chromium, "averages-0"), 1) == ["oslo", EVIL, "lima"]
    assert chromium.find_elements(By.CSS_SELECTOR, "main b") == []


def test_a_figure_shows_odd_names_as_they_are(chromium: webdriver.Chrome, pool_page: Path) -> None:
    open_report(chromium, pool_page)

    labels = chromium.execute_script(
        "return [...document.querySelectorAll('.plot[data-figure=figure-progress-0] .ytick text')]"
        ".map(one => one.textContent)"
    )
    assert sorted(labels) == sorted(["oslo", EVIL, "lima"])


def test_nothing_else_can_run_in_the_page(chromium: webdriver.Chrome, pool_page: Path) -> None:
    open_report(chromium, pool_page)

    chromium.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s)"
    )

    assert chromium.execute_script("return window.ran") is None
    complaints(chromium)


def test_rows_of_tasks_that_are_rerun_are_marked(
    chromium: webdriver.Chrome, tmp_path: Path
) -> None:
    folder = a_full_pool(tmp_path)
    rerun(Pool(folder, worker=3), choose(Pool(folder), (), ("site=oslo",), ()))
    page = tmp_path / "rerun.html"
    page.write_bytes(html_of(pool_report(folder).report))

    open_report(chromium, page)

    table = chromium.find_element(By.CSS_SELECTOR, "[data-table='results']")
    marked = [row.text for row in table.find_elements(By.CSS_SELECTOR, "tr.marked")]
    assert len(marked) == 12
    assert all(" oslo " in text for text in marked)
