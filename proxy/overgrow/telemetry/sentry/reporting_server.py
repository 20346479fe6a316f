"""A Server around the migrated side: reports to Sentry during a request carry its route, side and reason.

Rule: this module never waits, and never changes headers of the request. A request has its own scope, which the
app's thread inherits. A transaction ends when the response begins, even if the response is streamed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Transaction, TransactionSource

from overgrow.exchange import Inbound, Reply, Server
from overgrow.routing.facts import Headers
from overgrow.routing.model import Decision
from overgrow.telemetry.sentry.reported_request import CURRENT, RECENT, ReportedRequest

ORIGIN = "auto.http.overgrow"
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class TransactionSampling:
    """Draws the requests that become transactions: a `share` of them, or each if `share` is None.

    With None the client of the app draws once more, by its own options.
    """

    def __init__(self, share: float | None) -> None:
        self.share = share

    def draw(self) -> bool:
        """Return whether the next request may become a transaction."""
        return self.share is None or (self.share > 0 and random.random() < self.share)  # noqa: S311 - no secret


class ReportingServer:
    """A Server that wraps another Server. `is_copy` says that the requests are copies, for which no user waits."""

    def __init__(
        self, inner: Server, sampling: TransactionSampling, *, is_copy: bool = False
    ) -> None:
        self._inner, self._sampling, self._is_copy = inner, sampling, is_copy

    async def serve(self, inbound: Inbound, decision: Decision) -> Reply:
        """Serve a request in its own scope. If its transaction is sampled, serve it within that transaction."""
        is_sampled = self._sampling.draw()
        request = ReportedRequest(inbound.head, decision, self._is_copy, is_sampled=is_sampled)
        request.remember_body(inbound)
        with _scope_of(request) as scope:
            if not is_sampled:
                scope.generate_propagation_context(trace_of(inbound.head.headers))
                return await self._inner.serve(inbound, decision)
            with sentry_sdk.start_transaction(_new_transaction(request)) as span:
                reply = await self._inner.serve(inbound, decision)
                if isinstance(span, Transaction):
                    span.set_http_status(reply.status)
                return reply


@contextmanager
def _scope_of(request: ReportedRequest) -> Iterator[sentry_sdk.Scope]:
    RECENT.append(request)
    token = CURRENT.set(request)
    try:
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.add_event_processor(request.attach)
            yield scope
    finally:
        CURRENT.reset(token)


def _new_transaction(request: ReportedRequest) -> Transaction:
    """Return a transaction that continues the client's trace, but without baggage, which a client may choose freely."""
    return sentry_sdk.continue_trace(
        trace_of(request.head.headers),
        op="http.server",
        name=request.name,
        source=TransactionSource.ROUTE,
        origin=ORIGIN,
    )


def trace_of(headers: Headers) -> dict[str, Any]:
    """Return the trace of a request, by Sentry's header or by W3C's `traceparent`; empty if there is none."""
    found = {name: value for name, value in headers if name in (b"sentry-trace", b"traceparent")}
    if b"sentry-trace" in found:
        return {"sentry-trace": found[b"sentry-trace"].decode("latin-1")}
    parent = _TRACEPARENT.fullmatch(found.get(b"traceparent", b""))
    if parent is None:
        return {}
    trace_id, span_id, flags = (each.decode() for each in parent.groups())
    return {"sentry-trace": f"{trace_id}-{span_id}-{int(flags, 16) & 1}"}
