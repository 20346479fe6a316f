"""Legacy's answer to an upgrade: a 101 and what stands behind it, or a refusal with its body.

Band 1: asyncio. Rule: the head and a refusal's body are read by the code that reads every other
answer (answering.py), so both are held to the same letter. Only the 101 is added here: it ends
HTTP, and what follows it is kept unread. Bytes behind a complete refusal end the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, ClassVar, cast

import httpx

from overgrow.exchange import BodyBroken, Failure
from overgrow.forwarding.client.ending import missing_close_notify
from overgrow.forwarding.client.request import OutgoingRequest
from overgrow.forwarding.client.response_cycle import ResponseCycle
from overgrow.forwarding.client.response_parser import ResponseHead
from overgrow.forwarding.client.timeouts import UpstreamTimeouts
from overgrow.forwarding.failures import failure_of

if TYPE_CHECKING:
    from overgrow.forwarding.client.connection import UpstreamConnection

BUFFER_BYTES = 65_536  # towards either side before the other has to wait


class Handshake(asyncio.Protocol):
    """Legacy's side of an upgrade until the tunnel runs.

    To its ResponseCycle it is the connection, one that serves a single request.
    """

    transport: asyncio.Transport  # once connected
    is_private = False  # it is for one client anyway

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
        """Send the request; the head of the final answer, or the 101, or of a 1xx if it informs.

        Raises:
            httpx.TransportError: when none comes, or none that is HTTP.

        """
        if not self.transport.is_closing():
            self.transport.write(self._switching.outgoing.head)
        return await self._switching.answer

    async def next_head(self) -> ResponseHead:
        """What comes after a 1xx; as `answer`."""
        return await self._switching.next_head()

    @property
    def early(self) -> bytes:
        """What legacy sent behind its 101."""
        return self._switching.early or b""

    async def body(self) -> AsyncIterator[bytes]:
        """The chunks of a refusal's body as they come.

        Raises:
            BodyBroken: when it ends early, is malformed, or nothing comes for the idle limit.

        """
        body = self._switching.readable
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
        """Give bytes to the exchange, which closes the connection when it is over."""
        if not self.transport.is_closing():
            self._switching.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end: of a body without a length its rightful one, else a failure."""
        self.is_lost = True
        self._switching.on_lost(exc or missing_close_notify(self.transport, self.leniencies))

    # The exchange's side; its names are those of connection.py.

    def pause(self) -> None:
        """Read no more for now."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def on_streaming(self, _limits: UpstreamTimeouts, *, events: bool) -> None:
        """Take note of an event stream, which may pause for longer."""
        self.streams_events = events

    def leave_pool(self, _owner: object, *, said_by_upstream: bool) -> None:
        """Do nothing about a login: it serves nobody else."""

    def on_complete(self, *, reusable: bool) -> None:  # noqa: ARG002 - as connection.py has it
        """Close: no other request was made for this connection."""
        self.close()

    def close(self) -> None:
        """Close the socket now."""
        if not self.is_lost:
            self.transport.abort()


class UpgradeCycle(ResponseCycle):
    """An exchange that a 101 may end. From then on bytes are kept as they are, in `early`."""

    upgrades: ClassVar[bool] = True

    __slots__ = ("early",)

    def __init__(self, connection: UpstreamConnection, outgoing: OutgoingRequest) -> None:
        super().__init__(connection, outgoing)
        self.early: bytes | None = None  # None: no 101 so far

    def receive(self, data: bytes) -> None:
        """Take bytes from legacy."""
        if self.early is None:
            super().receive(data)
        else:
            self.early += data

    def on_lost(self, error: Exception | None) -> None:
        """Take note that the connection is gone; after a 101 that is the tunnel's business."""
        if self.early is None:
            super().on_lost(error)

    def _on_interim(self, answer: ResponseHead, rest: bytes) -> None:
        """Stop at a 101: what follows is not HTTP."""
        if answer.status != 101:
            super()._on_interim(answer, rest)
            return
        self.early = rest
        self.pause()
        self._deliver(answer)
