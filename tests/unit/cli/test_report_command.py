"""`overgrow report`: one file that needs nothing else, made while no front door runs."""

import json
import re
import time
from html.parser import HTMLParser

import pytest

from overgrow.admin.report import MARK
from overgrow.observe.metrics import BUCKETS_S, Metrics
from overgrow.store.engine import store_url
from overgrow.store.history.writer import HistoryWriter
from tests.unit.cli.found import answer, compared, put
from tests.unit.observe.exchanges import decision, exchange
from tests.unit.table.test_running import holding

TABLE = """\
version: 1
legacy: {url: http://127.0.0.1:9000}
routes:
  - {name: orders, path: /orders, target: legacy, shadow: 10%, require: {clean: 299}}
  - {name: cart, path: /cart, target: legacy, canary: 12.5%}
"""
HOSTILE = "<script>alert(1)</script>"
ORDER = {"id": 7, "total": 1900}


class Page(HTMLParser):
    """The tags, attributes and texts of a report."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *each) for each in attrs]

    def handle_data(self, data):
        self.texts.append(data)


class Totals:
    """Counters with these requests: {(route, side): requests}."""

    size = len(BUCKETS_S) + 2

    def __init__(self, found):
        self._found = {
            place: (0, requests, *[0] * len(BUCKETS_S)) for place, requests in found.items()
        }

    def read_all(self):
        return self._found

    read_changes = read_all


@pytest.fixture
def site(bare):
    bare.table.write_text(TABLE)
    bare.state = bare.folder / ".overgrow"
    bare.file = bare.folder / "report.html"
    return bare


@pytest.fixture
def made(site):
    """Make a report: its page."""

    def make(*words):
        done = site("report", "--html", str(site.file), *words)
        assert done.exit_code == 0, done.output
        return Page(site.file.read_text("utf-8"))

    return make


def count(site, route, side, requests):
    metrics = Metrics(site.state / "metrics", 0)
    for _ in range(requests):
        metrics.record(exchange(decision=decision(side)._replace(route=route)))
    metrics.close()


def store_days(site, **requests):
    writer = HistoryWriter(store_url(site.state, None), "door", is_new=True)
    found = {("orders", side): each for side, each in requests.items()}
    writer.record(Totals(found), time.time() - 86_400, 1.0)
    writer.disconnect()
    assert writer.problem is None


def test_a_report_needs_no_script_no_network_and_no_other_file(made):
    page = made()
    policy = next(value for tag, name, value in page.attributes if name == "content" and tag)

    assert page.tags.count("main") == 1
    assert not {"script", "link", "img", "iframe", "form", "a", "object"} & set(page.tags)
    assert not [one for one in page.attributes if one[1] in {"style", "src", "href", "onload"}]
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'", policy)


def test_a_report_without_a_front_door_says_what_is_unknown(made):
    page = made()

    assert "No front door runs on this state folder" in page.text
    assert "Gates and differences are unknown: There is no evidence yet" in page.text


def test_a_running_front_door_is_not_unknown(site, made):
    site.state.mkdir()
    with holding(site.state):
        page = made()

    assert "No front door runs" not in page.text


def test_nothing_is_made_in_the_state_folder(site, made):
    made()

    assert not site.state.exists()


def test_each_route_and_the_default_have_a_row(made):
    page = made()

    for words in ("orders GET", "cart", "legacy 12.5%", "what no route takes"):
        assert words.split()[0] in page.text
    summary, heading, rows = 3, 1, 3
    assert page.tags.count("tr") == summary + heading + rows


def test_gates_and_differences_come_from_the_store(site, made):
    put(site.state, *[compared("orders", answer(ORDER), answer({**ORDER, "total": "1"}))] * 3)
    page = made()

    assert "orders: not ready for migrated" in page.text
    assert "type $.total" in page.text


def test_flips_are_listed_with_who_and_why(site, made):
    site("flip", "cart", "legacy", "--reason", "half of the clients", "--no-wait", LOGNAME="ada")
    page = made()

    assert "cart: 12.5% to legacy" in page.text
    assert "half of the clients" in page.text


def test_shares_over_time_come_from_the_history(site, made):
    store_days(site, legacy=75, migrated=25)
    page = made()

    assert "25% of 100" in page.text
    assert ("svg" in page.tags, "path" in page.tags) == (True, True)


def test_a_report_of_one_route_leaves_the_others_out(site, made):
    put(site.state, compared("orders", answer(ORDER), answer({**ORDER, "total": "1"})))
    page = made("--route", "cart")

    assert ("cart" in page.text, "orders" in page.text) == (True, False)


def test_an_unknown_route_is_refused_with_the_nearest_name(site):
    assert "Did you mean cart?" in site.fails("report", "--html", "x.html", "--route", "carts")
    assert not (site.folder / "x.html").exists()


def test_text_from_people_and_traffic_stays_text(site, made):
    hidden = f"{HOSTILE}\u202e\x1b[31m"
    body = {**ORDER, HOSTILE: 1}
    put(site.state, compared("orders", answer(ORDER), answer(body)))
    site("flip", "cart", "legacy", "--reason", hidden, "--no-wait", LOGNAME=HOSTILE)
    page = made()
    text = site.file.read_text("utf-8")

    assert ("script" in page.tags, "\u202e" in text, "\x1b" in text) == (False, False, False)
    assert HOSTILE in page.text


def test_a_damaged_history_and_store_are_named(site, made):
    site.state.mkdir()
    (site.state / "flips.jsonl").write_text("garbage\n")
    (site.state / "store.sqlite3").write_bytes(b"garbage " * 1000)
    page = made()

    assert "The history of flips is damaged" in page.text
    assert "file is not a database" in page.text


def test_a_report_is_replaced_by_the_next_one(site, made):
    made()
    before = site.file.stat().st_ino
    made()

    assert site.file.stat().st_ino != before
    assert not list(site.folder.glob(".report*"))


def test_a_file_that_is_no_report_is_not_overwritten(site):
    told = site.fails("report", "--html", "routes.yaml")

    assert "routes.yaml exists and is not a report" in told
    assert site.table.read_text() == TABLE


def test_force_overwrites_any_file(site):
    (site.folder / "x.html").write_text("notes")
    done = site("report", "--html", "x.html", "--force")

    assert done.exit_code == 0
    assert MARK in (site.folder / "x.html").read_text()


def test_a_folder_that_does_not_exist_is_told(site):
    assert "nowhere" in site.fails("report", "--html", "nowhere/x.html")


def test_a_report_can_go_to_standard_output(site):
    done = site("report", "--html", "-")

    assert (done.exit_code, done.stdout.startswith("<!doctype html>")) == (0, True)


def test_a_table_with_problems_is_reported_with_the_last_good_one(site, made):
    site.state.mkdir()
    (site.state / "last-good.yaml").write_text(TABLE)
    site.table.write_text(TABLE.replace("12.5%", "120%"))
    page = made()

    assert "routes.yaml has 1 problem: the routes are those of the last good table" in page.text
    assert "legacy 12.5%" in page.text


def test_a_table_with_problems_and_no_last_good_is_refused(site):
    site.table.write_text("version: 1\n")

    assert "[required]" in site.fails("report", "--html", "x.html")


def test_json_names_the_file_and_what_is_unknown(site):
    code, told = site.json("report", "--html", "x.html")

    assert (code, told["file"], told["route"]) == (0, "x.html", None)
    assert "No front door runs" in json.dumps(told["unknown"])


def test_a_report_without_a_file_is_bad_usage(site):
    assert "--html" in site.misused("report")
