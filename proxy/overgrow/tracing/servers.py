"""Wraps Servers, so that they serve a request in the context of its span.

Migrated gets our context in two ways: in the headers of its request, and as the current context of its thread
or task. The app's own spans use the current context as their parent. A copy gets a separate trace with a link
to the trace of the original request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import getrandbits

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, Status, StatusCode

from overgrow.exchange import Inbound, Reply, Server
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Side
from overgrow.tracing.attributes import Attributes, request_attributes, server_error_type, span_name
from overgrow.tracing.request_trace import (
    CURRENT,
    LOWER_HALF,
    NEXT_TRACE_ID,
    CopyTrace,
    RequestTrace,
    Tracing,
)


class TracedServer:
    """The migrated side, in the context of the request's span."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Serve a request in its context. The record of the request keeps the headers of the client."""
        trace = CURRENT.get()
        if trace is None:
            return await self._server.serve(inbound, decision)
        head = inbound.head
        headers = trace.headers_for_side(head.headers)
        # By tuple's own constructor, because this runs for every request and `_replace` is slower.
        inbound.head = tuple.__new__(Head, (*head[:2], headers, *head[3:]))
        token = attach(trace.context)
        try:
            return await self._server.serve(inbound, decision)
        finally:
            detach(token)
            inbound.head = head


class CopiedRequests:
    """Passes the trace of a request from its own task to the task that sends its copy."""

    def current(self) -> RequestTrace | None:
        """Return the trace of the request that the current task serves."""
        return CURRENT.get()

    @contextmanager
    def following(self, trace: object) -> Iterator[None]:
        """Make an already served request the current one, for its copy."""
        token = CURRENT.set(trace if isinstance(trace, RequestTrace) else None)
        try:
            yield
        finally:
            CURRENT.reset(token)


class TracedCopyServer:
    """The Server of a side, as the mirror uses it for copies."""

    def __init__(self, server: Server, side: Side, tracing: Tracing) -> None:
        self._server = server if side == "legacy" else TracedServer(server)
        self._side = side
        self._tracing = tracing

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Serve a copy in a separate trace. CURRENT is the request that it copies."""
        copied = CURRENT.get()
        if copied is None:
            return await self._server.serve(inbound, decision)
        copying = NEXT_TRACE_ID.set(_id_like(copied.span.get_span_context().trace_id))
        trace = self._begin(copied, inbound, decision)
        current = CURRENT.set(trace)
        try:
            reply = await self._server.serve(inbound, decision)
        except BaseException:
            trace.span.end()
            raise
        finally:
            CURRENT.reset(current)
            NEXT_TRACE_ID.reset(copying)
        reply.close = partial(_close_and_end, reply, trace, reply.close)
        return reply

    def _begin(self, copied: RequestTrace, inbound: Inbound, decision: Decision) -> CopyTrace:
        links = (Link(copied.span.get_span_context()),)
        about: Attributes = {
            "overgrow.route": decision.route_name,
            "overgrow.side": self._side,
            "overgrow.revision": decision.revision,
            "overgrow.shadow": True,
        }
        tracing, head = self._tracing, inbound.head
        if self._side == "legacy":
            return CopyTrace(tracing, INVALID_SPAN, links, about)
        template = decision.route.template if decision.route else None
        found = request_attributes(head, tracing.known_methods, tracing.redact_query) | about
        if template:
            found["http.route"] = template
        name = span_name(head.method, tracing.known_methods, template)
        span = tracing.tracer.start_span(name, Context(), SpanKind.SERVER, found, links)
        return CopyTrace(tracing, span, links, about)


def _id_like(trace_id: int) -> int:
    """Return a new trace id with the same lower half, by which a ratio sampler samples a copy if it sampled the original."""
    return getrandbits(64) << 64 | trace_id & LOWER_HALF


async def _close_and_end(
    reply: Reply, trace: CopyTrace, close: Callable[[], Awaitable[None]]
) -> None:
    try:
        await close()
    finally:
        span = trace.span
        if span.is_recording():
            if reply.status:
                span.set_attribute("http.response.status_code", reply.status)
            if error := server_error_type(reply.status, reply.failure):
                span.set_attribute("error.type", error)
                span.set_status(Status(StatusCode.ERROR))
            span.end()
