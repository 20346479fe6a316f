"""Builds the wire form of a request: the bytes of its head, and the framing of its body. Pure.

Rule: nothing is added or repaired. Headers are sent in the order and case given. There is one exception: if the
headers of a streamed body announce no framing, Transfer-Encoding: chunked is added. Without it the upstream
could not tell the body from the next request (RFC 9112 6.1).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Callable
from typing import NamedTuple

import httpx

from overgrow.caches.header_memo import ForwardedHeaders
from overgrow.connection_login import ClientConnection, names_login
from overgrow.forwarding.client.errors import transport_error
from overgrow.forwarding.client.httpx_messages import Pairs, pairs_of
from overgrow.forwarding.client.timeouts import UpstreamTimeouts, timeouts_of
from overgrow.http import TOKEN_BYTES

NO_BODY = httpx.ByteStream(b"")

# A larger body in memory is sent with back-pressure, like a stream.
_SENT_AT_ONCE_BYTES = 65536

# RFC 9112 3 and 5: one line each, so that a value can never begin a line of its own.
_START_LINE = re.compile(TOKEN_BYTES + rb" [\x21-\x7e\x80-\xff]++ HTTP/1\.1\r\n")
_LINES = re.compile(rb"(?:" + TOKEN_BYTES + rb": [\t\x20-\x7e\x80-\xff]*+\r\n)*")
_DIGITS = re.compile(rb"[0-9]{1,18}")


# What is still to be sent behind the head: the stream, its announced size, and whether it waits for 100.
_Streamed = tuple[AsyncIterable[bytes] | None, int | None, bool]
_UNSTREAMED: _Streamed = (None, None, False)


class OutgoingRequest(NamedTuple):
    """One request ready to be written.

    `head` includes a small body held in memory. `stream` is the body that is still to be sent; None if there is
    none. `length` is the announced size of this body; None if the body is sent in chunks. If this request logs
    a user in, `owner` returns the client's connection to which the login belongs.
    """

    method: str
    head: bytes
    stream: AsyncIterable[bytes] | None
    length: int | None
    limits: UpstreamTimeouts
    informs: bool
    asks_first: bool = False  # RFC 9110 10.1.1: the body waits for 100
    carries_login: bool = False  # it logs in the connection that it is sent on
    owner: Callable[[], ClientConnection | None] | None = None


def build_outgoing_request(request: httpx.Request) -> OutgoingRequest:
    """Return the wire form of a request. If the request cannot be sent, raise LocalProtocolError."""
    pairs = pairs_of(request)
    if type(pairs) is ForwardedHeaders and pairs.lines is not None and request.stream is NO_BODY:
        head, carries_login = _build_request_line(request) + pairs.lines, pairs.carries_login
        stream = length = None
        asks_first = False
    else:
        head, (stream, length, asks_first), carries_login = _serialize_head_and_body(request, pairs)
    method, extensions = request.method, request.extensions
    return OutgoingRequest(
        method,
        head,
        stream,
        length,
        extensions.get("overgrow") or timeouts_of(extensions),
        "on_informational" in extensions,
        asks_first,
        carries_login,
        extensions.get("owner"),
    )


def _serialize_head_and_body(request: httpx.Request, pairs: Pairs) -> tuple[bytes, _Streamed, bool]:
    """Return (bytes to send at once, stream to send after them, whether the request logs in)."""
    headers = list(pairs)
    length, chunked, carries_login = _read_framing_and_login(headers)
    body = request.stream
    payload = b"" if body is NO_BODY else _body_if_bytes(body)
    if payload is None or len(payload) > _SENT_AT_ONCE_BYTES:
        return *_serialize_head_before_stream(
            request, headers, length, chunked=chunked
        ), carries_login
    head = _serialize_head(request, headers)
    if payload or length or chunked:
        head, payload = _frame_body_in_memory(head, payload, length, chunked=chunked)
        head += payload
    elif type(pairs) is ForwardedHeaders:
        pairs.lines = head[head.index(b"\n") + 1 :]
        pairs.carries_login = carries_login
    return head, _UNSTREAMED, carries_login


def _serialize_head(request: httpx.Request, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return request line and headers; refuse values that would be read as a different request."""
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    if lines.count(b"\n") != len(headers) or _LINES.fullmatch(lines) is None:
        raise _unsendable_request_error("a header has a character that HTTP forbids")
    return _build_request_line(request) + lines + b"\r\n"


def _build_request_line(request: httpx.Request) -> bytes:
    """Return the request line (RFC 9112 3)."""
    target = request.extensions.get("target") or request.url.raw_path
    line = b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii", "replace"), target)
    if _START_LINE.fullmatch(line) is None:
        raise _unsendable_request_error("the method or target has a character that HTTP forbids")
    if request.method == "CONNECT":
        raise _unsendable_request_error(
            "CONNECT asks for a tunnel, which this transport does not open"
        )
    return line


def _body_if_bytes(body: object) -> bytes | None:
    """Return the body if it is a bytes object, else None."""
    return b"".join(body) if isinstance(body, httpx.ByteStream) else None


def _serialize_head_before_stream(
    request: httpx.Request,
    headers: list[tuple[bytes, bytes]],
    length: int | None,
    *,
    chunked: bool,
) -> tuple[bytes, _Streamed]:
    """Return (head, body) of a request whose body is sent piece by piece."""
    head = _serialize_head(request, headers)
    if length is None and not chunked:
        head = head[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    stream = request.stream
    if not isinstance(stream, AsyncIterable):
        raise _unsendable_request_error("the body must be an asynchronous iterable of bytes")
    asks_first = any(
        name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in headers
    )
    return head, (stream, length, asks_first)


def _frame_body_in_memory(
    head: bytes, payload: bytes, length: int | None, *, chunked: bool
) -> tuple[bytes, bytes]:
    """Return (head, body) for a body in memory, framed as its headers announce."""
    if length is not None:
        if length != len(payload):
            raise _unsendable_request_error(
                f"Content-Length is {length} but the body has {len(payload)} bytes"
            )
        return head, payload
    if not chunked:
        head = head[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    return head, (encode_chunk(payload) if payload else b"") + LAST_CHUNK


LAST_CHUNK = b"0\r\n\r\n"


def encode_chunk(data: bytes) -> bytes:
    """Return data as one chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _read_framing_and_login(headers: list[tuple[bytes, bytes]]) -> tuple[int | None, bool, bool]:
    """Return (length, chunked, has login): the framing that the headers announce, and whether they log a user in."""
    lengths: list[bytes] = []
    codings: list[bytes] = []
    carries_login = False
    for name, value in headers:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            lengths.append(value)
        elif size == 17 and name.lower() == b"transfer-encoding":
            codings.append(value.lower())
        elif size == 13 and name.lower() == b"authorization":
            carries_login = carries_login or names_login(value)
    if not lengths and not codings:
        return None, False, carries_login
    return *_parse_framing(lengths, codings), carries_login


def _parse_framing(lengths: list[bytes], codings: list[bytes]) -> tuple[int | None, bool]:
    """Return (length, chunked); refuse framing that two readers could understand differently (RFC 9112 6.3)."""
    if len(lengths) + len(codings) > 1:
        raise _unsendable_request_error("more than one Content-Length or Transfer-Encoding")
    if codings and codings[0] != b"chunked":
        raise _unsendable_request_error("the only Transfer-Encoding that can be sent is chunked")
    if lengths and _DIGITS.fullmatch(lengths[0]) is None:
        raise _unsendable_request_error("Content-Length is not a number")
    return (int(lengths[0]) if lengths else None), bool(codings)


def _unsendable_request_error(message: str) -> httpx.LocalProtocolError:
    """Return the error for a request that cannot be sent."""
    return transport_error(
        httpx.LocalProtocolError, "send", f"The request cannot be sent: {message}."
    )
