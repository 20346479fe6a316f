"""GET /api/history: the requests of a route, or of all, over time."""

from __future__ import annotations

import json

import pytest

from overgrow.admin.app import create_admin
from overgrow.observe.metrics import BUCKETS_S
from overgrow.routing.model import Legacy, Route, RouteTable
from overgrow.store.engine import store_url
from overgrow.store.history.writer import HistoryWriter
from tests.unit.admin.admin_view import View

NOON_S = 1_700_000_040 // 3600 * 3600  # 2023-11-14T22:00:00Z
TABLE = RouteTable("0123456789ab", Legacy("http://127.0.0.1:9"), (Route("orders", path="/orders"),))


class Totals:
    """Counters with these requests: {(route, side): (errors, requests of up to 5 ms, of up to 2.5 s)}."""

    size = len(BUCKETS_S) + 2

    def __init__(self, found):
        self._found = {
            place: (errors, 0, 0, fast, *[0] * 9, slow, *[0] * 5)
            for place, (errors, fast, slow) in found.items()
        }

    def read_all(self):
        return self._found

    read_changes = read_all


@pytest.fixture
def view(tmp_path):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "board").mkdir()
    return View(tmp_path, TABLE)


@pytest.fixture
def client(view):
    return create_admin(view, now=lambda: NOON_S + 900.0).test_client()


@pytest.fixture
def stored(view):
    def write(*steps):
        writer = HistoryWriter(store_url(view.state, None), "door", is_new=True)
        for at_s, found in steps:
            writer.record(Totals(found), NOON_S + at_s, at_s)
        assert writer.problem is None
        writer.disconnect()

    return write


def test_a_point_has_figures_of_both_sides_together(client, stored):
    stored((0, {("orders", "legacy"): (1, 94, 0), ("orders", "migrated"): (0, 0, 6)}))

    [point] = client.get("/api/history?route=orders&step=60s").json["series"]
    assert (100, 1, 6.0) == (point["requests"], point["errors"], point["share"])
    assert ("2023-11-14T22:00:00Z", True, True) == (
        point["at"],
        point["p50"] < 0.005,
        point["p95"] > 1,
    )


@pytest.mark.parametrize(("side", "expected"), [("legacy", [94]), ("migrated", [6]), ("gone", [])])
def test_a_side_has_a_series_of_its_own_and_the_share_of_both(client, stored, side, expected):
    stored((0, {("orders", "legacy"): (1, 94, 0), ("orders", "migrated"): (0, 0, 6)}))

    found = client.get(f"/api/history?route=orders&step=1m&side={side}").json["series"]
    assert expected == [point["requests"] for point in found]
    assert {6.0} >= {point["share"] for point in found}


def test_without_a_route_the_series_is_of_all_routes(client, stored):
    stored(
        (0, {("orders", "legacy"): (0, 3, 0), ("default", "legacy"): (0, 4, 0)}),
        (65, {("orders", "legacy"): (0, 5, 0), ("default", "legacy"): (0, 4, 0)}),
    )

    assert [7, 2] == requests_of(client.get("/api/history?step=1m"))
    assert [4] == requests_of(client.get("/api/history?step=1m&route=default"))


def requests_of(response):
    return [point["requests"] for point in response.json["series"]]


def test_a_time_is_read_from_and_to(client, stored):
    stored(*((at_s, {("orders", "legacy"): (0, at_s + 1, 0)}) for at_s in (0, 60, 120)))

    query = "route=orders&step=1m&from=2023-11-14T22:01:00Z&to=2023-11-14T22:02:00Z"
    assert [60] == requests_of(client.get(f"/api/history?{query}"))


def test_a_step_that_is_too_fine_is_made_longer_and_told(client, stored):
    stored((0, {("orders", "legacy"): (0, 1, 0)}))

    query = "from=2023-11-08T22:00:00Z&to=2023-11-14T22:15:00Z&step=10s"
    assert 600 == client.get(f"/api/history?{query}").json["step_s"]


def test_without_a_store_the_answer_says_so(client):
    found = client.get("/api/history")

    assert (200, []) == (found.status_code, found.json["series"])
    assert "There is no history yet" in found.json["problem"]


def test_a_store_that_cannot_be_read_is_told(client, view):
    (view.state / "store.sqlite3").write_bytes(b"no database" * 1000)
    found = client.get("/api/history")

    assert (200, True) == (found.status_code, "cannot be read" in found.json["problem"])


def test_a_store_that_does_not_answer_is_told(client, monkeypatch):
    def hang(*_):
        raise TimeoutError(110, "it has not answered for 3 s")

    monkeypatch.setattr("overgrow.admin.request_history.within", hang)
    found = client.get("/api/history")

    assert (200, "The store does not answer (it has not answered for 3 s).") == (
        found.status_code,
        found.json["problem"],
    )


def test_what_is_not_stored_now_is_told(client, stored, view, monkeypatch):
    stored((0, {("orders", "legacy"): (0, 1, 0)}))
    worker = {"slot": 0, "history_problem": "OperationalError: disk full"}
    monkeypatch.setattr("overgrow.admin.request_history.living_workers", lambda _: [worker])

    found = client.get("/api/history").json
    assert ("disk full" in found["problem"], 1) == (True, len(found["series"]))


def test_a_route_that_is_unknown_gets_the_nearest_names(client, stored):
    stored((0, {("orders", "legacy"): (0, 1, 0)}))
    found = client.get("/api/history?route=ordrs")

    assert (404, "Did you mean orders?") == (found.status_code, found.json["error"]["fix"])


def test_a_removed_route_keeps_its_history(client, stored):
    stored((0, {("removed", "legacy"): (0, 3, 0)}))

    assert [3] == requests_of(client.get("/api/history?route=removed"))


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("side=left", "side"),
        ("step=0s", "step"),
        ("step=1w", "step"),
        ("step=99999d", "step"),
        ("from=yesterday", "from"),
        ("from=2023-11-14T22:01:00Z&to=2023-11-14T22:01:00Z", "from"),
        ("from=2033-11-14T22:01:00Z", "from"),
        ("route=", "route"),
    ],
)
def test_a_bad_parameter_is_named(client, query, named):
    found = client.get(f"/api/history?{query}")

    assert (400, named) == (found.status_code, found.json["error"]["parameter"])


@pytest.mark.parametrize("step", ["", "&step=1s", "&step=365d"])
def test_all_of_time_can_be_asked_for(client, stored, step):
    stored((0, {("orders", "legacy"): (0, 1, 0)}))
    found = client.get(f"/api/history?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z{step}")

    assert (200, [1]) == (found.status_code, requests_of(found))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=0001-01-01T00:00:00%2B10:00", 200),
        ("to=0001-01-01T00:00:00%2B10:00", 400),
        ("from=9999-12-31T23:59:59-10:00", 400),
        ("to=9999-12-31T23:59:59-10:00", 200),
        ("to=1970-01-01T00:00:00Z", 400),
    ],
)
def test_times_at_the_ends_of_the_calendar_are_no_error_of_ours(client, query, status):
    assert status == client.get(f"/api/history?{query}").status_code


def test_markup_in_a_name_stays_text(client):
    found = client.get("/api/history?route=<script>alert(1)</script>")

    assert (404, "application/json") == (found.status_code, found.mimetype)
    assert json.loads(found.data)
