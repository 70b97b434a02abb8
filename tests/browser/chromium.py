"""A Chromium without a window that a test drives, in folders of its own."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

PATIENCE_S = 60.0
POLL_S = 0.05
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,1000",
)


def why_not() -> str:
    """Return why no browser can be started here, or an empty text."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"missing {' and '.join(absent)}: run tests/browser/install.sh" if absent else ""


@contextmanager
def started() -> Iterator[webdriver.Chrome]:
    """Yield a browser that keeps what pages write to the console, and all they ask for."""
    with tempfile.TemporaryDirectory(prefix="jobpool-browser-") as folder:
        options = Options()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*_FLAGS, f"--user-data-dir={folder}/user"):
            options.add_argument(flag)
        downloads = {"download.default_directory": folder}
        options.add_experimental_option("prefs", downloads)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service(shutil.which("chromedriver") or "")
        browser = webdriver.Chrome(options=options, service=service)
        try:
            yield browser
        finally:
            browser.quit()


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` gives as soon as that is true."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(POLL_S)
    return found


def open_report(browser: webdriver.Chrome, page: Path) -> None:
    """Open a report, and return when all its figures are drawn."""
    browser.get(page.as_uri())
    ready = "return document.documentElement.dataset.ready"
    assert wait_until(lambda: browser.execute_script(ready), "the report to be drawn") == "yes"
