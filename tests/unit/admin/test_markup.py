"""What people and their tools need of the pages: labels, headers, contrast, and no script."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import overgrow.admin
from overgrow.admin.app import create_admin
from overgrow.admin.pages.frame import NAVIGATION
from overgrow.observe.board import claim_slot
from overgrow.observe.metrics import Metrics
from overgrow.routing.model import Legacy, Route, RouteTable
from overgrow.table.editing import kill_switch
from tests.unit.admin.admin_view import SINCE, View
from tests.unit.observe.exchanges import exchange

CSS = (Path(overgrow.admin.__file__).parent / "static/admin.css").read_text("utf-8")
VOID = {"meta", "link", "input", "br"}
ORDERS = Route("orders", path="/orders/<int:id>", target="migrated", shadow=500, canary=1000)


class Page(HTMLParser):
    """Elements with their attributes and text; notes end tags that close nothing."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.strays = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1]["tag"] != tag:
            self.strays.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def of(self, *tags):
        return [each for each in self.elements if each["tag"] in tags]


@pytest.fixture
def view(tmp_path):
    config = tmp_path / "routes.yaml"
    config.write_text("version: 1\n")
    table = RouteTable("0123456789ab", Legacy("http://127.0.0.1:9000"), (ORDERS,))
    view = View(tmp_path, table, config=config, token="s3cret")
    broken = {"route": "orders", "side": "migrated", "state": "open", "opened_by": None}
    slot = claim_slot(view.board)
    told = {"breakers": [broken], "notes": [f"{config}:9:1: A note."]}
    slot.publish({"revision": table.revision, "since": SINCE, **told})
    Metrics(view.metrics, 0).record(exchange(status=500))
    kill_switch.kill(config, tmp_path, who="<b>ada</b>")
    kill_switch.resume(config, tmp_path, who="ada")
    yield view
    slot.release()


PAGES = [entry.path for entry in NAVIGATION]


@pytest.fixture(params=[*PAGES, "/?look=3", "/?find=nothing", "killed", "/login", "/nowhere"])
def page(view, request):
    client = create_admin(view).test_client()
    path = request.param
    if path == "killed":
        kill_switch.kill(view.config, view.state)
        path = "/"
    if path != "/login":
        client.post("/login", data={"token": "s3cret"})
    return Page(client.get(path, headers={"Accept": "text/html"}).text)


def test_every_element_is_closed_where_it_should_be(page):
    assert ([], []) == (page.strays, page.open)


def test_language_title_and_one_main_heading_are_there(page):
    assert "en" == page.of("html")[0]["lang"]
    assert page.of("title")[0]["text"].endswith("Overgrow")
    assert 1 == len(page.of("h1"))


def test_every_field_has_a_label(page):
    labelled = {each["for"] for each in page.of("label")}
    fields = [
        each
        for each in page.of("input", "select", "textarea")
        if each.get("type") != "hidden" and "hidden" not in each
    ]

    assert {each["id"] for each in fields} == labelled


def test_every_button_says_what_it_does(page):
    assert [] == [each for each in page.of("button") if not each["text"].strip()]


def test_buttons_of_rows_name_their_route(view):
    client = create_admin(view).test_client()
    client.post("/login", data={"token": "s3cret"})
    names = [each["text"] for each in Page(client.get("/").text).of("button")]

    assert "To legacy (orders)" in names


def test_every_header_cell_says_what_it_heads(page):
    assert [] == [each for each in page.of("th") if "scope" not in each]


def test_ids_are_unique_and_those_referred_to_exist(page):
    ids = [each["id"] for each in page.elements if "id" in each]
    asked = {
        each[name]
        for each in page.elements
        for name in ("aria-labelledby", "aria-describedby", "for")
        if name in each
    }

    assert len(ids) == len(set(ids))
    assert asked <= set(ids)


def test_nothing_is_there_that_the_policy_forbids(page):
    assert [] == page.of("style", "img", "iframe", "object", "base")
    assert {"/static/admin.css"} == {each["href"] for each in page.of("link")}
    assert all(re.fullmatch(r"/static/\w+\.js", each["src"]) for each in page.of("script"))
    assert "" == "".join(each["text"] for each in page.of("script"))
    assert [] == [
        name for each in page.elements for name in each if name == "style" or name.startswith("on")
    ]


def test_every_form_posts_to_us_with_a_form_token_or_only_asks(page):
    assert {each.get("method") for each in page.of("form")} <= {"get", "post"}
    assert all(each["action"].startswith("/") for each in page.of("form"))


def test_what_others_wrote_is_text(view):
    client = create_admin(view).test_client()
    client.post("/login", data={"token": "s3cret"})

    pages = [client.get(path, query_string={"find": '"><b>x'}).text for path in PAGES]

    assert any("&lt;b&gt;ada&lt;/b&gt;" in page for page in pages)
    assert not any("<b>" in page for page in pages)


def test_the_title_counts_what_is_wrong(view):
    client = create_admin(view).test_client()
    client.post("/login", data={"token": "s3cret"})

    assert "<title>2 alerts - Overgrow</title>" in client.get("/").text


def test_totals_are_shown_as_totals(view):
    client = create_admin(view).test_client()
    client.post("/login", data={"token": "s3cret"})

    expected = "Since the counters started: legacy 0 requests with 0 errors, migrated 1 request with 1 error."
    assert expected in client.get("/").text


def test_times_may_be_broken_where_the_page_is_narrow():
    wide, _, narrow = CSS.partition("@media (max-width:")

    assert "time { white-space: nowrap; }" in wide
    assert "td time { white-space: normal; overflow-wrap: anywhere; }" in narrow


def colours(text):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, two):
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ("ink", "paper"),
        ("quiet", "paper"),
        ("link", "paper"),
        ("good", "paper"),
        ("bad", "paper"),
        ("ink", "bad-paper"),
        ("ink", "warn-paper"),
        ("on-danger", "danger"),
    ],
)
def test_text_stands_out_from_its_paper(scheme, ink, paper):
    light, _, rest = CSS.partition("@media (prefers-color-scheme: dark)")
    known = colours(light) | (colours(rest) if scheme == "dark" else {})

    assert contrast(known[ink], known[paper]) >= 4.5  # WCAG 2.2, 1.4.3


def test_nothing_moves():
    assert not re.search(r"transition|animation|@keyframes", CSS)


def test_focus_is_seen_on_everything_that_takes_it():
    (rule,) = [line for line in CSS.splitlines() if ":focus-visible" in line]

    assert all(f"{each}:focus-visible" in rule for each in ("a", "input", "button", "summary"))
    assert "outline: 3px" in rule


def test_the_style_fetches_nothing():
    assert not re.search(r"url\(|@import|@font-face", CSS)
