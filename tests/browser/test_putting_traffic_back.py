"""A person puts one route back, then everything, and lets the table rule again: with a mouse in a browser."""

from tests.story.front import eventually


def press(page, name):
    page.get_by_role("button", name=name).click()


def test_everything_goes_to_legacy_in_two_steps(page, shop):
    button = page.get_by_role("button", name="Yes, everything to legacy now")

    hidden_at_first = not button.is_visible()
    page.get_by_text("Everything to legacy ...").click()
    button.click()
    eventually(lambda: shop.side_of("/products") == ("legacy", "killed"))
    press(page, "Resume: follow the table again")
    eventually(lambda: shop.side_of("/products") == ("migrated", "target"))

    assert hidden_at_first


def test_a_route_goes_to_legacy_and_its_flip_is_undone(page, shop):
    press(page, "To legacy (product-list)")
    eventually(lambda: shop.side_of("/products") == ("legacy", "target"))
    press(page, "Undo the last flip")
    eventually(lambda: shop.side_of("/products") == ("migrated", "target"))
