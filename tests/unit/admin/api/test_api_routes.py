from dataclasses import replace

import pytest

from overgrow.admin.app import create_admin
from overgrow.observe.board import claim_slot
from overgrow.observe.metrics import Metrics
from overgrow.table.reading.parse import parse
from tests.unit.admin.admin_view import SINCE, View
from tests.unit.observe.exchanges import decision, exchange

TABLE = """\
version: 1
legacy: {url: "http://127.0.0.1:9000"}
routes:
  - {name: orders, path: "/orders/<int:id>", target: migrated, shadow: 5%}
  - {name: cart, path: /cart, target: legacy, canary: 10%}
  - {name: ledger, prefix: /ledger, target: migrated, reversible: false}
  - {name: old, path: /old, target: gone}
  - {name: one, path: /one, target: migrated, group: pair}
  - {name: two, path: /two, target: migrated, group: pair}
"""
KEYS = [
    "name",
    "route",
    "split",
    "health",
    "gate",
    "shadow",
    "breaker",
    "differences",
    "flips",
    "last_hit",
]
NOW_S = 1_800_000_000.0


@pytest.fixture
def view(tmp_path):
    config = tmp_path / "routes.yaml"
    config.write_text(TABLE)
    (tmp_path / "metrics").mkdir()
    table = parse(config.read_bytes(), file=str(config), env={}, rules=None).table
    view = View(tmp_path, table, config=config)
    view.slot = claim_slot(view.board)
    view.slot.publish({"revision": view.table.revision, "since": SINCE, "killed": False})
    yield view
    view.slot.release()


@pytest.fixture
def client(view):
    return create_admin(view, now=lambda: NOW_S).test_client()


def flip(client, view, **fields):
    view.is_owners_socket = True
    owner = {"REMOTE_ADDR": ""}
    return client.post("/api/flip", json=fields, environ_overrides=owner)


def test_a_route_is_told_whole(client):
    told = client.get("/api/routes/orders").json

    assert KEYS == list(told)
    assert ("orders", "migrated", 5) == (
        told["name"],
        told["route"]["target"],
        told["shadow"]["percent"],
    )
    assert (False, ["There is no evidence."]) == (
        told["gate"]["ready"],
        told["gate"]["reasons"][:1],
    )


def test_the_default_route_is_told_too(client):
    told = client.get("/api/routes/default").json

    assert KEYS == list(told)
    assert (None, None, "legacy") == (told["route"], told["gate"], told["split"]["target"])


@pytest.mark.parametrize("name", ["ledger", "old"])
def test_a_route_with_one_way_has_no_gate(client, name):
    assert client.get(f"/api/routes/{name}").json["gate"] is None


@pytest.mark.parametrize("name", ["order", "Orders", "ordrs%00", "%C3%A9orders", "orders%2f1"])
def test_an_unknown_route_is_404(client, name):
    response = client.get(f"/api/routes/{name}")

    assert 404 == response.status_code
    assert response.json["error"]["code"] in ("unknown-route", "not-found")


def test_an_unknown_route_gets_the_nearest_names(client):
    error = client.get("/api/routes/ordres").json["error"]

    assert ("unknown-route", ["orders"]) == (error["code"], error["nearest"])
    assert "orders" in error["fix"]


def test_figures_and_last_hits_are_those_of_the_route(client, view):
    metrics = Metrics(view.metrics, 0)
    metrics.record(exchange("migrated", started_at=NOW_S - 7200))
    metrics.record(exchange("migrated", 500, started_at=NOW_S - 7200))
    metrics.record(exchange(decision=decision("legacy", None), started_at=NOW_S - 7200))
    told = client.get("/api/routes/orders").json

    assert (2, 1) == (told["split"]["migrated"]["requests"], told["split"]["migrated"]["errors"])
    assert told["last_hit"]["migrated"].startswith("2027-01-15T06:00:0")
    assert told["last_hit"]["legacy"] is None
    assert 1 == client.get("/api/routes/default").json["split"]["legacy"]["requests"]


def test_flips_of_its_group_are_those_of_a_route(client, view):
    flip(client, view, group="pair", to="legacy")
    flip(client, view, route="cart", to="legacy")
    told = client.get("/api/routes/one").json["flips"]

    assert ["group:pair"] == [each["route"] for each in told["entries"]]
    assert not told["more"]


def test_breakers_are_those_of_the_route(client, view):
    other = {"route": "cart", "side": "migrated", "state": "open"}
    own = {"route": "orders", "side": "migrated", "state": "half-open"}
    view.slot.publish({"revision": view.table.revision, "since": SINCE, "breakers": [own, other]})

    assert [{"slot": 0, **own}] == client.get("/api/routes/orders").json["breaker"]


def test_a_history_longer_than_asked_for_says_so(client, view):
    for to in ("20%", "30%", "40%"):
        flip(client, view, route="cart", to=to, reason="on")
    told = client.get("/api/flips?last=2").json
    whole = client.get("/api/flips?last=3").json

    assert (["40%", "30%"], True) == ([each["to"] for each in told["entries"]], told["more"])
    assert (3, False) == (len(whole["entries"]), whole["more"])


def test_flips_of_one_route_are_told(client, view):
    flip(client, view, route="cart", to="20%", reason="on")
    flip(client, view, route="orders", to="legacy")

    told = client.get("/api/flips?route=orders").json["entries"]
    assert ["legacy"] == [each["to"] for each in told]


def test_flips_of_a_former_route_are_told(client, view):
    flip(client, view, route="cart", to="20%", reason="on")
    view.table = replace(view.table, routes=())

    assert 1 == len(client.get("/api/flips?route=cart").json["entries"])


@pytest.mark.parametrize("route", ["orders", "group:pair", "default"])
def test_a_route_without_flips_is_no_error(client, route):
    assert [] == client.get(f"/api/flips?route={route}").json["entries"]


@pytest.mark.parametrize("route", ["ordres", "group:pear", "Orders"])
def test_flips_of_a_route_that_never_was_are_404(client, route):
    response = client.get(f"/api/flips?route={route}")

    assert (404, "unknown-route") == (response.status_code, response.json["error"]["code"])


@pytest.mark.parametrize("last", ["0", "-1", "501", "x", ""])
def test_a_bad_number_of_flips_is_named(client, last):
    response = client.get(f"/api/flips?last={last}")

    assert (400, "last") == (response.status_code, response.json["error"]["parameter"])


def test_a_damaged_history_is_told(client, view):
    (view.state / "flips.jsonl").write_text("not a line\n")

    assert 1 == len(client.get("/api/flips").json["broken"])


def test_without_a_table_no_route_is_known(client, view):
    view.table = None

    assert 404 == client.get("/api/routes/orders").status_code
    assert 200 == client.get("/api/routes/default").status_code
