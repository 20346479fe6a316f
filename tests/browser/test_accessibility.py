"""axe finds nothing to complain about, on any admin page, in either theme, at a desk or on a phone."""

import pytest

from tests.browser.chromium import DESKTOP, PHONE, find_barriers, visit
from tests.browser.conftest import log_in
from tests.browser.pages import PAGES
from tests.browser.scene import send_traffic


@pytest.fixture(scope="module")
def visited(browser, shop):
    """One window for all pages."""
    send_traffic(shop, rounds=3, errors=2)
    with visit(browser, shop.home) as page:
        log_in(page)
        yield page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_has_no_barriers(visited, path, size, theme):
    visited.set_viewport_size({"width": size[0], "height": size[1]})
    visited.emulate_media(color_scheme=theme)
    visited.goto(path)

    assert find_barriers(visited) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_has_no_barriers(browser, shop, theme):
    with visit(browser, shop.home, size=PHONE, theme=theme) as page:
        page.goto("/login")

        assert find_barriers(page) == []


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_is_no_wider_than_a_phone(visited, path):
    visited.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    visited.goto(path)

    assert visited.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
