"""The decision as a table: every row of the order, and what stands above what."""

from __future__ import annotations

import pytest

from overgrow.routing.cohort import bucket_of, canary_limit
from overgrow.routing.decide import decide
from overgrow.routing.facts import Facts, head_of
from overgrow.routing.match import Matcher
from overgrow.routing.model import Cohort, Legacy, Route, RouteTable
from overgrow.routing.order import sort_routes
from overgrow.routing.override import create_override

SECRET = b"a secret"
ROUTES = [
    Route("legacy", path="/legacy"),
    Route("migrated", path="/migrated", target="migrated", fallback=True),
    Route("alone", path="/alone", target="migrated"),
    Route("gone", path="/gone", target="gone"),
    Route("unserved", path="/unserved", servable=False),
    Route("live", prefix="/live", target="migrated", asgi=True, fallback=True),
    Route("waiting", prefix="/waiting", target="legacy", asgi=True),
    Route("lived", prefix="/lived", target="migrated", asgi=True, reversible=False),
    Route("some", path="/some", canary=5_000, fallback=True),
    Route("none", path="/none", canary=0),
    Route("all", path="/all", canary=10_000),
    Route("moved", path="/moved", target="migrated", reversible=False, fallback=True),
    Route("ended", path="/ended", target="gone", reversible=False),
    Route("files", path="/files/<name>", target="migrated", reversible=False),
    Route("post", path="/post", methods=("POST",), target="migrated", reversible=False),
]
BELOW = next(f"id{at}" for at in range(99) if bucket_of(f"id{at}".encode(), "") < 1 << 31)
ABOVE = next(f"id{at}" for at in range(99) if bucket_of(f"id{at}".encode(), "") >= 1 << 31)

PLAIN = Facts(secret=SECRET, now_s=1000)
KILLED = PLAIN._replace(killed=True)
BROKEN = PLAIN._replace(open_breakers={route.name for route in ROUTES})
UPGRADE = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]


def table(routes=ROUTES, cohort=None):
    return Matcher(
        RouteTable("abc123", Legacy("http://legacy"), sort_routes(routes), cohort or Cohort())
    )


def head(target, *headers, method="GET"):
    return head_of(method, target, [(b"host", b"a.test"), *headers], peer="::1", scheme="http")


def client(name):
    return (b"cookie", f"overgrow_id={name}".encode())


def override(side, route="*"):
    return (b"x-overgrow-override", create_override(side, route, 2000, SECRET).encode())


@pytest.mark.parametrize(
    ("asked", "facts", "expected"),
    [
        # 1 ambiguous as an irreversible or gone route
        pytest.param(
            head(b"//moved"), PLAIN, ("moved", "refused", "ambiguous-path"), id="irreversible"
        ),
        pytest.param(
            head(b"/x/%2e%2e/moved"),
            KILLED,
            ("moved", "refused", "ambiguous-path"),
            id="irreversible, killed",
        ),
        pytest.param(
            head(b"/x/..%2Fgone"), PLAIN, ("gone", "refused", "ambiguous-path"), id="gone"
        ),
        pytest.param(
            head(b"/gone/."), PLAIN, ("gone", "refused", "ambiguous-path"), id="gone, dot"
        ),
        pytest.param(
            head(b"/gone%00.css"), PLAIN, ("gone", "refused", "ambiguous-path"), id="gone, NUL"
        ),
        pytest.param(
            head(b"//gone"),
            KILLED,
            ("default", "legacy", "killed"),
            id="gone yields to the kill file",
        ),
        pytest.param(
            head(b"//ended"),
            KILLED,
            ("ended", "refused", "ambiguous-path"),
            id="gone for good does not",
        ),
        pytest.param(
            head(b"/files/a%2Fb"),
            PLAIN,
            ("files", "refused", "ambiguous-path"),
            id="inside a segment",
        ),
        pytest.param(
            head(b"//post"),
            PLAIN,
            ("default", "legacy", "ambiguous-path"),
            id="methods count in a reading",
        ),
        # 2 irreversible: its target
        pytest.param(head(b"/moved"), PLAIN, ("moved", "migrated", "target"), id="moved"),
        pytest.param(head(b"/moved"), KILLED, ("moved", "migrated", "target"), id="moved, killed"),
        pytest.param(
            head(b"/moved"), BROKEN, ("moved", "migrated", "target"), id="moved, breaker open"
        ),
        pytest.param(
            head(b"/moved", override("legacy")),
            PLAIN,
            ("moved", "migrated", "target"),
            id="moved, override",
        ),
        pytest.param(
            head(b"/moved", *UPGRADE), PLAIN, ("moved", "migrated", "target"), id="moved, upgrade"
        ),
        pytest.param(head(b"/ended"), KILLED, ("ended", "gone", "target"), id="ended, killed"),
        # 3 kill file
        pytest.param(head(b"/migrated"), KILLED, ("migrated", "legacy", "killed"), id="killed"),
        pytest.param(head(b"/gone"), KILLED, ("gone", "legacy", "killed"), id="killed before gone"),
        pytest.param(
            head(b"/nothing"), KILLED, ("default", "legacy", "killed"), id="killed without a route"
        ),
        pytest.param(
            head(b"//migrated"),
            KILLED,
            ("default", "legacy", "killed"),
            id="killed before ambiguous",
        ),
        pytest.param(
            head(b"/legacy", override("migrated")),
            KILLED,
            ("legacy", "legacy", "killed"),
            id="killed, override",
        ),
        # 4 ambiguous
        pytest.param(
            head(b"//migrated"), PLAIN, ("default", "legacy", "ambiguous-path"), id="ambiguous"
        ),
        pytest.param(
            head(b"//migrated", override("migrated")),
            PLAIN,
            ("default", "legacy", "ambiguous-path"),
            id="ambiguous, override",
        ),
        # 5 no route
        pytest.param(head(b"/nothing"), PLAIN, ("default", "legacy", "default"), id="no route"),
        pytest.param(
            head(b"*", method="OPTIONS"), PLAIN, ("default", "legacy", "default"), id="asterisk"
        ),
        pytest.param(
            head(b"/nothing", override("migrated")),
            PLAIN,
            ("default", "legacy", "default"),
            id="no route, override",
        ),
        # 6 gone
        pytest.param(head(b"/gone"), PLAIN, ("gone", "gone", "gone"), id="gone as sent"),
        pytest.param(
            head(b"/gone", override("legacy")), PLAIN, ("gone", "gone", "gone"), id="gone, override"
        ),
        pytest.param(head(b"/gone", *UPGRADE), PLAIN, ("gone", "gone", "gone"), id="gone, upgrade"),
        # 7 override
        pytest.param(
            head(b"/legacy", override("migrated")),
            PLAIN,
            ("legacy", "migrated", "override"),
            id="to migrated",
        ),
        pytest.param(
            head(b"/migrated", override("legacy", "migrated")),
            PLAIN,
            ("migrated", "legacy", "override"),
            id="to legacy",
        ),
        pytest.param(
            head(b"/unserved", override("migrated")),
            PLAIN,
            ("unserved", "legacy", "target"),
            id="a side that cannot serve",
        ),
        pytest.param(
            head(b"/unserved", override("legacy")),
            PLAIN,
            ("unserved", "legacy", "override"),
            id="legacy always can",
        ),
        pytest.param(
            head(b"/legacy", override("migrated", "other")),
            PLAIN,
            ("legacy", "legacy", "target"),
            id="for another route",
        ),
        pytest.param(
            head(b"/some", client(BELOW), override("legacy")),
            PLAIN,
            ("some", "legacy", "override"),
            id="before the canary",
        ),
        # 8 target migrated
        pytest.param(
            head(b"/migrated"), PLAIN, ("migrated", "migrated", "target"), id="target migrated"
        ),
        # 9 canary
        pytest.param(
            head(b"/some", client(BELOW)), PLAIN, ("some", "migrated", "canary"), id="bucket below"
        ),
        pytest.param(
            head(b"/some", client(ABOVE)), PLAIN, ("some", "legacy", "target"), id="bucket above"
        ),
        pytest.param(head(b"/some"), PLAIN, ("some", "legacy", "target"), id="no key"),
        pytest.param(
            head(b"/none", client(BELOW)), PLAIN, ("none", "legacy", "target"), id="0% evicts"
        ),
        pytest.param(
            head(b"/all"), PLAIN, ("all", "migrated", "canary"), id="100% serves everybody"
        ),
        # 10 otherwise
        pytest.param(head(b"/legacy"), PLAIN, ("legacy", "legacy", "target"), id="target legacy"),
        # then upgrades and breakers
        pytest.param(
            head(b"/migrated", *UPGRADE), PLAIN, ("migrated", "legacy", "upgrade"), id="upgrade"
        ),
        pytest.param(
            head(b"/legacy", *UPGRADE), PLAIN, ("legacy", "legacy", "target"), id="upgrade, legacy"
        ),
        pytest.param(
            head(b"/live", *UPGRADE), PLAIN, ("live", "migrated", "target"), id="upgrade, mounted"
        ),
        pytest.param(
            head(b"/live/a", *UPGRADE), KILLED, ("live", "legacy", "killed"), id="mounted, killed"
        ),
        pytest.param(
            head(b"/waiting", *UPGRADE),
            PLAIN,
            ("waiting", "legacy", "target"),
            id="upgrade, mounted but not moved",
        ),
        pytest.param(
            head(b"/waiting", *UPGRADE, override("migrated")),
            PLAIN,
            ("waiting", "migrated", "override"),
            id="upgrade, mounted, override",
        ),
        pytest.param(
            head(b"/lived", *UPGRADE),
            KILLED,
            ("lived", "migrated", "target"),
            id="upgrade, mounted, irreversible",
        ),
        pytest.param(head(b"/migrated"), BROKEN, ("migrated", "legacy", "breaker"), id="breaker"),
        pytest.param(
            head(b"/some", client(BELOW)),
            BROKEN,
            ("some", "legacy", "breaker"),
            id="breaker, canary",
        ),
        pytest.param(
            head(b"/migrated", method="POST"),
            BROKEN,
            ("migrated", "legacy", "breaker"),
            id="breaker, any method: nothing was begun",
        ),
        pytest.param(
            head(b"/alone"), BROKEN, ("alone", "migrated", "target"), id="breaker, no fallback"
        ),
        pytest.param(
            head(b"/migrated", override("migrated")),
            BROKEN,
            ("migrated", "migrated", "override"),
            id="breaker, override",
        ),
        pytest.param(
            head(b"/legacy"), BROKEN, ("legacy", "legacy", "target"), id="breaker, legacy anyway"
        ),
    ],
)
def test_the_decision_table(asked, facts, expected):
    decision = decide(table(), asked, facts)

    assert (decision.route_name, decision.side, decision.reason) == expected
    assert decision.revision == "abc123"


@pytest.mark.parametrize(
    ("target", "by", "headers", "expected"),
    [
        pytest.param(b"/some", ("cookie:overgrow_id",), [], True, id="nobody knows the client"),
        pytest.param(b"/some", ("cookie:overgrow_id",), [client("x")], False, id="already known"),
        pytest.param(b"/some", ("cookie:other",), [], False, id="the cookie is not asked for"),
        pytest.param(b"/some", ("cookie:overgrow_id", "ip"), [], False, id="known by address"),
        pytest.param(b"/all", ("cookie:overgrow_id",), [], False, id="100% needs no id"),
        pytest.param(b"/none", ("cookie:overgrow_id",), [], False, id="0% needs no id"),
        pytest.param(
            b"/some", ("cookie:overgrow_id",), [override("legacy")], False, id="overridden"
        ),
    ],
)
def test_an_id_is_assigned_where_a_canary_could_not_tell_the_client(target, by, headers, expected):
    decision = decide(table(cohort=Cohort(by)), head(target, *headers), PLAIN)

    assert decision.assign_id is expected


def test_the_bucket_and_its_source_are_told_on_both_sides():
    for name in (BELOW, ABOVE):
        decision = decide(table(), head(b"/some", client(name)), PLAIN)

        assert (decision.bucket, decision.cohort) == (
            bucket_of(name.encode(), ""),
            "cookie:overgrow_id",
        )


@pytest.mark.parametrize(
    ("bucket", "side"),
    [
        pytest.param(canary_limit(5_000) - 1, "migrated", id="the last bucket below the limit"),
        pytest.param(canary_limit(5_000), "legacy", id="the first bucket that is not served"),
    ],
)
def test_a_canary_serves_the_buckets_below_its_limit(monkeypatch, bucket, side):
    monkeypatch.setattr("overgrow.routing.decide.bucket_of", lambda key, salt: bucket)

    assert side == decide(table(), head(b"/some", client("ash")), PLAIN).side
