"""Spellings that legacy takes for the same path, before routes that legacy must not be reached by."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overgrow.routing import folded as folded_paths
from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, head_of
from overgrow.routing.match import Matcher
from overgrow.routing.model import Legacy, Predicate, Route, RouteTable
from overgrow.routing.order import sort_routes
from overgrow.routing.readings import FOLDS, all_readings, find_readings, fold_case

ALL = frozenset(FOLDS)
ROUTES = [
    Route("irr", prefix="/irr", target="migrated", reversible=False),
    Route("users", prefix="/users", target="migrated", reversible=False),
    Route("old", path="/old.cgi", target="gone"),
    Route("slash", path="/slash/", target="gone"),
    Route("files", path="/files/<name>", target="migrated"),
    Route("safe", path="/safe/<name>", target="migrated", fallback=True),
    Route("tree", prefix="/tree", target="migrated"),
    Route("post", path="/post", methods=("POST",), target="gone"),
    Route("hosted", path="/hosted", host="a.test", target="gone"),
    Route("asked", path="/asked", predicates=(Predicate("query", "a", "1"),), target="gone"),
    Route("any", path="/any/<any(One, two):x>/<int:n>", target="gone"),
    Route("straße", path="/stra\u00dfe/<string(length=1):x>", target="gone"),
    Route("later", path="/later", target="legacy"),
]


def matcher(folds=(), routes=ROUTES, **more):
    legacy = Legacy("http://legacy", folds=frozenset(folds), **more)
    return Matcher(RouteTable("abc", legacy, sort_routes(routes)))


TABLES = {folds: matcher(folds) for folds in ((), *((fold,) for fold in FOLDS), FOLDS)}


def decided(target, folds=(), *headers, method="GET", host=b"a.test", facts=Facts(), table=None):  # noqa: B008 - frozen
    pairs = [(b"host", host), *headers]
    head = head_of(method, target, pairs, peer="::1", scheme="http")
    decision = decide(table or TABLES[folds], head, facts)
    return decision.route_name, decision.side, decision.reason


def refused(name):
    return (name, "refused", "ambiguous-path")


# --- parameters, whatever the table says ----------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param(b"/users;jsessionid=1A2B/1", "users", id="of an irreversible prefix"),
        pytest.param(b"/old.cgi;x=1", "old", id="of a gone path"),
        pytest.param(b"/old.cgi;", "old", id="empty"),
        pytest.param(b"/old.cgi%3Bx=1", "old", id="encoded"),
        pytest.param(b"/x/..;/irr/5", "irr", id="behind dots"),
        pytest.param(b"/;a/irr;b/5;c", "irr", id="in each segment"),
        pytest.param(b"/a;b=%2F../irr", "irr", id="with an encoded slash"),
        pytest.param(b"//irr;x/5", "irr", id="with an empty segment"),
        pytest.param(b"/old.cgi;a/b", "old", id="that end the path, slashes and all"),
        pytest.param(b"/old.cgi/;x", "old", id="with a segment of their own"),
        pytest.param(b"/irr\\;x\\..\\y", "irr", id="and backslashes"),
    ],
)
def test_parameters_are_no_way_around_a_closed_route(target, name):
    assert decided(target) == refused(name)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param(b"/old.cgi%0A", "old", id="at the end, where $ matches before it"),
        pytest.param(b"/any/One/7%0a", "any", id="behind a number"),
        pytest.param(b"/deep/a%0ab", "deep", id="that a dot of a pattern does not match"),
        pytest.param(b"/old.cgi%0A;x=1", "old", id="before parameters"),
        pytest.param(b"/x%0A/../old.cgi%0A", "old", id="with dot segments"),
    ],
)
def test_line_feeds_are_no_way_around_a_closed_route(target, name):
    routes = [*ROUTES, Route("deep", path="/deep/<path:p>", target="migrated", reversible=False)]

    assert decided(target, table=matcher(routes=routes)) == refused(name)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(b"/files/a%0Ab", ("files", "migrated", "target"), id="of a template"),
        pytest.param(b"/tree/a%0A/b%0A", ("tree", "migrated", "target"), id="below a prefix"),
        pytest.param(b"/irr/5%0A", ("irr", "migrated", "target"), id="below an irreversible one"),
        pytest.param(b"/nothing%0A", ("default", "legacy", "default"), id="that no route takes"),
    ],
)
def test_a_route_that_takes_line_feeds_keeps_its_request(target, expected):
    assert decided(target) == expected


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param(b"//x.test/irr/5", "irr", id="a host first, as parse_url of PHP reads it"),
        pytest.param(b"/\\x.test/old.cgi?a", "old", id="a host first, as URL of a browser does"),
        pytest.param(b"///x.test/old.cgi;v", "old", id="and with parameters"),
        pytest.param(b"/%c1%a9rr", "irr", id="overlong UTF-8"),
        pytest.param(b"/stra%DFe/x", "straße", id="Latin-1"),
    ],
)
def test_what_a_few_servers_read_is_no_way_around_a_closed_route(target, name):
    assert decided(target) == refused(name)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(b"/files/report;v2.pdf", ("files", "migrated", "target"), id="of a template"),
        pytest.param(b"/files/report%3Bv2.pdf", ("files", "migrated", "target"), id="encoded"),
        pytest.param(b"/tree/a;b=1/c;d/e", ("tree", "migrated", "target"), id="below a prefix"),
        pytest.param(b"/irr/5;v=1", ("irr", "migrated", "target"), id="below an irreversible one"),
        pytest.param(b"/nothing;v=1", ("default", "legacy", "default"), id="that no route takes"),
    ],
)
def test_a_route_that_takes_all_readings_keeps_its_request(target, expected):
    assert decided(target) == expected


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"/files;x/a", id="a reading has a route"),
        pytest.param(b"/later;x", id="as sent no route matches it"),
        pytest.param(b"/files/;x", id="without the parameters nothing is left"),
    ],
)
def test_other_requests_with_parameters_are_legacys(target):
    assert decided(target) == ("default", "legacy", "ambiguous-path")


def test_what_may_fall_back_to_legacy_is_read_as_legacy_reads_it():
    routes = [*ROUTES, Route("page", path="/<a>/<b>", target="migrated", fallback=True)]

    assert decided(b"/old.cgi;a/b", table=matcher(routes=routes)) == refused("old")


def test_gone_yields_to_the_kill_file_in_every_reading():
    killed = Facts(killed=True)

    assert decided(b"/old.cgi;x", facts=killed) == ("default", "legacy", "killed")
    assert decided(b"/irr;x", facts=killed) == refused("irr")


# --- folds ----------------------------------------------------------------------------------------

BY_FOLD = [
    pytest.param(b"/IRR", "case", "irr", id="upper case"),
    pytest.param(b"/Irr/5", "case", "irr", id="mixed case"),
    pytest.param(b"/OLD.CGI", "case", "old", id="a gone path"),
    pytest.param(b"/u%C5%BFers/1", "case", "users", id="a long s"),
    pytest.param(b"/%C4%B0rr", "case", "irr", id="a dotted I"),
    pytest.param(b"/%C4%B1rr", "case", "irr", id="a dotless I"),
    pytest.param(b"/ANY/oNE/5", "case", "any", id="a converter's word"),
    pytest.param(b"/STRA%E1%BA%9EE/x", "case", "straße", id="a sharp S"),
    pytest.param(b"/Stra%C3%9Fe/%C3%9F", "case", "straße", id="where a length counts"),
    pytest.param(b"/IRR;x", "case", "irr", id="with parameters"),
    pytest.param(b"/x%5C..%5CIRR", "case", "irr", id="with backslashes"),
    pytest.param(b"/irr%20", "trailing", "irr", id="a space"),
    pytest.param(b"/irr.", "trailing", "irr", id="a dot"),
    pytest.param(b"/irr%20.", "trailing", "irr", id="a space and a dot"),
    pytest.param(b"/irr.%20.%09/5.", "trailing", "irr", id="in each segment"),
    pytest.param(b"/irr::$DATA", "trailing", "irr", id="a stream"),
    pytest.param(b"/irr.::$Data%20", "trailing", "irr", id="a stream between"),
    pytest.param(b"/irr%C2%A0", "trailing", "irr", id="a blank beyond ASCII"),
    pytest.param(b"/x/..%20/irr", "trailing", "irr", id="dots and a space"),
    pytest.param(b"/old.cgi/", "trailing", "old", id="a slash"),
    pytest.param(b"/slash", "trailing", "slash", id="no slash"),
    pytest.param(b"/irr./;x", "trailing", "irr", id="dot and parameters"),
    pytest.param(b"/%u0069rr", "iis", "irr", id="an escape of IIS"),
    pytest.param(b"/%U0069%u0072r", "iis", "irr", id="several"),
    pytest.param(b"/x%u002f..%u005cirr", "iis", "irr", id="slashes"),
    pytest.param(b"/%c1%a9rr", "iis", "irr", id="overlong UTF-8"),
    pytest.param(b"/%ef%bd%89rr", "iis", "irr", id="a wide letter"),
    pytest.param(b"/irr::$DATA", "iis", "irr", id="a stream of IIS"),
    pytest.param(b"/%252e%252e/irr", "double-decoding", "irr", id="dots"),
    pytest.param(b"/x/%252e%252e/irr", "double-decoding", "irr", id="dots that go up"),
    pytest.param(b"/%2569rr", "double-decoding", "irr", id="a letter"),
    pytest.param(b"/%252569rr", "double-decoding", "irr", id="three times"),
    pytest.param(b"/irr%252F5", "double-decoding", "irr", id="a slash decoded"),
    pytest.param(b"/old.cgi%253Bx", "double-decoding", "old", id="parameters"),
    pytest.param(b"/old.cgi%2500.css", "double-decoding", "old", id="NUL"),
    pytest.param(b"/old.cgi%253Fx", "double-decoding", "old", id="a question mark"),
]


@pytest.mark.parametrize(("target", "fold", "name"), BY_FOLD)
def test_a_spelling_that_legacy_folds_is_no_way_around_a_closed_route(target, fold, name):
    assert decided(target, (fold,)) == refused(name)
    assert decided(target, FOLDS) == refused(name)


@pytest.mark.parametrize(
    "target",
    [b"/IRR", b"/irr%20", b"/irr.", b"/%u0069rr", b"/%252e%252e/irr", b"/old.cgi/", b"/slash"],
)
def test_without_the_fold_the_spelling_is_another_path(target):
    assert decided(target) == ("default", "legacy", "default")


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"/%2549RR.;x", id="decoded twice, case, dot, parameters"),
        pytest.param(b"/%u0049%2552R%2520.", id="IIS, decoded twice, case, blank, dot"),
        pytest.param(b"/X/%252E%252E%253Bx/IRR::$data", id="dots with parameters, decoded twice"),
        pytest.param(b"/%25c1%25a9RR", id="overlong, decoded twice"),
        pytest.param(b"/%25u0069rr", id="an escape of IIS, decoded twice"),
    ],
)
def test_folds_count_together(target):
    assert decided(target, FOLDS) == refused("irr")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(
            b"/files/Report.PDF", ("files", "migrated", "target"), id="case in a variable"
        ),
        pytest.param(b"/tree/A/b.", ("tree", "migrated", "target"), id="below a prefix"),
        pytest.param(b"/files/a%20b", ("files", "migrated", "target"), id="an escape"),
        pytest.param(b"/irr/A%20", ("irr", "migrated", "target"), id="below an irreversible one"),
        pytest.param(
            b"/nothing/AT.", ("default", "legacy", "default"), id="no route in any reading"
        ),
        pytest.param(b"/Files/a", ("default", "legacy", "ambiguous-path"), id="as sent no route"),
        pytest.param(b"/old.cgi", ("old", "gone", "gone"), id="a gone path as it is written"),
        pytest.param(b"/slash/", ("slash", "gone", "gone"), id="and with its slash"),
        pytest.param(b"*", ("default", "legacy", "default"), id="asterisk"),
        pytest.param(b"/", ("default", "legacy", "default"), id="root"),
    ],
)
def test_where_no_closed_route_is_meant_folds_change_nothing(target, expected):
    assert decided(target, FOLDS) == expected


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        pytest.param(b"/POST", {"method": "POST"}, refused("post"), id="the method"),
        pytest.param(b"/POST", {}, ("default", "legacy", "default"), id="another method"),
        pytest.param(b"/HOSTED", {}, refused("hosted"), id="the host"),
        pytest.param(
            b"/HOSTED", {"host": b"b.test"}, ("default", "legacy", "default"), id="another host"
        ),
        pytest.param(b"/ASKED?a=1", {}, refused("asked"), id="the query"),
        pytest.param(b"/ASKED?a=2", {}, ("default", "legacy", "default"), id="another query"),
    ],
)
def test_the_other_conditions_of_a_closed_route_count_in_a_reading(target, given, expected):
    assert decided(target, ("case",), **given) == expected


def test_routes_that_differ_in_case_alone_are_all_asked():
    """Legacy takes /FOO for either, and one of them is not to be reached."""
    routes = [
        Route("big", path="/Foo", target="legacy"),
        Route("small", path="/foo", target="gone"),
    ]
    table = matcher(["case"], routes)

    assert decided(b"/FOO", table=table) == refused("small")
    assert decided(b"/Foo", table=table) == refused("small")
    assert decided(b"/foo", table=table) == refused("small")


def test_a_route_written_in_capitals_is_found_in_any_case():
    table = matcher(["case"], [Route("irr", prefix="/Irr", target="migrated", reversible=False)])

    assert decided(b"/irr/5", table=table) == refused("irr")
    assert decided(b"/Irr/5", table=table) == ("irr", "migrated", "target")


@pytest.mark.parametrize("written", ["/...", "/a/. ./b", "/. "])
def test_a_segment_of_dots_is_not_folded_away(written):
    table = matcher(["trailing"], [Route("dots", prefix=written, target="gone")])

    assert (
        decided(b"/", table=table)
        == decided(b"/b", table=table)
        == ("default", "legacy", "default")
    )


def test_a_route_before_a_closed_one_precedes_it_in_every_reading():
    routes = [Route("open", path="/irr/open", target="legacy"), *ROUTES]

    assert decided(b"/IRR/OPEN", table=matcher(["case"], routes))[1] == "legacy"
    assert decided(b"/IRR/SHUT", table=matcher(["case"], routes)) == refused("irr")


# --- headers by which legacy takes another path ---------------------------------------------------


@pytest.mark.parametrize("name", [b"x-original-url", b"x-rewrite-url"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"/irr/5?a", refused("irr"), id="an irreversible route"),
        pytest.param(b"http://a.test/old.cgi;x", refused("old"), id="a gone one, as a URL"),
        pytest.param(b"/else", ("later", "legacy", "target"), id="no closed route"),
    ],
)
def test_a_path_that_a_header_names_is_a_reading_where_legacy_gets_it(name, value, expected):
    asked = (b"/later", (), (name, value))

    assert decided(*asked, table=matcher(rewrite_headers=True)) == expected
    assert decided(*asked) == ("later", "legacy", "target")


def test_a_header_that_migrated_does_not_get_changes_nothing_there():
    table = matcher(rewrite_headers=True)

    assert decided(b"/files/a", (), (b"x-original-url", b"/irr"), table=table)[1] == "migrated"
    assert decided(b"/safe/a", (), (b"x-original-url", b"/irr"), table=table) == refused("irr")


# --- what a path costs ----------------------------------------------------------------------------

HOSTILE = [
    b"/a;b" * 2_000, b"/" + b"%25" * 2_700, b"/" + b"%2525253Ba" * 740, b"/" + b". " * 4_000,
    (b"/" + b"." * 30) * 250, b"/" + b"%CC%81" * 1_300, b"/" + b"%EF%B7%BA" * 900, b"/%c0%af" * 1_100,
    b"/" + b"%u0069" * 1_300, b"/" + b";" * 8_000, b"/A.;b%2e" * 900, b"/%00a" * 1_600,
    b"/A.%20;b%253Bc%25252e%u0069%c1%a9%E9%3F" * 200,
]  # fmt: skip


@pytest.mark.parametrize("target", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_path_has_few_readings(target):
    """As many as there are folds, and no more for a longer path."""
    assert len(all_readings(target[:8_190], ALL)) <= 100
    assert len(find_readings(target[:8_190]).usual) <= 6


def test_twice_the_hostile_path_costs_about_twice_as_much():
    def cost_s(target):
        spans = []
        for _ in range(5):
            began = time.process_time()
            decided(target, FOLDS)
            spans.append(time.process_time() - began)
        return min(spans)

    part = HOSTILE[-1]
    assert cost_s(part * 8) < 40 * cost_s(part)  # a quadratic cost grows 64 times


def test_folding_case_keeps_the_length_and_is_done_at_once():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11_0000)]))

    folded = fold_case(text)

    assert len(folded) == len(text)
    assert fold_case(folded) == folded


@given(st.text("/aAbZ.;%2Ee", max_size=8), st.sampled_from([("case",), FOLDS]))
def test_a_path_that_differs_in_case_alone_has_no_other_readings(text, folds):
    target = b"/" + text.encode()
    path = TABLES[folds].path_but_for_case(target)
    if path is not None:
        usual, rare = find_readings(target, frozenset(folds))
        assert usual == (path,)
        assert {reading.rstrip("/") for reading in rare} <= {path.rstrip("/")}


TARGETS = st.lists(
    st.sampled_from(
        [b"/", b"irr", b"IRR", b"a", b".", b"..", b";", b";x", b"%", b"%2e", b"%252e", b"%u0069", b"%25",
         b"%2F", b"\\", b"%20", b"%00", b"%3B", b"%3F", b"::$DATA", b"%c1%a9", b"?", b"\xff", b"files", b"x"]
    ),
    max_size=9,
).map(lambda parts: b"/" + b"".join(parts))  # fmt: skip


@given(TARGETS, st.sampled_from(list(TABLES)))
def test_a_settled_path_has_no_reading_that_another_route_takes(target, folds):
    """What is not looked at closely would come out alike if it were."""
    table = TABLES[folds]
    head = head_of("GET", target, [(b"host", b"a.test")], peer="::1", scheme="http")
    path = table.plain_path_of(head.target)
    if path is None:
        return
    route = table.match_path(path, head)
    for reading in find_readings(head.target, frozenset(folds)).usual:
        assert {id(taker) for taker in table.find_takers(reading, head)} == {id(route)}


@pytest.mark.parametrize("path", [b"/a/irr.", b"/a/irr.?x", b"/a/", b"/a/."])
def test_a_later_segment_that_folds_is_not_taken_as_it_stands(path):
    assert folded_paths._unchanged_path_pattern(frozenset({"trailing"})).match(path) is None
