"""A person flips a route on its page: sees what will happen, gives a reason, and is refused what was not seen."""

from urllib.parse import quote

from tests.story.front import eventually

PAGE = "/routes/product-list"


def plan(page, to):
    """Ask what a flip would do."""
    page.goto(f"{PAGE}?to={quote(to)}#flip")


def flip(page, to, reason=""):
    page.get_by_label("Reason, for the history").fill(reason)
    page.get_by_role("button", name=f"Flip product-list to {to}").click()


def put_back(shop):
    """Flip the route to where the table has it at the start."""
    shop.front.overgrow("flip", "product-list", "migrated", "--wait")
    eventually(lambda: shop.side_of("/products") == ("migrated", "target"))


def test_a_flip_says_first_what_will_happen_and_keeps_its_reason(page, shop):
    page.goto(PAGE)
    page.get_by_label("States to flip to").get_by_role("link", name="25%", exact=True).click()
    told = page.locator(".plan").inner_text()
    flip(page, "25%", "a quarter first")
    eventually(lambda: shop.side_of("/products")[0] == "legacy")
    page.goto("/flips")
    entry = page.locator(".events li").first.inner_text()
    put_back(shop)

    assert "migrated serves 25% of clients" in told
    assert "a quarter first" in entry
    assert "by ada" in entry


def test_a_flip_forward_without_a_reason_is_not_sent(page, shop):
    shop.front.overgrow("flip", "product-list", "legacy", "--wait")
    plan(page, "migrated")
    flip(page, "migrated")
    is_asked_for = page.evaluate("document.activeElement.id")
    side = shop.side_of("/products")[0]
    put_back(shop)

    assert (is_asked_for, side) == ("reason", "legacy")


def test_a_flip_of_a_table_that_changed_meanwhile_is_refused(page, shop):
    plan(page, "25%")
    shop.front.overgrow("flip", "api-products", "10%", "--wait")
    flip(page, "25%", "seen before that")
    refusal = page.locator("main").inner_text()
    side = shop.side_of("/products")[0]
    shop.front.overgrow("rollback", "--wait")

    assert "Nothing was changed" in refusal
    assert side == "migrated"


def test_a_route_that_does_not_exist_names_the_nearest(page):
    page.goto("/routes/product-lits")

    assert "product-list" in page.locator("main").inner_text()
