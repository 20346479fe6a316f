"""Reads a Request from a connection. Strict where a lenient parser may disagree with another one.

Bare line feeds, folded headers, two lengths or a length beside chunks are refused (RFC 9112).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from legacy_stub.message import Refused, Request

HEAD_LIMIT_BYTES = 65536
PIECE_BYTES = 262144
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
TARGET = re.compile(r"[!-~]+")
BAD_VALUE = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


class Wire:
    """A connection, and the bytes that were read from it but not used yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.held = b""

    def take(self, max_bytes: int) -> bytes:
        """Return one to `max_bytes` bytes; raise ConnectionError at the end of the stream."""
        if self.held:
            taken, self.held = self.held[:max_bytes], self.held[max_bytes:]
            return taken
        if not (taken := self.sock.recv(min(max_bytes, PIECE_BYTES))):
            raise ConnectionError("the client closed its side early")
        return taken

    def exactly(self, count: int) -> bytes:
        """Return exactly `count` bytes."""
        taken = bytearray()
        while len(taken) < count:
            taken += self.take(count - len(taken))
        return bytes(taken)

    def until(self, mark: bytes, limit_bytes: int) -> bytes | None:
        """Return what comes before `mark` and drop the mark; None when the stream ends first."""
        while (end := self.held.find(mark)) < 0:
            if len(self.held) > limit_bytes:
                raise Refused(431, "The head of the request is too large.")
            if not (more := self.sock.recv(65536)):
                return None
            self.held += more
        found, self.held = self.held[:end], self.held[end + len(mark) :]
        return found

    def line(self) -> bytes:
        """Return one line without its CRLF; raise ConnectionError when the stream ends first."""
        line = self.until(b"\r\n", 8192)
        if line is None:
            raise ConnectionError("the client closed its side early")
        return line


class NoBody:
    """The body of a request that announces none."""

    waiting = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def read(self, limit_bytes: int) -> bytes:  # noqa: ARG002 - the protocol's argument
        """Return nothing."""
        return b""

    def is_done(self) -> bool:
        """Whether nothing of the body is left on the wire: always."""
        return True


class StreamedBody:
    """A body on the wire, of a known length or in chunks (length None); trailers are dropped.

    `waiting`: the client sends its body only after 100 Continue, which the first read sends.
    """

    def __init__(self, wire: Wire, length: int | None, *, waiting: bool) -> None:
        self._wire = wire
        self.length = length
        self.waiting = waiting
        self._is_done = False
        self._pieces = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def _read(self) -> Iterator[bytes]:
        if self.waiting:
            self.waiting = False
            self._wire.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        yield from (
            read_counted(self._wire, self.length) if self.length is not None else chunks(self._wire)
        )
        self._is_done = True

    def read(self, limit_bytes: int) -> bytes:
        """Return the whole body; refuse it when it declares or becomes more than the limit."""
        whole = bytearray()
        if (self.length or 0) > limit_bytes:
            raise Refused(413, "The body of the request is too large.")
        for piece in self:
            whole += piece
            if len(whole) > limit_bytes:
                raise Refused(413, "The body of the request is too large.")
        return bytes(whole)

    def is_done(self) -> bool:
        """Whether nothing of the body is left on the wire."""
        return self._is_done


def read_counted(wire: Wire, left: int) -> Iterator[bytes]:
    """Yield the next `left` bytes of the wire."""
    while left:
        piece = wire.take(left)
        left -= len(piece)
        yield piece


def chunks(wire: Wire) -> Iterator[bytes]:
    """Yield the data of a chunked body, to the end of its trailers."""
    while size := chunk_size(wire.line()):
        yield from read_counted(wire, size)
        if wire.exactly(2) != b"\r\n":
            raise Refused(400, "A chunk is longer than it says.")
    while wire.line():
        pass


def chunk_size(line: bytes) -> int:
    """Return the size a chunk's line declares; extensions are ignored."""
    size = line.partition(b";")[0].strip(b" \t")
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
        raise Refused(400, "A chunk size is not a hexadecimal number.")
    return int(size, 16)


def next_request(wire: Wire, peer: str) -> Request | None:
    """Read the next request's head; None when the client has nothing more to ask."""
    head = wire.until(b"\r\n\r\n", HEAD_LIMIT_BYTES)
    if head is None:
        return None
    first, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    method, target, version = request_line(first)
    request = Request(method, target, version, [pair_of(line) for line in lines], NoBody(), peer)
    if version == "HTTP/1.1" and "host" not in request.values:
        raise Refused(400, "The request names no host.")
    request.body = body_of(wire, request)
    return request


def request_line(line: str) -> tuple[str, str, str]:
    """Return method, target and version of the first line."""
    parts = line.split(" ")
    if len(parts) != 3 or not TOKEN.fullmatch(parts[0]) or not TARGET.fullmatch(parts[1]):
        raise Refused(400, "The first line of the request is malformed.")
    if parts[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        raise Refused(505, "This shop speaks HTTP/1.0 and HTTP/1.1.")
    if not (parts[1].startswith(("/", "http://", "https://")) or parts[1] == "*"):
        raise Refused(400, "The target of the request is malformed.")
    return parts[0], parts[1], parts[2]


def pair_of(line: str) -> tuple[str, str]:
    """Return the name and the value of a header's line."""
    name, colon, value = line.partition(":")
    if not colon or not TOKEN.fullmatch(name) or BAD_VALUE.search(value):
        raise Refused(400, "A header of the request is malformed.")
    return name, value.strip(" \t")


def body_of(wire: Wire, request: Request) -> NoBody | StreamedBody:
    """Return the body the headers announce; refuse two ways of framing it."""
    coding = request.header("transfer-encoding").lower()
    length = request.header("content-length")
    waiting = request.header("expect").lower() == "100-continue"
    if coding:
        if length or coding != "chunked":
            raise Refused(400, "The length of the body can be read in more than one way.")
        return StreamedBody(wire, None, waiting=waiting)
    if length and not re.fullmatch(r"[0-9]{1,15}", length):
        raise Refused(400, "Content-Length is not one number.")
    return StreamedBody(wire, int(length), waiting=waiting) if int(length or 0) else NoBody()
