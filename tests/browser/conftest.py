"""What the stories in a browser share: one browser and one pair of shops per file, a logged-in page per test."""

from __future__ import annotations

import pytest

from tests.browser.chromium import running_browser, visit
from tests.browser.shop import TOKEN, running_shop

TABLE = """\
version: 1
app: migrated:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: product-list, path: /products, methods: [GET], target: migrated}
  - {name: product-detail, path: "/products/<int:id>", methods: [GET], target: legacy}
  - {name: api-products, path: /api/products, methods: [GET], target: legacy}
"""


@pytest.fixture(scope="module")
def table():
    """The table at the start; a file with another one overrides this."""
    return TABLE


@pytest.fixture(scope="module")
def browser():
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def shop(browser, table, tmp_path_factory):
    with running_shop(table, tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def page(browser, shop):
    """The overview, after the login."""
    with visit(browser, shop.home) as page:
        log_in(page)
        yield page


def log_in(page):
    page.goto("/")
    page.get_by_label("Admin token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Routes", exact=True).wait_for()
