"""Requests show on open pages as they come: the tail of decisions, and the share of a canary that grows."""

import re
from typing import NamedTuple

from tests.browser.scene import send_traffic
from tests.story.front import eventually

SAME_PAGE = "window.isTheSamePage"


def rows(page, text):
    """The rows of the open page's table that have a text."""
    return page.locator("main tbody tr").filter(has_text=text)


def mark(page):
    """Give the page a mark that a reload would remove."""
    page.evaluate(f"{SAME_PAGE} = true")


def test_a_request_shows_on_the_open_tail(page, shop):
    page.goto("/live")
    mark(page)

    shop.front.get("/products/7")
    eventually(lambda: rows(page, "/products/7").count() == 1)

    assert page.evaluate(SAME_PAGE) is True


def test_a_paused_tail_stands_still_and_says_what_is_newer(page, shop):
    shop.front.get("/products/8")
    page.goto("/live")
    eventually(lambda: rows(page, "/products/8").count() == 1)
    page.get_by_role("button", name="Pause").click()
    shop.front.get("/products/9")
    page.get_by_text(re.compile("Paused; .* newer")).wait_for()
    held = rows(page, "/products/9").count()
    page.get_by_role("button", name="Go on").click()
    eventually(lambda: rows(page, "/products/9").count() == 1)

    assert held == 0


def test_the_tail_of_errors_has_no_other_request(page, shop):
    send_traffic(shop, rounds=1, errors=2)
    page.goto("/live")
    page.get_by_label("Status").fill("5xx")
    page.get_by_role("button", name="Filter").click()
    found = [row.inner_text() for row in rows(page, "").all()]

    assert len(found) >= 2
    assert [row for row in found if "500" not in row] == []


def test_a_canary_grows_on_the_open_overview(page, shop):
    row = page.locator("tr[data-id='product-detail']")
    mark(page)
    send_traffic(shop, rounds=4)
    before = eventually(lambda: share(row))

    shop.front.overgrow("flip", "product-detail", "100%", "--wait")
    send_traffic(shop, rounds=8)
    eventually(lambda: "canary 100%" in row.inner_text() and share(row).percent > before.percent)

    assert page.evaluate(SAME_PAGE) is True


def share(row):
    """The share of migrated that the row shows; None while there is none."""
    found = re.search(r"([\d.]+)% of (\d+)", row.inner_text())
    return found and Share(float(found[1]), int(found[2]))


class Share(NamedTuple):
    """A percentage of so many requests."""

    percent: float
    requests: int
