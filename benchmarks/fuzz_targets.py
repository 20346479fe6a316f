"""What must hold for any bytes at the two parsers and in two answers that are compared.

The targets are `request`, `response`, `passage` between them, and `comparing`.

Rule: a target takes the bytes of one connection and raises Broken, or nothing. Where the bytes are
cut is drawn from the bytes themselves, so that what broke a target breaks it again. The second
readers, gunicorn's parser and h11, only judge what both sides accept.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import h11
import httpx
from gunicorn.asgi.parser import ParseError, PythonProtocol

from benchmarks.fuzz_comparing import MOST_CPU_S, spent_s
from overgrow.exchange import FAILURES
from overgrow.forwarding.client.connection import UpstreamConnection
from overgrow.forwarding.client.httpx_messages import RawRequest
from overgrow.forwarding.client.request import NO_BODY, OutgoingRequest, build_outgoing_request
from overgrow.forwarding.client.response_parser import LENIENCIES
from overgrow.forwarding.client.timeouts import DEFAULT_TIMEOUTS
from overgrow.forwarding.headers import headers_for_legacy
from overgrow.path.in_flight import strip_private_headers
from overgrow.routing.facts import head_of
from overgrow.server.request_parser import RequestParser, failure_code

Pairs = list[tuple[bytes, bytes]]

LIMITS = {"limit_request_line": 300, "limit_request_fields": 12, "limit_request_field_size": 400}
AT_LEGACY = {  # the head has grown on its way
    "limit_request_line": 1000,
    "limit_request_fields": 100,
    "limit_request_field_size": 1000,
    "permit_unconventional_http_method": True,
}
STRICT: frozenset[str] = frozenset()
LENIENT = frozenset(LENIENCIES)
URL = httpx.URL("http://127.0.0.1:9000")


class Broken(Exception):
    """A promise does not hold for these bytes."""


class Asked(NamedTuple):
    """One request as a parser read it; `is_whole` is False for one whose body goes on."""

    method: bytes
    target: bytes
    version: tuple[int, int]
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_whole: bool


class Stream(NamedTuple):
    """What a connection's bytes came to: its requests, and whether what follows was refused."""

    requests: list[Asked]
    is_refused: bool


class AnyTrailer(PythonProtocol):  # type: ignore[misc]
    """gunicorn's parser that ignores the trailers which it would refuse a whole request for."""

    def _find_line(self, limit: int, error: ParseError) -> int:
        end: int = super()._find_line(limit, error)
        if end > 0 and (self._state, self._chunk_state) == ("chunked", "trailer"):
            self._buffer[:1] = b"-"
        return end


def request(data: bytes) -> None:
    """The front door's parser: one reading, whatever the cuts, and none that others do not share."""
    whole = requests_in([data])
    for pieces in cuttings(data):
        agree("the requests depend on the cuts", whole, requests_in(pieces))
    if not whole.requests or not whole.requests[0].is_whole:
        return
    first = whole.requests[0]
    theirs = requests_in([data], AnyTrailer, permit_unconventional_http_method=True)
    agree("gunicorn reads another first request", [first], theirs.requests[:1])
    beside = h11_request(data)
    if beside is not None:
        agree("h11 reads another first request", compared(first), beside)


def response(data: bytes) -> None:
    """The transport's parser: one reading, whatever the cuts, and none that others do not share."""
    method = "HEAD" if zlib.crc32(data) % 4 == 0 else "GET"
    whole = answer_in([data], STRICT, method)
    lenient = answer_in([data], LENIENT, method)
    for pieces in cuttings(data):
        agree("the answer depends on the cuts", whole, answer_in(pieces, STRICT, method))
        agree("a forgiven answer depends on the cuts", lenient, answer_in(pieces, LENIENT, method))
    if not whole.is_whole:
        return
    if not whole.is_http_1_0:
        agree("leniencies change a strict answer", lowered(whole), lowered(lenient))
    beside = h11_answer(data, method)
    if beside is not None:
        status, _, headers = whole.heads[-1]
        agree("h11 reads another answer", (status, caseless(headers), whole.body), beside)


def passage(data: bytes) -> None:
    """A request that came in goes out as exactly one request with the same target and body."""
    for asked in requests_in([data]).requests:
        if not asked.is_whole or asked.method == b"CONNECT":
            continue
        sent = forwarded(asked)
        if sent is None:
            continue
        wire, target = sent
        found = requests_in([wire], PythonProtocol, **AT_LEGACY)
        if found.is_refused or len(found.requests) != 1 or not found.requests[0].is_whole:
            raise Broken(f"what goes out is not one request: {wire!r}: {found}")
        out = found.requests[0]
        agree("what goes out is another request", (asked.method, target, asked.body), out_of(out))
        beside = h11_request(wire)
        if beside is not None:
            agree("h11 reads what goes out otherwise", compared(out), beside)


def agree(what: str, expected: object, found: object) -> None:
    """Raise Broken unless both are the same."""
    if expected != found:
        raise Broken(f"{what}:\n  {expected!r}\n  {found!r}")


def cuttings(data: bytes) -> Iterator[list[bytes]]:
    """The same bytes one by one, and cut at places that depend on them."""
    if len(data) <= 200:
        yield [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(zlib.crc32(data))
    for _ in range(2):
        places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 5)))
        edges = zip([0, *places], [*places, len(data)], strict=True)
        yield [data[begin:end] for begin, end in edges]


# The front parser.


def requests_in(pieces: Sequence[bytes], kind: type = RequestParser, **options: object) -> Stream:
    """What a parser makes of a connection's bytes; anything but its own errors comes out."""
    requests: list[Asked] = []
    body = bytearray()
    parser = kind(on_body=body.extend, **{**LIMITS, **options})
    try:
        for piece in pieces:
            rest = piece
            while rest:
                rest = fed(parser, rest)
                if parser.is_complete:
                    requests.append(asked_of(parser, bytes(body)))
                    if getattr(parser, "is_upgrade", False) or not parser.should_keep_alive:
                        return Stream(requests, is_refused=False)
                    rest = parser.remaining() + rest
                    parser.reset()
                    body.clear()
    except (ParseError, ValueError) as error:
        if failure_code(error) not in FAILURES:
            raise
        return Stream(requests, is_refused=True)
    if parser._state in {"body", "chunked"}:  # noqa: SLF001 - no public name says it
        requests.append(asked_of(parser, bytes(body)))
    return Stream(requests, is_refused=False)


def fed(parser: Any, data: bytes) -> bytes:
    """Feed as the connection does, in steps; what is left for later."""
    step = getattr(parser, "step_bytes", len(data))
    parser.feed(data[:step])
    if isinstance(parser, RequestParser):
        parser.raise_if_chunk_too_large()
    return data[step:]


def asked_of(parser: Any, body: bytes) -> Asked:
    return Asked(
        parser.method,
        parser.path,
        parser.http_version,
        list(parser.headers),
        body,
        parser.is_complete,
    )


def compared(asked: Asked) -> tuple[bytes, bytes, Pairs, bytes]:
    """What h11 tells of a request too."""
    return asked.method, asked.target, caseless(asked.headers), asked.body


def caseless(headers: Sequence[tuple[bytes, bytes]]) -> Pairs:
    """Headers as h11 lets them be compared: it writes some values anew, in lower case."""
    return [(name.lower(), value.lower()) for name, value in headers]


def h11_request(data: bytes) -> tuple[bytes, bytes, Pairs, bytes] | None:
    """The first request as h11 reads it; None if it refuses or waits."""
    server = h11.Connection(h11.SERVER)
    head, body = None, b""
    try:
        server.receive_data(data)
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head.method, head.target, caseless(head.headers), body
            else:
                return None
    except h11.RemoteProtocolError:
        return None


# The transport's parser.


class Answered(NamedTuple):
    """All that can be seen of an answer. Of one that failed: what came before."""

    heads: list[tuple[int, bytes, list[tuple[bytes, bytes]]]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    is_whole: bool
    is_reusable: bool
    is_http_1_0: bool


def lowered(answer: Answered) -> Answered:
    """The same with header names in lower case, as clients get them."""
    heads = [
        (status, reason, [(name.lower(), value) for name, value in headers])
        for status, reason, headers in answer.heads
    ]
    return answer._replace(heads=heads)


class Deaf(asyncio.Transport):
    """Takes everything, sends nothing, and knows whether it was closed."""

    closing = False

    def set_write_buffer_limits(self, high=None, low=None): ...
    def write(self, data): ...
    def pause_reading(self): ...
    def resume_reading(self): ...

    def is_closing(self):
        return self.closing

    def get_extra_info(self, _name, default=None):
        return default

    def abort(self):
        self.closing = True


class Owner:
    """A pool of nothing that notes whether the connection could serve on."""

    wake_at = float("inf")
    is_released = False

    def release(self, _connection):
        self.is_released = True

    def remove_connection(self, _connection):
        self.is_released = False

    def stop_counting(self, connection): ...
    def on_socket_closed(self, connection): ...
    def on_socket_open(self, connection): ...
    def suspend_reuse(self): ...
    def set_timer_no_later_than(self, deadline): ...


def answer_in(pieces: Sequence[bytes], leniencies: frozenset[str], method: str) -> Answered:
    """What the transport makes of an upstream's bytes, and of their end."""
    return _loop().run_until_complete(_read(pieces, leniencies, method))


_loops: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    if not _loops:
        _loops.append(asyncio.new_event_loop())
    return _loops[0]


def close() -> None:
    """Close the loop that the targets share."""
    while _loops:
        _loops.pop().close()


async def _read(pieces: Sequence[bytes], leniencies: frozenset[str], method: str) -> Answered:
    owner, transport = Owner(), Deaf()
    connection = UpstreamConnection(asyncio.get_running_loop(), owner, leniencies)
    connection.connection_made(transport)
    outgoing = OutgoingRequest(method, b"", None, None, DEFAULT_TIMEOUTS, informs=True)
    exchange = connection.start_exchange(outgoing)
    for piece in pieces:
        if piece and not transport.closing:
            connection.data_received(piece)
    is_reusable = owner.is_released and not transport.closing
    connection.connection_lost(None)
    return await _seen(exchange, is_reusable=is_reusable)


async def _seen(exchange: Any, *, is_reusable: bool) -> Answered:
    heads, body, trailers, is_whole = [], b"", [], False
    try:
        heads.append(await exchange.response_head)
        while heads[-1].status < 200:
            heads.append(await exchange.next_head())
        async for chunk in exchange.readable_body:
            body += chunk
        trailers, is_whole = exchange.readable_body.trailers(), True
    except httpx.TransportError as error:
        agree("an error without a stage", True, hasattr(error, "stage"))
    shown = [(head.status, head.reason, list(head.headers)) for head in heads]
    is_old = bool(heads) and heads[-1].version == b"HTTP/1.0"
    return Answered(shown, body, trailers, is_whole, is_reusable, is_old)


def h11_answer(data: bytes, method: str) -> tuple[int, Pairs, bytes] | None:
    """Status, headers and body as h11 reads them; None if it refuses or waits."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    head, body = None, b""
    try:
        client.receive_data(data)
        client.receive_data(b"")
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head.status_code, caseless(head.headers), body
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


# From one to the other.


def forwarded(asked: Asked) -> tuple[bytes, bytes] | None:
    """The bytes that go to legacy for a request, and their target; None where none can."""
    head = head_of(
        asked.method.decode("ascii"),
        asked.target,
        asked.headers,
        peer="192.0.2.1",
        scheme="http",
    )
    head = strip_private_headers(head)
    chunked = any(name == b"transfer-encoding" for name, _ in asked.headers)
    headers = headers_for_legacy(
        head, via="door", upstream_host=None, has_body=bool(asked.body) or chunked
    )
    stream = httpx.ByteStream(asked.body) if asked.body or chunked else NO_BODY
    sent = RawRequest(head.method, URL, headers, stream, {"target": head.target})
    try:
        return build_outgoing_request(sent).head, head.target
    except httpx.LocalProtocolError:
        return None


def out_of(asked: Asked) -> tuple[bytes, bytes, bytes]:
    return asked.method, asked.target, asked.body


def comparing(data: bytes) -> None:
    """A comparison takes a quarter of a second of processor time at most, whatever the answers hold."""
    took_s = spent_s(data)
    if took_s > MOST_CPU_S:  # once more: a busy neighbour's core costs processor time, too
        took_s = min(took_s, *(spent_s(data) for _ in range(4)))
    if took_s > MOST_CPU_S:
        raise Broken(f"a comparison took {took_s:.2f} s of processor time")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "comparing": comparing,
    "request": request,
    "response": response,
    "passage": passage,
}
