"""What holds for every admin page: no barriers, narrow enough for a phone, all by keyboard, all without scripts, and
markup that clients and people send stays text.

Each page is visited after traffic that brings something to show, with markup wherever a client or a person can put some.
"""

import http.client

import pytest

from tests.browser.chromium import DESKTOP, PHONE, find_barriers, visit
from tests.browser.conftest import log_in
from tests.browser.pages import PAGES, address_of
from tests.browser.scene import send_traffic

MARK = "seeded"
MARKUP = f"<img src=x onerror=alert('{MARK}')><script>alert('{MARK}')</script>"
IN_PATH = MARKUP.replace(" ", "%20")
PLACES = """() => [...document.querySelectorAll('*')].filter(
    each => each.matches('img, iframe, object, embed, base') || each.onerror || each.onload
        || (each.localName === 'script' && each.textContent)
).map(each => each.outerHTML)"""
MOST_STOPS = 300
# Where the focus is, and whether it shows: in the window, with an outline. The parts of a date have the browser's own.
DESCRIBE = """() => {
    const focused = document.activeElement;
    const box = focused.getBoundingClientRect();
    const isOutlined = getComputedStyle(focused).outlineStyle !== "none" || focused.type === "date";
    return {
        name: focused.innerText || focused.ariaLabel || focused.name || focused.tagName,
        is_body: focused === document.body,
        is_seen: box.width > 0 && box.right > 0 && isOutlined,
    };
}"""

every_page = pytest.mark.parametrize("path", PAGES.values(), ids=PAGES, indirect=True)


@pytest.fixture(scope="module")
def seeded(shop):
    """The front door after traffic and flips, some of it with markup."""
    send_traffic(shop, rounds=3, errors=2)
    told = {"X-Client": MARKUP, "User-Agent": MARKUP, "Referer": MARKUP, "Cookie": f"a={MARKUP}"}
    send(shop, f"/{IN_PATH}?q={IN_PATH}", told)
    send(shop, "/api/products/3", told)
    for target in ("legacy", "migrated"):
        shop.front.overgrow("flip", "product-list", target, "--reason", MARKUP, "--wait")
    return shop


def send(shop, target, headers):
    connection = http.client.HTTPConnection("127.0.0.1", shop.front.port, timeout=60)
    connection.request("GET", target, headers=headers)
    connection.getresponse().read()
    connection.close()


@pytest.fixture(scope="module")
def visited(browser, seeded):
    """One window for all pages."""
    with visit(browser, seeded.home) as page:
        log_in(page)
        yield page


@pytest.fixture(scope="module")
def plain(browser, seeded):
    """A window whose scripts are off."""
    with visit(browser, seeded.home, scripts=False) as page:
        log_in(page)
        yield page


@pytest.fixture
def path(request, seeded):
    """The path of the page that a test is about."""
    return address_of(seeded, request.param)


@every_page
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_page_has_no_barriers_in_either_theme(visited, path, size):
    visited.set_viewport_size({"width": size[0], "height": size[1]})
    visited.goto(path)
    found = {}
    for theme in ("light", "dark"):
        visited.emulate_media(color_scheme=theme)
        found[theme] = find_barriers(visited)

    assert found == {"light": [], "dark": []}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_has_no_barriers(browser, shop, theme):
    with visit(browser, shop.home, size=PHONE, theme=theme) as page:
        page.goto("/login")

        assert find_barriers(page) == []


@every_page
def test_a_page_is_no_wider_than_a_phone(visited, path):
    visited.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    visited.goto(path)

    assert visited.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


@every_page
def test_no_table_is_wider_than_a_desktop(visited, path):
    visited.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    visited.goto(path)
    too_wide = (
        "each => each.filter(one => one.scrollWidth > one.clientWidth).map(one => one.ariaLabel)"
    )

    assert visited.locator(".scroll").evaluate_all(too_wide) == []


@every_page
def test_markup_stays_text(visited, path):
    with visited.expect_response(lambda answer: "/page-data/" in answer.url):
        visited.goto(path)

    assert visited.evaluate(PLACES) == []


def test_the_reason_of_a_flip_is_shown_as_it_was_given(visited):
    visited.goto("/flips")

    assert MARKUP in visited.locator("main").inner_text()


@every_page
def test_each_stop_of_the_tab_key_can_be_seen(visited, path):
    visited.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    visited.goto(path)

    assert [stop["name"] for stop in stops_of(visited) if not stop["is_seen"]] == []


def stops_of(page):
    """Every stop of the tab key, from the top of the page."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(DESCRIBE)
        if stop["is_body"]:
            return
        yield stop


def test_the_first_stop_leads_to_the_content(visited):
    visited.goto("/health")
    visited.keyboard.press("Tab")
    first = visited.evaluate("document.activeElement.textContent")
    visited.keyboard.press("Enter")

    assert (first, visited.evaluate("document.activeElement.id")) == ("Skip to content", "main")


@every_page
def test_a_page_without_scripts_can_be_loaded_again_by_a_link(plain, shop, path):
    plain.goto(path)

    plain.locator("#refresh").click()

    assert plain.url == f"{shop.home}{path}"
