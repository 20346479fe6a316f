"""When legacy answers for migrated: which requests, which failures, which bodies."""

from __future__ import annotations

import pytest

from overgrow.exchange import Failure, FellBack, Reply, failure_reply
from overgrow.resilience.fallback import KEPT_BYTES, Fallback, failure_code_of

CRASH = failure_reply(Failure("migrated-crash", "head", "migrated", "KeyError: 'name'"))
KEY = (b"idempotency-key", b"8e03978e")


@pytest.fixture
def legacy(side):
    return side([Reply(200, [], b"legacy")])


@pytest.fixture
def ask(side, legacy, served, decided, inbound_of):
    """Ask for migrated, which answers so; the reply that the client gets."""

    def asked(answer, *chunks, reason="target", reads=True, route=None, **head):
        migrated = side([answer], reads=reads)
        inbound = inbound_of(*chunks, **head)
        return served(Fallback(migrated, legacy), inbound, decided(reason=reason, **(route or {})))

    return asked


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        pytest.param(CRASH, "migrated-crash", id="crash"),
        pytest.param(
            failure_reply(Failure("migrated-timeout", "head", "migrated")),
            "migrated-timeout",
            id="no head in time",
        ),
        pytest.param(
            failure_reply(Failure("local-busy", "queue", "migrated")), "local-busy", id="busy"
        ),
        pytest.param(Reply(500, []), "500", id="500"),
        pytest.param(Reply(502, []), "502", id="502"),
        pytest.param(Reply(503, []), "503", id="503"),
        pytest.param(Reply(504, []), "504", id="504"),
        pytest.param(Reply(404, []), None, id="never a 404"),
        pytest.param(Reply(501, []), None, id="501"),
        pytest.param(Reply(200, []), None, id="200"),
        pytest.param(Reply(400, []), None, id="400"),
        pytest.param(
            failure_reply(Failure("bad-request", "read", "client")), None, id="the client's fault"
        ),
        pytest.param(
            failure_reply(Failure("draining", "queue", "front")), None, id="our own refusal"
        ),
    ],
)
def test_which_answers_count_as_migrated_failing(ask, reply, code):
    answer = ask(reply)

    assert failure_code_of(reply) == code
    assert answer.body == (b"legacy" if code else reply.body)


def test_the_answer_says_who_gave_it_and_what_it_replaced(ask, decided):
    reply = ask(CRASH)

    assert reply.decision == decided()._replace(side="legacy", reason="fallback")
    assert reply.fallback == FellBack("migrated-crash", 500, "KeyError: 'name'")


def test_an_answer_of_migrated_says_nothing(ask):
    reply = ask(Reply(200, [], b"migrated"))

    assert (reply.body, reply.decision, reply.fallback) == (b"migrated", None, None)


@pytest.mark.parametrize(
    ("head", "route", "expected"),
    [
        ({"method": "GET"}, {}, True),
        ({"method": "HEAD"}, {}, True),
        ({"method": "OPTIONS"}, {}, True),
        ({"method": "TRACE"}, {}, False),
        ({"method": "POST"}, {}, False),
        ({"method": "PUT"}, {}, False),
        ({"method": "DELETE"}, {}, False),
        ({"method": "POST", "headers": [KEY]}, {}, False),
        ({"method": "POST"}, {"fallback_unsafe": True}, False),
        ({"method": "POST", "headers": [(KEY[0], b"")]}, {"fallback_unsafe": True}, False),
        ({"method": "POST", "headers": [KEY]}, {"fallback_unsafe": True}, True),
        ({"method": "GET"}, {"fallback": False}, False),
        ({"method": "GET"}, {"reversible": False}, False),
    ],
    ids=str,
)
def test_which_requests_may_be_asked_twice(ask, legacy, head, route, expected):
    ask(CRASH, route=route, **head)

    assert bool(legacy.asked) is expected


@pytest.mark.parametrize(
    ("reason", "expected"), [("target", True), ("canary", True), ("override", False)]
)
def test_who_chose_migrated_matters(ask, legacy, reason, expected):
    ask(CRASH, reason=reason)

    assert bool(legacy.asked) is expected


def test_a_request_without_a_route_passes(served, side, legacy, decided, inbound_of):
    decision = decided()._replace(route=None)

    assert served(Fallback(side([CRASH]), legacy), inbound_of(), decision) is CRASH


def test_legacy_is_told_the_decision_it_answers_under(ask, legacy):
    ask(CRASH)

    ((_, decision),) = legacy.asked
    assert (decision.route_name, decision.side, decision.reason) == ("r", "legacy", "fallback")


def test_what_legacy_fails_with_is_the_answer(served, side, decided, inbound_of):
    down = failure_reply(Failure("legacy-connect", "connect", "legacy"))

    reply = served(Fallback(side([CRASH]), side([down])), inbound_of(), decided())

    assert (reply.failure.code, reply.fallback.code) == ("legacy-connect", "migrated-crash")


def test_a_body_that_was_read_whole_is_sent_again_byte_for_byte(ask, legacy):
    ask(CRASH, b"one", b"two", method="GET")

    assert legacy.bodies == [b"onetwo"]


def test_a_body_that_nobody_began_is_streamed_whatever_its_size(ask, legacy):
    busy_reply = failure_reply(Failure("local-busy", "queue", "migrated"))
    ask(busy_reply, b"x" * KEPT_BYTES, b"y", reads=False)

    assert legacy.bodies == [b"x" * KEPT_BYTES + b"y"]


@pytest.mark.parametrize(("size", "expected"), [(KEPT_BYTES, True), (KEPT_BYTES + 1, False)])
def test_a_body_over_the_limit_turns_fallback_off_without_a_word(ask, legacy, size, expected):
    reply = ask(CRASH, b"x" * (size - 5), b"y" * 5)

    assert bool(legacy.asked) is expected
    assert reply.status == (200 if expected else 500)
    assert legacy.bodies == ([b"x" * (size - 5) + b"y" * 5] if expected else [])


def test_a_body_over_the_limit_still_reaches_migrated_whole(
    side, legacy, served, decided, inbound_of
):
    migrated = side([Reply(200, [])])
    chunks = [b"x" * KEPT_BYTES, b"y", b"z"]

    served(Fallback(migrated, legacy), inbound_of(*chunks), decided())

    assert migrated.bodies == [b"".join(chunks)]


def test_half_a_body_is_not_repeated(legacy, served, decided, inbound_of):
    class HalfReader:
        async def serve(self, inbound, _decision):
            await anext(inbound.body)
            return CRASH

    reply = served(Fallback(HalfReader(), legacy), inbound_of(b"a", b"b"), decided())

    assert reply is CRASH
    assert legacy.asked == []


def test_an_app_that_has_committed_keeps_its_failure(ask, legacy):
    def commits_then_crashes(inbound):
        inbound.commit()
        return CRASH

    assert ask(commits_then_crashes) is CRASH
    assert legacy.asked == []


def test_an_app_that_would_commit_after_the_fallback_is_stopped(ask):
    points = []

    def hangs(inbound):
        points.append(inbound.commit)
        return failure_reply(Failure("migrated-timeout", "head", "migrated"))

    ask(hangs)

    with pytest.raises(RuntimeError, match="roll back"):
        points[0]()


def test_only_requests_that_may_fall_back_have_a_commit_point(ask):
    points = []

    def answers(inbound):
        points.append(inbound.commit)
        return Reply(200, [])

    ask(answers)
    ask(answers, method="POST")

    assert [point is None for point in points] == [False, True]


def test_the_failed_answer_is_closed_once_before_legacy_is_asked(side, served, decided, inbound_of):
    steps = []

    async def close():
        steps.append("closed")

    async def stream():
        yield b"half an error page"

    def legacy(_inbound):
        steps.append("asked")
        return Reply(200, [])

    served(
        Fallback(side([Reply(500, [], stream(), close=close)]), side([legacy])),
        inbound_of(),
        decided(),
    )

    assert steps == ["closed", "asked"]


def test_legacy_gets_the_request_as_it_came(ask, legacy):
    ask(CRASH, method="HEAD", target=b"/a%20b?x=1")

    ((inbound, _),) = legacy.asked
    assert (inbound.head.method, inbound.head.target) == ("HEAD", b"/a%20b?x=1")
    assert inbound.commit is None
    assert not inbound.started
