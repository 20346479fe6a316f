"""The breakers of a worker over reloads, what is told of them, and the fact they are to `decide`."""

from __future__ import annotations

import logging

import pytest

from overgrow.resilience.breaker import BreakerOutcome, Policy
from overgrow.resilience.breakers import POLICIES, Breakers, OpenBreakers
from overgrow.routing.model import Route

POLICY = Policy(min_answers=2, open_s=5)
ONE, TWO = Route("one", path="/one"), Route("two", path="/two")


class Tables:
    """A table that can be replaced, as a reload does."""

    def __init__(self, table_of):
        self._table_of = table_of
        self.replace(ONE, TWO)

    def replace(self, *routes):
        self.table = self._table_of(*routes)

    def __call__(self):
        return self.table


@pytest.fixture
def tables(table_of):
    return Tables(table_of)


@pytest.fixture
def breakers(tables, clock):
    return Breakers(tables, clock=clock, policies=dict.fromkeys(POLICIES, POLICY))


def break_open(breakers, route, side="migrated"):
    for _ in range(POLICY.min_answers):
        now_s = breakers.clock()
        breakers.of(route, side).record(BreakerOutcome("failed", now_s), now_s)


def told(breakers):
    return [(each["route"], each["side"], each["state"]) for each in breakers.snapshot()]


def test_each_route_and_side_has_a_breaker_of_its_own(breakers):
    break_open(breakers, "one")

    assert breakers.of("one", "migrated").state == "open"
    assert breakers.of("one", "legacy").state == "closed"
    assert breakers.of("two", "migrated").state == "closed"


def test_sides_follow_their_own_numbers(tables, clock):
    breakers = Breakers(tables, clock=clock)

    assert breakers.of("one", "legacy").policy == POLICIES["legacy"]
    assert breakers.of("one", "migrated").policy == POLICIES["migrated"]


def test_a_reload_keeps_the_state_of_routes_that_still_exist(breakers, tables):
    break_open(breakers, "one")
    tables.replace(Route("one", path="/moved", target="migrated"))

    assert breakers.of("one", "migrated").state == "open"


def test_a_route_that_is_gone_is_forgotten_when_the_next_breaker_is_made(breakers, tables):
    break_open(breakers, "one")
    tables.replace(TWO)
    hidden = told(breakers)
    breakers.of("two", "migrated")
    tables.replace(ONE, TWO)

    assert hidden == []
    assert breakers.of("one", "migrated").state == "closed"


def test_the_table_bounds_the_number_of_breakers(breakers, tables):
    for at in range(50):
        tables.replace(Route(f"r{at}", path="/r"))
        break_open(breakers, f"r{at}")
    tables.replace(*(Route(f"r{at}", path="/r") for at in range(50)))

    assert [each["route"] for each in breakers.snapshot()] == ["r49"]


def test_the_snapshot_tells_what_is_not_closed_and_why(breakers, clock):
    breakers.of("two", "migrated")
    break_open(breakers, "one", "legacy")
    clock.forward(2)

    assert breakers.snapshot() == [
        {
            "route": "one",
            "side": "legacy",
            "state": "open",
            "share": 0.0,
            "retry_after_s": 3,
            "opened_by": {"answers": 2, "failed": 2, "slow": 0},
        }
    ]


def test_a_reset_closes_both_sides_of_one_route(breakers):
    break_open(breakers, "one", "legacy")
    break_open(breakers, "one")
    break_open(breakers, "two")

    assert breakers.reset("one")
    assert told(breakers) == [("two", "migrated", "open")]


def test_a_reset_of_a_route_without_breakers_says_so(breakers):
    assert not breakers.reset("one")


def test_changes_are_logged_with_route_side_and_cause(breakers, caplog):
    caplog.set_level(logging.INFO, "overgrow.breaker")
    break_open(breakers, "one")
    breakers.reset("one")

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "route one, migrated: breaker closed -> open (failing)"),
        ("INFO", "route one, migrated: breaker open -> closed (reset)"),
    ]


def test_the_fact_for_decide_follows_migrateds_breaker_alone(breakers):
    turned_away = OpenBreakers(breakers)
    break_open(breakers, "one")
    break_open(breakers, "two", "legacy")

    assert "one" in turned_away
    assert "two" not in turned_away


def test_asking_for_the_fact_makes_no_breaker(breakers, tables):
    tables.replace()

    assert "one" not in OpenBreakers(breakers)
    assert breakers.snapshot() == []


def test_a_probe_is_not_turned_away_and_the_next_request_is(breakers, clock):
    break_open(breakers, "one")
    clock.forward(POLICY.open_s)
    turned_away = OpenBreakers(breakers)

    assert ["one" in turned_away, "one" in turned_away] == [False, True]
