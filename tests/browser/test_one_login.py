"""A visitor in a real browser: one login for both shops, an order across the seam, and nothing to notice."""

from __future__ import annotations

import json

import pytest

from tests.browser.chromium import visit
from tests.story.front import eventually, running_front
from tests.story.one_login import TABLE
from tests.story.stub import running_stub


@pytest.fixture
def front(tmp_path):
    data = tmp_path / "shop.sqlite3"
    with (
        running_stub(frozen=False, data=data) as legacy,
        running_front(TABLE, tmp_path, legacy, data=data, SHOP_FROZEN="0") as running,
    ):
        yield running


def log_in(page, password):
    page.goto("/login")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def side_of(page, path):
    """Open a page; return the side that answered it."""
    return page.goto(path).headers["x-overgrow"].partition("side=")[2].partition(";")[0]


def flip_cart(front, page, to):
    assert front.overgrow("flip", "cart", to).returncode == 0
    eventually(lambda: side_of(page, "/cart") == to)


def test_a_visitor_shops_across_both_sides_with_one_login(browser, front):
    with visit(browser, f"http://127.0.0.1:{front.port}") as page:
        page.goto("/account")
        assert page.url.endswith("/login")
        log_in(page, "engine")
        assert "You are logged in as ada." in page.locator("main").inner_text()

        assert side_of(page, "/cart") == "migrated"
        page.get_by_label("Product").select_option("1")
        page.get_by_label("Quantity").fill("2")
        page.get_by_role("button", name="Put in the cart").click()
        assert "Together €6.40" in page.locator("main").inner_text()

        # In the middle of the checkout the cart flips to legacy and back: it is still full.
        flip_cart(front, page, "legacy")
        assert "Together €6.40" in page.locator("main").inner_text()
        flip_cart(front, page, "migrated")
        page.get_by_role("button", name="Order what is in the cart").click()
        assert page.url.endswith("/account")
        latest = json.loads(page.goto("/api/orders").body())["orders"][0]
        assert (latest["customer"], latest["total_cents"]) == ("Ada Byron", 640)
        page.goto("/cart")
        assert "Your cart is empty." in page.locator("main").inner_text()

        page.goto("/account")
        page.get_by_role("button", name="Log out").click()
        page.goto("/account")
        assert page.url.endswith("/login")
