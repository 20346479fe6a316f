"""A developer reads a difference, sees what a rule would hide, and accepts it; what was not seen is not accepted."""

import pytest
import yaml

from tests.browser.scene import send_traffic
from tests.story.front import eventually

HARMLESS, GRAVE = "extra $.debug", "type $.items[*].price_cents"


@pytest.fixture(scope="module", autouse=True)
def _compared(shop):
    send_traffic(shop, rounds=3)


@pytest.fixture(autouse=True)
def _no_rules(shop):
    """Each test begins and ends with every difference open."""
    yield
    for file in (shop.front.config.parent / "compare").glob("*.yaml"):
        file.unlink()


def rules_of(shop, route):
    """What stands in the file of a route's rules; [] while there is none."""
    file = shop.front.config.parent / "compare" / f"{route}.yaml"
    return yaml.safe_load(file.read_text())["rules"] if file.exists() else []


def open_group(page, what):
    page.goto("/differences")
    page.get_by_role("link", name=what).click()


def preview(page):
    page.get_by_role("button", name="Preview what it would hide").click()


def accept(page, reason):
    page.get_by_label("Why is it harmless?").fill(reason)
    page.get_by_role("button", name="Accept").click()


def test_both_responses_stand_side_by_side_with_what_differs_marked(page):
    open_group(page, GRAVE)
    sides = page.locator(".sides").first
    legacy, migrated = (sides.get_by_label(name, exact=True) for name in ("legacy", "migrated"))
    beside = legacy.bounding_box()["y"] == migrated.bounding_box()["y"]

    assert (beside, "price_cents" in migrated.locator("mark").first.inner_text()) == (True, True)
    assert legacy.locator("mark").first.inner_text() != migrated.locator("mark").first.inner_text()


def test_a_rule_that_hides_what_breaks_clients_is_warned_of(page):
    open_group(page, GRAVE)
    preview(page)

    assert page.get_by_text("It hides differences of high severity.").is_visible()
    assert page.get_by_role("button", name="Accept all the same").is_visible()


def test_a_difference_is_accepted_once_it_was_seen_what_the_rule_hides(page, shop):
    open_group(page, HARMLESS)
    preview(page)
    hidden = page.get_by_label("Hidden groups").inner_text()
    before = rules_of(shop, "api-product-detail")
    accept(page, "only shown to developers")
    page.get_by_text("The rule was written.").wait_for()
    (rule,) = rules_of(shop, "api-product-detail")

    assert ("$.debug" in hidden, "this one" in hidden, before) == (True, True, [])
    assert (rule["path"], rule["reason"]) == ("$.debug", "only shown to developers")
    assert "ada" in rule["author"]
    page.goto("/differences")
    eventually(lambda: page.get_by_role("link", name=HARMLESS).count() == 0)


def test_a_rule_that_another_accepted_meanwhile_is_not_accepted_twice(page, shop):
    open_group(page, GRAVE)
    group = page.url.rpartition("/")[2]
    preview(page)
    shop.front.overgrow("diff", "accept", group, "--reason", "agreed with the clients")
    written = rules_of(shop, "order-detail")
    accept(page, "seen before that")
    page.locator("main [role=alert]").first.wait_for()

    assert len(written) == 1
    assert rules_of(shop, "order-detail") == written
