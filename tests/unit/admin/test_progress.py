"""The progress of the migration: which part of the routes was moved, found backwards from the table."""

from dataclasses import replace

import pytest

from overgrow.admin.progress import progress, routes_moved
from overgrow.admin.request_history import HistoryQuestion
from overgrow.routing.model import Legacy, Route, RouteTable
from overgrow.table.editing.history import HistoryEntry
from tests.unit.admin.admin_view import View

NOON_S = 1_700_000_000.0


def flip(minute, from_, to, route="orders", action="flip"):
    at = f"2023-11-14T22:{minute:02}:00Z"
    return HistoryEntry("k", "p", at, "ada", action, route, from_, to, None, None)


def at(minute):
    return 1_699_999_200.0 + 60 * minute


def moved(routes, *entries):
    found = routes_moved(routes, entries, at(0), at(50))
    return [(round((each.at_s - at(0)) / 60), each.moved) for each in found]


ORDERS, USERS = Route("orders", path="/o", target="migrated"), Route("users", path="/u")


def test_a_flip_moves_a_route_from_its_time_on():
    assert [(0, 0), (10, 1), (50, 1)] == moved([ORDERS, USERS], flip(10, "legacy", "migrated"))


def test_a_canary_counts_as_its_part():
    steps = (flip(10, "legacy", "10%"), flip(20, "10%", "migrated"))

    assert [(0, 0), (10, 0.1), (20, 1), (50, 1)] == moved([ORDERS], *steps)


@pytest.mark.parametrize("before", ["migrated", "gone"])
def test_a_rollback_takes_a_route_back(before):
    back = flip(10, before, "legacy", action="rollback")

    assert [(0, 1), (10, 0), (50, 0)] == moved([Route("orders", path="/o")], back)


def test_a_group_moves_all_its_routes():
    group = [Route(name, path=f"/{name}", target="migrated", group="shop") for name in "ab"]

    assert [(0, 0), (10, 2), (50, 2)] == moved(
        group, flip(10, "legacy", "migrated", route="group:shop")
    )


def test_flips_of_removed_routes_and_of_other_times_move_nothing():
    entries = (flip(55, "legacy", "migrated"), flip(10, "legacy", "migrated", route="removed"))

    assert [(0, 0), (10, 0), (50, 0)] == moved([ORDERS], *entries[::-1])


def test_garbled_entries_move_nothing():
    entries = [flip(10, "x%", "migrated"), replace(flip(10, None, "migrated"), at="yesterday")]

    assert [(0, 0), (10, 0), (50, 0)] == moved([ORDERS], *entries)


def test_without_a_store_the_routes_are_known_all_the_same(tmp_path):
    view = View(tmp_path, RouteTable("0", Legacy("http://h"), (ORDERS, USERS)))
    found = progress(view, HistoryQuestion(None, NOON_S - 3600, NOON_S), NOON_S)

    assert (0.5, ()) == (found.routes[-1].share, found.flips)
    assert "does not exist" in (found.requests.problem or "")
