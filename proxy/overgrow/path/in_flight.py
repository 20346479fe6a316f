"""One request in flight: its client, its reply, and how it ends.

Band 2, beside the front door: it imports only exchange, http and routing. An InFlightRequest owns the reply,
watches the client, relays the response and records the exchange. A ReceivedBody is the client's body; reading
it also shows a disconnect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Protocol, Self

from overgrow.app_types import Message, Receive, Send
from overgrow.caches.header_memo import HeaderMemo
from overgrow.exchange import (
    BodyBroken,
    ClientGone,
    Exchange,
    Failure,
    Inbound,
    NativeScope,
    Reply,
    close_nothing,
)
from overgrow.http import OWN_COOKIES, OWN_HEADERS, SHADOW_MARK, streams_events
from overgrow.routing.facts import Head, Headers
from overgrow.routing.identity import Unavailable
from overgrow.routing.model import Decision, Timeouts

CLIENT_GONE = Failure("client-gone", "body", "client")  # recorded, never sent: the client is gone
# Headers for the front door alone; and Proxy, which CGI programs take for the variable HTTP_PROXY.
_HIDDEN = (*OWN_HEADERS, b"proxy")
_NOT_KNOWN_IN_TIME = Unavailable("", "the request ended before its user was known")
_UNDERSCORE = ord("_")  # a number is found in bytes without detours


class RequestRecorder(Protocol):
    """What a request in flight needs of the ASGI callable that received it."""

    @property
    def own_cookies(self) -> tuple[bytes, ...]:
        """The cookies that are hidden from both sides."""
        ...

    def record(self, exchange: Exchange) -> None:
        """Record a finished exchange."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Unix time in seconds."""
        ...

    @property
    def stopwatch(self) -> Callable[[], float]:
        """Seconds that never go back."""
        ...


class Outcome(NamedTuple):
    """How an exchange ended: the failure to record, and whether to break the client's connection.

    If `breaks` is True, our own server breaks the connection, and the exception does not reach the server.
    Otherwise an exception is a fault of the front door: it reaches the server, which logs it.
    """

    failed: Literal["client", "body", "reply"]
    breaks: bool


COMPLETE = Outcome("reply", breaks=False)
CLIENT_LEFT = Outcome(
    "client", breaks=False
)  # the server reported it, and the request was cancelled
SEND_FAILED = Outcome("client", breaks=True)  # `receive` or `send` found the client gone
BODY_BROKEN = Outcome("body", breaks=True)  # the reply's body ended early
NO_REPLY = Outcome("reply", breaks=True)  # status 0: nothing may be sent
FAULT = Outcome("reply", breaks=False)


def outcome_of(error: BaseException | None, reply: Reply | None, *, has_left: bool) -> Outcome:
    """Return how an exchange ended. `has_left` says whether the server has reported that the client left.

    `send` raises OSError if the client is gone (ASGI 2.4). An OSError before the reply exists is a fault.
    """
    if has_left and isinstance(error, asyncio.CancelledError):
        return CLIENT_LEFT
    if isinstance(error, ClientGone) or (isinstance(error, OSError) and reply is not None):
        return SEND_FAILED
    if isinstance(error, BodyBroken):
        return BODY_BROKEN
    if reply is not None and reply.status == 0:
        return NO_REPLY
    return COMPLETE if error is None else FAULT


# Map 7 (docs/architecture.md#a-request-by-numbers)
class InFlightRequest:
    """One request from its head to its record: it owns the reply and watches the client."""

    __slots__ = (
        "_began_s",
        "_body",
        "_first_byte_s",
        "_has_left",
        "_native",
        "_receive",
        "_recorder",
        "_send",
        "_sent_bytes",
        "_started_at",
        "_status",
        "_task",
        "_timeouts",
        "_tunnel_bytes",
        "_watcher",
        "decision",
        "failure",
        "inbound",
        "reply",
    )

    def __init__(  # noqa: PLR0913, PLR0917  what was read and decided; an object more costs each request
        self,
        recorder: RequestRecorder,
        native: NativeScope,
        receive: Receive,
        send: Send,
        head: Head,
        decision: Decision,
        timeouts: Timeouts,
    ) -> None:
        self._recorder = recorder
        self._native = native
        self._receive = receive
        self._send = send
        self._timeouts = timeouts
        self._started_at, self._began_s = recorder.clock(), recorder.stopwatch()
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._has_left = False
        self._status = self._sent_bytes = self._tunnel_bytes = 0
        self._first_byte_s: float | None = None
        self._body: ReceivedBody | None = None
        self.decision = decision
        self.failure: Failure | None = None
        self.reply: Reply | None = None
        native.idle_s = timeouts.idle_s
        headers = head.headers
        if type(headers) is HeaderMemo and headers.is_public and native.is_native:  # mostly
            self.inbound = Inbound(head, None, self._send_informational)
            self.inbound.client_connection = native.client_connection
        else:
            self.inbound = self._build_inbound(head)

    def _build_inbound(self, head: Head) -> Inbound:
        """Return the request in the form that a side may see."""
        native, announced = self._native, has_body(head)
        if announced or not native.is_native:
            self._body = ReceivedBody(self._receive, announced)
        chunks = self._body.chunks() if self._body is not None and announced else None
        public = strip_private_headers(head, self._recorder.own_cookies)
        inbound = Inbound(public, chunks, self._send_informational)
        if public is not head:
            inbound.is_copy = any(pair[0] == SHADOW_MARK for pair in head.headers)
        inbound.client_connection = native.client_connection
        if head.upgrade and native.can_switch_protocol:
            inbound.switch_protocol = native.switch_protocol
        return inbound

    async def __aenter__(self) -> Self:
        native = self._native
        # Our worker knows the task already: asking asyncio costs a system call on Python 3.11.
        self._task = native.task or asyncio.current_task()
        if native.is_native:
            native.on_disconnect(self._cancel_exchange)
        else:
            self._watcher = asyncio.create_task(self._cancel_after_disconnect())
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Close the reply, set the failure, and record the exchange. The result True suppresses the exception."""
        if self._watcher is not None:
            self._watcher.cancel()
        reply = self.reply
        if error is None and reply is not None and reply.status:  # mostly
            if reply.close is not close_nothing:
                await reply.close()
            self.failure = reply.failure
            self._record_exchange()
            return False
        return await self._finish_early_and_decide_suppression(reply, error)

    async def _finish_early_and_decide_suppression(
        self, reply: Reply | None, error: BaseException | None
    ) -> bool:
        """End an exchange that broke off, or that has a reply with status 0, which is never sent.

        Return whether to suppress `error`.
        """
        outcome = outcome_of(error, reply, has_left=self._has_left)
        if reply is None and self.decision.resume is not None:
            self.decision = self.decision.resume(_NOT_KNOWN_IN_TIME)
        if outcome is CLIENT_LEFT and self._task is not None:
            self._task.uncancel()
        if reply is not None and reply.close is not close_nothing:
            await reply.close()
        self._set_failure(outcome, error)
        self._record_exchange()
        # A plain ASGI server breaks the connection when the exception reaches it.
        is_broken = outcome.breaks and self._native.is_native
        if is_broken and self._status == 0:
            self._native.abort()
        # After the head, our worker itself breaks the connection of an unfinished response: the client
        # gets what was sent, and sees by the framing that the rest is missing.
        return is_broken or outcome is CLIENT_LEFT

    def _set_failure(self, outcome: Outcome, error: BaseException | None) -> None:
        """If somebody failed in this exchange, set the failure."""
        if outcome.failed == "client":
            self.failure = self._native.ended_as or CLIENT_GONE
            if self.failure is not CLIENT_GONE and not self._status:
                self._status = 408
        elif isinstance(error, BodyBroken):
            self.failure = error.failure
        elif self.reply is not None:
            self.failure = self.reply.failure

    # Map 14 (docs/architecture.md#a-request-by-numbers)
    async def relay_response(self) -> None:
        """Station 4: head, then chunks as fast as the client takes them."""
        reply = self.reply
        if reply is None or reply.status == 0:
            return
        self._first_byte_s = self._recorder.stopwatch()
        self._status = reply.status
        if reply.upgraded is not None:
            moved = await reply.upgraded(reply.headers)
            self._tunnel_bytes, self._sent_bytes = moved.sent_bytes, moved.received_bytes
            return
        body = reply.body
        if isinstance(body, bytes):
            send_response = self._native.send_response  # our worker takes it in one step
            if send_response is not None and reply.trailers is None:
                send_response(reply.status, reply.headers, body, reply.reason)
                self._sent_bytes = len(body)
            else:
                await self._relay_whole(body, reply)
            return
        await self._relay_stream(body, reply)

    async def _relay_stream(self, body: AsyncIterable[bytes], reply: Reply) -> None:
        """Send a response chunk by chunk."""
        trailers = reply.trailers if self._native.accepts_trailers else None
        await self._send({**self._build_start_message(reply), "trailers": trailers is not None})
        self._apply_stream_idle_timeout(reply.headers)
        if not self._native.is_native:
            # A plain ASGI server may hold the head back until the first chunk.
            await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        async for chunk in body:
            self._sent_bytes += len(chunk)
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})
        if trailers is not None:
            await self._send({"type": "http.response.trailers", "headers": list(trailers())})

    def _build_start_message(self, reply: Reply) -> Message:
        """Return the ASGI message that starts a response. Our own servers also accept a reason phrase in it."""
        start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
        if reply.reason is not None and self._native.is_native:
            start["reason"] = reply.reason
        return start

    async def _relay_whole(self, body: bytes, reply: Reply) -> None:
        """Send a response whose body and trailers are completely in memory."""
        trailers = reply.trailers() if reply.trailers and self._native.accepts_trailers else ()
        start = self._build_start_message(reply)
        await self._send({**start, "trailers": True} if trailers else start)
        self._sent_bytes = len(body)
        await self._send({"type": "http.response.body", "body": body})
        if trailers:
            await self._send({"type": "http.response.trailers", "headers": list(trailers)})

    def _apply_stream_idle_timeout(self, headers: Headers) -> None:
        """If the response is an event stream, apply `stream_idle_timeout`."""
        if streams_events(headers):
            self._native.idle_s = self._timeouts.stream_idle_s
            self._native.is_events = True

    async def _send_informational(self, status: int, headers: Headers) -> None:
        """Send a 1xx response to the client, if the server can."""
        await self._send(
            {"type": "http.response.informational", "status": status, "headers": list(headers)}
        )

    def _cancel_exchange(self) -> None:
        """Cancel the exchange, because nobody will read the response."""
        self._has_left = True
        if self._task is not None:
            self._task.cancel()

    async def _cancel_after_disconnect(self) -> None:
        """Wait until the body has been read and then until the client disconnects; cancel the exchange.

        This is for ASGI servers that report a disconnect by `receive` only.
        """
        if self._body is not None:
            await self._body.wait_for_disconnect()
            self._cancel_exchange()

    def _record_exchange(self) -> None:
        """Station 5: give the exchange to the sinks."""
        ended_s, began_s = self._recorder.stopwatch(), self._began_s
        first_byte_s = ended_s if self._first_byte_s is None else self._first_byte_s
        decision, fallback = self.decision, None
        if self.reply is not None:
            decision, fallback = self.reply.decision or decision, self.reply.fallback
        inbound = self.inbound
        exchange = Exchange(
            inbound.head,
            decision,
            self._status,
            self.failure,
            self._started_at,
            ended_s - began_s,
            first_byte_s - began_s,
            self._tunnel_bytes if self._body is None else self._body.count,
            self._sent_bytes,
            fallback,
        )
        self._recorder.record(exchange)
        # They refer back to this object: only the garbage collector would free the cycle.
        inbound.inform = inbound.switch_protocol = inbound.client_connection = None


class ReceivedBody:
    """The client's body as a stream; reading it also shows a disconnect."""

    __slots__ = ("_finished", "_receive", "count")

    def __init__(self, receive: Receive, has_body: bool) -> None:  # noqa: FBT001  one fact, named
        self._receive = receive
        self._finished = asyncio.Event() if has_body else None
        self.count = 0  # bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's non-empty chunks. If the body ends early, raise ClientGone."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            chunk = message.get("body", b"")
            self.count += len(chunk)
            if chunk:
                yield chunk
        if self._finished is not None:
            self._finished.set()

    async def wait_for_disconnect(self) -> None:
        """Return once the client is gone. Wait first until the body has been read: only one task may call `receive`."""
        if self._finished is not None:
            await self._finished.wait()
        with suppress(asyncio.CancelledError):
            while (await self._receive())["type"] != "http.disconnect":
                pass
            return
        raise asyncio.CancelledError


def has_body(head: Head) -> bool:
    """Return whether the request's framing announces a body (RFC 9112 6.3)."""
    if type(head.headers) is HeaderMemo:
        return False
    for name, value in head.headers:
        if name == b"transfer-encoding":
            return True
        if name == b"content-length":
            return value.strip(b"0") != b""
    return False


def strip_private_headers(head: Head, own_cookies: tuple[bytes, ...] = OWN_COOKIES) -> Head:
    """Return the head without the headers that are hidden from both sides.

    Hidden are X-Overgrow-*, Proxy, names with an underscore, and the front door's cookies except overgrow_id.
    WSGI maps a hyphen to an underscore, so that a client could send X_Forwarded_For and the app would trust it.
    """
    headers = head.headers
    known = headers if type(headers) is HeaderMemo else None
    if known is not None and known.is_public:
        return head
    for name, value in headers:
        # In line, not by _is_private_header: this runs for every header of every request.
        if (
            _UNDERSCORE in name
            or name[:11] in _HIDDEN
            or (name == b"cookie" and any(own in value for own in own_cookies))
        ):
            return head._replace(headers=_public_headers(headers, own_cookies))
    if known is not None:
        known.is_public = True
    return head


def _is_private_header(name: bytes) -> bool:
    return _UNDERSCORE in name or name[:11] in _HIDDEN


def _public_headers(headers: Headers, own_cookies: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    clean = [
        _without_own_cookies(pair, own_cookies)
        for pair in headers
        if not _is_private_header(pair[0])
    ]
    return [pair for pair in clean if pair[0] != b"cookie" or pair[1]]


def _without_own_cookies(
    pair: tuple[bytes, bytes], own_cookies: tuple[bytes, ...]
) -> tuple[bytes, bytes]:
    name, value = pair
    if name != b"cookie" or not any(own in value for own in own_cookies):
        return pair
    crumbs = [
        crumb for crumb in value.split(b";") if crumb.partition(b"=")[0].strip() not in own_cookies
    ]
    return (name, b";".join(crumbs).strip())
