"""An open page keeps itself up to date: one request a tick, none while nobody sees it, and news without a reload.

The page's clock is the test's: it stands still until a test moves it.
"""

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.browser.chromium import visit
from tests.browser.conftest import log_in
from tests.browser.pages import PAGES, address_of
from tests.browser.scene import send_traffic

TICK_MS = 2000
STATE = ".state strong"
SAYS = f"words => document.querySelector('{STATE}').textContent === words"
# After each answer, and once at first, the page waits for the next tick: count how often.
COUNT_WAITS = """
const before = window.setTimeout;
window.waits = 0;
window.setTimeout = (then, ms, ...more) => {
    if (ms === %d) window.waits += 1;
    return before(then, ms, ...more);
};
"""
DATA = re.compile(r"/page-data/")


class Wire:
    """What an open page asks for."""

    def __init__(self, page):
        self.page, self.asked, self.statuses = page, [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", lambda response: self.statuses.append(response.status))

    def tick(self, count=1):
        """Move the page's clock by so many ticks, each once the page waits for the next one."""
        for _ in range(count):
            waits = self.page.evaluate("window.waits")
            self.page.clock.run_for(TICK_MS)
            self.page.wait_for_function("before => window.waits > before", arg=waits)


@contextmanager
def opened(browser, shop, path):
    """A page with a clock of the test's own, once it is there; what it asks from then on."""
    with visit(browser, shop.home) as page:
        log_in(page)
        page.clock.install()
        page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
        page.add_init_script(COUNT_WAITS % TICK_MS)
        page.goto(path)
        page.wait_for_function("() => window.waits > 0")
        yield Wire(page)


@pytest.fixture(scope="module")
def compared(shop):
    """The front door once it has compared something."""
    send_traffic(shop, rounds=1)
    return shop


def set_hidden(page, hidden):
    """Hide or show the tab, as far as its page can tell."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_an_open_page_asks_for_one_document_a_tick(browser, compared, path):
    with opened(browser, compared, address_of(compared, path)) as wire:
        wire.tick(5)

        assert [True] * 5 == [bool(DATA.search(url)) for url in wire.asked]


def test_an_unchanged_page_is_answered_without_a_body(browser, shop):
    with opened(browser, shop, "/flips") as wire:
        wire.tick(3)

        assert [200, 304, 304] == wire.statuses


def test_a_hidden_page_asks_nothing_and_asks_at_once_when_shown(browser, shop):
    with opened(browser, shop, "/") as wire:
        wire.tick()
        set_hidden(wire.page, hidden=True)
        wire.page.clock.run_for(60 * TICK_MS)
        while_hidden = len(wire.asked) - 1

        with wire.page.expect_request(DATA):
            set_hidden(wire.page, hidden=False)

        assert (0, 2) == (while_hidden, len(wire.asked))


def test_a_route_is_found_while_it_is_typed_and_nothing_is_asked(browser, shop):
    with opened(browser, shop, "/") as wire:
        wire.tick()
        del wire.asked[:]
        wire.page.get_by_label("Find", exact=True).press_sequentially("order-d")
        names = wire.page.get_by_role("rowheader").all_inner_texts()

        assert (["order-detail"], []) == ([name.split()[0] for name in names], wire.asked)


def test_the_open_page_shows_that_legacy_died_and_that_it_is_back(page, shop):
    page.goto("/")
    page.evaluate("window.isTheSamePage = true")
    at_first = page.locator(STATE).inner_text()

    shop.legacy.stop()
    shop.front.get("/cart")
    page.wait_for_function(SAYS, arg="legacy does not answer")
    alert = page.get_by_text("Legacy does not answer (legacy-connect).").is_visible()
    title = page.title()
    shop.legacy.start()
    page.wait_for_function(SAYS, arg="ready")

    assert (at_first, alert, title) == ("ready", True, "1 alert - Overgrow")
    assert page.evaluate("window.isTheSamePage") is True


def test_every_request_of_the_open_page_is_for_its_data(page, shop):
    page.goto("/")
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    shop.legacy.stop()
    shop.front.get("/cart")
    page.wait_for_function(SAYS, arg="legacy does not answer")
    shop.legacy.start()
    page.wait_for_function(SAYS, arg="ready")

    assert {f"{shop.home}/page-data/"} == set(asked)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(401, "Your login has ended", id="the login has ended"),
        pytest.param(404, "is not there any more", id="the route was renamed"),
        pytest.param(503, "cannot read what this page shows", id="a file cannot be used"),
        pytest.param(None, "does not answer this page", id="nothing answers"),
    ],
)
def test_an_open_page_says_why_it_is_not_updated(browser, shop, status, words):
    with opened(browser, shop, "/routes/order-detail") as wire:
        refuse = (
            (lambda each: each.fulfill(status=status)) if status else (lambda each: each.abort())
        )
        wire.page.route(DATA, refuse)
        wire.tick()

        assert words in wire.page.locator("#unreachable").inner_text()


@pytest.mark.parametrize(
    ("path", "title"),
    [("/routes/order-detail", "order-detail - Overgrow"), ("/live", "Live - Overgrow")],
)
def test_the_title_of_an_open_page_keeps_its_name(browser, shop, path, title):
    with opened(browser, shop, path) as wire:
        wire.tick(2)

        assert title == wire.page.title()
