"""Traces migrated requests under the WSGI mount.

The app runs in the caller's own thread. The context of the trace is current while the app runs. Between two
blocks of the response it is not, because the thread then belongs to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from overgrow.app_types import Environ, StartResponse, WsgiApp
from overgrow.exchange import Exchange
from overgrow.routing.facts import Head, Headers
from overgrow.routing.model import Decision

T = TypeVar("T")


class CallTrace(Protocol):
    """The trace of one request."""

    def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the context of the trace."""
        ...

    def write_to_environ(self, environ: Environ) -> None:
        """Put the context of the trace into a request's headers, in place of the client's."""
        ...

    def finish(self, exchange: Exchange) -> Exchange:
        """End the trace; return the exchange with the ids of the trace."""
        ...


class CallTracer(Protocol):
    """An object that begins the trace of a request."""

    def begin_call(self, head: Head) -> CallTrace:
        """Begin a trace."""
        ...


class RecordingDoor(Protocol):
    """The part of the front door that a migrated call needs."""

    def response_headers(self, head: Head, decision: Decision, headers: Headers) -> Headers:
        """Return the headers of a response, with those of the front door."""
        ...

    def record(self, exchange: Exchange) -> None:
        """Record a finished exchange."""
        ...


class TracedDoor:
    """The front door of one traced request. When the exchange is recorded, the trace ends."""

    def __init__(self, door: RecordingDoor, trace: CallTrace) -> None:
        self._door = door
        self._trace = trace
        self.response_headers = door.response_headers

    def record(self, exchange: Exchange) -> None:
        """End the trace, and record the exchange."""
        self._door.record(self._trace.finish(exchange))


class TracedApp:
    """The app for one traced request."""

    def __init__(self, app: WsgiApp, trace: CallTrace) -> None:
        self._app = app
        self._trace = trace

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Call the app in the context of the trace."""
        self._trace.write_to_environ(environ)
        return TracedBlocks(self._trace.run(self._app, environ, start_response), self._trace)


class TracedBlocks:
    """The blocks of a response, each made in the context of the trace."""

    def __init__(self, result: Iterable[bytes], trace: CallTrace) -> None:
        self._result = result
        self._trace = trace
        self._blocks = trace.run(iter, result)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self._trace.run(next, self._blocks)
        return block

    def close(self) -> None:
        """Close the app's response."""
        if (close := getattr(self._result, "close", None)) is not None:
            self._trace.run(close)
