"""One connection to the upstream: an asyncio protocol that carries one exchange at a time.

Rule: this module knows transports, deadlines and back-pressure, but not HTTP. Bytes go to the exchange in
progress. If bytes or an EOF come while no exchange is in progress, the connection is closed at once (RFC 9112
9.3), so that such bytes are never mistaken for the response to a later request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Callable
from typing import Protocol, cast

import httpx

from overgrow.connection_login import ClientConnection
from overgrow.forwarding.client.ending import error_if_close_notify_missing
from overgrow.forwarding.client.errors import transport_error
from overgrow.forwarding.client.login import ConnectionLogin
from overgrow.forwarding.client.request import OutgoingRequest
from overgrow.forwarding.client.response_cycle import ResponseCycle
from overgrow.forwarding.client.timeouts import UpstreamTimeouts
from overgrow.slow_clients.read_scheduler import SMALL_BYTES, ReadScheduler
from overgrow.transports import write_pieces

NEVER = float("inf")
WRITE_HIGH_WATER_BYTES = 65536


class ConnectionOwner(Protocol):
    """The pool that a connection came from, as the connection sees it."""

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection that can serve another request."""

    def remove_connection(self, connection: UpstreamConnection) -> None:
        """Give up a connection that can serve no further request, and free its slot."""

    def stop_counting(self, connection: UpstreamConnection) -> None:
        """Free the slot of a connection that carries an endless stream or a login."""

    def on_socket_open(self, connection: UpstreamConnection) -> None:
        """Take note that the socket of a connection is open."""

    def on_socket_closed(self, connection: UpstreamConnection) -> None:
        """Take note that the socket of a connection is closed."""

    def suspend_reuse(self) -> None:
        """Do not reuse connections for a while, because the upstream sent bytes that nobody had asked for."""

    def try_admit_login(self, connection: UpstreamConnection) -> bool:
        """If a connection with a login may stay open for its client, count it and return True; else return False."""

    def set_timer_no_later_than(self, deadline: float) -> None:
        """Check the deadlines of all connections at this time or earlier."""

    read_scheduler: ReadScheduler  # decides which of many large responses is read next
    wake_at: float  # loop time: when the deadlines are checked next
    upstream: object  # what the pool's connections lead to, for comparison
    has_announced_login: bool  # the upstream itself announced a login in a response
    has_seen_shared_login: bool  # a login came by way of a client's connection that users share


class UpstreamConnection(asyncio.Protocol):
    """A connection of a pool. `deadline` is loop time; the pool calls `on_deadline` after it."""

    __slots__ = (
        "_awaits_turn",
        "_drained",
        "_idle_s",
        "_is_taken_in_turns",
        "_owner",
        "_paused",
        "_poll",
        "_transport",
        "_unsent_bytes",
        "counted",
        "deadline",
        "exchange",
        "is_private",
        "is_reused",
        "leniencies",
        "login",
        "loop",
        "use_by",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, owner: ConnectionOwner, leniencies: frozenset[str]
    ) -> None:
        self.loop = loop
        self.leniencies = leniencies
        self.deadline = NEVER
        self.use_by = NEVER  # loop time: it takes no request up afterwards
        self.counted = True
        self.is_reused = False
        self.is_private = False  # it has a login, so it serves only one client
        self.login: ConnectionLogin[UpstreamConnection] | None = (
            None  # to which client's connection it belongs, if to one
        )
        self.exchange: ResponseCycle | None = None
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._idle_s: float | None = None
        self._paused = False  # its reader has enough
        self._awaits_turn = False  # others are read first
        self._is_taken_in_turns = True
        self._drained: asyncio.Future[None] | None = None
        self._poll: select.poll | None = None
        self._unsent_bytes = 0

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._owner.on_socket_open(self)

    def data_received(self, data: bytes) -> None:
        """Give bytes to the exchange in progress. If no exchange is in progress, close the connection."""
        if self.exchange is None:
            if not data.startswith(b"HTTP/1.1 408"):  # an idle connection's ordinary farewell
                self._owner.suspend_reuse()
            self.close()
            return
        if self._idle_s is None:
            self.exchange.receive(data)
            return
        self._set_deadline_in(self._idle_s)
        self.exchange.receive(data)
        if len(data) >= SMALL_BYTES and not self._paused and self.exchange is not None:
            self._yield_to_other_downloads()

    def _yield_to_other_downloads(self) -> None:
        """If other large responses are arriving too, stop reading until it is this connection's turn."""
        if not self._awaits_turn and self._transport is not None and not self._ask_for_read_turn():
            self._transport.pause_reading()

    def _ask_for_read_turn(self) -> bool:
        """Return whether this connection may be read now.

        If it may not, ask for a turn. An event stream may always be read.
        """
        self._awaits_turn = self._is_taken_in_turns and not self._owner.read_scheduler.may_read_now(
            self
        )
        return not self._awaits_turn

    def on_read_turn(self) -> None:
        """Read again, because it is this connection's turn."""
        self._awaits_turn = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """Treat EOF from the upstream as the end of the connection; half-closed connections are never used."""
        exchange, self.exchange = self.exchange, None
        cut = error_if_close_notify_missing(self._transport, self.leniencies)
        self.close()
        if exchange is not None:
            exchange.on_connection_lost(cut)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the pool, the client's login and the exchange in progress that the socket is closed."""
        exchange, self.exchange = self.exchange, None
        self._wake_writer()
        self._owner.remove_connection(self)
        self._owner.on_socket_closed(self)
        self._end_login()
        if exchange is None:
            return
        # uvloop passes no error for an end that TLS did not announce.
        exc = exc or error_if_close_notify_missing(self._transport, self.leniencies)
        if exc is not None and not exchange.sent:
            self._read_response_after_reset(exchange)
        exchange.on_connection_lost(exc)

    def _read_response_after_reset(self, exchange: ResponseCycle) -> None:
        """Read the response that arrived before a reset and is still unread (RFC 9112 9.6).

        An upstream that refuses an upload responds and closes. The unread upload makes the upstream's kernel
        reset the connection. Our next write may then fail before the loop has read the response.
        """
        if self._transport is None or self._transport.get_extra_info("ssl_object") is not None:
            return
        descriptor = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):
            while exchange.connection is not None and (data := os.read(descriptor, 65536)):
                exchange.receive(data)

    def pause_writing(self) -> None:
        """Make the sender wait: the upstream does not keep up."""
        self._drained = self.loop.create_future()
        if self.exchange is not None and not self.exchange.sent:
            self._unsent_bytes = self.unsent_bytes
            self._set_deadline_in(self.exchange.outgoing.limits.idle_s)

    def resume_writing(self) -> None:
        """Let the sender continue."""
        self._wake_writer()
        if self.exchange is not None and not self.exchange.sent:
            self._set_deadline_in(self._idle_s)

    def _wake_writer(self) -> None:
        """End a wait in `writable`."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    @property
    def unsent_bytes(self) -> int:
        """How many written bytes the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    # The exchange's side.

    def start_exchange(self, outgoing: OutgoingRequest) -> ResponseCycle:
        """Write the request's head, and a body in memory; return the exchange that will read the response."""
        exchange = self.exchange = ResponseCycle(self, outgoing)
        self._idle_s = None
        self.deadline = NEVER
        if self._transport is not None:
            self._transport.write(outgoing.head)
        if outgoing.stream is None:
            exchange.sent = True
            self._set_deadline_in(outgoing.limits.response_s)
        return exchange

    def write(self, data: bytes) -> None:
        """Send bytes. Bytes that the upstream does not take yet stay in a buffer."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def write_pieces(self, pieces: list[bytes]) -> None:
        """Send several pieces as one."""
        if self._transport is None or self._transport.is_closing():
            return
        write_pieces(self._transport, pieces)

    async def wait_writable(self) -> None:
        """Wait while the upstream does not keep up. Each byte sent or received restarts the idle timeout."""
        if self._drained is not None:
            await self._drained
        elif self._idle_s is not None and not self._paused:
            self._set_deadline_in(self._idle_s)

    def start_response_timeout(self) -> None:
        """Start the deadline for the response, now that the whole request is written."""
        exchange = self.exchange
        if exchange is not None and exchange.body is None:
            self._set_deadline_in(exchange.outgoing.limits.response_s)

    def apply_body_timeouts(self, limits: UpstreamTimeouts, *, events: bool) -> None:
        """Apply the timeouts of a response's body from now on.

        `events` says that the body is an event stream; its connection no longer counts in the pool.
        """
        self._idle_s = limits.stream_idle_s if events else limits.idle_s
        self._set_deadline_in(NEVER if self._paused else self._idle_s)
        if events:
            self._is_taken_in_turns = False
            self._owner.stop_counting(self)

    def release_or_close(self, *, reusable: bool) -> None:
        """If the connection is `reusable` and young enough, return it to the pool; else close it."""
        self.exchange = None
        self.is_reused = True
        if self._paused or self._awaits_turn:
            self._paused = False
            self._stop_waiting_for_turn()
            self.on_read_turn()
        self._idle_s = None
        if not reusable or self._transport is None or self._transport.is_closing():
            self.close()
        elif not self.is_private:
            self._owner.release(self)
        elif self.login is None:
            self.close()
        else:  # it waits for its client's next request
            self.deadline = NEVER

    def reserve_for_client(
        self, owner: Callable[[], ClientConnection | None] | None, *, said_by_upstream: bool
    ) -> None:
        """From now on, serve only one client's connection, because this connection has a login.

        `owner` returns the client's connection. If it returns None, this connection closes after the current
        response. `said_by_upstream` says that the upstream itself announced the login.
        """
        pool = self._owner
        pool.has_announced_login = pool.has_announced_login or said_by_upstream
        if self.is_private:
            return
        self.is_private = True
        pool.stop_counting(self)
        client = None if owner is None else owner()
        if client is not None and pool.try_admit_login(self):
            self.login = ConnectionLogin(self, client, pool.upstream)
        pool.has_seen_shared_login = pool.has_seen_shared_login or (
            owner is not None and client is None
        )

    @property
    def is_past_max_age(self) -> bool:
        """Whether the connection has reached its maximum age."""
        return self.loop.time() >= self.use_by

    def close_client_after_response(self) -> None:
        """Tell the client in the head of this response that its connection ends too."""
        if self.login is not None:
            self.login.close_client_after_response()

    def switch_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the open socket to another protocol, because the traffic from now on is not HTTP."""
        transport, self._transport = self._transport, None
        assert transport is not None  # noqa: S101 - it is quiet, so it is open
        self._owner.on_socket_closed(self)
        self.login = None
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def _end_login(self) -> None:
        login, self.login = self.login, None
        if login is not None:
            login.end_connection_of_client()

    def pause(self) -> None:
        """Stop reading until `resume`. Meanwhile no deadline runs, because the reader of the body causes the wait."""
        if self._transport is not None and not self._paused and not self.is_closing:
            self._paused = True
            if not self._stop_waiting_for_turn():
                self._transport.pause_reading()
            self.deadline = NEVER

    def resume(self) -> None:
        """Continue reading."""
        if self._transport is not None and self._paused:
            self._paused = False
            if not self.is_closing:
                self._set_deadline_in(self._idle_s)
                if self._ask_for_read_turn():
                    self._transport.resume_reading()

    def _stop_waiting_for_turn(self) -> bool:
        """Stop waiting for a turn to be read. Return whether this connection was waiting."""
        awaited, self._awaits_turn = self._awaits_turn, False
        if awaited:
            self._owner.read_scheduler.forget(self)
        return awaited

    # The pool's side.

    @property
    def is_closing(self) -> bool:
        """Whether the connection can no longer be used."""
        return self._transport is None or self._transport.is_closing()

    def is_open_without_unexpected_bytes(self) -> bool:
        """Whether the connection is open and its socket has nothing to read: no bytes and no EOF."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close the socket now and give up the slot in the pool."""
        self.exchange = None
        self.deadline = NEVER
        self._stop_waiting_for_turn()
        self._owner.remove_connection(self)
        self._end_login()
        if self._transport is not None:
            self._transport.abort()

    def on_deadline(self) -> None:
        """Act on a deadline that has passed."""
        exchange = self.exchange
        if exchange is None:
            self.close()
        elif exchange.body is not None:
            text = f"The upstream sent nothing for {self._idle_s} s in the middle of its response."
            exchange.fail(transport_error(httpx.ReadTimeout, "body", text))
        elif exchange.sent:
            text = f"No response came within {exchange.outgoing.limits.response_s} s."
            exchange.fail(transport_error(httpx.ReadTimeout, "head", text))
        else:
            self._extend_write_deadline_or_fail(exchange)

    def _extend_write_deadline_or_fail(self, exchange: ResponseCycle) -> None:
        """If the upstream has taken bytes since the last check, extend the deadline; else fail the exchange."""
        if self.unsent_bytes < self._unsent_bytes:
            self._unsent_bytes = self.unsent_bytes
            self._set_deadline_in(exchange.outgoing.limits.idle_s)
            return
        text = f"The upstream took no byte of the request for {exchange.outgoing.limits.idle_s} s."
        exchange.fail(transport_error(httpx.WriteTimeout, "send", text))

    def _set_deadline_in(self, seconds: float | None) -> None:
        """Move the deadline to this many seconds from now."""
        if seconds is None or seconds == NEVER:
            self.deadline = NEVER
            return
        self.deadline = deadline = self.loop.time() + seconds
        if deadline < self._owner.wake_at:
            self._owner.set_timer_no_later_than(deadline)
