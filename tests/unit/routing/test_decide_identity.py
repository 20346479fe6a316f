"""Decisions of routes that ask who the user is: when they wait, what the answer changes, what stands above it."""

from __future__ import annotations

import pytest

from overgrow.routing.cohort import bucket_of
from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, head_of
from overgrow.routing.identity import Identity, IdentitySource, Unavailable
from overgrow.routing.match import Matcher
from overgrow.routing.model import Cohort, Legacy, Route, RouteTable
from overgrow.routing.order import sort_routes
from overgrow.routing.override import create_override

SECRET = b"a secret"
FACTS = Facts(secret=SECRET, now_s=1000)
ANN = Identity("ann", source="flask")
AWAY = Unavailable("flask", "no answer")
SIGNED_IN = (b"cookie", b"lang=en; session=abc")
SOURCES = (IdentitySource("flask", cookie="session"), IdentitySource("jwt", header="authorization"))
ROUTES = [
    Route("migrated", path="/migrated", target="migrated", asks_identity=True),
    Route("some", path="/some", canary=5_000, asks_identity=True),
    Route("copied", path="/copied", shadow=5_000, asks_identity=True),
    Route("open", path="/open", target="migrated"),
    Route("old", path="/old"),
    Route("next", path="/next", identifies=True),
    Route("moved", path="/moved", target="migrated", reversible=False, asks_identity=True),
]


def table(cohort=None, sources=SOURCES):
    return Matcher(
        RouteTable(
            "r", Legacy("http://l"), sort_routes(ROUTES), cohort or Cohort(), identity=sources
        )
    )


def head(target, *headers):
    return head_of("GET", target, [(b"host", b"a.test"), *headers], peer="::1", scheme="http")


def who_answers(decision):
    return decision.side, decision.reason


def decide_for(subject, target, *headers, facts=FACTS, matcher=None):
    waiting = decide(matcher or table(), head(target, SIGNED_IN, *headers), facts)
    return waiting.resume(subject)


@pytest.mark.parametrize("path", [b"/migrated", b"/some", b"/copied", b"/moved"])
def test_a_request_with_a_session_waits_until_its_user_is_known(path):
    decision = decide(table(), head(path, SIGNED_IN), FACTS)

    assert decision.side == "undecided"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param(b"/open", [SIGNED_IN], id="a route that does not ask"),
        pytest.param(b"/old", [SIGNED_IN], id="a route of legacy"),
        pytest.param(b"/nowhere", [SIGNED_IN], id="no route"),
        pytest.param(b"/migrated", [], id="no cookie at all"),
        pytest.param(b"/migrated", [(b"cookie", b"lang=en; xsession=1")], id="another cookie"),
        pytest.param(b"/migrated", [(b"cookie", b"session=")], id="an empty session"),
        pytest.param(b"/migrated", [(b"cookie", b"session")], id="a name without a value"),
    ],
)
def test_a_request_that_names_nobody_is_decided_at_once(path, headers):
    decision = decide(table(), head(path, *headers), FACTS)

    assert decision.side != "undecided"


def test_a_header_of_a_source_makes_a_request_wait():
    decision = decide(table(), head(b"/migrated", (b"authorization", b"Bearer x")), FACTS)

    assert decision.side == "undecided"


def test_any_cookie_makes_a_request_wait_where_no_cookie_is_named():
    matcher = table(sources=(IdentitySource("ask", ask="/whoami"),))

    assert decide(matcher, head(b"/migrated", (b"cookie", b"a=1")), FACTS).side == "undecided"
    assert decide(matcher, head(b"/migrated"), FACTS).side == "migrated"


def test_the_decision_carries_the_user():
    decision = decide_for(ANN, b"/migrated")

    assert (ANN, "migrated", "target") == (decision.identity, *who_answers(decision))


def test_a_request_of_nobody_goes_on_as_without_identity():
    decision = decide_for(None, b"/migrated")

    assert (None, "migrated", "target") == (decision.identity, *who_answers(decision))


@pytest.mark.parametrize("path", [b"/migrated", b"/some", b"/copied"])
def test_a_reversible_route_goes_to_legacy_while_the_user_cannot_be_known(path):
    assert who_answers(decide_for(AWAY, path)) == ("legacy", "identity")


def test_an_irreversible_route_refuses_while_the_user_cannot_be_known():
    assert who_answers(decide_for(AWAY, b"/moved")) == ("refused", "identity")


def test_an_irreversible_route_carries_the_user():
    decision = decide_for(ANN, b"/moved")

    assert (ANN, "migrated", "target") == (decision.identity, *who_answers(decision))


def test_a_killed_route_does_not_ask_who_the_user_is():
    decision = decide(table(), head(b"/migrated", SIGNED_IN), FACTS._replace(killed=True))

    assert who_answers(decision) == ("legacy", "killed")


def test_an_override_stands_above_an_identity_that_cannot_be_had():
    text = create_override("migrated", "*", 2000, SECRET)
    decision = decide_for(AWAY, b"/migrated", (b"x-overgrow-override", text.encode()))

    assert who_answers(decision) == ("migrated", "override")


def test_a_cohort_by_identity_is_the_bucket_of_the_users_id():
    matcher = table(Cohort(("identity",)))
    by_side = {}
    for at in range(50):
        decision = decide_for(Identity(f"u{at}"), b"/some", matcher=matcher)
        assert decision.bucket == bucket_of(f"u{at}".encode(), "")
        by_side.setdefault(decision.side, decision.cohort)

    assert by_side == {"legacy": "identity", "migrated": "identity"}


def test_a_cohort_by_identity_leaves_nobody_on_legacy():
    decision = decide_for(None, b"/some", matcher=table(Cohort(("identity",))))

    assert (None, "legacy", "target") == (decision.bucket, *who_answers(decision))


def test_a_decision_does_not_show_its_user():
    assert "ann" not in repr(decide_for(ANN, b"/migrated")) + repr(ANN)


@pytest.mark.parametrize(
    ("path", "side", "expected"),
    [
        pytest.param(b"/next", "migrated", "undecided", id="a route that will move"),
        pytest.param(b"/next", "legacy", "legacy", id="legacy knows its users"),
        pytest.param(b"/old", "migrated", "migrated", id="a route that never asks"),
    ],
)
def test_a_testers_request_for_migrated_waits_for_its_user(path, side, expected):
    text = create_override(side, "*", 2000, SECRET)
    decision = decide(
        table(), head(path, SIGNED_IN, (b"x-overgrow-override", text.encode())), FACTS
    )

    assert decision.side == expected


def test_a_tester_is_the_user_who_is_signed_in():
    text = create_override("migrated", "*", 2000, SECRET)
    decision = decide_for(ANN, b"/next", (b"x-overgrow-override", text.encode()))

    assert (ANN, "migrated", "override") == (decision.identity, *who_answers(decision))
