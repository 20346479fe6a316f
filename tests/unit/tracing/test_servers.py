from __future__ import annotations

import asyncio

import pytest
from opentelemetry.trace import get_current_span

from overgrow.asgi.server import AsgiMounts
from overgrow.embedded.mount import DecidedRequest, MigratedCall
from overgrow.embedded.traced_call import TracedApp, TracedDoor
from overgrow.exchange import Inbound, Reply
from overgrow.routing.model import Decision
from overgrow.tracing.request_trace import LegacyTracer
from overgrow.tracing.servers import CopiedRequests, TracedCopyServer, TracedServer
from overgrow.wsgi.server import WsgiServer
from tests.unit.tracing.conftest import ROUTE, exchange, head, scope_of

DECISION = Decision(ROUTE, "migrated", "target", "abc")


def begin(tracing):
    """Begin the trace of a request that the task of the test serves."""
    return tracing.begin(scope_of(head()), lambda _: head())


def current_id():
    return get_current_span().get_span_context().span_id


async def read(reply):
    body = (
        reply.body
        if isinstance(reply.body, bytes)
        else b"".join([chunk async for chunk in reply.body])
    )
    await reply.close()
    return body


class Noting:
    """A Server that notes in which span it is asked, and with which headers."""

    async def serve(self, inbound, _decision):
        self.span_id, self.headers = current_id(), list(inbound.head.headers)
        return Reply(200, [], b"ok")


def test_a_wsgi_app_runs_in_the_span_of_its_request(start):
    seen = []

    def app(environ, start_response):
        seen.append((current_id(), environ["HTTP_TRACEPARENT"].split("-")[2]))
        start_response("200 OK", [])
        yield b"a"
        seen.append((current_id(), ""))

    async def ask():
        trace = begin(start())
        server = WsgiServer(app, threads=1)
        await read(await TracedServer(server).serve(Inbound(head()), DECISION))
        await server.aclose()
        return trace.span.get_span_context().span_id, current_id()

    span_id, after = asyncio.run(ask())
    assert ([(span_id, f"{span_id:016x}"), (span_id, "")], 0) == (seen, after)


def test_a_mounted_asgi_app_runs_in_the_span_of_its_request(start):
    seen = []

    async def app(scope, _receive, send):
        if scope["type"] == "lifespan":
            return
        await asyncio.sleep(0)
        seen.append((current_id(), dict(scope["headers"])[b"traceparent"].split(b"-")[2]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def ask():
        trace = begin(start())
        mounts = AsgiMounts([("/items", app)], Noting())
        await mounts.open()
        await read(await TracedServer(mounts).serve(Inbound(head()), DECISION))
        await mounts.aclose()
        return trace.span.get_span_context().span_id

    span_id = asyncio.run(ask())
    assert [(span_id, b"%016x" % span_id)] == seen


def test_the_record_of_a_request_keeps_the_headers_of_the_client(start):
    async def ask():
        begin(start())
        inbound = Inbound(head())
        await TracedServer(Noting()).serve(inbound, DECISION)
        return inbound.head

    assert head() == asyncio.run(ask())


def copy_of(tracing, side, server, served=None):
    """Serve a request in one task, and its copy in another one."""

    async def ask():
        trace = begin(tracing)
        marked = CopiedRequests().current()
        trace.finish(served or exchange())
        trace.leave()
        with CopiedRequests().following(marked):
            copies = TracedCopyServer(server, side, tracing)
            await read(await copies.serve(Inbound(head()), DECISION))
        return trace

    return asyncio.run(ask())


def test_a_copy_for_migrated_is_a_linked_trace_of_its_own(start, spans):
    server = Noting()
    trace = copy_of(start(), "migrated", server)

    original, copy = spans()
    assert ([original.id], None, "SERVER") == (copy.links, copy.parent, copy.kind)
    assert original.trace_id != copy.trace_id
    assert copy.id == server.span_id
    assert trace.span.get_span_context().span_id == original.id


class Asking:
    """A Server that reaches legacy with these attempts."""

    def __init__(self, tracer):
        self._tracer = tracer

    async def serve(self, _inbound, _decision):
        self.attempt = self._tracer.begin("GET", b"/items/7")
        self.attempt.end(200, None)
        return Reply(200, [], b"ok")


def test_a_copy_for_legacy_is_an_attempt_with_a_link(start, spans):
    tracing = start()
    server = Asking(LegacyTracer(tracing, "http://legacy"))
    copy_of(tracing, "legacy", server)

    original, copy = spans()
    assert ([original.id], None, "CLIENT") == (copy.links, copy.parent, copy.kind)
    assert (True, "item") == (copy.attributes["overgrow.shadow"], copy.attributes["overgrow.route"])


@pytest.mark.parametrize("side", ["legacy", "migrated"])
def test_a_copy_is_sampled_if_its_original_was(start, memory, side):
    tracing = start(ratio=0.5)
    server = Asking(LegacyTracer(tracing, "http://legacy"))
    counts = set()
    for _ in range(40):
        memory.clear()
        copy_of(tracing, side, server)
        counts.add(
            len(
                [
                    span
                    for span in memory.get_finished_spans()
                    if not (side == "migrated" and span.kind.name == "CLIENT")
                ]
            )
        )

    assert {0, 2} == counts


def test_no_copy_belongs_to_the_request_whose_task_sends_it(start, spans):
    tracing = start()

    async def ask():
        begin(tracing)
        with CopiedRequests().following(None):
            await TracedCopyServer(Noting(), "migrated", tracing).serve(Inbound(head()), DECISION)

    asyncio.run(ask())
    assert [] == spans()


class Door:
    """The front door that a mounted call records at."""

    def __init__(self):
        self.recorded = []

    def response_headers(self, _head, _decision, headers):
        return headers

    def record(self, exchange):
        self.recorded.append(exchange)


def test_the_wsgi_mount_traces_the_calls_that_it_makes_itself(start, spans):
    seen, door = [], Door()

    def app(environ, start_response):
        seen.append((current_id(), environ["HTTP_TRACEPARENT"].split("-")[2]))
        start_response("200 OK", [])
        yield b"a"
        seen.append((current_id(), ""))

    tracing = start()
    trace = tracing.begin_call(head())
    call = MigratedCall(
        TracedDoor(door, trace), head(), DecidedRequest(DECISION), lambda: (1.0, 1.0)
    )
    blocks = call.run_app(TracedApp(app, trace), {"wsgi.input": None}, lambda *_: None)
    between = [current_id() for _ in blocks]

    (span,) = spans()
    assert [(span.id, f"{span.id:016x}"), (span.id, "")] == seen
    assert ([0], "GET /items/<int:id>") == (between, span.name)
    assert f"{span.id:016x}" == door.recorded[0].trace.span_id
