"""A raw tunnel to legacy for an upgrade: its head there, the answer's head back, then bytes.

Band 1: asyncio and httptools. `open_tunnel` never raises for the network. Nobody reads what goes
through after the 101, so subprotocols, compression and close codes pass as they are. Bytes are
not stored: a side that does not keep up stops the other side's reading. A side that ends its
sending ends the other's receiving (half close); where TLS knows no half close, both end.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Literal, cast
from urllib.parse import urlsplit

import httptools

from proxy.exchange import BodyBroken, Failure, Moved, TakeOver
from proxy.routing.facts import Headers
from proxy.routing.model import Legacy, Timeouts

MAX_HEAD_BYTES = 65_536  # of legacy's answer
BUFFER_BYTES = 65_536  # towards either side before the other has to wait

EndedBy = Literal["client", "legacy", "idle"]


async def open_tunnel(
    legacy: Legacy, head: bytes, *, timeouts: Timeouts, ssl_context: ssl.SSLContext | None = None
) -> Opened | Failure:
    """Connect to legacy, send the request's head, wait for the head of its answer.

    `head` is complete, with its empty line. Whoever gets an Opened must `close` it.
    """
    answer = _Answer()
    try:
        async with asyncio.timeout(timeouts.connect_s):
            await _connect(legacy, answer, ssl_context)
    except TimeoutError:
        return Failure("legacy-timeout", "connect", "legacy", "connect")
    except OSError as error:  # ssl.SSLError is one
        return Failure("legacy-connect", "connect", "legacy", str(error))
    opened = Opened(answer, timeouts)
    try:
        answer.transport.write(head)
        async with asyncio.timeout(timeouts.response_s):
            failure = await answer.head_seen
    except TimeoutError:
        failure = Failure("legacy-timeout", "head", "legacy", "no answer to an upgrade")
    except asyncio.CancelledError:
        await opened.close()
        raise
    if failure is not None:
        await opened.close()
        return failure
    return opened


async def _connect(legacy: Legacy, answer: _Answer, ssl_context: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    url = urlsplit(legacy.url)
    if url.scheme == "unix":
        await loop.create_unix_connection(lambda: answer, url.path)
    elif url.scheme == "https":
        context = ssl_context or _trusting(legacy.tls_ca)
        host = url.hostname or ""
        await loop.create_connection(lambda: answer, host, url.port or 443, ssl=context)
    else:
        await loop.create_connection(lambda: answer, url.hostname or "", url.port or 80)


@lru_cache(maxsize=8)
def _trusting(tls_ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls_ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Opened:
    """A connection to legacy whose answer's head is here: switched (101), or a refusal.

    `headers` have lower-case names. `body` is a refusal's body; it raises BodyBroken when it ends
    early. `run` is for a switched one.
    """

    def __init__(self, answer: _Answer, timeouts: Timeouts) -> None:
        self._answer = answer
        self._timeouts = timeouts

    @property
    def status(self) -> int:
        """The status of legacy's answer."""
        return self._answer.status

    @property
    def reason(self) -> bytes:
        """Its reason phrase, which may be empty."""
        return self._answer.reason

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Its headers as sent, names in lower case."""
        return self._answer.headers

    @property
    def is_switched(self) -> bool:
        """True when legacy agreed: the bytes after the head are the new protocol's."""
        return self._answer.status == 101

    @property
    def body(self) -> AsyncIterator[bytes]:
        """The body of a refusal, unframed."""
        return self._answer.body(self._timeouts.idle_s)

    async def run(self, take_over: TakeOver, headers: Headers) -> Moved:
        """Answer the client 101 with `headers`, then copy bytes until both sides have ended.

        `take_over` is scope["overgrow"].take_over; what it raises when the client is gone comes out
        of here.
        """
        splice = _Splice(self._answer, self._timeouts.stream_idle_s)
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        head = b"HTTP/1.1 101 %b\r\n%b\r\n" % (self.reason, lines)
        return await splice.run(take_over, head)

    async def close(self) -> None:
        """End the connection to legacy, if it still is."""
        self._answer.transport.abort()


class _Answer(asyncio.Protocol):
    """Legacy's side until the tunnel runs: reads the answer's head, and a refusal's body."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.early = b""  # what legacy sent behind its 101
        self.head_seen: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._chunks: deque[bytes] = deque()
        self._is_whole = False
        self._cut: Failure | None = None
        self._stirred = asyncio.Event()

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Parse; at a 101 stop reading, what follows is not HTTP."""
        self._head_bytes += 0 if self.head_seen.done() else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.early = data[upgrade.args[0] :]
            self.transport.pause_reading()
            self._tell(None)
        except httptools.HttpParserError as error:
            self._fail(Failure("legacy-protocol", "head", "legacy", str(error)))
        else:
            if self._head_bytes > MAX_HEAD_BYTES and not self.head_seen.done():
                self._fail(Failure("legacy-protocol", "head", "legacy", "its head is too large"))
            if sum(map(len, self._chunks)) > BUFFER_BYTES:
                self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end: of a body without a length its rightful one, else a failure."""
        if exc is None and self.head_seen.done() and self._ends_with_connection():
            self._is_whole = True
            self._stirred.set()
        else:
            self._fail(Failure("legacy-closed", "head", "legacy", str(exc or "closed")))

    def _ends_with_connection(self) -> bool:
        """RFC 9112 6.3, the last case."""
        return not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in self.headers
        )

    # From the parser.

    def on_message_begin(self) -> None:
        """Forget a 1xx that came before."""
        self.headers, self.reason = [], b""

    def on_status(self, reason: bytes) -> None:
        """Take the reason phrase, which may come in pieces."""
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is here: final, or the 101 (told when the parser stops at it)."""
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._tell(None)

    def on_body(self, chunk: bytes) -> None:
        """Take a chunk of a refusal's body."""
        self._chunks.append(chunk)
        self._stirred.set()

    def on_message_complete(self) -> None:
        """A refusal is whole; a 1xx goes by; a 101 that names no protocol is none."""
        if self.status >= 200:
            self._is_whole = True
            self._stirred.set()
        elif self.status == 101 and not self._parser.should_upgrade():
            self._fail(Failure("legacy-protocol", "head", "legacy", "101 without Upgrade"))

    # For Opened.

    async def body(self, idle_s: float) -> AsyncIterator[bytes]:
        """The chunks of the body as they come.

        Raises:
            BodyBroken: when it ends early or nothing comes for `idle_s`.

        """
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._is_whole:
                return
            if self._cut is not None:
                raise BodyBroken(self._cut._replace(stage="body"))
            self.transport.resume_reading()
            self._stirred.clear()
            try:
                async with asyncio.timeout(idle_s):
                    await self._stirred.wait()
            except TimeoutError:
                raise BodyBroken(Failure("legacy-timeout", "body", "legacy", "idle")) from None

    def _tell(self, failure: Failure | None) -> None:
        if not self.head_seen.done():
            self.head_seen.set_result(failure)

    def _fail(self, failure: Failure) -> None:
        self._cut = self._cut or failure
        self._tell(failure)
        self._stirred.set()
        self.transport.abort()


class _End(asyncio.Protocol):
    """One side of a running tunnel: what it receives goes to the other side at once."""

    transport: asyncio.Transport  # while not lost
    other: _End

    def __init__(self, name: EndedBy, splice: _Splice) -> None:
        self.name: EndedBy = name
        self.received_bytes = 0
        self.has_ended = False  # it will send no more
        self.is_lost = True  # until it is connected, and again afterwards
        self._splice = splice

    @property
    def is_open(self) -> bool:
        """True while it can be written to."""
        return not (self.is_lost or self.transport.is_closing())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self.received_bytes += len(data)
        self._splice.touch()
        if self.other.is_open:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Stop reading from the other side: this one does not keep up."""
        if self.other.is_open:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on from the other side: this one caught up."""
        if self.other.is_open:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Half close: the other side may go on sending, if the transport can keep a half."""
        self.has_ended = True
        self._splice.note_end(self.name)
        other = self.other
        knows_halves = self.transport.can_write_eof() and other.transport.can_write_eof()
        if not other.is_open or other.has_ended or not knows_halves:
            other.close()
            return False
        other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end on: a reset as a reset, else after what is still to be written."""
        self.is_lost = True
        self._splice.note_end(self.name)
        if exc is not None and not self.other.is_lost:
            self.other.transport.abort()
        self.other.close()
        self._splice.settle()

    def close(self) -> None:
        """Close after what is still to be written."""
        if not self.is_lost:
            self.transport.close()


class _Splice:
    """Two ends joined, an idle limit, and the moment both are gone."""

    def __init__(self, answer: _Answer, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._answer = answer
        self._idle_s = idle_s
        self._ended_by: EndedBy | None = None
        self._touched = self._loop.time()
        self._timer = self._loop.call_later(idle_s, self._watch)
        self.client = _End("client", self)
        self.legacy = _End("legacy", self)
        self.client.other, self.legacy.other = self.legacy, self.client
        self.legacy.connection_made(answer.transport)

    async def run(self, take_over: TakeOver, head: bytes) -> Moved:
        """Copy until both sides are gone."""
        transport = self._answer.transport
        try:
            transport.set_protocol(self.legacy)
            take_over(self.client, head)
            if self._answer.early:
                self.legacy.data_received(self._answer.early)
            transport.resume_reading()
            await self._done
        finally:
            self._timer.cancel()
            self._abort()
        ended_by = self._ended_by or "client"
        return Moved(self.client.received_bytes, self.legacy.received_bytes, ended_by)

    def touch(self) -> None:
        """A byte moved."""
        self._touched = self._loop.time()

    def note_end(self, name: EndedBy) -> None:
        """The first to end is the one who ended it."""
        self._ended_by = self._ended_by or name

    def settle(self) -> None:
        """Finish once both are gone."""
        if self.client.is_lost and self.legacy.is_lost and not self._done.done():
            self._done.set_result(None)

    def _watch(self) -> None:
        left_s = self._touched + self._idle_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._watch)
            return
        self.note_end("idle")
        self._abort()

    def _abort(self) -> None:
        for end in (self.client, self.legacy):
            if not end.is_lost:
                end.transport.abort()
