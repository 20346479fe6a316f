"""Reads legacy's response to an upgrade: a 101 and the bytes after it, or a refusal with its body.

Rule: the code that reads every other response (response_cycle.py) also reads the head and a refusal's body, so
the same strict rules apply. This module itself handles only the 101: the bytes after a 101 are not HTTP, so
that they are kept unchanged. If bytes come after a complete refusal, the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, ClassVar, cast

import httpx

from overgrow.exchange import BodyBroken, Failure
from overgrow.forwarding.client.ending import error_if_close_notify_missing
from overgrow.forwarding.client.request import OutgoingRequest
from overgrow.forwarding.client.response_cycle import ResponseCycle
from overgrow.forwarding.client.response_parser import ResponseHead
from overgrow.forwarding.client.timeouts import UpstreamTimeouts
from overgrow.forwarding.failures import failure_of

if TYPE_CHECKING:
    from overgrow.forwarding.client.connection import UpstreamConnection

BUFFER_BYTES = 65_536  # unsent bytes towards one side before the other side has to wait


class UpgradeConnection(asyncio.Protocol):
    """The connection to legacy of an upgrade, until the tunnel runs.

    The ResponseCycle of the upgrade uses it as a connection that serves a single request.
    """

    transport: asyncio.Transport  # once connected
    is_private = False  # it serves only one client anyway

    def __init__(
        self, head: bytes, limits: UpstreamTimeouts, leniencies: frozenset[str], *, informs: bool
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.leniencies = leniencies
        self.is_lost = True  # until it is connected, and again afterwards
        self.streams_events = False
        self._limits = limits
        outgoing = OutgoingRequest("GET", head, None, None, limits, informs=informs)
        self._switching = UpgradeCycle(cast("UpstreamConnection", self), outgoing)
        self._switching.sent = True  # it is written before anything is read: there is no body

    async def send_request(self) -> ResponseHead:
        """Send the request and return the first head: a final response, the 101, or a 1xx to pass on.

        Raises:
            httpx.TransportError: if no response comes, or if the response is not valid HTTP.

        """
        if not self.transport.is_closing():
            self.transport.write(self._switching.outgoing.head)
        return await self._switching.response_head

    async def next_head(self) -> ResponseHead:
        """Return the head that comes after a 1xx; raises like `send_request`."""
        return await self._switching.next_head()

    @property
    def early_bytes(self) -> bytes:
        """The bytes that legacy sent behind its 101."""
        return self._switching.early_bytes or b""

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the chunks of a refusal's body as they come.

        Raises:
            BodyBroken: if it ends early, is malformed, or pauses for longer than the idle timeout.

        """
        body = self._switching.readable_body
        limits = self._limits
        idle_s = limits.stream_idle_s if self.streams_events else limits.idle_s
        try:
            while True:
                async with asyncio.timeout(idle_s):
                    chunk = await anext(body, None)
                if chunk is None:
                    return
                yield chunk
        except TimeoutError:
            raise BodyBroken(Failure("legacy-timeout", "body", "legacy", "idle")) from None
        except (httpx.TransportError, httpx.StreamError) as error:
            raise BodyBroken(failure_of(error, stage="body")) from error

    def abandon(self) -> None:
        """End the exchange and the connection."""
        self._switching.abandon()
        self.close()

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.is_lost = False
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Give bytes to the exchange. When the exchange ends, it closes the connection."""
        if not self.transport.is_closing():
            self._switching.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the exchange that the connection ended. This end completes a body without a length."""
        self.is_lost = True
        self._switching.on_connection_lost(
            exc or error_if_close_notify_missing(self.transport, self.leniencies)
        )

    # The exchange calls these; their names are those of connection.py.

    def pause(self) -> None:
        """Stop reading for now."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Continue reading."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def apply_body_timeouts(self, _limits: UpstreamTimeouts, *, events: bool) -> None:
        """Remember whether the body is an event stream, which has a longer idle timeout."""
        self.streams_events = events

    def reserve_for_client(self, _owner: object, *, said_by_upstream: bool) -> None:
        """Do nothing, because this connection serves only one client anyway."""

    def release_or_close(self, *, reusable: bool) -> None:  # noqa: ARG002 - as connection.py has it
        """Close the connection, because it serves only one request."""
        self.close()

    def close(self) -> None:
        """Close the socket now."""
        if not self.is_lost:
            self.transport.abort()


class UpgradeCycle(ResponseCycle):
    """An exchange that a 101 may end. The bytes after the 101 are kept unchanged in `early_bytes`."""

    upgrades: ClassVar[bool] = True

    __slots__ = ("early_bytes",)

    def __init__(self, connection: UpstreamConnection, outgoing: OutgoingRequest) -> None:
        super().__init__(connection, outgoing)
        self.early_bytes: bytes | None = None  # None: no 101 so far

    def receive(self, data: bytes) -> None:
        """Take bytes from legacy."""
        if self.early_bytes is None:
            super().receive(data)
        else:
            self.early_bytes += data

    def on_connection_lost(self, error: Exception | None) -> None:
        """Note that the connection has ended. After a 101, the tunnel handles this instead."""
        if self.early_bytes is None:
            super().on_connection_lost(error)

    def _handle_interim_response(self, response_head: ResponseHead, rest: bytes) -> None:
        """Stop at a 101: the bytes behind it are not HTTP."""
        if response_head.status != 101:
            super()._handle_interim_response(response_head, rest)
            return
        self.early_bytes = rest
        self.pause()
        self._deliver_head_or_error(response_head)
