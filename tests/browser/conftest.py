"""What the stories in a browser share: one browser and one pair of shops per file, a logged-in page per test."""

from __future__ import annotations

import pytest

from tests.browser.chromium import running_browser, visit
from tests.browser.scene import running_scene
from tests.browser.shop import TOKEN


@pytest.fixture(scope="module")
def browser():
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def shop(browser, tmp_path_factory):
    """Front door and both shops; after the browser, without which they are of no use."""
    with running_scene(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def page(browser, shop):
    """The overview, after the login."""
    with visit(browser, shop.home) as page:
        log_in(page)
        yield page


def log_in(page, token=TOKEN):
    page.goto("/")
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Admin token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Routes", exact=True).wait_for()
