"""Which route takes a request, and which conditions others failed on."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from overgrow.routing.facts import head_of
from overgrow.routing.match import (
    MAX_KNOWN_LENGTH,
    MAX_KNOWN_PATHS,
    Candidate,
    Matcher,
    build_matcher,
)
from overgrow.routing.model import Legacy, Predicate, Route, RouteTable, TrustedProxies
from overgrow.routing.order import sort_routes


def matcher(*routes):
    return build_matcher(RouteTable("abc", Legacy("http://legacy"), sort_routes(routes)))


def head(target="/x", method="GET", headers=(), host="shop.example.com"):
    pairs = [(b"host", host.encode()), *headers]
    return head_of(method, target.encode(), pairs, peer="192.0.2.1", scheme="http")


def winner(routes, request):
    route = matcher(*routes).match(request)
    return route.name if route else None


@pytest.mark.parametrize(
    ("host", "asked", "expected"),
    [
        pytest.param("shop.example.com", "SHOP.example.com:8080", "it", id="no case, no port"),
        pytest.param("Shop.Example.com", "shop.example.com", "it", id="any case in the table"),
        pytest.param("shop.example.com", "example.com", None, id="another host"),
        pytest.param("*.example.com", "a.b.example.com", "it", id="wildcard takes many labels"),
        pytest.param("*.example.com", "example.com", None, id="wildcard needs a label"),
        pytest.param("*.example.com", ".example.com", None, id="an empty label is none"),
        pytest.param("*.example.com", "badexample.com", None, id="wildcard takes whole labels"),
    ],
)
def test_a_host_condition_is_exact_or_a_wildcard(host, asked, expected):
    assert winner([Route("it", path="/x", host=host)], head(host=asked)) == expected


@pytest.mark.parametrize(
    ("methods", "method", "expected"),
    [
        pytest.param(None, "PROPFIND", "it", id="absent means all"),
        pytest.param(None, "OPTIONS", "it", id="absent includes OPTIONS"),
        pytest.param(("GET",), "HEAD", "it", id="GET includes HEAD"),
        pytest.param(("GET",), "OPTIONS", None, id="OPTIONS only if listed"),
        pytest.param(("POST", "OPTIONS"), "OPTIONS", "it", id="OPTIONS listed"),
        pytest.param(("POST",), "HEAD", None, id="POST does not include HEAD"),
        pytest.param(("GET",), "get", "it", id="a method that frameworks fold slips past no route"),
    ],
)
def test_methods_are_those_listed(methods, method, expected):
    assert winner([Route("it", path="/x", methods=methods)], head(method=method)) == expected


@pytest.mark.parametrize(
    ("predicate", "target", "headers", "expected"),
    [
        pytest.param(Predicate("header", "x-b", "1"), "/x", [(b"x-b", b"1")], True, id="header"),
        pytest.param(
            Predicate("header", "x-b", "1"), "/x", [(b"x-b", b"0"), (b"x-b", b"1")], True, id="any"
        ),
        pytest.param(Predicate("header", "x-b", "1"), "/x", [(b"x-b", b"10")], False, id="exact"),
        pytest.param(
            Predicate("header", "x-b", "\u00e9"), "/x", [(b"x-b", b"\xc3\xa9")], True, id="UTF-8"
        ),
        pytest.param(Predicate("header", "x-b"), "/x", [(b"x-b", b"")], True, id="present, empty"),
        pytest.param(Predicate("header", "x-b"), "/x", [], False, id="not present"),
        pytest.param(
            Predicate("header", "x-b", present=False), "/x", [(b"x-b", b"")], False, id="absent"
        ),
        pytest.param(Predicate("query", "q", "a b"), "/x?q=a+b", [], True, id="query decoded"),
        pytest.param(Predicate("query", "q", "2"), "/x?q=1&q=2", [], True, id="query repeated"),
        pytest.param(Predicate("query", "q"), "/x?q", [], True, id="query present"),
        pytest.param(Predicate("query", "Q"), "/x?q", [], False, id="query keys have case"),
        pytest.param(
            Predicate("cookie", "c", "1"), "/x", [(b"cookie", b"b=2; c=1")], True, id="cookie"
        ),
        pytest.param(
            Predicate("cookie", "c", "2"),
            "/x",
            [(b"cookie", b"c=1"), (b"cookie", b"c=2")],
            True,
            id="cookies on two lines",
        ),
        pytest.param(
            Predicate("cookie", "c", "1"), "/x", [(b"cookie", b"c")], False, id="no value"
        ),
        pytest.param(
            Predicate("cookie", "c", '"1"'), "/x", [(b"cookie", b'c="1"')], True, id="cookies raw"
        ),
    ],
)
def test_a_predicate_is_exact_or_on_presence(predicate, target, headers, expected):
    route = Route("it", path="/x", predicates=(predicate,))

    assert (winner([route], head(target, headers=headers)) == "it") is expected


def test_a_method_no_candidate_takes_goes_to_the_next_and_then_to_none():
    routes = [
        Route("exact", path="/x", methods=("PUT",)),
        Route("template", path="/<id>", methods=("POST",)),
        Route("prefix", prefix="/", methods=("GET",)),
    ]

    assert winner(routes, head()) == "prefix"
    assert winner(routes, head(method="POST")) == "template"
    assert winner(routes, head(method="DELETE")) is None


def test_a_priority_puts_a_template_before_a_path_without_variables():
    routes = [Route("exact", path="/x"), Route("template", path="/<id>", priority=1)]

    assert winner(routes, head()) == "template"
    assert winner(routes[:1], head()) == "exact"


def test_candidates_name_the_first_condition_that_failed_up_to_the_winner():
    routes = [
        Route("host", path="/x", host="other.test", methods=("PUT",)),
        Route("method", path="/x", methods=("PUT",)),
        Route(
            "query",
            path="/<id>",
            priority=-1,
            predicates=(
                Predicate("header", "x-b", present=False),
                Predicate("query", "q"),
                Predicate("query", "r"),
            ),
        ),
        Route("cookie", path="/<path:p>", priority=-2, predicates=(Predicate("cookie", "c"),)),
        Route("wins", prefix="/x", priority=-3),
        Route("later", prefix="/", priority=-4),
        Route("elsewhere", path="/y", priority=9),
    ]

    found = matcher(*routes).candidates(head())

    assert [(one.route.name, one.matched, one.failed) for one in found] == [
        ("host", False, "host"),
        ("method", False, "method"),
        ("query", False, "query:q"),
        ("cookie", False, "cookie:c"),
        ("wins", True, None),
    ]
    assert isinstance(found[0], Candidate)


def test_without_a_winner_all_candidates_are_told():
    found = matcher(Route("a", path="/x", methods=("PUT",))).candidates(head())

    assert [one.failed for one in found] == ["method"]


@pytest.mark.parametrize("target", ["/x//", "/y/../x", "/x%2F"])
def test_an_ambiguous_path_matches_nothing(target):
    table = matcher(Route("all", prefix="/"))

    assert table.match(head(target)) is None
    assert table.candidates(head(target)) == ()


def test_the_asterisk_belongs_to_no_route():
    assert winner([Route("all", prefix="/")], head("*", method="OPTIONS")) is None


def test_a_path_no_route_knows_has_no_candidates():
    assert matcher(Route("a", path="/a/<int:i>")).candidates(head("/b/1")) == ()


def test_a_template_stops_where_the_path_does():
    assert winner([Route("a", path="/x/<int:i>/y")], head("/x/1")) is None


def test_of_repeated_values_that_fit_two_routes_the_first_in_the_file_wins():
    first = Route("first", path="/x", predicates=(Predicate("query", "q", "1"),))
    second = Route("second", path="/x", predicates=(Predicate("query", "q", "2"),))

    assert winner([second, first], head("/x?q=1&q=2")) == "second"
    assert winner([first, second], head("/x?q=1&q=2")) == "first"


def test_a_matcher_names_its_table():
    table = RouteTable("abc", Legacy("http://legacy"))

    assert Matcher(table).table is table


def test_host_query_and_cookies_are_asked_by_one_route_after_the_other():
    routes = [
        Route("hosts", path="/x", host="a.test"),
        Route("wild", path="/x", host="*.other.test"),
        Route(
            "all",
            path="/<p>",
            host="*.example.com",
            predicates=(
                Predicate("query", "q", "1"),
                Predicate("query", "r"),
                Predicate("cookie", "c", "1"),
                Predicate("cookie", "d", "2"),
            ),
        ),
    ]

    assert winner(routes, head("/x?q=1&r", headers=[(b"cookie", b"c=1; d=2")])) == "all"


def test_a_path_that_is_known_is_still_asked_for_its_other_conditions():
    asked = matcher(
        Route("get", path="/o/<int:id>", methods=("GET",)),
        Route("beta", path="/o/<int:id>", predicates=(Predicate("header", "x-beta", "1"),)),
    )
    beta = [(b"x-beta", b"1")]
    requests = [head("/o/7"), head("/o/7", "POST"), head("/o/7", "POST", beta), head("/o/7")]

    assert ["get", None, "beta", "get"] == [
        route.name if (route := asked.match(each)) else None for each in requests
    ]


def test_what_is_known_of_paths_is_bounded_in_number_and_length():
    asked = matcher(Route("o", path="/o/<int:id>"))
    for number in range(MAX_KNOWN_PATHS + 10):
        asked.match(head(f"/o/{number}"))
    asked.match(head("/o/" + "7" * MAX_KNOWN_LENGTH))

    assert 10 == len(asked._known)


@pytest.mark.parametrize("name", ["x-forwarded-groups", "x-forwarded", "forwarded"])
@pytest.mark.parametrize(
    ("peer", "route"), [("10.0.0.1", "staff"), ("192.0.2.1", "everybody")], ids=["trusted", "not"]
)
def test_a_predicate_believes_claims_of_trusted_peers_only(name, peer, route):
    trusted = TrustedProxies((ip_network("10.0.0.0/8"),))
    staff = Predicate("header", name, "staff")
    routes = [Route("staff", path="/x", predicates=(staff,)), Route("everybody", path="/x")]
    headers = [(name.encode(), b"staff")]

    asked = head_of("GET", b"/x", headers, peer=peer, scheme="http", trusted=trusted)

    assert route == winner(routes, asked)
