"""One login for both shops: a visitor logs in on legacy, orders on migrated, and never notices which side answers."""

from __future__ import annotations

import html
import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from tests.story.front import PATIENCE_S, Front, eventually, running_front
from tests.story.one_login import TABLE
from tests.story.stub import running_stub


class Browser:
    """A visitor's browser: it keeps cookies, follows redirects, and fills in forms."""

    def __init__(self, port: int) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        self._base = f"http://127.0.0.1:{port}"
        self.side = ""

    def open(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """Return (status, text) of a page, after redirects; note which side answered."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self._opener.open(self._base + path, data, timeout=PATIENCE_S) as answer:
                status, headers, text = answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, headers, text = error.code, error.headers, error.read().decode()
        self.side = re.search("side=([a-z]+)", headers["X-Overgrow"])[1]
        return status, text

    def submit(self, page: str, action: str, **fields: str) -> tuple[int, str]:
        """Send the form of a page; the hidden token comes along, as from a browser."""
        token = re.search('name="csrf_token" value="([^"]+)"', self.open(page)[1])[1]
        return self.open(action, {"csrf_token": html.unescape(token), **fields})


@pytest.fixture
def shops(tmp_path) -> Iterator[tuple[Front, Browser]]:
    data = tmp_path / "shop.sqlite3"
    with (
        running_stub(frozen=False, data=data) as legacy,
        running_front(TABLE, tmp_path, legacy, data=data, SHOP_FROZEN="0") as front,
    ):
        yield front, Browser(front.port)


def log_in(browser: Browser, name="ada", password="engine"):
    return browser.submit("/login", "/login", name=name, password=password)


def flip(front: Front, route: str, to: str) -> None:
    done = front.overgrow("flip", route, to)
    assert done.returncode == 0, done.stderr


def latest_order(browser: Browser) -> dict:
    return json.loads(browser.open("/api/orders")[1])["orders"][0]


def test_a_visitor_shops_across_both_sides_with_one_login(shops):
    front, browser = shops

    # Nobody is logged in: migrated sends the visitor to legacy's login.
    assert "Log in" in browser.open("/account")[1]
    status, text = log_in(browser)
    assert (status, browser.side) == (200, "migrated")
    assert "You are logged in as ada." in text

    # A form of legacy inside a page of migrated fills the cart; flips lose nothing of it.
    assert "Runner beans" in browser.submit("/cart", "/cart", product="1", quantity="2")[1]
    assert browser.side == "migrated"
    flip(front, "cart", "legacy")
    assert "Together €6.40" in browser.open("/cart")[1]
    assert browser.side == "legacy"

    # In the middle of the checkout: the token comes from legacy's page, the order goes to migrated.
    status, _ = browser.submit("/cart", "/checkout")
    assert (status, browser.side) == (200, "migrated")
    order = latest_order(browser)
    assert (order["customer"], order["total_cents"], browser.side) == ("Ada Byron", 640, "legacy")
    assert "Your cart is empty." in browser.open("/cart")[1]

    # The account's form is migrated's; legacy changes the password and logs out.
    assert browser.submit("/account", "/password", old="engine", new="differences")[0] == 200
    assert browser.submit("/account", "/logout")[0] == 200
    assert "Log in" in browser.open("/account")[1]
    assert log_in(browser)[0] == 401
    assert "You are logged in as ada." in log_in(browser, password="differences")[1]


def test_both_sides_show_the_same_account_page(shops):
    front, browser = shops
    log_in(browser)
    of_migrated = browser.open("/account")[1]
    flip(front, "account", "legacy")
    of_legacy = eventually(lambda: browser.open("/account")[1] if browser.side else "")

    assert browser.side == "legacy"
    assert of_migrated == of_legacy


def test_a_role_opens_the_pages_of_the_staff(shops):
    _, browser = shops
    found = [browser.open("/stock")[1]]
    log_in(browser)
    found.append(browser.open("/stock")[1])

    assert "Log in" in found[0]
    assert "You may not do this." in found[1]


def test_a_form_without_the_visitors_token_is_not_accepted(shops):
    _, browser = shops
    log_in(browser)
    browser.submit("/cart", "/cart", product="1", quantity="2")
    before = latest_order(browser)

    for token in ("", "0" * 32):
        assert browser.open("/checkout", {"csrf_token": token})[0] == 403
    assert latest_order(browser) == before


def test_a_tampered_session_signs_nobody_in(shops):
    _, browser = shops
    request = urllib.request.Request(f"{browser._base}/account")
    request.add_header("Cookie", "shop_session=eyJ1c2VyIjoiYWRhIn0." + "0" * 64)
    request.add_header("Remote-User", "ada")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        text = answer.read().decode()

    assert "Log in" in text
