"""A LegacyTransport that traces each attempt to send a request, for a process with OpenTelemetry switched on.

Without OpenTelemetry the plain LegacyTransport serves, so that requests have no extra cost. The tracer comes in
by argument: this module knows when an attempt begins, ends or is repeated, but does not know spans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import httpx

from overgrow.exchange import Failure
from overgrow.forwarding.client.httpx_messages import RawRequest, pairs_of
from overgrow.forwarding.client.pool import ConnectionPool
from overgrow.forwarding.client.request import (
    LAST_CHUNK,
    NO_BODY,
    OutgoingRequest,
    build_outgoing_request,
)
from overgrow.forwarding.client.transport import LegacyTransport
from overgrow.forwarding.failures import FOREIGN, failure_of

_CHUNKED_END = b"\r\n" + LAST_CHUNK
_LOST = Failure("legacy-closed", "head", "legacy")  # what may_retry accepts
_CANCELLED = Failure("client-gone", "head", "client")  # nobody waits for the response any more


class TracedAttempt(Protocol):
    """One attempt to send a request."""

    @property
    def lines(self) -> bytes:
        """The header lines by which legacy continues the trace."""
        ...

    @property
    def replaces_headers(self) -> bool:
        """Whether the request may already have headers of these names, which the new ones replace."""
        ...

    @property
    def is_recording(self) -> bool:
        """Whether the outcome of the attempt is recorded."""
        ...

    def end(self, status: int | None, failure: Failure | None) -> None:
        """Note how the attempt ended. Only the first call counts."""
        ...

    def resend(self) -> TracedAttempt:
        """Begin the second attempt."""
        ...


class AttemptTracer(Protocol):
    """An object that begins the traces of attempts."""

    @property
    def header_names(self) -> frozenset[bytes]:
        """The headers that the lines of an attempt replace."""
        ...

    def begin(self, method: str, target: bytes) -> TracedAttempt | None:
        """Begin an attempt. None if its request is not traced."""
        ...


class TracedTransport(LegacyTransport):
    """A LegacyTransport whose attempts are traced."""

    def __init__(self, url: str, tracer: AttemptTracer, **settings: Any) -> None:
        super().__init__(url, **settings)
        self._tracer = tracer

    def handle_async_request(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        """Send one request, in a trace if it serves one; one that is not sampled has no frame of its own here."""
        extensions = request.extensions
        attempt = self._tracer.begin(request.method, extensions["target"])
        if attempt is None:
            return super().handle_async_request(request)
        extensions["attempt"] = attempt
        if attempt.replaces_headers:
            request = self._without_context(request)
        sending = LegacyTransport.handle_async_request(self, request)  # super() costs more
        return _end_in_any_case(extensions, sending) if attempt.is_recording else sending

    def _without_context(self, request: httpx.Request) -> httpx.Request:
        """Return the request without the trace context of the client."""
        pairs, names = pairs_of(request), self._tracer.header_names
        kept = [pair for pair in pairs if pair[0].lower() not in names]
        return RawRequest(request.method, request.url, kept, request.stream, request.extensions)

    def _build_outgoing_request(self, request: httpx.Request) -> OutgoingRequest:
        """Return the wire form of a request, with the trace context of the attempt as its last headers."""
        outgoing = build_outgoing_request(request)
        attempt: TracedAttempt | None = request.extensions.get("attempt")
        if attempt is None:
            return outgoing
        head, lines = outgoing.head, attempt.lines
        if (
            request.stream is NO_BODY and head[-7:] != _CHUNKED_END
        ):  # mostly: nothing stands behind the head
            head = head[:-2] + lines + b"\r\n"
        else:
            head = add_header_lines(head, lines)
        # By tuple's own constructor, because this runs for every request and a NamedTuple's is slower.
        return tuple.__new__(OutgoingRequest, (outgoing[0], head, *outgoing[2:]))

    async def _resend_lost_request(
        self, pool: ConnectionPool, outgoing: OutgoingRequest, request: httpx.Request
    ) -> httpx.Response:
        attempt: TracedAttempt | None = request.extensions.get("attempt")
        if attempt is not None:
            attempt.end(None, _LOST)
            request.extensions["attempt"] = attempt.resend()
            outgoing = self._build_outgoing_request(request)
        return await super()._resend_lost_request(pool, outgoing, request)


def add_header_lines(head: bytes, lines: bytes) -> bytes:
    """Return a request with more header lines. The bytes after its head stay there."""
    end = head.index(b"\r\n\r\n") + 2
    return head[:end] + lines + head[end:]


def failure_of_attempt(error: BaseException) -> Failure:
    """Return why an attempt ended without a response. If it was cancelled, the client caused that."""
    if isinstance(error, FOREIGN):
        failure = failure_of(error)
        # Nothing was sent: the request itself cannot be.
        return failure._replace(party="front") if failure.code == "bad-request" else failure
    return _CANCELLED


async def _end_in_any_case(
    extensions: dict[str, Any], sending: Coroutine[Any, Any, httpx.Response]
) -> httpx.Response:
    """Send a request, and end its last attempt when that has failed, or with the body of the response."""
    try:
        response = await sending
    except BaseException as error:
        extensions["attempt"].end(None, failure_of_attempt(error))
        raise
    _end_with_body(extensions["attempt"], response)
    return response


def _end_with_body(attempt: TracedAttempt, response: httpx.Response) -> None:
    """If the whole response is here, end the attempt now; else end it when the body ends."""
    stream: Any = response.stream
    if getattr(stream, "whole", None) is not None:
        attempt.end(response.status_code, None)
    else:
        response.stream = TracedBody(stream, attempt, response.status_code)


class TracedBody(httpx.AsyncByteStream):
    """The body of a response that is still arriving. When it ends, the attempt ends."""

    def __init__(self, stream: Any, attempt: TracedAttempt, status: int) -> None:
        self._stream = stream
        self._attempt = attempt
        self._status = status
        self.abandon: Callable[[], None] = stream.abandon

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the body itself, such as whether it is complete or paused."""
        return getattr(self._stream, name)

    def __aiter__(self) -> TracedBody:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk: bytes = await anext(self._stream)
        except StopAsyncIteration:
            self._attempt.end(self._status, None)
            raise
        except asyncio.CancelledError:
            self._attempt.end(self._status, _CANCELLED)
            raise
        except FOREIGN as error:
            self._attempt.end(self._status, failure_of(error, stage="body"))
            raise
        return chunk

    async def aclose(self) -> None:
        """Give up what has not been read."""
        await self._stream.aclose()
        self._attempt.end(self._status, _CANCELLED)
