"""One request and its response on a connection to legacy: it interprets the bytes in the order in which they come.

Rule: `_state` says what the next bytes are (STATES), and `_READERS` has the method that reads them. All bytes
are checked here before anybody else gets them. An exchange ends once, by `_complete_exchange`, `fail` or
`abandon`. Each of these three methods gives the connection back or closes it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Literal, Protocol

import httpx

from overgrow.connection_login import ClientConnection, response_carries_login
from overgrow.forwarding.client.errors import Malformed, ResponseCut, Stage, transport_error
from overgrow.forwarding.client.request import OutgoingRequest
from overgrow.forwarding.client.response_body import ResponseBody, WholeBody
from overgrow.forwarding.client.response_parser import (
    CHUNKED,
    HEAD_LIMIT_BYTES,
    UNTIL_CLOSE,
    ResponseHead,
    ResponseParser,
    find_head_end,
    find_start_of_trailers,
    parse_head,
    parse_trailers,
    refuse_bare_line_feeds,
)
from overgrow.forwarding.client.retry import Attempt
from overgrow.forwarding.client.timeouts import UpstreamTimeouts

# More interim responses than this before a final one are an attack or a loop.
_INTERIM_LIMIT = 64
# How much of the chunks just read is kept: enough for the line of the last chunk and the first trailers.
_RECENT_BYTES = 1024
_CHALLENGES = (401, 407)
_NO_PROGRESS_S = 1.0  # an upstream that takes no byte of an upload for so long does not read it
_OVERHEAD = f"chunk extensions or trailers exceed {HEAD_LIMIT_BYTES} bytes"


State = Literal["head", "challenge", "counted", "until-close", "chunks", "trailers"]
STATES: dict[State, str] = {
    "head": "a status line and headers, of an interim response or the final one",
    "challenge": "what follows a 401 or 407 that is held back until the upload has ended",
    "counted": "a body whose length the head announced",
    "until-close": "a body that ends with the connection",
    "chunks": "a chunked body and its trailers, read by llhttp",
    "trailers": "trailers that llhttp refuses, as one looks like framing",
}


class ExchangeConnection(Protocol):
    """The connection that carries an exchange, as the exchange sees it."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        ...

    @property
    def leniencies(self) -> frozenset[str]:
        """The deviations from HTTP that this upstream is allowed."""
        ...

    @property
    def login(self) -> object | None:
        """The login of a client's connection on this connection; None if there is no login."""
        ...

    @property
    def is_private(self) -> bool:
        """Whether this connection has a login and so serves only one client."""
        ...

    @property
    def is_past_max_age(self) -> bool:
        """Whether the connection has reached its maximum age."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """How many written bytes the kernel has not taken yet."""
        ...

    def reserve_for_client(
        self, owner: Callable[[], ClientConnection | None] | None, *, said_by_upstream: bool
    ) -> None:
        """Serve only one client from now on."""

    def close_client_after_response(self) -> None:
        """Tell the client that its connection ends too."""

    def apply_body_timeouts(self, limits: UpstreamTimeouts, *, events: bool) -> None:
        """Apply the timeouts of a body from now on."""

    def release_or_close(self, *, reusable: bool) -> None:
        """Go back to the pool, or close."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Continue reading."""

    def close(self) -> None:
        """Close the socket now."""


class ResponseCycle:
    """One request on a connection, from its first byte to the last byte of its response."""

    upgrades: ClassVar[bool] = False  # whether the request may be answered 101

    __slots__ = (
        "_challenge",
        "_has_waited",
        "_interim",
        "_overhead_bytes",
        "_parser",
        "_partial_head",
        "_recent",
        "_remaining",
        "_state",
        "_undelivered",
        "began",
        "body",
        "connection",
        "continued",
        "keeps",
        "outgoing",
        "response_head",
        "sender",
        "sent",
        "took_body",
        "whole",
    )

    def __init__(self, connection: ExchangeConnection, outgoing: OutgoingRequest) -> None:
        self.connection: ExchangeConnection | None = connection
        self.outgoing = outgoing
        self.response_head: asyncio.Future[ResponseHead] = connection.loop.create_future()
        self.body: ResponseBody | None = None
        self.whole: WholeBody | None = None  # in place of `body`, if all of it came with the head
        self.sender: asyncio.Task[None] | None = None
        self.sent = False
        self.took_body = False
        self.continued: asyncio.Event | None = asyncio.Event() if outgoing.asks_first else None
        self.began = False
        self.keeps = True
        self._undelivered: deque[ResponseHead | BaseException] | None = None
        self._state: State = "head"
        self._partial_head: bytearray | None = None
        # A 401 or 407 that is held back until the upload has ended, and the bytes behind its head.
        self._challenge: tuple[ResponseHead, bytes] | None = None
        self._has_waited = False
        self._interim = 0
        self._remaining = 0
        self._parser: ResponseParser | None = None
        self._recent = b""
        self._overhead_bytes = 0

    # The connection calls these.

    def receive(self, data: bytes) -> None:
        """Take bytes from the upstream."""
        self.began = True
        try:
            self._READERS[self._state](self, data)
        except Malformed as error:
            text = f"The upstream's response is not valid HTTP: {error}."
            self.fail(transport_error(httpx.RemoteProtocolError, self.stage, text))

    def on_connection_lost(self, error: Exception | None) -> None:
        """Note that the connection has ended by EOF, a reset or another error."""
        self.deliver_delayed_challenge()
        if self.connection is None:
            return
        if error is not None:
            kind = httpx.WriteError if self.stage == "send" else httpx.ReadError
            self.fail(
                transport_error(kind, self.stage, f"The upstream's connection broke: {error!r}.")
            )
        elif self._state == "until-close":
            self._complete_exchange()
        else:
            text = "The upstream closed its connection before its response was complete."
            self.fail(transport_error(ResponseCut, self.stage, text))

    @property
    def readable_body(self) -> ResponseBody | WholeBody:
        """The body of the final response, for its reader; it exists once the head was delivered."""
        body = self.whole or self.body
        assert body is not None  # noqa: S101 - comes with the head
        return body

    @property
    def stage(self) -> Stage:
        """How far this exchange has got."""
        if self.body is not None:
            return "body"
        return "head" if self.sent or self.began else "send"

    def describe_attempt(self, *, was_reused: bool) -> Attempt:
        """Return what the retry rule needs to know about this exchange."""
        return Attempt(self.outgoing.method, was_reused, self.began, self.took_body)

    # Reading.

    def _read_head(self, data: bytes) -> None:
        """Read the status line and headers, which may come in pieces."""
        connection = self.connection
        assert connection is not None  # noqa: S101 - an ended exchange receives nothing
        leniencies = connection.leniencies
        start = 0
        if self._partial_head is not None:
            start = max(0, len(self._partial_head) - 3)
            self._partial_head += data
            data = self._partial_head  # type: ignore[assignment]
        end = find_head_end(data, start, leniencies)
        if end < 0:
            if self._partial_head is None:
                self._partial_head = bytearray(data)
            return
        head, rest = data[:end], data[end:]
        if self._partial_head is not None:
            head, rest, self._partial_head = bytes(head), bytes(rest), None
        response_head = parse_head(head, self.outgoing.method, leniencies, upgrades=self.upgrades)
        if response_head.status < 200:
            self._handle_interim_response(response_head, rest)
        else:
            self._handle_final_head(response_head, rest)

    def _handle_interim_response(self, response_head: ResponseHead, rest: bytes) -> None:
        """If the caller asked for interim responses, pass a 1xx on; then read the next head."""
        self._interim += 1
        if self._interim > _INTERIM_LIMIT:
            raise Malformed(f"more than {_INTERIM_LIMIT} interim responses (RFC 9110 15.2)")
        if response_head.status == 100 and self.continued is not None:
            self.continued.set()
        if response_head.carries_login and self.connection is not None:
            self.connection.reserve_for_client(self.outgoing.owner, said_by_upstream=True)
        if self.outgoing.informs:
            self._deliver_head_or_error(response_head)
        if rest:
            self._read_head(rest)

    def _handle_final_head(self, response_head: ResponseHead, rest: bytes) -> None:
        """Deliver the head and start to read the body."""
        connection = self.connection
        assert connection is not None  # noqa: S101 - as above
        self.keeps = response_head.keeps
        if response_head.carries_login or self.outgoing.carries_login:
            connection.reserve_for_client(
                self.outgoing.owner, said_by_upstream=response_head.carries_login
            )
            if self._must_delay_challenge(connection, response_head):
                self._delay_challenge(connection, response_head, rest)
                return
        if connection.is_private:
            self._announce_login_end_if_due(connection, response_head)
        if response_head.length == len(rest):  # usually all of it is here
            self.whole = WholeBody(rest)
            self._deliver_head_or_error(response_head)
            self._release_connection()
            return
        self.body = ResponseBody(self)
        self._deliver_head_or_error(response_head)
        self._choose_body_reader(response_head.length, connection.leniencies)
        if rest or self._remaining == 0:
            self._READERS[self._state](self, rest)
        if self.connection is None:
            return
        unasked = self.continued is not None and not self.took_body  # nobody will ask for it now
        if not self.sent and (response_head.status >= 400 or not response_head.keeps or unasked):
            self._stop_upload()
        connection.apply_body_timeouts(self.outgoing.limits, events=response_head.streams_events)

    def _must_delay_challenge(
        self, connection: ExchangeConnection, response_head: ResponseHead
    ) -> bool:
        """Whether to delay a challenge to log in (401 or 407) until the upload is complete.

        The next step of the login needs this connection, and a response before the end of the upload would end
        both connections.
        """
        is_challenge = response_head.keeps and response_head.status in _CHALLENGES
        is_asked = self.continued is None or self.took_body  # else the body will not be sent
        is_uploading = is_asked and not (self.sent or self._has_waited)
        return is_challenge and is_uploading and connection.login is not None

    def _delay_challenge(
        self, connection: ExchangeConnection, response_head: ResponseHead, rest: bytes
    ) -> None:
        self._challenge, self._state = (response_head, rest), "challenge"
        connection.pause()
        connection.loop.call_later(_NO_PROGRESS_S, self._deliver_challenge_if_upload_stalls, 0)

    def _deliver_challenge_if_upload_stalls(self, unsent_bytes: int) -> None:
        """Deliver the challenge early if the upstream has stopped taking the upload."""
        connection = self.connection
        if self._challenge is None or connection is None:
            return
        left = connection.unsent_bytes
        if 0 < unsent_bytes <= left:
            self.deliver_delayed_challenge()
        else:
            connection.loop.call_later(
                _NO_PROGRESS_S, self._deliver_challenge_if_upload_stalls, left
            )

    def deliver_delayed_challenge(self) -> None:
        """If a challenge was delayed until the end of the upload, deliver it."""
        if self._challenge is not None and self.connection is not None:
            self._has_waited = True
            self.connection.resume()
            self.receive(b"")

    def _buffer_behind_challenge(self, data: bytes) -> None:
        """Keep the bytes that come after the head of a delayed challenge."""
        assert self._challenge is not None  # noqa: S101 - set with this state
        response_head, rest = self._challenge
        self._challenge = response_head, rest + data
        if self._has_waited:
            self._challenge = None
            self._handle_final_head(response_head, rest + data)

    def _announce_login_end_if_due(
        self, connection: ExchangeConnection, response_head: ResponseHead
    ) -> None:
        """If the connection to legacy ends with this response, announce to the client that its connection ends, too.

        The connection to legacy ends if legacy closes it, or if it is too old. While a login is in progress,
        its age does not count.
        """
        if connection.is_past_max_age and response_head.status not in _CHALLENGES:
            self.keeps = False
        if not self.keeps:
            connection.close_client_after_response()

    def _choose_body_reader(self, length: int, leniencies: frozenset[str]) -> None:
        """Choose how the body is read: by the parser of chunks, by counting, or until the connection ends."""
        self._remaining = length
        if length == CHUNKED:
            self._parser = ResponseParser(leniencies)
            self._parser.begin_chunks()
            self._state = "chunks"
        else:
            self._state = "until-close" if length == UNTIL_CLOSE else "counted"

    def _read_counted_body(self, data: bytes) -> None:
        """Read a body of a known number of bytes. If more bytes come, do not reuse the connection."""
        body, size = self.body, len(data)
        assert body is not None  # noqa: S101 - set with this state
        if size > self._remaining:
            data, self.keeps = data[: self._remaining], False
        if data:
            body.feed(data)
        self._remaining -= len(data)
        if self._remaining == 0:
            self._complete_exchange()

    def _read_body_until_close(self, data: bytes) -> None:
        """Read a body that ends with the connection (RFC 9112 6.3, case 8)."""
        if data and self.body is not None:
            self.body.feed(data)

    def _read_chunks(self, data: bytes) -> None:
        """Read chunks and trailers (RFC 9112 7.1). Bytes other than body data have the same limit as a head."""
        parser, body = self._parser, self.body
        assert parser is not None  # noqa: S101 - set with this state
        assert body is not None  # noqa: S101 - as above
        try:
            parser.feed(data)
        except Malformed as error:
            recent = self._recent + data
            begin = (
                find_start_of_trailers(recent, parser.seen.pairs)
                if "Length" in str(error)
                else None
            )
            if begin is None:
                raise
            self._recent = recent[begin:]
            self._state, data = "trailers", b""
        finally:
            if decoded := parser.pop_data():
                body.feed(decoded)
        self._limit_chunk_overhead(0 if decoded else len(data))
        if self._state == "trailers":
            self._read_trailers_refused_by_llhttp(b"")
            return
        if not decoded:
            self._recent += data
        else:
            self._recent = data if parser.seen.pairs else data[-_RECENT_BYTES:]
        if parser.seen.is_done:
            self._finish_chunked_body(parser, body)

    def _read_trailers_refused_by_llhttp(self, data: bytes) -> None:
        """Read trailers that llhttp refuses, because one of them looks like a framing field (RFC 9110 6.5.1).

        The connection is not reused afterwards, because it is unknown what framing such a server means.
        """
        self._recent = held = self._recent + data
        if len(held) > HEAD_LIMIT_BYTES:
            raise Malformed(_OVERHEAD)
        refuse_bare_line_feeds(held)
        end = held.find(b"\r\n\r\n")
        if end >= 0 and self.body is not None:
            self.keeps = False
            self.body.trailer_pairs = parse_trailers(held[: end + 2])
            self._complete_exchange()

    def _limit_chunk_overhead(self, size: int) -> None:
        """Count `size` more bytes that are not body data, and refuse too many in a row.

        A `size` of 0 restarts the count. This limits chunk extensions and trailers.
        """
        self._overhead_bytes = self._overhead_bytes + size if size else 0
        if self._overhead_bytes > HEAD_LIMIT_BYTES:
            raise Malformed(_OVERHEAD)

    def _finish_chunked_body(self, parser: ResponseParser, body: ResponseBody) -> None:
        """Finish a chunked body. Blank lines after it, which llhttp skips, count as excess bytes."""
        tail = self._recent[-5:]
        ends_once = tail[1:] == b"\r\n\r\n" and tail[0] not in b"\r\n"
        self.keeps = self.keeps and parser.seen.messages == 1 and ends_once
        body.trailer_pairs = pairs = parser.seen.pairs
        if pairs and response_carries_login(
            pairs
        ):  # nobody sees it, but legacy means something by it
            self.keeps = False
        self._complete_exchange()

    # Delivering and ending.

    def _deliver_head_or_error(self, event: ResponseHead | BaseException) -> None:
        """Give a head or the failure to the caller: at once, or when the caller asks for the next head."""
        if self.response_head.done():
            if self._undelivered is None:
                self._undelivered = deque()
            self._undelivered.append(event)
        elif isinstance(event, BaseException):
            self.response_head.set_exception(event)
        else:
            self.response_head.set_result(event)

    def next_head(self) -> asyncio.Future[ResponseHead]:
        """Return a future of the head that comes after an interim response."""
        self.response_head = self.response_head.get_loop().create_future()
        if self._undelivered:
            self._deliver_head_or_error(self._undelivered.popleft())
        return self.response_head

    def _complete_exchange(self) -> None:
        """End the exchange: the response is complete."""
        if self.body is not None:
            self.body.finish()
        self._release_connection()

    def _release_connection(self) -> None:
        """Give the connection back. The pool reuses it only if both request and response are complete."""
        connection, self.connection = self.connection, None
        if self.sender is not None:
            self._stop_upload()
        if connection is not None:
            connection.release_or_close(reusable=self.keeps and self.sent)

    def fail(self, error: BaseException) -> None:
        """End the exchange with an error and close the connection. Whoever waits for the response gets the error."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        self._stop_upload()
        if self.body is not None:
            self.body.fail(error)
        else:
            self._deliver_head_or_error(error)
        connection.close()

    def abandon(self) -> None:
        """End the exchange, because nobody needs the response."""
        connection, self.connection = self.connection, None
        self._stop_upload()
        self._undelivered = None
        response_head = self.response_head
        if (
            not response_head.cancel()
            and not response_head.cancelled()
            and response_head.exception() is not None
        ):
            # The error was retrieved, or asyncio would report it as lost. The future is dropped
            # because its traceback refers back here: that cycle would keep the client's connection.
            self.response_head = response_head.get_loop().create_future()
        if connection is not None:
            connection.close()

    def _stop_upload(self) -> None:
        """Stop an upload that is still under way. After half a request, the connection cannot be reused."""
        if self.sender is not None and not self.sent:
            self.keeps = False
            if self.sender is not asyncio.current_task(self.sender.get_loop()):
                self.sender.cancel()
        self.sender = None

    def pause(self) -> None:
        """Make the upstream wait."""
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        """Let the upstream continue."""
        if self.connection is not None:
            self.connection.resume()

    # State -> the method that reads what comes in it.
    _READERS: ClassVar[dict[State, Callable[[ResponseCycle, bytes], None]]] = {
        "head": _read_head,
        "challenge": _buffer_behind_challenge,
        "counted": _read_counted_body,
        "until-close": _read_body_until_close,
        "chunks": _read_chunks,
        "trailers": _read_trailers_refused_by_llhttp,
    }
