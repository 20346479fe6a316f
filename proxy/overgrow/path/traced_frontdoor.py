"""The front door with a trace of each request, for a process that has OpenTelemetry switched on.

Without OpenTelemetry the plain FrontDoor serves, so that requests have no extra cost. The tracer comes in by
argument: this module knows when a request begins and ends, but does not know spans.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from overgrow.app_types import Receive, Scope, Send
from overgrow.exchange import Exchange, NativeScope
from overgrow.path.frontdoor import Collaborators, FrontDoor, TableSource, read_head
from overgrow.path.plain_scope import PlainScope
from overgrow.routing.facts import Head, Headers


class BegunTrace(Protocol):
    """The trace of a request that is under way."""

    def fail(self, error: BaseException) -> None:
        """End the trace of a request that ended without an exchange."""
        ...

    def leave(self) -> None:
        """Forget the request."""
        ...


class RequestTracer(Protocol):
    """An object that begins and ends the trace of the request that the current task serves."""

    def begin(
        self, method: str, headers: Headers, head: Callable[[], Head], peer_port: int | None
    ) -> BegunTrace:
        """Begin a trace. `head` is called only if the trace is sampled."""
        ...

    def end(self, exchange: Exchange) -> Exchange:
        """End the trace, and return the exchange with the ids of the trace."""
        ...


class TracedFrontDoor(FrontDoor):
    """A front door whose requests are traced."""

    def __init__(
        self, tables: TableSource, collaborators: Collaborators, tracer: RequestTracer
    ) -> None:
        super().__init__(tables, collaborators)
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request through the five stations, in a trace."""
        if "overgrow" not in scope:
            scope["overgrow"] = PlainScope(scope)
        client = scope.get("client")
        trace = self._tracer.begin(
            scope["method"],
            scope["headers"],
            partial(self._read_head, scope),
            client[1] if client else None,
        )
        try:
            await super().__call__(scope, receive, send)
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            trace.leave()

    def _read_head(self, scope: Scope) -> Head:
        native: NativeScope = scope["overgrow"]
        return read_head(scope, native, self._tables.matcher.table.trusted_proxies)

    def record(self, exchange: Exchange) -> None:
        """End the trace, then give the exchange to every sink."""
        super().record(self._tracer.end(exchange))
