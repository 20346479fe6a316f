"""A raw tunnel to legacy for an upgrade: it relays the two heads, then bytes in both directions.

If the network fails, `open_tunnel` returns a Failure and does not raise. Nothing parses the bytes after the
101, so subprotocols, compression and close codes pass unchanged. Bytes are not stored: if one side does not
keep up, the tunnel stops reading from the other side. When one side stops sending, the tunnel passes this on as
a half close. TLS has no half close, so that a TLS tunnel then ends completely. A reset is passed on as a reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, cast

import httpx

from overgrow.exchange import Failure, SwitchProtocol, TunnelSummary
from overgrow.forwarding.client.dialling import dialler_of
from overgrow.forwarding.client.login import ConnectionLogin
from overgrow.forwarding.client.response_parser import ResponseHead
from overgrow.forwarding.client.timeouts import UpstreamTimeouts
from overgrow.forwarding.failures import failure_of
from overgrow.forwarding.tunnel.handshake import UpgradeConnection
from overgrow.routing.facts import Headers
from overgrow.routing.model import Legacy, Timeouts
from overgrow.transports import reset

EndedBy = Literal["client", "legacy", "idle"]
Inform = Callable[[int, Headers], Awaitable[None]]


async def open_tunnel(
    legacy: Legacy,
    head: bytes,
    *,
    timeouts: Timeouts,
    inform: Inform | None = None,
    login: ConnectionLogin[Any] | None = None,
) -> UpgradeResponse | Failure:
    """Connect to legacy, send the request's head, and wait for the head of legacy's response.

    `head` includes the empty line at its end. The caller must `close` the UpgradeResponse. `inform` is called
    for each 1xx before the final response (RFC 9110 15.2); without `inform` they are dropped. If there is a
    `login`, its connection becomes the tunnel, because the user is logged in on that connection.
    """
    informs = inform is not None
    handshake = UpgradeConnection(
        head, _upstream_timeouts(timeouts), legacy.leniencies, informs=informs
    )
    if login is None:
        failure = await _connect(legacy, handshake, timeouts.connect_s)
    else:
        failure = _move_login_connection_to_handshake(login, handshake)
    if failure is not None:
        return failure
    response_head = await _read_final_head(handshake, timeouts.response_s, inform)
    if isinstance(response_head, Failure):
        return response_head
    return UpgradeResponse(handshake, response_head, timeouts)


def _move_login_connection_to_handshake(
    login: ConnectionLogin[Any], handshake: UpgradeConnection
) -> Failure | None:
    """Use the connection with the client's login for the handshake. If it has ended, return a Failure."""
    try:
        login.switch_protocol(handshake)
    except httpx.TransportError as error:
        return failure_of(error)
    return None


async def _connect(
    legacy: Legacy, handshake: UpgradeConnection, connect_s: float
) -> Failure | None:
    """Connect. If that fails, abandon the handshake."""
    try:
        dialler = dialler_of(legacy.url, legacy.tls_ca, legacy.tls_name)
        async with asyncio.timeout(connect_s):
            await dialler.dial(handshake, connect_s)
    except TimeoutError:
        failure = Failure("legacy-timeout", "connect", "legacy", "connect")
    except (OSError, UnicodeError) as error:  # also ssl.SSLError; a text that cannot be a host name
        failure = Failure("legacy-connect", "connect", "legacy", str(error))
    except asyncio.CancelledError:
        handshake.abandon()
        raise
    else:
        return None
    handshake.abandon()
    return failure


async def _read_final_head(
    handshake: UpgradeConnection, response_s: float, inform: Inform | None
) -> ResponseHead | Failure:
    """Return the head of legacy's response. If no head comes, end the connection."""
    try:
        async with asyncio.timeout(response_s):
            response_head = await handshake.send_request()
            while inform is not None and response_head.status < 200 and response_head.status != 101:
                await inform(response_head.status, response_head.headers)
                response_head = await handshake.next_head()
    except TimeoutError:
        failure = Failure("legacy-timeout", "head", "legacy", "no answer to an upgrade")
    except httpx.TransportError as error:
        failure = failure_of(error)
    except BaseException:  # cancelled, or the client is gone and cannot be informed
        handshake.abandon()
        raise
    else:
        if response_head.status != 101 or _has_upgrade_header(response_head):
            return response_head
        failure = Failure("legacy-protocol", "head", "legacy", "101 without Upgrade")
    handshake.abandon()
    return failure


def _has_upgrade_header(response_head: ResponseHead) -> bool:
    """Whether the 101 has the Upgrade header, which it must have (RFC 9110 7.8)."""
    return any(name.lower() == b"upgrade" and value for name, value in response_head.headers)


def _upstream_timeouts(timeouts: Timeouts) -> UpstreamTimeouts:
    return UpstreamTimeouts(
        connect_s=timeouts.connect_s,
        response_s=timeouts.response_s,
        idle_s=timeouts.idle_s,
        stream_idle_s=timeouts.stream_idle_s,
    )


class UpgradeResponse:
    """Legacy's response to an upgrade, with its connection: a 101 (switched), or a refusal.

    After a 101, call `relay_both_ways`; after a refusal, read `body`. `body` raises BodyBroken if it ends
    early.
    """

    def __init__(
        self, handshake: UpgradeConnection, response_head: ResponseHead, timeouts: Timeouts
    ) -> None:
        self._handshake = handshake
        self._response_head = response_head
        self._timeouts = timeouts
        self.headers = [(name.lower(), value) for name, value in response_head.headers]
        if self.is_switched:  # RFC 9110 8.6: a 101 has no Content-Length to pass on
            self.headers = [pair for pair in self.headers if pair[0] not in _FRAMING]

    @property
    def status(self) -> int:
        """The status of legacy's response."""
        return self._response_head.status

    @property
    def reason(self) -> bytes:
        """The reason phrase of the response, which may be empty."""
        return self._response_head.reason

    @property
    def is_switched(self) -> bool:
        """True if legacy agreed: the bytes after the head belong to the new protocol."""
        return self._response_head.status == 101

    @property
    def is_endless(self) -> bool:
        """Whether the response has no end of its own: it is a tunnel, or a refusal that is an event stream."""
        return self.is_switched or self._handshake.streams_events

    @property
    def body(self) -> AsyncIterator[bytes]:
        """The body of a refusal, without its HTTP framing."""
        return self._handshake.body()

    async def relay_both_ways(
        self, switch_protocol: SwitchProtocol, headers: Headers
    ) -> TunnelSummary:
        """Send the client a 101 with `headers`, then copy bytes until both sides have ended.

        `switch_protocol` is scope["overgrow"].switch_protocol. If `switch_protocol` raises because the client
        is gone, this method raises the same exception.
        """
        tunnel = _TunnelRelay(self._handshake, self._timeouts.stream_idle_s)
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        head = b"HTTP/1.1 101 %b\r\n%b\r\n" % (self.reason, lines)
        return await tunnel.relay_both_ways(switch_protocol, head)

    async def close(self) -> None:
        """End the connection to legacy, if it is still open."""
        self._handshake.abandon()


_FRAMING = (b"content-length", b"transfer-encoding")


class _TunnelEndpoint(asyncio.Protocol):
    """One side of a running tunnel. It sends the bytes that it receives to the other side at once."""

    transport: asyncio.Transport  # while not lost
    other: _TunnelEndpoint

    def __init__(self, name: EndedBy, tunnel: _TunnelRelay) -> None:
        self.name: EndedBy = name
        self.received_bytes = 0
        self.has_ended = False  # it will send no more
        self.is_lost = True  # until it is connected, and again afterwards
        self._tunnel = tunnel

    @property
    def is_open(self) -> bool:
        """Whether this side can be written to."""
        return not (self.is_lost or self.transport.is_closing())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self.received_bytes += len(data)
        self._tunnel.record_activity()
        if self.other.is_open:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Stop reading from the other side, because this side does not keep up."""
        if self.other.is_open:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Continue reading from the other side, because this side has caught up."""
        if self.other.is_open:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass a half close on. The other side may keep sending if both transports support that."""
        self.has_ended = True
        self._tunnel.record_first_end(self.name)
        other = self.other
        knows_halves = self.transport.can_write_eof() and other.transport.can_write_eof()
        if not other.is_open or other.has_ended or not knows_halves:
            other.close()
            return False
        other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end of this side on.

        A reset is passed on at once, any other end after the bytes that wait to be written.
        """
        self.is_lost = True
        self._tunnel.record_first_end(self.name)
        if exc is not None:
            self.other.reset()
        self.other.close()
        self._tunnel.finish_if_both_closed()

    def drop_references(self) -> None:
        """Drop the references that form a cycle. Otherwise only the garbage collector would free the two objects."""
        for name in ("other", "transport", "_tunnel"):
            self.__dict__.pop(name, None)

    def close(self) -> None:
        """Close once all waiting bytes have been written."""
        if not self.is_lost:
            self.transport.close()

    def reset(self) -> None:
        """Close at once, so that the peer notices a broken connection and not a normal end."""
        if self.is_lost:
            return
        reset(self.transport)


class _TunnelRelay:
    """The two ends of a tunnel, with an idle timeout; it knows when both ends are closed."""

    def __init__(self, handshake: UpgradeConnection, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._handshake = handshake
        self._idle_s = idle_s
        self._ended_by: EndedBy | None = None
        self._touched = self._loop.time()
        self._timer = self._loop.call_later(idle_s, self._abort_if_idle)
        self.client = _TunnelEndpoint("client", self)
        self.legacy = _TunnelEndpoint("legacy", self)
        self.client.other, self.legacy.other = self.legacy, self.client
        self.legacy.connection_made(handshake.transport)

    async def relay_both_ways(self, switch_protocol: SwitchProtocol, head: bytes) -> TunnelSummary:
        """Copy bytes until both sides are closed."""
        transport = self._handshake.transport
        try:
            transport.set_protocol(self.legacy)
            switch_protocol(self.client, head)
            if self._handshake.early_bytes:
                self.legacy.data_received(self._handshake.early_bytes)
            if self._handshake.is_lost:
                self.legacy.connection_lost(None)
            elif not transport.is_closing():
                transport.resume_reading()
            await self._done
        finally:
            self._timer.cancel()
            self._abort_both_ends()
        ended_by = self._ended_by or "client"
        return TunnelSummary(self.client.received_bytes, self.legacy.received_bytes, ended_by)

    def record_activity(self) -> None:
        """Note that bytes moved."""
        self._touched = self._loop.time()

    def record_first_end(self, name: EndedBy) -> None:
        """Remember who ended the tunnel: the side that ended first."""
        self._ended_by = self._ended_by or name

    def finish_if_both_closed(self) -> None:
        """Finish once both sides are closed."""
        if not (self.client.is_lost and self.legacy.is_lost):
            return
        if not self._done.done():
            self._done.set_result(None)
        for end in (self.client, self.legacy):
            end.drop_references()

    def _abort_if_idle(self) -> None:
        left_s = self._touched + self._idle_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._abort_if_idle)
            return
        self.record_first_end("idle")
        self._abort_both_ends()

    def _abort_both_ends(self) -> None:
        for end in (self.client, self.legacy):
            if not end.is_lost:
                end.transport.abort()
