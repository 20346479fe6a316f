"""How routes, tables and decisions read in a log line."""

from __future__ import annotations

import pytest

from overgrow.routing.model import Decision, Legacy, Predicate, Route, RouteTable

ORDER = Route("order-detail", path="/orders/<int:id>", methods=("GET", "PUT"), canary=1_250)


@pytest.mark.parametrize(
    ("route", "line"),
    [
        (ORDER, "<Route order-detail: GET PUT /orders/<int:id> -> legacy, canary 12.5%>"),
        (
            Route("admin-all", prefix="/admin", target="gone", priority=-2, reversible=False),
            "<Route admin-all: /admin and below -> gone, priority -2, irreversible>",
        ),
        (
            Route(
                "beta",
                path="/x",
                host="*.example.com",
                predicates=(
                    Predicate("header", "x-b", "1"),
                    Predicate("query", "q"),
                    Predicate("cookie", "c", present=False),
                ),
                target="migrated",
            ),
            "<Route beta: /x on *.example.com if header:x-b='1' if query:q if no cookie:c -> migrated>",
        ),
        (
            Route("pay", path="/pay", shadow=550, fallback=True, group="checkout", canary=100),
            "<Route pay: /pay -> legacy, canary 1%, shadow 5.5%, fallback, group checkout>",
        ),
    ],
)
def test_a_route_reads_as_one_line(route, line):
    assert repr(route) == line


def test_a_table_reads_as_one_line():
    table = RouteTable("0123456789ab", Legacy("http://legacy:9000"), (ORDER,))

    assert repr(table) == "<RouteTable 0123456789ab: 1 routes, legacy http://legacy:9000>"


@pytest.mark.parametrize(
    ("decision", "line"),
    [
        (
            Decision(None, "legacy", "default", "abc"),
            "<Decision default -> legacy (default), revision abc>",
        ),
        (
            Decision(ORDER, "migrated", "canary", "abc", 77, "cookie:overgrow_id"),
            "<Decision order-detail -> migrated (canary, bucket 77 by cookie:overgrow_id), revision abc>",
        ),
        (
            Decision(ORDER, "legacy", "target", "abc", assign_id=True),
            "<Decision order-detail -> legacy (target, assigns an id), revision abc>",
        ),
    ],
)
def test_a_decision_reads_as_one_line(decision, line):
    assert repr(decision) == line
