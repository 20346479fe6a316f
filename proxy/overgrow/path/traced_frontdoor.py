"""The front door with a trace of each request, for a process that has OpenTelemetry switched on.

Without OpenTelemetry the plain FrontDoor serves, so that requests have no extra cost. The tracer comes in by
argument: this module knows when a request begins and ends, but does not know spans.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from overgrow.app_types import Receive, Scope, Send
from overgrow.exchange import Exchange, NativeScope
from overgrow.path.frontdoor import Collaborators, FrontDoor, TableSource, read_head
from overgrow.path.plain_scope import PlainScope
from overgrow.routing.facts import Head


class BegunTrace(Protocol):
    """The trace of a request that is under way."""

    @property
    def is_recording(self) -> bool:
        """Whether the request is sampled."""
        ...

    def finish(self, exchange: Exchange) -> Exchange:
        """End the trace; return the exchange with the ids of the trace."""
        ...

    def fail(self, error: BaseException) -> None:
        """End the trace of a request that ended without an exchange."""
        ...

    def leave(self) -> None:
        """Forget the request."""
        ...


class RequestTracer(Protocol):
    """What begins the trace of the request that the current task serves, and knows it until the request ends."""

    @property
    def current(self) -> Callable[[], BegunTrace | None]:
        """Returns the trace that was begun last in this task."""
        ...

    def begin(self, scope: Scope, read_head: Callable[[Scope], Head]) -> BegunTrace:
        """Begin a trace; `read_head` is called only if it is sampled."""
        ...


class TracedFrontDoor(FrontDoor):
    """A front door whose requests are traced."""

    def __init__(
        self, tables: TableSource, collaborators: Collaborators, tracer: RequestTracer
    ) -> None:
        super().__init__(tables, collaborators)
        self._tracer = tracer
        self._current = tracer.current

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Take one request through the five stations, in a trace; one that is not sampled has no frame of its own here."""
        trace = self._tracer.begin(scope, self._read_head)
        serving = FrontDoor.__call__(self, scope, receive, send)  # super() costs each request more
        return _end_in_any_case(trace, serving) if trace.is_recording else serving

    def _read_head(self, scope: Scope) -> Head:
        native: NativeScope = scope.get("overgrow") or PlainScope(scope)
        return read_head(scope, native, self._tables.matcher.table.trusted_proxies)

    def record(self, exchange: Exchange) -> None:
        """End the trace, then give the exchange to every sink."""
        trace = self._current()
        if trace is not None and trace.is_recording:
            exchange = trace.finish(exchange)
        for sink in self._sinks:
            sink.record(exchange)


async def _end_in_any_case(trace: BegunTrace, serving: Coroutine[Any, Any, None]) -> None:
    try:
        await serving
    except BaseException as error:
        trace.fail(error)
        raise
    finally:
        trace.leave()
