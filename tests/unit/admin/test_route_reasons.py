"""Why a route stands where it stands, in sentences."""

import pytest

from overgrow.admin.route_reasons import reasons_of
from overgrow.admin.route_rows import RouteRow
from overgrow.admin.traffic import MINUTE
from overgrow.observe.rates_reader import RateCounts
from overgrow.routing.model import Route


def told(route=None, *, name="orders", members=(), killed=None, rejected=False, **given):
    row = RouteRow(name, route, given.get("breakers", {}), 0, given.get("recent", {}), None)
    return " ".join(reasons_of(row, members, killed, is_rejected=rejected))


def orders(**given):
    return Route("orders", path="/orders", line=7, **given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param({}, "The table sends it to legacy (line 7 of the table).", id="legacy"),
        pytest.param({"target": "migrated"}, "to migrated (line 7", id="migrated"),
        pytest.param({"target": "gone"}, "clients get 410", id="gone"),
        pytest.param({"canary": 2500}, "but 25% of clients to migrated", id="canary"),
        pytest.param({"canary": 10_000}, "but all of clients to migrated", id="all by canary"),
        pytest.param(
            {"target": "migrated", "canary": 500}, "canary of 5% is dormant", id="dormant canary"
        ),
        pytest.param(
            {"target": "migrated", "fallback": True}, "legacy answers safe methods", id="fallback"
        ),
        pytest.param({"servable": False}, "Migrated has no rule for it", id="no rule"),
        pytest.param(
            {"target": "migrated", "reversible": False}, "It is irreversible", id="irreversible"
        ),
    ],
)
def test_the_table_is_the_first_reason(given, sentence):
    assert sentence in told(orders(**given))


def test_a_canary_says_what_migrated_really_served():
    recent = {
        ("legacy", MINUTE): RateCounts(30, 0, (30,)),
        ("migrated", MINUTE): RateCounts(10, 0, (10,)),
    }

    assert "migrated served 25% of 40 requests" in told(orders(canary=2000), recent=recent)


def test_a_group_names_who_moves_with_it():
    route = orders(group="shop")

    assert "Group shop moves together: cart, orders." in told(route, members=["cart", "orders"])


def test_the_kill_file_overrules_what_is_reversible():
    since = "2026-11-30T08:00:00Z"

    assert "The kill file overrules this" in told(orders(target="migrated"), killed=since)
    assert "overrules" not in told(orders(target="migrated", reversible=False), killed=since)


@pytest.mark.parametrize(
    ("side", "given", "sentence"),
    [
        ("migrated", {"fallback": True}, "sends safe requests to legacy"),
        ("migrated", {}, "answers 503"),
        ("legacy", {"fallback": True}, "answers 503"),
    ],
)
def test_a_breaker_says_what_it_does(side, given, sentence):
    assert sentence in told(orders(target="migrated", **given), breakers={side: "open"})


def test_a_rejected_file_is_said():
    assert "The file on disk was rejected." in told(orders(), rejected=True)


def test_the_default_route_and_a_removed_one_have_reasons_too():
    assert "No route of the table takes these requests" in told(name="default")
    assert "no route of this name any more" in told(name="was")
