"""A side behind its breakers: what counts against it, who is refused, who is exempt."""

from __future__ import annotations

import asyncio

import pytest

from overgrow.exchange import Failure, Reply, failure_reply
from overgrow.resilience.breaker import Policy
from overgrow.resilience.breaker_server import BreakerServer, judge_reply
from overgrow.resilience.breakers import POLICIES, Breakers
from overgrow.routing.model import Legacy, Route, RouteTable, Timeouts

POLICY = Policy(min_answers=4, open_s=5)
CRASH = Failure("migrated-crash", "head", "migrated")
REFUSED = Failure("legacy-connect", "connect", "legacy")


@pytest.fixture
def breakers(clock, table_of):
    table = table_of(Route("r", path="/"))
    return Breakers(lambda: table, clock=clock, policies=dict.fromkeys(POLICIES, POLICY))


@pytest.fixture
def ask(breakers, served, decided, inbound_of):
    """Ask a guarded side so many times; the replies."""

    def asked(server, side="migrated", times=1, reason="target", **route):
        guarded = BreakerServer(server, breakers, side)
        decision = decided(side, reason, **{"fallback": False, **route})
        return [served(guarded, inbound_of(), decision) for _ in range(times)]

    return asked


@pytest.mark.parametrize(
    ("reply", "side", "expected"),
    [
        pytest.param(Reply(200, []), "migrated", "good", id="an answer"),
        pytest.param(Reply(404, []), "migrated", "good", id="404 is an answer"),
        pytest.param(Reply(501, []), "migrated", "good", id="501 is an answer"),
        pytest.param(Reply(500, []), "migrated", "failed", id="migrated's own 500"),
        pytest.param(Reply(503, []), "migrated", "failed", id="migrated's own 503"),
        pytest.param(Reply(500, []), "legacy", "good", id="legacy's own 500 was always its answer"),
        pytest.param(failure_reply(CRASH), "migrated", "failed", id="crash"),
        pytest.param(failure_reply(REFUSED), "legacy", "unreachable", id="refused connection"),
        pytest.param(
            failure_reply(Failure("local-busy", "queue", "migrated")),
            "migrated",
            None,
            id="a full queue is every route's, not this one's",
        ),
        pytest.param(
            failure_reply(Failure("legacy-busy", "queue", "front")), "legacy", None, id="our limit"
        ),
        pytest.param(
            failure_reply(Failure("bad-request", "read", "client")), "migrated", None, id="client"
        ),
        pytest.param(failure_reply(Failure("loop", "read", "front")), "legacy", None, id="loop"),
    ],
)
def test_what_an_answer_says_about_its_side(reply, side, expected):
    assert judge_reply(reply, side, slow=False) == expected


def test_a_good_answer_that_came_late_is_slow_and_a_failure_stays_one():
    assert judge_reply(Reply(200, []), "legacy", slow=True) == "slow"
    assert judge_reply(failure_reply(CRASH), "migrated", slow=True) == "failed"


@pytest.mark.parametrize(
    ("which", "failure", "code"),
    [("migrated", CRASH, b"migrated-open"), ("legacy", REFUSED, b"legacy-open")],
)
def test_an_open_side_is_not_asked_and_503_says_when_to_come_back(ask, side, which, failure, code):
    server = side([failure_reply(failure)])
    ask(server, which, times=POLICY.min_answers)
    (reply,) = ask(server, which)

    assert len(server.asked) == POLICY.min_answers
    assert reply.status == 503
    assert (b"x-overgrow-error", code) in reply.headers
    assert (b"retry-after", b"5") in reply.headers


def test_the_breaker_is_not_asked_again_after_the_decision_asked_it(ask, side):
    server = side([failure_reply(CRASH)])
    ask(server, times=POLICY.min_answers + 3, fallback=True)

    assert len(server.asked) == POLICY.min_answers + 3


def test_legacy_has_no_breaker_unless_the_table_asks_for_it(
    served, decided, inbound_of, side, clock
):
    table = RouteTable("rev", Legacy("http://127.0.0.1:9"), (Route("r", path="/"),))
    breakers = Breakers(lambda: table, clock=clock, policies=dict.fromkeys(POLICIES, POLICY))
    server = side([failure_reply(REFUSED)])
    guarded = BreakerServer(server, breakers, "legacy")
    for _ in range(3 * POLICY.min_answers):
        served(guarded, inbound_of(), decided("legacy", "target"))

    assert 3 * POLICY.min_answers == len(server.asked)
    assert [] == breakers.snapshot()


def test_legacys_breaker_is_asked_with_or_without_fallback(ask, side):
    server = side([failure_reply(REFUSED)])
    ask(server, "legacy", times=POLICY.min_answers + 3, fallback=True)

    assert len(server.asked) == POLICY.min_answers


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"reason": "override"}, id="override"),
        pytest.param({"reason": "killed"}, id="killed"),
        pytest.param({"reason": "upgrade"}, id="an upgrade"),
        pytest.param({"reversible": False}, id="irreversible"),
    ],
)
def test_the_exempt_are_neither_counted_nor_refused(ask, side, breakers, given):
    broken = side([failure_reply(CRASH)])
    ask(broken, times=POLICY.min_answers, **given)
    uncounted = breakers.of("r", "migrated").state
    ask(broken, times=POLICY.min_answers)
    ask(broken, **given)

    assert (uncounted, breakers.of("r", "migrated").state) == ("closed", "open")
    assert len(broken.asked) == 2 * POLICY.min_answers + 1


def test_requests_that_no_route_took_have_no_breaker(breakers, side, served, decided, inbound_of):
    server = side([failure_reply(REFUSED)])
    decision = decided("legacy", "default")._replace(route=None)
    for _ in range(POLICY.min_answers + 1):
        served(BreakerServer(server, breakers, "legacy"), inbound_of(), decision)

    assert len(server.asked) == POLICY.min_answers + 1


def test_a_side_opens_when_its_heads_take_over_half_of_the_timeout(ask, side, breakers, clock):
    def slowly(_inbound):
        clock.forward(2.1)
        return Reply(200, [])

    ask(side([slowly]), times=POLICY.min_answers, timeouts=Timeouts(response_s=4.5))
    patient = breakers.of("r", "migrated").state
    ask(side([slowly]), times=POLICY.min_answers, timeouts=Timeouts(response_s=4))

    assert (patient, breakers.of("r", "migrated").state) == ("closed", "open")


def test_a_side_comes_back_probe_by_probe(ask, side, breakers, clock):
    server = side([failure_reply(CRASH)])
    ask(server, times=POLICY.min_answers)
    server.answers = [Reply(200, [])]
    clock.forward(POLICY.open_s)
    probed = [reply.status for reply in ask(server, times=3)]
    clock.forward(POLICY.recovery_s)

    assert probed == [200, 503, 503]
    assert [reply.status for reply in ask(server, times=9)] == [200] * 9
    assert breakers.of("r", "migrated").state == "closed"


def test_what_says_nothing_about_a_side_is_not_counted(ask, side, breakers):
    ask(side([failure_reply(Failure("local-busy", "queue", "migrated"))]), times=POLICY.min_answers)

    assert breakers.of("r", "migrated").counts(breakers.clock()).answers == 0


def test_a_client_that_leaves_says_nothing_about_the_side(breakers, side, decided, inbound_of):
    async def scenario():
        left = asyncio.CancelledError

        def leaves(_inbound):
            raise left

        guarded = BreakerServer(side([leaves]), breakers, "migrated")
        with pytest.raises(left):
            await guarded.serve(inbound_of(), decided(fallback=False))

    asyncio.run(scenario())

    assert breakers.of("r", "migrated").counts(breakers.clock()).answers == 0
