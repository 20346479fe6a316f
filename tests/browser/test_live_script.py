"""live.js: what data may do to an open page, and what stays while it does."""

import pytest

# Makes a small page of its own inside the real one, applies documents to it one after the other, and returns what it is then.
APPLY = """async ([markup, documents]) => {
  const { apply } = await import("/static/live.js");
  const template = new DOMParser().parseFromString(markup, "text/html");
  const root = document.importNode(template.body.firstElementChild, true);
  document.getElementById("main").append(root);
  root.querySelector("[data-focus]")?.focus();
  for (const data of documents) apply(root, data);
  const found = {
    texts: [...root.querySelectorAll("li")].map((each) => each.textContent),
    elements: root.querySelectorAll("b, script, img").length,
    href: root.querySelector("a")?.getAttribute("href") ?? null,
    focused: document.activeElement.textContent,
    hidden: root.hidden,
  };
  root.remove();
  return found;
}"""
LIST = """<div><ul data-each="all" data-key="id"><template><li data-text="text"></li></template>
<li data-id="a" data-text="text" tabindex="-1" data-focus>one</li></ul></div>"""


def applied(page, markup, *documents):
    return page.evaluate(APPLY, [markup, list(documents)])


def rows(*pairs):
    return {"all": [{"id": name, "text": text} for name, text in pairs]}


def test_items_come_go_and_change_in_their_order(page):
    told = applied(page, LIST, rows(("a", "1"), ("b", "2")), rows(("c", "3"), ("b", "4")))

    assert ["3", "4"] == told["texts"]


def test_items_that_are_alike_do_not_grow_more(page):
    twice = rows(("a", "same"), ("a", "same"))

    assert ["same", "same"] == applied(page, LIST, twice, twice, twice)["texts"]


def test_an_item_that_stays_keeps_the_focus(page):
    told = applied(page, LIST, rows(("b", "new"), ("a", "still here")))

    assert "still here" == told["focused"]


def test_markup_in_data_is_text(page):
    told = applied(
        page, LIST, rows(("<b>", "<img src=x onerror=alert(1)><script>alert(2)</script>"))
    )

    assert 0 == told["elements"]
    assert ["<img src=x onerror=alert(1)><script>alert(2)</script>"] == told["texts"]


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "//evil.test/", "/\\evil.test/", "https://evil.test/", "data:,x"],
)
def test_a_link_leads_to_no_other_site(page, address):
    told = applied(page, '<div><a data-set="href:to" href="/">x</a></div>', {"to": address})

    assert "/" == told["href"]


def test_a_link_to_a_page_of_ours_is_set(page):
    markup = '<div><a data-set="href:to" href="/">x</a></div>'

    assert "/routes/a" == applied(page, markup, {"to": "/routes/a"})["href"]


@pytest.mark.parametrize(
    ("key", "value", "hidden"),
    [("a", "", True), ("a", "x", False), ("!a", "x", True), ("a.b", 1, True)],
)
def test_what_is_empty_is_hidden(page, key, value, hidden):
    assert hidden is applied(page, f'<div data-show="{key}"></div>', {"a": value})["hidden"]
