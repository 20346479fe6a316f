"""What a request of the migrated side gives to what Sentry is told meanwhile."""

import asyncio
from contextvars import copy_context

import pytest
import sentry_sdk

from overgrow.exchange import Inbound, Reply
from overgrow.routing.facts import Head
from overgrow.routing.identity import Identity
from overgrow.routing.model import Decision, Route
from overgrow.telemetry.sentry.reported_request import (
    CURRENT,
    KEPT_BYTES,
    ReportedRequest,
    values_to_hide,
)
from overgrow.telemetry.sentry.reporting_server import (
    ReportingServer,
    TransactionSampling,
    trace_of,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ORDER = Route("order", path="/orders/<int:id>", target="migrated")


def inbound(*headers, method="GET", body=None):
    head = Head(method, b"/orders/7", list(headers), "", "", "https", "shop.example")
    return Inbound(head, body)


def decided(route=ORDER):
    return Decision(route, "migrated", "canary", "rev")


def serve(inner, request=None, *, is_copy=False, route=ORDER):
    served = type("Inner", (), {"serve": staticmethod(inner)})
    server = ReportingServer(served, TransactionSampling(0.5), is_copy=is_copy)
    return asyncio.run(server.serve(request or inbound(), decided(route)))


def seen_by(request=None, **more):
    """What a thread of the app sees, which runs in a copy of the context."""
    seen = []

    async def inner(*_):
        seen.append(copy_context()[CURRENT])
        return Reply(200, [])

    serve(inner, request, **more)
    return seen[0]


@pytest.mark.parametrize(
    ("route", "method", "name"),
    [
        (ORDER, "POST", "POST /orders/<int:id>"),
        (ORDER, "MADE-UP-BY-A-CLIENT", "HTTP /orders/<int:id>"),
        (Route("admin", prefix="/admin", target="migrated"), "GET", "GET /admin/*"),
        (None, "GET", "GET"),
    ],
)
def test_a_request_is_named_by_its_method_and_template(route, method, name):
    assert seen_by(inbound(method=method), route=route).name == name


def test_a_copy_is_told_apart():
    assert "overgrow.shadow" not in seen_by().tags()
    assert seen_by(is_copy=True).tags()["overgrow.shadow"] == "true"


def test_the_user_is_among_what_no_report_repeats():
    user = Identity("4711", "Grace Hopper", ("admins",), {"mail": "grace@shop"})
    request = ReportedRequest(inbound().head, decided()._replace(identity=user))

    assert {"4711", "Grace Hopper", "admins", "grace@shop"} <= request.values().values


def test_nothing_of_a_request_stays_after_it():
    async def inner(*_):
        sentry_sdk.get_isolation_scope().set_tag("left-by", "a request")
        raise OSError

    before = sentry_sdk.get_isolation_scope()._tags.copy()
    with pytest.raises(OSError):
        serve(inner)

    assert CURRENT.get() is None
    assert sentry_sdk.get_isolation_scope()._tags == before


@pytest.mark.parametrize(("size", "known"), [(KEPT_BYTES, True), (KEPT_BYTES + 1, False)])
def test_a_body_passes_whole_and_its_start_is_remembered(size, known):
    async def chunks():
        yield b"x" * size

    passed, seen = [], []

    async def inner(request, _decision):
        passed.extend([chunk async for chunk in request.body])
        seen.append(CURRENT.get().values().are_all)
        return Reply(200, [])

    serve(inner, inbound((b"content-length", b"9"), body=chunks()))

    assert [size] == [len(each) for each in passed]
    assert [known] == seen


@pytest.mark.parametrize(("share", "drawn"), [(0.0, {False}), (1.0, {True}), (None, {True})])
def test_a_share_of_nothing_or_of_all_is_exact(share, drawn):
    assert {TransactionSampling(share).draw() for _ in range(100)} == drawn


def test_a_thread_without_a_request_hides_the_values_of_the_last_ones():
    async def inner(*_):
        return Reply(200, [])

    serve(inner, inbound((b"x-api-key", b"of-an-earlier-request")))

    assert "of-an-earlier-request" in values_to_hide(None).values


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], {}),
        ([(b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())], f"{TRACE}-{SPAN}-1"),
        ([(b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())], f"{TRACE}-{SPAN}-0"),
        ([(b"traceparent", b"00-zz-zz-zz")], {}),
        ([(b"sentry-trace", b"a-b-1"), (b"traceparent", b"x")], "a-b-1"),
        ([(b"baggage", b"sentry-user_id=secret")], {}),
    ],
)
def test_the_clients_trace_is_continued_without_its_baggage(headers, expected):
    found = trace_of(headers)

    assert found == (expected and {"sentry-trace": expected})
