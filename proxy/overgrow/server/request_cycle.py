"""One request and its response on a client's connection; the object behind scope["overgrow"].

Rule: a request cycle knows HTTP's framing of one response, but not sockets, signals or routes. It writes
through its connection, and tells the connection when the response is complete. If a response fails after its
head, the connection breaks: a client must never mistake half a response for a whole one (RFC 9112 8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import unquote_to_bytes

from overgrow.app_types import AsgiApp, Message
from overgrow.caches.header_memo import PreparedHeaders
from overgrow.exchange import Failure, NativeScope
from overgrow.http import Pair
from overgrow.server.request_body import ClientChannel, RequestBody
from overgrow.server.request_parser import RequestParser, origin_form_of
from overgrow.server.response_head import (
    HeadLayout,
    build_header_block,
    date_line,
    head_layout_of,
    status_line,
)

BIG_CHUNK_BYTES = 65_536  # a chunk of this size or more is written uncopied

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_EXTENSIONS: dict[str, dict[str, str]] = {"http.response.trailers": {}}
_CURRENT = (1, 1)
_BODILESS = frozenset({204, 304})  # RFC 9110 15.3.5 and 15.4.5


class ClientDisconnected(OSError):
    """Raised in an app that sends to a client that is gone (ASGI 2.4 asks for an OSError)."""


# Map 3 (docs/architecture.md#a-request-by-numbers)
class RequestCycle:
    """One request: the ASGI callables `receive` and `send`, and what scope["overgrow"] offers.

    `listener` is "public" or "admin". `peer` is the address of the peer, "unix" for a unix socket, or "".
    `target` is the target of the request line, byte for byte. `idle_s` limits the wait for the next byte of the
    request body, and the wait until the client takes the next byte of the response. An app may change `idle_s`.
    `decision` is always None here, because the front door decides; only the WSGI mount passes a decision.
    """

    is_native = True
    accepts_trailers = True
    decision = None

    __slots__ = (
        "_body",
        "_body_sent",
        "_chunked",
        "_closes",
        "_head",
        "_left_bytes",
        "_method",
        "_omits_body",
        "_on_disconnect",
        "_takes_trailers",
        "_trailers",
        "_version",
        "can_switch_protocol",
        "client_connection",
        "ended_as",
        "idle_s",
        "is_events",
        "is_gone",
        "is_over",
        "is_started",
        "listener",
        "peer",
        "target",
        "task",
    )

    def __init__(self, connection: ClientChannel, parser: RequestParser) -> None:
        self.client_connection = connection
        self.listener = connection.listener_state.listener
        self.peer = connection.peer
        self.target = parser.path
        self.idle_s = connection.listener_state.limits.idle_s
        self.can_switch_protocol = parser.is_upgrade
        self.is_events = False  # an event stream is never ended for being quiet
        self.ended_as: Failure | None = None  # why the front door itself ended this client
        self.is_started = self.is_over = False  # the response
        self.is_gone = False  # the client
        self.task: asyncio.Task[None] | None = None  # runs the app; also keeps it from collection
        self._method = parser.method
        self._version = parser.http_version
        self._takes_trailers = parser.takes_trailers
        # After a refused upgrade, bytes of its protocol may follow: never parse them as a request.
        self._closes = not parser.should_keep_alive or parser.is_upgrade
        self._body: RequestBody | None = None  # of a request without one: until it is asked for
        if not parser.is_complete:
            self._body = RequestBody(connection, expects_continue=parser.expects_continue)
        self._on_disconnect: Callable[[], object] | None = None
        self._head: bytes | None = None  # built, not yet written
        self._chunked = self._omits_body = self._body_sent = False
        self._left_bytes: int | None = None  # bytes of the announced Content-Length still to come
        self._trailers: list[tuple[bytes, bytes]] | None = None  # None: none announced

    # What scope["overgrow"] offers.

    @property
    def is_draining(self) -> bool:
        """Whether this worker is leaving. If it is, each response closes its connection."""
        return self.client_connection.listener_state.is_leaving

    def close_connection_afterwards(self) -> None:
        """Close the connection after this response. If the head has not been sent yet, it announces this."""
        self._closes = True

    def on_disconnect(self, callback: Callable[[], object] | None) -> None:
        """Call `callback()` once if the client leaves before the response is complete."""
        self._on_disconnect = callback
        if self.is_gone and callback is not None:
            self._on_disconnect = None
            callback()

    def abort(self) -> None:
        """Reset the client's connection at once, so that it never sees a whole response."""
        self._on_disconnect = None
        self.client_connection.abort()

    def switch_protocol(self, protocol: asyncio.Protocol, head: bytes) -> None:
        """Write `head` and give the connection to `protocol`, with the bytes held so far.

        Raises:
            RuntimeError: `can_switch_protocol` is False, or a response has started.
            ClientDisconnected: the client is gone.

        """
        if not self.can_switch_protocol or self.is_started:
            raise RuntimeError("Only an upgrade that has no response yet can be taken over")
        if self.is_gone:
            raise ClientDisconnected("The client closed the connection")
        self.is_started = self.is_over = True
        self._close_request_body()
        self.client_connection.switch_protocol(protocol, head)

    def handle_disconnect(self) -> None:
        """Note that the client is gone: end a waiting `receive` with the disconnect, and call the app's callback."""
        if self.is_gone:
            return
        self.is_gone = True
        self._close_request_body()
        callback, self._on_disconnect = self._on_disconnect, None
        if callback is not None and not self.is_over:
            callback()

    # The request's body, from the connection.

    def feed(self, chunk: bytes) -> None:
        """Take one chunk of the body."""
        if self._body is not None:
            self._body.feed(chunk)

    def mark_body_complete(self) -> None:
        """Note that the body is complete."""
        if self._body is not None:
            self._body.mark_body_complete()

    @property
    def has_received_whole_body(self) -> bool:
        """Whether the request has ended, so that the next bytes belong to another request."""
        return self._body is None or self._body.is_complete

    @property
    def buffered_bytes(self) -> int:
        """How many bytes of the body wait for the app, including the overhead of keeping them."""
        return 0 if self._body is None else self._body.buffered_bytes

    def _close_request_body(self) -> None:
        if self._body is not None:
            self._body.close()

    # ASGI.

    def receive(self) -> Coroutine[Any, Any, Message]:
        """Return the next message of ASGI's receive: a body chunk, the end of the body, or the disconnect."""
        if self._body is None:
            is_closed = self.is_gone or self.is_over
            self._body = RequestBody(self.client_connection, is_complete=True, is_closed=is_closed)
        return self._body.receive(self.idle_s)

    async def run_app(self, app: AsgiApp) -> None:
        """Call the app. If the app returns before its response is complete, break the connection."""
        try:
            listener_state = self.client_connection.listener_state
            scope = self._minimal_scope() if listener_state.is_own_app else self._full_scope()
            await app(scope, self.receive, self.send)
        except Exception as error:
            if not (self.is_gone and isinstance(error, OSError)):
                listener_state.log.exception("The application failed at %r", self.target)
        if self.is_over or self.is_gone:
            return
        if self._body_sent:  # whole, but for trailers that never came
            self._send_trailers_and_finish()
        elif self.is_started:
            self._abort_response()
        else:
            self.client_connection.refuse_and_close(Failure("migrated-crash", "head", "front"))

    def _minimal_scope(self) -> Message:
        """Return the part of an ASGI scope that our own app reads. It reads everything else from this object."""
        connection = self.client_connection
        return {
            "type": "http",
            "http_version": "1.1" if self._version == _CURRENT else "1.0",
            "method": self._method.decode("ascii"),
            "scheme": "http",
            "headers": connection.parser.headers,
            "client": connection.client,
            "extensions": _EXTENSIONS,
            "overgrow": self,
        }

    def _full_scope(self) -> Message:
        connection, target = self.client_connection, self.target
        origin = target if target[:1] in b"/*" else origin_form_of(target)
        raw_path, _, query = origin.partition(b"?")
        # Not `b"%" in`: Python 3.11 first makes and drops an exception, as if it were a number.
        path = raw_path if raw_path.find(b"%") < 0 else unquote_to_bytes(raw_path)
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1" if self._version == _CURRENT else "1.0",
            "method": self._method.decode("ascii"),
            "scheme": "http",
            "path": path.decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": connection.parser.headers,
            "server": connection.address,
            "client": connection.client,
            "state": connection.listener_state.state.copy(),
            "extensions": _EXTENSIONS,
            "overgrow": self,
        }

    async def send(self, message: Message) -> None:
        """Take a message of ASGI's send: start, body, trailers or informational. Wait while the client reads slowly.

        In addition to ASGI, a start message may have a `reason`: a reason phrase in bytes.
        """
        if self.is_gone:
            raise ClientDisconnected("The client closed the connection")
        kind = message["type"]
        if kind == "http.response.body":
            self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
            if self.client_connection.is_write_paused and not self.is_over:
                await self.client_connection.wait_until_writable(self.idle_s)
        elif kind == "http.response.start":
            self._start_response(message)
        elif kind == "http.response.informational":
            self._send_informational(message["status"], message.get("headers", ()))
        elif kind == "http.response.trailers":
            self._add_trailers(message)
        else:
            raise RuntimeError(f"Unknown ASGI message {kind!r}")

    # Map 15 (docs/architecture.md#a-request-by-numbers)
    def send_response(
        self, status: int, headers: Iterable[Pair], body: bytes, reason: bytes | None = None
    ) -> None:
        """Send a whole response at half the cost of two calls of `send`.

        Raises:
            ClientDisconnected: the client is gone.

        """
        if self.is_gone:
            raise ClientDisconnected("The client closed the connection")
        if not self._can_send_prepared_lines(headers, status, body):
            self._build_head(status, headers, reason)
            self._send_body(body, is_last=True)
            return
        connection = self.client_connection
        self.is_started = self.is_over = self._body_sent = True
        self._on_disconnect = None
        ends = b"\r\n"
        request_body = self._body
        is_read = request_body is None or request_body.is_complete
        if self._closes or not is_read or connection.listener_state.is_leaving:
            ends = self._choose_connection_line() + ends
        if not headers.has_date:
            ends = date_line() + ends
        connection.write(b"".join((status_line(status, reason), headers.lines, ends, body)))
        if request_body is not None:
            request_body.close()
        connection.start_next_request_or_close(self, is_last=self._closes)

    def _can_send_prepared_lines(
        self, headers: Iterable[Pair], status: int, body: bytes
    ) -> TypeGuard[PreparedHeaders]:
        """Whether the prepared header lines can be sent unchanged, because the response is an ordinary one."""
        return (
            type(headers) is PreparedHeaders
            and headers.length == b"%d" % len(body)
            and self._method != b"HEAD"
            and self._version == _CURRENT
            and status not in _BODILESS
            and not self.is_started
        )

    # The response's head.

    def _start_response(self, message: Message) -> None:
        self._build_head(message["status"], message.get("headers", ()), message.get("reason"))
        if message.get("trailers"):
            self._trailers = []
        # A body that follows in the same iteration shares a write with the head; a head alone must
        # not wait for a body that may be minutes away (event streams).
        self.client_connection.listener_state.loop.call_soon(self._write_pending_head)

    def _build_head(self, status: int, headers: Iterable[Pair], reason: bytes | None) -> None:
        if self.is_started:
            raise RuntimeError("The response has already started")
        if not 200 <= status <= 999:
            raise RuntimeError(f"{status} cannot be a final status")
        self._head = status_line(status, reason) + self._build_header_lines_and_framing(
            status, headers
        )
        if self._body is not None:
            self._body.suppress_continue()
        self.is_started = True

    def _write_pending_head(self) -> None:
        head, self._head = self._head, None
        if head and not self.is_gone:
            self.client_connection.write(head)

    def _build_header_lines_and_framing(self, status: int, headers: Iterable[Pair]) -> bytes:
        """Return the header lines, and decide how the body is framed (RFC 9112 6.3)."""
        self._omits_body = self._method == b"HEAD" or status in _BODILESS
        if type(headers) is PreparedHeaders and status != 204:
            block = headers.lines + self._choose_framing_line(headers.length)
            date = b"" if headers.has_date else date_line()
            return b"".join((block, date, self._choose_connection_line(), b"\r\n"))
        listed = list(headers)
        layout = head_layout_of(tuple([name for name, _ in listed]))
        length: bytes | None = None
        if layout.length_at is not None:
            length = listed[layout.length_at][1]
        if layout.owned_at or status == 204:
            listed, length = self._strip_hop_headers_and_find_length(listed, layout, status)
        block = build_header_block(listed) + self._choose_framing_line(length)
        date = b"" if layout.has_date else date_line()
        return b"".join((block, date, self._choose_connection_line(), b"\r\n"))

    def _strip_hop_headers_and_find_length(
        self, headers: list[tuple[bytes, bytes]], layout: HeadLayout, status: int
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Return the headers without hop-by-hop headers, and the length of the body."""
        owned = [(headers[at][0].lower(), headers[at][1]) for at in layout.owned_at]
        if any(name == b"connection" and b"close" in value.lower() for name, value in owned):
            self._closes = True
        dropped = set(layout.owned_at)
        if status == 204 and layout.length_at is not None:
            dropped.add(layout.length_at)
        kept = [pair for at, pair in enumerate(headers) if at not in dropped]
        if status == 204 or layout.length_at is None:
            return kept, None
        length = headers[layout.length_at][1]
        if any(name == b"content-length" and value != length for name, value in owned):
            raise RuntimeError("Two Content-Length headers that differ")
        return kept, length

    def _choose_framing_line(self, length: bytes | None) -> bytes:
        if self._omits_body:
            return b""
        if length is not None:
            if not length.isdigit():
                raise RuntimeError("Content-Length is not a number")
            self._left_bytes = int(length)
            return b""
        if self._version >= (1, 1):
            self._chunked = True
            return b"transfer-encoding: chunked\r\n"
        self._closes = True
        return b""

    def _choose_connection_line(self) -> bytes:
        # RFC 9112 9.6: say so when the connection ends after this response. Half a request body
        # would have to be read to its end first; a client that waits for 100 may never send it.
        if (
            self._closes
            or not self.has_received_whole_body
            or self.client_connection.listener_state.is_leaving
        ):
            self._closes = True
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self._version < (1, 1) else b""

    def _send_informational(self, status: int, headers: Iterable[Pair]) -> None:
        """Pass a 1xx on (RFC 9110 15.2). A client of HTTP/1.0 does not know 1xx responses and gets none."""
        if self.is_started or not 100 <= status <= 199 or status == 101:
            raise RuntimeError(f"A {status} response is not possible here")
        block = build_header_block(list(headers))
        if status == 100 and self._body is not None:
            self._body.suppress_continue()
        if self._version >= (1, 1):
            self.client_connection.write(status_line(status) + block + b"\r\n")

    # The response's body.

    def _send_body(self, body: bytes, *, is_last: bool) -> None:
        if not self.is_started or self._body_sent:
            raise RuntimeError("The response has not started, or its body is complete")
        if self._omits_body:
            body = b""
        elif self._left_bytes is not None:
            if len(body) > self._left_bytes:
                self._abort_response()
                raise RuntimeError("The body is longer than its Content-Length")
            self._left_bytes -= len(body)
        head, self._head = self._head or b"", None
        self.client_connection.moved_bytes += len(body)
        self._body_sent = is_last
        is_end = is_last and self._trailers is None
        self._write_chunk(head, body, is_end=is_end)
        if is_end:
            self._finish_response()

    def _write_chunk(self, head: bytes, body: bytes, *, is_end: bool) -> None:
        write = self.client_connection.write
        if not self._chunked:
            if len(body) >= BIG_CHUNK_BYTES:
                self.client_connection.write_all((head, body))
            elif head or body:
                write(head + body)
            return
        end = b"0\r\n\r\n" if is_end else b""
        if not body:
            if head or end:
                write(head + end)
        elif len(body) >= BIG_CHUNK_BYTES:
            self.client_connection.write_all((head + b"%x\r\n" % len(body), body, b"\r\n" + end))
        else:
            write(b"%b%x\r\n%b\r\n%b" % (head, len(body), body, end))

    def _abort_response(self) -> None:
        """End the connection in the middle of the response. If the head was not sent yet, send it first.

        Without a head, a client cannot distinguish a response that broke off from a connection that was closed
        unused.
        """
        self._write_pending_head()
        self.client_connection.abort_response(
            is_framed=self._chunked or self._left_bytes is not None
        )

    def complete_event_stream(self) -> bool:
        """End the body of an event stream as complete, because the server stops. Return whether this is possible.

        Clients of event streams connect again after any end (HTML, 9.2.3). If the body has a declared length,
        this is impossible, because a part of it must not look complete.
        """
        if not self.is_started or self.is_over or self._left_bytes is not None:
            return False
        self.ended_as = Failure("draining", "body", "front")
        self._write_pending_head()
        if self._chunked:
            self.client_connection.write(b"0\r\n\r\n")
        return True

    def _add_trailers(self, message: Message) -> None:
        if self._trailers is None or not self._body_sent or self.is_over:
            raise RuntimeError("Trailers were not announced, or the body is not complete")
        self._trailers += message.get("headers", ())
        if not message.get("more_trailers", False):
            self._send_trailers_and_finish()

    def _send_trailers_and_finish(self) -> None:
        """End a body whose trailers were announced.

        If the request had `TE: trailers` (RFC 9110 6.5.1), send the trailers.
        """
        self._write_pending_head()
        if self._chunked:
            wanted = self._trailers if self._takes_trailers and self._trailers else []
            self.client_connection.write(b"0\r\n%b\r\n" % build_header_block(wanted))
        self._finish_response()

    def _finish_response(self) -> None:
        if self._left_bytes and not self._omits_body:
            self._abort_response()
            raise RuntimeError("The body is shorter than its Content-Length")
        self.is_over = True
        self._on_disconnect = None
        self._close_request_body()
        self.client_connection.start_next_request_or_close(
            self, is_last=self._closes or not self.has_received_whole_body
        )


if TYPE_CHECKING:
    _implements: Callable[..., NativeScope] = RequestCycle
