"""The server's side of one client connection: it turns bytes into requests, one at a time, and enforces limits.

Rule: a connection knows sockets and time, but no routes. It sets no timers, because 10,000 timers would cost
more than the requests. Instead it notes what it waits for and until when, and the worker's sweep calls
`enforce_timeout`. If the parser refuses the bytes, the connection sends an error response and ends.

If a client ends its sending side, it may have left or may only have finished sending (RFC 9112 9.6). If its
request is incomplete, the client counts as gone at once. After a complete request the client counts as gone
RESPONSE_AFTER_EOF_S later: a response that is nearly ready still reaches the client, and an upstream works only
briefly for a client that has left.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Sequence
from typing import Literal, cast

from gunicorn.asgi.parser import ParseError

from overgrow.connection_login import AttachedLogin
from overgrow.exchange import Failure
from overgrow.routing.model import plain_address
from overgrow.server.listener import ListenerState
from overgrow.server.pace import Pace, unacknowledged_bytes
from overgrow.server.request_cycle import ClientDisconnected, RequestCycle
from overgrow.server.request_parser import RequestParser, failure_code
from overgrow.server.response_head import error_response
from overgrow.slow_clients.read_scheduler import SMALL_BYTES
from overgrow.transports import reset, write_pieces

MAX_PIPELINED_BYTES = 65_536  # of an upgrade or of pipelined requests; then the client waits
MAX_BODY_BYTES = 262_144  # of a request body that the app has not taken
MAX_WRITE_BYTES = 65_536  # of a response that the client has not taken
FOREVER_S = float("inf")
RESPONSE_AFTER_EOF_S = 0.3  # for the response to a client that stopped sending
POLL_EOF = getattr(select, "POLLRDHUP", 0)  # Linux has it
POLL_RESET = select.POLLHUP | select.POLLERR  # a reset: poll reports it on every system, unasked
MAX_STREAM_LOOKS = 10  # at an event stream that is never quiet; then it ends between two pieces
YOUNG_IDLE_S = 0.5  # a kept-alive connection younger than this may have a request under way

Waiting = Literal["idle", "head", "response", "body", "taking", "lingering"]


class HttpConnection(asyncio.Protocol):
    """The server side of one TCP or unix connection."""

    __slots__ = (
        "_cycle",
        "_has_ended",
        "_has_taken",
        "_has_written",
        "_is_read_deferred",
        "_linger_by",
        "_pace",
        "_stream_bytes",
        "_stream_looks",
        "_transport",
        "_unparsed",
        "_unsent_bytes",
        "_upgraded_protocol",
        "_waits_for",
        "_writable",
        "address",
        "attached_login",
        "client",
        "deadline",
        "has_taken_response",
        "is_reading_paused",
        "is_write_paused",
        "listener_state",
        "moved_bytes",
        "parser",
        "peer",
    )

    def __init__(self, listener_state: ListenerState) -> None:
        self.listener_state = listener_state
        self.attached_login: AttachedLogin | None = None
        self.deadline = FOREVER_S
        self.has_taken_response = False
        self.is_write_paused = False
        self._waits_for: Waiting = "idle"
        self._cycle: RequestCycle | None = None
        self._upgraded_protocol: asyncio.Protocol | None = None
        self._writable: asyncio.Future[None] | None = None
        self.is_reading_paused = False
        self._is_read_deferred = False  # others' uploads are read first
        self._has_ended = False  # the client stopped sending
        self._unparsed = b""  # of a chunked body, for the next steps of the loop
        self._unsent_bytes = 0
        self.moved_bytes = 0  # of bodies that came, and of streamed responses that were written
        self._pace: Pace | None = None  # while the client is waited for
        self._stream_bytes = -1  # moved at the last look, while streams are ended
        self._stream_looks = 0
        self._linger_by = 0.0
        self._has_written = False  # since the body was last waited for
        self._has_taken = False  # since last looked at: of what the client is made to wait for
        limits = listener_state.limits
        self.parser = RequestParser(
            on_headers_complete=self._begin_request,
            on_body=self._pass_chunk_to_cycle,
            on_message_complete=self._on_body_complete,
            limit_request_line=limits.line_bytes,
            limit_request_fields=limits.fields,
            limit_request_field_size=limits.field_bytes,
        )

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the addresses. If there are too many connections, refuse this one with 503."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._transport.set_write_buffer_limits(high=MAX_WRITE_BYTES)
        self._read_addresses()
        self.listener_state.connections.add(self)
        self._set_deadline_for("idle", self.listener_state.limits.keepalive_s)
        if self.listener_state.is_over_limit:
            self.refuse_and_close(Failure("front-busy", "read", "front", retry_after_s=1))
            self.listener_state.over_limit[self] = None
            if not self.listener_state.close_oldest_over_limit():  # even saying no has its price
                self.abort()

    @property
    def is_closing(self) -> bool:
        """Whether the connection ends as soon as the written bytes have been sent."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection as soon as the written bytes have been sent."""
        self._transport.close()

    def _read_addresses(self) -> None:
        """Set `client`, `peer` and `address`. Addresses are pairs for TCP, and the word unix for a unix socket."""
        own, peer = (self._transport.get_extra_info(key) for key in ("sockname", "peername"))
        handle = self._transport.get_extra_info("socket")
        is_unix = handle is not None and handle.family == socket.AF_UNIX
        self.client = None if is_unix or not peer else (plain_address(peer[0]), peer[1])
        self.peer = "unix" if is_unix else (self.client[0] if self.client else "")
        self.address = (own, None) if is_unix else (own[0], own[1]) if own else None

    # Map 1 (docs/architecture.md#a-request-by-numbers)
    def data_received(self, data: bytes) -> None:
        """Parse the bytes. If they cannot be parsed, refuse them."""
        if self._waits_for == "idle":
            if self.is_write_paused:
                self._defer_pipelined_request(data)
                return
            if self.parser.try_parse_repeated_request(data):
                self._begin_request()
                return
        if self._upgraded_protocol is not None:
            self._upgraded_protocol.data_received(data)
            return
        if self._waits_for == "lingering":
            self._extend_linger()
            return
        if self._unparsed:  # a transport may deliver once more after it was paused
            self._unparsed += data
            return
        try:
            self._unparsed = self._feed_parser(data)
        except (ParseError, ValueError) as error:
            self.refuse_and_close(Failure(failure_code(error), "read", "client", str(error)))
            return
        if self._unparsed:  # until then the request is not over: its body is incomplete
            self.listener_state.loop.call_soon(self._parse_rest_of_chunked_body)
        self._update_backpressure()
        if len(data) >= SMALL_BYTES and self._cycle is not None and not self.is_reading_paused:
            self._yield_to_other_uploads()

    def _yield_to_other_uploads(self) -> None:
        """If many clients upload at the same time, stop reading until it is this connection's turn."""
        if not self.listener_state.read_scheduler.may_read_now(self):
            self._pause_reading()
            self._is_read_deferred = True

    def on_read_turn(self) -> None:
        """Read again, because it is this connection's turn.

        If earlier bytes still wait to be consumed, do not read yet.
        """
        self._is_read_deferred = False
        if not self._must_pause_reading:
            self._resume_reading()

    def _defer_pipelined_request(self, data: bytes) -> None:
        """Hold the next request back until the client has taken its last response, so that responses do not pile up."""
        self._unparsed += data
        self._pause_reading()

    def _feed_parser(self, data: bytes) -> bytes:
        """Feed the parser. Return the bytes that would delay other requests if they were parsed now."""
        parser = self.parser
        fed = 0
        while fed < len(data):
            end = fed + parser.max_feed_bytes
            parser.feed(data[fed:end])
            fed = end
            if parser.is_in_chunks:
                break
        return data[fed:]

    def _parse_rest_of_chunked_body(self) -> None:
        data, self._unparsed = self._unparsed, b""
        self._has_taken = True
        if self._cycle is None:  # refused or lost meanwhile
            return
        self.data_received(data)
        if not (self._must_pause_reading or self._is_read_deferred):
            self._resume_reading()

    @property
    def _must_pause_reading(self) -> bool:
        """Whether the client must wait for the parser, the app or its own earlier responses."""
        buffered = self._cycle.buffered_bytes if self._cycle is not None else 0
        return (
            bool(self._unparsed)
            or buffered > MAX_BODY_BYTES
            or self.parser.pipelined_bytes > MAX_PIPELINED_BYTES
        )

    def _update_backpressure(self) -> None:
        """After new bytes: start or restart the time limit that applies now, or stop reading from the client."""
        cycle = self._cycle
        if cycle is None:
            if self._waits_for == "idle" and not self.parser.is_between_requests:
                self._set_deadline_for("head", self.listener_state.limits.head_s)
        elif self._must_pause_reading:
            self._pause_reading()
        elif self._waits_for == "body":
            self._set_deadline_for("body", cycle.idle_s)

    def eof_received(self) -> bool:
        """Treat a client that stopped sending as gone, at once or soon. In a tunnel, the upgraded protocol decides."""
        if self._upgraded_protocol is not None:
            return bool(self._upgraded_protocol.eof_received())
        cycle = self._cycle
        if (
            cycle is None
            or cycle.is_over
            or cycle.can_switch_protocol
            or not cycle.has_received_whole_body
        ):
            return False
        self._schedule_abort_after_eof()
        return True

    def fileno(self) -> int:
        """Return the file descriptor of the socket; -1 if there is none."""
        handle = self._transport.get_extra_info("socket")
        return -1 if handle is None else int(handle.fileno())

    def abort_soon_if_client_left(self) -> None:
        """Reset the connection soon if the client has left while reading from it is paused.

        While reading is paused, the event loop does not report an EOF behind unread bytes. Therefore this
        method asks the socket. A reset always shows that the client has left. A FIN shows this only if the app
        has consumed no data since the last sweep. In a tunnel this method does nothing: the unread bytes must
        still be delivered, even if the other side is slow.
        """
        handle = self._transport.get_extra_info("socket")
        if self._upgraded_protocol is not None or handle is None or handle.fileno() < 0:
            return
        poll = select.poll()
        poll.register(handle.fileno(), POLL_EOF)
        has_taken, self._has_taken = self._has_taken, False
        for _, events in poll.poll(0):
            if events & POLL_RESET or not has_taken:
                self._schedule_abort_after_eof()

    def measure_pace(self, now: float) -> None:
        """Measure how fast the client sends or reads while the worker waits for it, except in an event stream."""
        cycle = self._cycle
        if self._waits_for not in ("body", "taking") or cycle is None or cycle.is_events:
            self._pace = None
            return
        handle = self._transport.get_extra_info("socket")
        unsent = 0 if handle is None else unacknowledged_bytes(handle.fileno())
        moved = self.moved_bytes - self._transport.get_write_buffer_size() - unsent
        if self._pace is None:
            self._pace = Pace(now, moved)
        else:
            self._pace.update_rate(now, moved, self.listener_state.limits.slow.period_s)

    @property
    def has_received_whole_body(self) -> bool:
        """Whether the whole body of the request has come."""
        return self._cycle is None or self._cycle.has_received_whole_body

    @property
    def rate_if_too_slow(self) -> float | None:
        """The rate in bytes a second if the client is too slow; else None."""
        rate = None if self._pace is None else self._pace.rate
        return None if rate is None or rate >= self.listener_state.limits.slow.rate else rate

    def end_slow_request(self) -> None:
        """End the request of this slow client, because others wait.

        If no response has started, send 408; else reset.
        """
        cycle = self._cycle
        if cycle is None or cycle.is_over:
            return
        failure = Failure(
            "client-timeout", "body" if cycle.is_started else "read", "client", "slow"
        )
        cycle.ended_as = failure
        if cycle.is_started:
            self.abort()
            return
        self.write(error_response(failure, method=self.parser.method))
        self._detach_cycle()
        self._close_gracefully(is_read=False)

    def _schedule_abort_after_eof(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.listener_state.loop.call_later(
                RESPONSE_AFTER_EOF_S, self._abort_if_request_unfinished
            )

    def _abort_if_request_unfinished(self) -> None:
        """If the request is not finished, reset the connection, even if some bytes are still unsent."""
        if self._cycle is not None and not self._cycle.is_over:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything, because one of the sides has ended the connection."""
        self.listener_state.connections.discard(self)
        self.listener_state.over_limit.pop(self, None)
        self._detach_cycle()
        if self.attached_login is not None:
            self.attached_login.end_connection_to_legacy()
        self._wake_writer()
        self.parser.clear_callbacks()
        if self._is_read_deferred:
            self.listener_state.read_scheduler.forget(self)
        taker, self._upgraded_protocol = self._upgraded_protocol, None
        if taker is not None:
            taker.connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client reads more slowly than the worker writes."""
        if self._upgraded_protocol is not None:
            self._upgraded_protocol.pause_writing()
        self.is_write_paused = True

    def resume_writing(self) -> None:
        """Note that the client has caught up; start requests that were held back."""
        if self._upgraded_protocol is not None:
            self._upgraded_protocol.resume_writing()
        self.is_write_paused = False
        self._wake_writer()
        if self._waits_for == "idle" and self._unparsed:
            self.listener_state.loop.call_soon(self._resume_pipelined)

    def _resume_pipelined(self) -> None:
        """Parse the requests that were held back. Stop if the client again reads more slowly than the worker writes."""
        if self._waits_for != "idle" or self.is_write_paused:
            return
        data, self._unparsed = self._unparsed, b""
        self._resume_reading()
        if data:
            self.data_received(data)

    # From the parser.

    def _begin_request(self) -> None:
        self._waits_for, self.deadline = "response", FOREVER_S
        cycle = self._cycle = RequestCycle(self, self.parser)
        if self.parser.method == b"CONNECT":  # RFC 9110 9.3.6: this is no proxy to tunnel through
            self.refuse_and_close(Failure("no-upgrade", "read", "client"))
            return
        cycle.task = self.listener_state.loop.create_task(cycle.run_app(self.listener_state.app))

    def _pass_chunk_to_cycle(self, chunk: bytes) -> None:
        self.parser.raise_if_chunk_too_large()
        self.moved_bytes += len(chunk)
        if self._cycle is not None:
            self._cycle.feed(chunk)

    def _on_body_complete(self) -> None:
        if self._cycle is not None:
            self._cycle.mark_body_complete()
        if self._waits_for == "body":
            self._set_deadline_for("response", FOREVER_S)

    # For the request cycle.

    def write(self, data: bytes) -> None:
        """Write bytes to the client. If the connection is closing, drop them."""
        self._has_written = True
        if not self._transport.is_closing():
            self._transport.write(data)

    def write_all(self, parts: Sequence[bytes]) -> None:
        """Write large parts without joining them."""
        self._has_written = True
        if self._transport.is_closing():
            return
        write_pieces(self._transport, parts)

    async def wait_until_writable(self, idle_s: float) -> None:
        """Wait until the client has taken enough of the written bytes.

        Raises:
            ClientDisconnected: if the client left, or took nothing for `idle_s`.

        """
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._set_deadline_for("taking", idle_s)
        self._writable = self.listener_state.loop.create_future()
        await self._writable
        self._writable = None
        cycle = self._cycle
        if cycle is None or cycle.is_gone:
            raise ClientDisconnected("The client closed the connection")
        self._set_deadline_for("response", FOREVER_S)

    def start_body_timeout(self, idle_s: float) -> None:
        """Start the time limit for the next chunk of the request, which the app waits for."""
        if self._waits_for == "response":
            self._has_written = False
            self._set_deadline_for("body", idle_s)

    def on_body_chunk_consumed(self) -> None:
        """Note that the app took a chunk. If reading was paused because of this chunk, read on."""
        self._has_taken = True
        cycle = self._cycle
        if self._waits_for == "body":
            self._set_deadline_for("response", FOREVER_S)
        is_low = cycle is not None and cycle.buffered_bytes <= MAX_BODY_BYTES // 2
        if (
            self.is_reading_paused
            and is_low
            and not (self._must_pause_reading or self._is_read_deferred)
        ):
            self._is_read_deferred = not self.listener_state.read_scheduler.may_read_now(self)
            if not self._is_read_deferred:
                self._resume_reading()

    def start_next_request_or_close(self, cycle: RequestCycle, *, is_last: bool) -> None:
        """Begin the next request after a complete response, or close the connection."""
        if cycle is not self._cycle or self._waits_for == "lingering":
            return
        if is_last:
            self._close_gracefully(
                is_read=cycle.has_received_whole_body and not cycle.can_switch_protocol
            )
            return
        listener_state = self.listener_state
        self._cycle = None
        self.has_taken_response = True
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._waits_for, self.deadline = (
            "idle",
            listener_state.loop.time() + listener_state.limits.keepalive_s,
        )
        pipelined = self.parser.prepare_for_next_request()
        if self.is_reading_paused:
            self._resume_reading()
        if pipelined:
            self.data_received(pipelined)
        if self._has_ended and self._cycle is None:
            self._close_gracefully(is_read=True)

    def switch_protocol(self, protocol: asyncio.Protocol, head: bytes) -> None:
        """Write `head`, and give the connection to `protocol`."""
        pipelined = self.parser.prepare_for_next_request()
        self._set_deadline_for("response", FOREVER_S)
        self._resume_reading()
        self._upgraded_protocol = protocol
        if self.attached_login is not None:
            self.attached_login.end_connection_to_legacy()
        self.write(head)
        protocol.connection_made(self._transport)
        if pipelined:
            protocol.data_received(pipelined)

    def abort_response(self, *, is_framed: bool) -> None:
        """End the connection in the middle of a response, in a way that the client notices.

        If the framing shows that bytes are missing, the written bytes are still sent. If the end of the
        connection marks the end of the body, only a reset shows that the body is incomplete (RFC 9112 8).
        """
        if not is_framed:
            self.abort()
            return
        self._detach_cycle()
        self._close_gracefully(is_read=False)

    def close_after_response(self) -> None:
        """Close after the current response. If there is no current response, close now."""
        if self._cycle is not None:
            self._cycle.close_connection_afterwards()
        elif self._upgraded_protocol is None and self._waits_for != "lingering":
            self._transport.close()

    def abort(self) -> None:
        """Reset the connection."""
        self._detach_cycle()
        reset(self._transport)

    def refuse_and_close(self, failure: Failure) -> None:
        """Close the connection. If no response has started, send an error response first."""
        if self._waits_for == "lingering":
            return
        if self.listener_state.on_refused is not None:
            self.listener_state.on_refused(failure)
        cycle = self._cycle
        if cycle is None or not cycle.is_started:
            self.write(error_response(failure, method=self.parser.method))
            self._detach_cycle()
            self._close_gracefully(is_read=False)
        elif cycle.is_over:
            self._close_gracefully(is_read=False)
        else:
            self.abort()

    # Time.

    def enforce_timeout(self, now: float) -> None:
        """Act on a deadline that has passed: refuse, close or reset.

        If bytes were still moving, extend the deadline instead.
        """
        if self._waits_for == "body" and self._has_written and self._cycle is not None:
            self._has_written = False  # idle is who neither sends nor is sent to
            self._set_deadline_for("body", self._cycle.idle_s)
        elif self._waits_for in ("head", "body"):
            self.refuse_and_close(Failure("client-timeout", "read", "client"))
        elif not (unsent := self._transport.get_write_buffer_size()):
            self._transport.close()
        elif unsent < self._unsent_bytes:  # slow, but taking
            self._unsent_bytes = unsent
            self.deadline = now + (self._cycle or self.listener_state.limits).idle_s
        else:
            self.abort()

    def close_if_idle(self, now: float) -> None:
        """Close the connection if it is idle and no request can be on its way, because the worker leaves."""
        age_s = now - (self.deadline - self.listener_state.limits.keepalive_s)
        if self._waits_for == "idle" and age_s > YOUNG_IDLE_S and not self._has_unread_bytes():
            self._transport.close()

    def end_stream_if_quiet(self) -> None:
        """End a tunnel, or an event stream between two events, because the server stops and hands its socket back.

        An event may come in several pieces. Therefore an event stream is ended if nothing was written since the
        previous call. If the protocol has a closing message, as a mounted app's WebSocket has, the message is
        sent first. A tunnel to legacy has no closing message, because its bytes are opaque to the front door.
        """
        if self._upgraded_protocol is not None:
            close = self._transport.close
            getattr(self._upgraded_protocol, "close_for_restart", close)()
            return
        cycle = self._cycle
        if cycle is None or not cycle.is_events or self._waits_for == "lingering":
            return
        if self._stream_bytes != self.moved_bytes and self._stream_looks < MAX_STREAM_LOOKS:
            self._stream_bytes, self._stream_looks = self.moved_bytes, self._stream_looks + 1
            return
        if cycle.complete_event_stream():
            self._detach_cycle()
            self._close_gracefully(is_read=cycle.has_received_whole_body)

    def _has_unread_bytes(self) -> bool:
        """Whether bytes have arrived that the event loop still has to deliver."""
        handle = self._transport.get_extra_info("socket")
        if handle is None or handle.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(handle.fileno(), select.POLLIN | POLL_EOF)
        return [events for _, events in poll.poll(0)] == [select.POLLIN]

    def _set_deadline_for(self, for_what: Waiting, seconds: float) -> None:
        self._waits_for = for_what
        self.deadline = (
            FOREVER_S if seconds == FOREVER_S else self.listener_state.loop.time() + seconds
        )

    def _close_gracefully(self, *, is_read: bool) -> None:
        """Close. If the client may still be sending, read on for a while first (RFC 9112 9.6)."""
        limits, transport = self.listener_state.limits, self._transport
        self._unsent_bytes = transport.get_write_buffer_size()
        self._set_deadline_for(
            "lingering", limits.idle_s if self._unsent_bytes else limits.linger_s
        )
        self._linger_by = self.listener_state.loop.time() + limits.linger_max_s
        if is_read or self._has_ended or transport.is_closing():
            transport.close()
            return
        self._resume_reading()
        transport.write_eof()

    def _extend_linger(self) -> None:
        """Go on reading: some clients read the response only after they have sent the whole request (RFC 9112 9.6)."""
        if not self.listener_state.closes_idle:
            quiet_by = self.listener_state.loop.time() + self.listener_state.limits.linger_s
            self.deadline = max(self.deadline, min(quiet_by, self._linger_by))

    def _detach_cycle(self) -> None:
        cycle, self._cycle = self._cycle, None
        if cycle is None:
            return
        self.listener_state.departed_clients += not cycle.is_over
        if cycle.task is not None and not cycle.is_over:
            self.listener_state.loop.call_later(
                self.listener_state.limits.cancel_s, cycle.task.cancel
            )
        cycle.handle_disconnect()

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _pause_reading(self) -> None:
        if not self.is_reading_paused:
            self.is_reading_paused = self._has_taken = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self.is_reading_paused:
            self.is_reading_paused = False
            if self._is_read_deferred:
                self._is_read_deferred = False
                self.listener_state.read_scheduler.forget(self)
            if not self._transport.is_closing():
                self._transport.resume_reading()
