"""The fixture `chromium`: one browser for the whole test run, or a skip that says why not.

With ``JOBPOOL_REQUIRE_BROWSER=1``, as in CI, a machine without a browser fails the tests instead.
"""

import os
from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.browser.chromium import started, why_not


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep all tests that need the browser in one process, so that one is enough."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    """A running browser."""
    reason = why_not()
    if reason and os.environ.get("JOBPOOL_REQUIRE_BROWSER") == "1":
        pytest.fail(f"no browser, and JOBPOOL_REQUIRE_BROWSER=1: {reason}")
    if reason:
        pytest.skip(f"no browser: {reason}")
    with started() as browser:
        yield browser
