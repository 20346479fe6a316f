"""A person puts one route back, then everything, and lets the table rule again: by mouse, by keys, without scripts."""

import pytest

from tests.browser.chromium import visit
from tests.browser.conftest import log_in
from tests.browser.pages import PAGES, address_of
from tests.browser.scene import send_traffic
from tests.browser.shop import READ_TOKEN
from tests.story.front import eventually

OPEN = "Everything to legacy ..."
KILL = "Yes, everything to legacy now"
RESUME = "Resume: follow the table again"
ACTIONS = "forms => forms.map(each => each.getAttribute('action'))"
KILLED, RULED = ("legacy", "killed"), ("migrated", "target")


def press(page, name):
    page.get_by_role("button", name=name).click()


@pytest.fixture
def plain(browser, shop):
    """The overview in a window whose scripts are off."""
    with visit(browser, shop.home, scripts=False) as page:
        log_in(page)
        yield page


def side(shop):
    return shop.side_of("/products")


def test_everything_goes_to_legacy_in_two_steps(page, shop):
    hidden_at_first = not page.get_by_role("button", name=KILL).is_visible()
    page.get_by_text(OPEN).click()
    press(page, KILL)
    page.get_by_text("The change was made, and all workers follow it.").wait_for()
    state = page.locator(".state strong").inner_text()
    eventually(lambda: side(shop) == KILLED)
    press(page, RESUME)
    eventually(lambda: side(shop) == RULED)

    assert (hidden_at_first, state) == (True, "killed: legacy serves everything")


def test_who_may_only_read_sees_everything_and_can_change_nothing(browser, shop):
    with visit(browser, shop.home) as page:
        send_traffic(shop, rounds=1)
        log_in(page, READ_TOKEN)
        offered = {
            form
            for path in PAGES.values()
            if page.goto(address_of(shop, path))
            for form in page.locator("form[method=post]").evaluate_all(ACTIONS)
        }

        assert offered <= {"/logout"}


def test_everything_goes_to_legacy_by_keys(page, shop):
    page.get_by_text(OPEN).focus()
    for key in ("Enter", "Tab", "Enter"):
        page.keyboard.press(key)
    eventually(lambda: side(shop) == KILLED)
    page.get_by_role("button", name=RESUME).focus()
    page.keyboard.press("Enter")
    eventually(lambda: side(shop) == RULED)


def test_without_scripts_a_change_ends_where_all_workers_follow(plain, shop):
    plain.goto("/health")
    plain.get_by_text(OPEN).click()
    press(plain, KILL)
    plain.get_by_text("The change was made, and all workers follow it.").wait_for()
    killed = side(shop)
    press(plain, RESUME)
    eventually(lambda: side(shop) == RULED)

    assert killed == KILLED


def test_a_route_goes_to_legacy_and_its_flip_is_undone(page, shop):
    press(page, "To legacy (product-list)")
    eventually(lambda: side(shop) == ("legacy", "target"))
    press(page, "Undo the last flip")
    eventually(lambda: side(shop) == RULED)
