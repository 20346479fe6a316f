"""What the API says of recent traffic: the last decisions, and the paths that no route takes."""

import pytest
import yaml

from overgrow.admin.app import create_admin
from overgrow.observe.decision_ring import MAX_TEXT_BYTES, DecisionRing
from overgrow.observe.unrouted import UnroutedFile, UnroutedRequest
from overgrow.routing.model import Legacy, Route, RouteTable
from tests.unit.admin.admin_view import View
from tests.unit.observe.exchanges import NOW_S, encode_exchange, exchange, head

TABLE = RouteTable("0123456789ab", Legacy("http://127.0.0.1:9"), (Route("orders", path="/orders"),))
MARKUP = b"/<script>alert(1)</script>"


@pytest.fixture
def view(tmp_path):
    (tmp_path / "metrics").mkdir()
    return View(tmp_path, TABLE)


@pytest.fixture
def client(view):
    return create_admin(view, now=lambda: NOW_S).test_client()


def decide(view, *seen, slot=0):
    texts = [encode_exchange(each, slot, MAX_TEXT_BYTES) for each in seen]
    DecisionRing().write(view.metrics, slot, texts, 0)


def leave_unrouted(view, counted, slot=0):
    requests = {UnroutedRequest(*each): times for each, times in counted.items()}
    UnroutedFile().add(view.metrics, slot, requests, 0, NOW_S)


def seqs(response):
    return [each["seq"] for each in response.json["decisions"]]


def test_decisions_follow_each_other_by_the_number_of_the_last(client, view):
    decide(view, exchange(), exchange())
    first = client.get("/api/decisions")
    decide(view, exchange(), slot=1)

    second = client.get(f"/api/decisions?after={first.json['next_after']}")
    assert ([1, 2], [3]) == (seqs(first), seqs(second))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=5xx", [2]),
        ("status=5XX", [2]),
        ("status=999", []),
        ("status=404", [3]),
        ("status=0", [4]),
        ("side=legacy", [2]),
        ("route=orders", [1, 2, 3, 4]),
        ("route=default", []),
        ("reason=target&side=migrated&status=2xx", [1]),
    ],
)
def test_decisions_are_filtered(client, view, query, expected):
    decide(view, exchange(), exchange("legacy", 502), exchange(status=404), exchange(status=0))

    assert expected == seqs(client.get(f"/api/decisions?{query}"))


@pytest.mark.parametrize("query", ["", "&status=2xx"])
def test_a_limit_loses_no_decision_between_polls(client, view, query):
    decide(view, *[exchange(), exchange(status=404)] * 5, slot=1)
    found, after, more = [], 0, True
    while more:
        page = client.get(f"/api/decisions?limit=3&after={after}{query}").json
        found += page["decisions"]
        after, more = page["next_after"], page["more"]

        assert 0 == page["missed"]
    wanted = range(1, 11, 2) if query else range(1, 11)
    assert ([*wanted], 10) == ([each["seq"] for each in found], after)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("status=6xx", "status"),
        ("status=20", "status"),
        ("route=", "route"),
        ("side=new", "side"),
        ("reason=because", "reason"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("path=/", "path"),
    ],
)
def test_a_bad_parameter_is_named(client, query, parameter):
    response = client.get(f"/api/decisions?{query}")

    assert (400, parameter) == (response.status_code, response.json["error"]["parameter"])


def test_an_unknown_route_is_refused_with_the_nearest_name(client):
    response = client.get("/api/decisions?route=order")

    error = response.json["error"]
    assert (404, "unknown-route", ["orders"]) == (
        *(response.status_code, error["code"]),
        error["nearest"],
    )


def test_decisions_of_a_route_that_was_removed_are_still_shown(client, view):
    view.table = RouteTable("0123456789ab", Legacy("http://127.0.0.1:9"))
    decide(view, exchange())

    assert [1] == seqs(client.get("/api/decisions?route=orders"))


def test_before_any_request_both_lists_are_empty(client):
    decisions, unrouted = client.get("/api/decisions"), client.get("/api/unrouted")

    assert ([], 0) == (decisions.json["decisions"], decisions.json["next_after"])
    assert (None, []) == (unrouted.json["since"], unrouted.json["templates"])


def test_an_unrouted_template_has_the_entry_that_would_route_it(client, view):
    leave_unrouted(view, {("GET", b"/cart/17", 200): 3, ("POST", b"/cart/18", 302): 1})

    [row] = client.get("/api/unrouted").json["templates"]
    assert ("/cart/<int:id>", 4, 4) == (row["template"], row["requests"], row["requests_at_most"])
    entry = {"path": "/cart/<int:id>", "methods": ["GET", "POST", "OPTIONS"], "target": "legacy"}
    assert [entry] == yaml.safe_load(row["route"])


@pytest.mark.parametrize("path", [b"/caf%C3%A9 x", b"/a%24%7BHOME%7D", b"/%22'%3A%20x", b"/a: b"])
def test_the_entry_for_an_unusual_path_is_yaml(client, view, path):
    leave_unrouted(view, {("GET", path, 200): 1})

    [row] = client.get("/api/unrouted").json["templates"]
    [entry] = yaml.safe_load(row["route"])
    assert row["template"] == entry["path"].replace("$${", "${")


def test_paths_with_404s_only_come_last(client, view):
    junk = {("GET", b"/wp-login.php", 404): 90}
    leave_unrouted(view, {**junk, ("GET", b"/cart", 200): 1, ("GET", b"/cart", 404): 5})

    rows = client.get("/api/unrouted").json["templates"]
    assert [("/cart", False), ("/wp-login.php", True)] == [
        (row["template"], row["only_not_found"]) for row in rows
    ]


def test_a_template_that_a_route_takes_by_now_is_left_out(client, view):
    leave_unrouted(view, {("GET", b"/orders", 200): 3, ("GET", b"/cart", 200): 1})

    found = client.get("/api/unrouted").json
    assert (["/cart"], 1) == (
        [row["template"] for row in found["templates"]],
        found["routed_since"],
    )


def test_requests_that_were_not_looked_at_may_belong_to_any_template(client, view):
    UnroutedFile().add(view.metrics, 0, {UnroutedRequest("GET", b"/cart", 200): 3}, 4, NOW_S)

    found = client.get("/api/unrouted").json
    [row] = found["templates"]
    assert (3, 7) == (row["requests"], row["requests_at_most"])
    assert (7, 4, 4) == (found["requests"], found["not_listed_by_path"], found["missing_at_most"])


def test_a_cut_list_says_that_there_are_more(client, view):
    leave_unrouted(view, {("GET", b"/cart", 200): 3, ("GET", b"/about", 200): 1})

    found = client.get("/api/unrouted?limit=1").json
    assert (["/cart"], True) == ([row["template"] for row in found["templates"]], found["more"])


def test_markup_in_a_path_becomes_no_part_of_a_template(client, view):
    leave_unrouted(view, {("GET", MARKUP, 200): 1})

    assert "script" not in client.get("/api/unrouted").text


def test_damaged_files_answer_with_what_is_left(client, view):
    (view.metrics / "decisions_0.ring").write_bytes(b"\0" * 700)
    (view.metrics / "decisions.seq").write_bytes(b"x")
    (view.metrics / "unrouted_0.json").write_text("{")

    assert [200, 200] == [
        client.get(path).status_code for path in ("/api/decisions", "/api/unrouted")
    ]


def test_a_query_is_in_no_answer(client, view):
    decide(view, exchange(head=head(b"/orders?email=bob@example.com")))

    assert "bob" not in client.get("/api/decisions").text
