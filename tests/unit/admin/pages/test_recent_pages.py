"""The pages of recent traffic and of the history: what they show, and that nothing in it is markup."""

import fcntl
import os

import pytest

from overgrow.admin.app import create_admin
from overgrow.observe.decision_ring import MAX_TEXT_BYTES, DecisionRing
from overgrow.observe.unrouted import UnroutedFile, UnroutedRequest
from overgrow.routing.model import Legacy, Route, RouteTable
from overgrow.table.editing import kill_switch
from overgrow.table.editing.history import append, lock_history
from tests.unit.admin.admin_view import View
from tests.unit.observe.exchanges import NOW_S, decision, encode_exchange, exchange, head

TABLE = RouteTable("0123456789ab", Legacy("http://127.0.0.1:9"), (Route("orders", path="/orders"),))
MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def view(tmp_path):
    (tmp_path / "metrics").mkdir()
    config = tmp_path / "routes.yaml"
    config.write_text("version: 1\n")
    return View(tmp_path, TABLE, config=config)


@pytest.fixture
def client(view):
    return create_admin(view, now=lambda: NOW_S).test_client()


def data(client, path):
    return client.get(f"/page-data{path}").json["page"]


def decide(view, *seen):
    texts = [encode_exchange(each, 0, MAX_TEXT_BYTES) for each in seen]
    DecisionRing().write(view.metrics, 0, texts, 0)


def leave_unrouted(view, *requests, times=1):
    counted = {UnroutedRequest(*each): times for each in requests}
    file = UnroutedFile()
    file.add(view.metrics, 0, counted, 0, NOW_S)
    file.write(NOW_S)


def record(view, action="flip", **given):
    plain = {"at": "2026-11-30T12:00:00Z", "who": "ada", "action": action}
    moved = {"route": "orders", "from": "legacy", "to": "migrated"} if action == "flip" else {}
    with lock_history(view.state) as descriptor:
        return append(view.state, descriptor, {**plain, **moved, **given})


# --- unrouted -------------------------------------------------------------------------------------


def test_unrouted_shows_what_to_route_and_sets_404s_apart(client, view):
    leave_unrouted(view, ("GET", b"/cart/1", 200), ("GET", b"/wp-login.php", 404))

    page = data(client, "/unrouted")
    assert (["/cart/<int:id>"], ["/wp-login.php"]) == (
        [row["template"] for row in page["rows"]],
        [row["template"] for row in page["junk"]],
    )
    assert "path: /cart/&lt;int:id&gt;" in client.get("/unrouted").text


def test_unrouted_says_that_it_kept_the_busiest(client, view):
    for begin in range(0, 1200, 300):
        words = [
            f"/w{number}x".translate(str.maketrans("0123456789", "abcdefghij"))
            for number in range(begin, begin + 300)
        ]
        leave_unrouted(view, *(("GET", word.encode(), 200) for word in words))

    [limit] = [
        each["text"] for each in data(client, "/unrouted")["limits"] if "busiest" in each["text"]
    ]
    assert "had 1 request at most" in limit


def test_unrouted_is_empty_before_any_request(client):
    assert data(client, "/unrouted")["no_rows"]
    assert "No request without a route was counted" in client.get("/unrouted").text


# --- live -----------------------------------------------------------------------------------------


def test_live_shows_the_latest_decision_first(client, view):
    decide(view, exchange(head=head(b"/orders/1?q=x")), exchange("legacy", 502))

    first, second = data(client, "/live")["rows"]
    assert ("legacy", 502, "bad") == (first["side"], first["status"], first["tone"])
    assert ("/orders/1", "/routes/orders") == (second["path"], second["href"])


def test_live_filters_by_its_address(client, view):
    decide(view, exchange(), exchange("legacy", 502))

    page = data(client, "/live?status=5xx&side=legacy")
    assert [502] == [row["status"] for row in page["rows"]]
    assert "<option selected>legacy</option>" in client.get("/live?side=legacy").text


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("status=6xx", "The status must be"),
        ("side=new", "The side must be one of"),
        ("reason=because", "The reason must be one of"),
        ("route=order", "Did you mean orders?"),
    ],
)
def test_live_says_what_is_wrong_with_a_filter(client, view, query, problem):
    decide(view, exchange(decision=decision("legacy", None)))

    page = data(client, f"/live?{query}")
    assert problem in page["problem"]
    assert [] == page["rows"]


# --- flips ----------------------------------------------------------------------------------------


def test_flips_show_the_gate_and_what_undid_them(client, view):
    figures = {"compared": 1200, "mismatched": 1, "rate_bound": 0.0039, "allowed_rate": 0.01}
    flip = record(view, evidence={"orders": figures}, overruled=["orders: too few"])
    record(view, "rollback", undoes=flip.key, who="eve")

    _, shown = data(client, "/flips")["changes"]
    facts = [fact["text"] for fact in shown["facts"]]
    assert [
        "Gate of orders: 1200 compared, 1 mismatched; at most 0.39% differ, 1% are allowed.",
        "Flipped although: orders: too few",
        "Undone at 2026-11-30T12:00:00Z by eve.",
    ] == facts


def test_flips_of_a_route_include_kills(client, view):
    record(view, route="cart")
    record(view)
    record(view, "kill")

    page = data(client, "/flips?route=orders")
    assert ["kill", "flip"] == [each["action"] for each in page["changes"]]
    assert ["bad", ""] == [each["tone"] for each in page["changes"]]


def test_a_kill_beside_a_held_history_is_shown_at_once(client, view):
    held = os.open(view.state / "flips.jsonl", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    kill_switch.kill(view.config, view.state, who="ada")

    [shown] = data(client, "/flips")["changes"]
    os.close(held)
    assert ("kill", "ada") == (shown["action"], shown["who"])
    assert "Not in the history yet" in shown["facts"][0]["text"]


@pytest.mark.parametrize("figures", [None, 7, {}, {"rate_bound": "x"}])
def test_evidence_of_another_version_is_no_error(client, view, figures):
    record(view, evidence={"orders": figures})

    assert "Gate of orders: ? compared" in client.get("/flips").text


def test_a_damaged_history_is_said(client, view):
    record(view)
    with (view.state / "flips.jsonl").open("a") as file:
        file.write('{"prev": "')

    assert data(client, "/flips")["is_broken"]


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/unrouted", "/live", "/flips", f"/flips?route={MARKUP}", f"/live?route={MARKUP}"]
)
def test_markup_from_traffic_and_people_stays_text(client, view, path):
    leave_unrouted(view, ("GET", f"/a{MARKUP}".encode(), 200), (MARKUP, b"/cart", 200))
    odd = Route(MARKUP, path="/x")
    decide(
        view,
        exchange(head=head(f"/{MARKUP}".encode(), method=MARKUP), decision=decision(route=odd)),
    )
    record(view, route=MARKUP, who=MARKUP, why=MARKUP, overruled=[MARKUP])
    record(view, MARKUP)

    text = client.get(path).text
    assert "<script>alert" not in text
    assert "javascript:" not in text


@pytest.mark.parametrize("name", ["decisions_0.ring", "decisions.seq", "unrouted_0.json"])
def test_a_damaged_file_leaves_the_pages_readable(client, view, name):
    decide(view, exchange())
    leave_unrouted(view, ("GET", b"/cart", 200))
    (view.metrics / name).write_bytes(os.urandom(300))

    assert [200, 200] == [client.get(path).status_code for path in ("/unrouted", "/live")]
