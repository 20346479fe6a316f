"""Passes a request's body from the connection to the app: the receiving half of a request cycle.

Rule: this module knows chunks and the app's `receive`, but not responses. If a request has no body, its
RequestBody is made only when the app calls `receive`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from overgrow.app_types import Message
from overgrow.connection_login import AttachedLogin
from overgrow.exchange import Failure
from overgrow.server.listener import ListenerState
from overgrow.server.request_parser import RequestParser

MAX_JOINED_BYTES = 65_536  # of a request body's chunks that wait: handed to the app as one
CHUNK_COST_BYTES = 64  # what a chunk takes in memory beside its data, and more of it in time
_DISCONNECT: Message = {"type": "http.disconnect"}
_BODY_END: Message = {"type": "http.request", "body": b"", "more_body": False}


class ClientChannel(Protocol):
    """The client's connection, as far as one request and its response need it."""

    attached_login: AttachedLogin | None
    has_taken_response: bool
    parser: RequestParser
    listener_state: ListenerState
    peer: str
    client: Any  # of an ASGI scope
    address: Any  # as above: the server's
    moved_bytes: int

    @property
    def has_received_whole_body(self) -> bool:
        """Whether the whole body of the request has come."""
        ...

    @property
    def rate_if_too_slow(self) -> float | None:
        """The rate in bytes a second if the client is too slow; else None."""
        ...

    def end_slow_request(self) -> None:
        """End the request of this slow client, because others wait."""
        ...

    def close_after_response(self) -> None:
        """Close after the current response. If there is no current response, close now."""
        ...

    @property
    def is_write_paused(self) -> bool:
        """Whether the client reads more slowly than the worker writes."""
        ...

    def write(self, data: bytes) -> None:
        """Write bytes to the client."""
        ...

    def write_all(self, parts: Sequence[bytes]) -> None:
        """Write large parts without joining them."""
        ...

    async def wait_until_writable(self, idle_s: float) -> None:
        """Wait until the client has taken enough of the written bytes."""

    def start_body_timeout(self, idle_s: float) -> None:
        """Start the time limit for the next chunk of the request."""
        ...

    def on_body_chunk_consumed(self) -> None:
        """Note that the app took a chunk. If reading was paused because of this chunk, read on."""
        ...

    def start_next_request_or_close(self, cycle: Any, *, is_last: bool) -> None:
        """Go on to the next request, or close."""
        ...

    def switch_protocol(self, protocol: asyncio.Protocol, head: bytes) -> None:
        """Write `head`, and give the connection to `protocol`."""
        ...

    def abort_response(self, *, is_framed: bool) -> None:
        """End the connection in the middle of a response, in a way that the client notices."""
        ...

    def abort(self) -> None:
        """Reset the connection."""
        ...

    def refuse_and_close(self, failure: Failure) -> None:
        """Send an error response, and close."""
        ...


class RequestBody:
    """The part of one request's body that has arrived, and the pending call of `receive` that waits for more."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_expects_continue",
        "_is_closed",
        "_is_delivered",
        "_waiter",
        "buffered_bytes",
        "is_complete",
    )

    def __init__(
        self,
        connection: ClientChannel,
        *,
        is_complete: bool = False,
        is_closed: bool = False,
        expects_continue: bool = False,
    ) -> None:
        self._connection = connection
        self._chunks: deque[bytes] | None = None  # until the first one
        self._expects_continue = expects_continue
        self._is_closed = is_closed  # the client is gone, or the response is complete
        self._is_delivered = False  # the app has read to the end
        self._waiter: asyncio.Future[None] | None = None
        self.buffered_bytes = 0  # bytes that the app has not taken, and what keeping them costs
        self.is_complete = is_complete

    # From the connection.

    def feed(self, chunk: bytes) -> None:
        """Take one chunk of the body."""
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.append(chunk)
        self.buffered_bytes += len(chunk) + CHUNK_COST_BYTES
        self._wake_receiver()

    def mark_body_complete(self) -> None:
        """Note that the body is complete."""
        self.is_complete = True
        self._wake_receiver()

    # From the request cycle.

    def close(self) -> None:
        """Let `receive` return the bytes that have arrived, and then the disconnect."""
        self._is_closed = True
        self._wake_receiver()

    def suppress_continue(self) -> None:
        """From now on, send no 100 (Continue): the response has started, or the app has sent a 100 itself."""
        self._expects_continue = False

    def _wake_receiver(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait_for_more(self) -> None:
        self._waiter = self._connection.listener_state.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # For the app.

    async def receive(self, idle_s: float) -> Message:
        """Return the next message of ASGI's receive: a body chunk, the end, or the disconnect.

        `idle_s` limits the wait for a byte.
        """
        while True:
            if self._chunks:
                return self._build_next_message()
            if self.is_complete and not self._is_delivered:
                self._is_delivered = True
                return _BODY_END
            if self._is_closed:
                return _DISCONNECT
            if not self.is_complete:
                self._send_continue_and_start_timeout(idle_s)
            await self._wait_for_more()

    def _build_next_message(self) -> Message:
        """Return the waiting bytes as one message. Small chunks are joined, because each message has a cost."""
        chunks = self._chunks
        assert chunks  # noqa: S101 - the caller saw one
        joined = [chunks.popleft()]
        size = len(joined[0])
        while chunks and size + len(chunks[0]) <= MAX_JOINED_BYTES:
            size += len(chunks[0])
            joined.append(chunks.popleft())
        self.buffered_bytes -= size + CHUNK_COST_BYTES * len(joined)
        self._connection.on_body_chunk_consumed()
        self._is_delivered = self.is_complete and not chunks
        body = joined[0] if len(joined) == 1 else b"".join(joined)
        return {"type": "http.request", "body": body, "more_body": not self._is_delivered}

    def _send_continue_and_start_timeout(self, idle_s: float) -> None:
        """Send 100 (Continue) when the app first asks for the body (RFC 9110 10.1.1)."""
        if self._expects_continue:
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False
        self._connection.start_body_timeout(idle_s)
