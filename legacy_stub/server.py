"""HTTP/1.1 in threads: one thread for each connection, kept alive between requests.

Knows requests and responses, never pages. A request's body is read to its end before the next
request, or the connection is closed; a body that ends early breaks the connection.
"""

from __future__ import annotations

import contextlib
import http
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable

from legacy_stub.clock import Clock
from legacy_stub.message import Headers, Pieces, Refused, Request, Response
from legacy_stub.wire import Wire, next_request

IDLE_TIMEOUT_S = 120
LOOK_S = 0.25
HANG_UP_TIMEOUT_S = 2
DRAIN_LIMIT_BYTES = 8 * 1024 * 1024
REASONS = {status.value: status.phrase for status in http.HTTPStatus}
BODILESS = {204, 304}


class ShortBody(Exception):
    """A body ended before its Content-Length: the connection must break, as the client must see."""


class Server:
    """A listening socket and its connections."""

    def __init__(
        self, address: tuple[str, int], answer: Callable[[Request], Response], clock: Clock
    ) -> None:
        self._answer = answer
        self._clock = clock
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(address, backlog=1024)
        # A signal that arrives just before accept blocks is handled after this time at the latest.
        self._listener.settimeout(LOOK_S)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Accept connections until `stop`, or an exception from a signal, ends it."""
        threading.stack_size(512 * 1024)
        while self._listener.fileno() >= 0:
            try:
                sock, peer = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # too many open files, or a client gone already: others may be served
                time.sleep(0.05)
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(IDLE_TIMEOUT_S)
            threading.Thread(
                target=self._serve_connection, args=(sock, peer[0]), daemon=True
            ).start()

    def stop(self) -> None:
        """Close the listener and every connection."""
        self._listener.close()
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _serve_connection(self, sock: socket.socket, peer: str) -> None:
        self._open.add(sock)
        wire = Wire(sock)
        with sock, contextlib.suppress(OSError):
            with contextlib.suppress(Refused, ShortBody):
                while self._exchange(wire, peer):
                    pass
            hang_up(sock)
        self._open.discard(sock)

    def _exchange(self, wire: Wire, peer: str) -> bool:
        """Answer one request; return whether the connection can carry another."""
        try:
            request = next_request(wire, peer)
            if request is None:
                return False
            response = self._response(request)
        except Refused as refused:
            self._refuse(wire, refused)
            return False
        stays = keeps_alive(request) and not response.takeover
        wire_head = self._head(request, response, stays=stays)
        send(wire.sock, request, response, wire_head)
        if response.takeover:
            response.takeover(wire)
        return stays and drain_body(request)

    def _response(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except (Refused, OSError):
            raise
        except Exception:  # noqa: BLE001 - a fault of one page must not end the shop
            traceback.print_exc(file=sys.stderr)
            text = b"<!doctype html>\n<title>Something went wrong</title>\n<h1>Something went wrong</h1>\n"
            return Response(500, [("Content-Type", "text/html; charset=utf-8")], text)

    def _refuse(self, wire: Wire, refused: Refused) -> None:
        """Say why the request cannot be served."""
        text = refused.text.encode() + b"\n"
        lines = self._lines(refused.status, [("Content-Type", "text/plain; charset=utf-8")])
        wire.sock.sendall(
            f"{lines}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text
        )

    def _lines(self, status: int, headers: Headers) -> str:
        fixed = f"Date: {self._clock.http_date()}\r\nServer: HedgerowShop/2.3\r\n"
        pairs = "".join([f"{name}: {value}\r\n" for name, value in headers])
        return f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\n{fixed}{pairs}"

    def _head(self, request: Request, response: Response, *, stays: bool) -> bytes:
        lines = self._lines(response.status, response.headers) + framing_of(request, response)
        if response.status != 101:
            lines += connection_of(request, stays=stays)
        return lines.encode("latin-1") + b"\r\n"


def hang_up(sock: socket.socket) -> None:
    """Close our side and read on for a while: a reset must not overtake the last bytes of the response."""
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(HANG_UP_TIMEOUT_S)
    left = DRAIN_LIMIT_BYTES
    while left > 0 and (piece := sock.recv(65536)):
        left -= len(piece)


def connection_of(request: Request, *, stays: bool) -> str:
    """Return the Connection line, where the version's default is not what happens."""
    if not stays:
        return "Connection: close\r\n"
    return "Connection: keep-alive\r\n" if request.version == "HTTP/1.0" else ""


def framing_of(request: Request, response: Response) -> str:
    """Return the line that tells where the body ends."""
    if isinstance(response.body, bytes):
        if response.status in BODILESS or response.status < 200:
            return ""
        return f"Content-Length: {len(response.body)}\r\n"
    if declared_length(response) is None and request.version == "HTTP/1.1":
        return "Transfer-Encoding: chunked\r\n"
    return ""


def declared_length(response: Response) -> int | None:
    """Return the Content-Length among the response's own headers."""
    return next((int(v) for name, v in response.headers if name == "Content-Length"), None)


def keeps_alive(request: Request) -> bool:
    """Whether the client wants the connection to stay."""
    wish = request.header("connection").lower()
    return "keep-alive" in wish if request.version == "HTTP/1.0" else "close" not in wish


def drain_body(request: Request) -> bool:
    """Read the rest of the body; return False when it is too long, or will not come."""
    if request.body.is_done():
        return True
    if request.body.waiting:
        return False
    left = DRAIN_LIMIT_BYTES
    for piece in request.body:
        left -= len(piece)
        if left < 0:
            return False
    return request.body.is_done()


def send(sock: socket.socket, request: Request, response: Response, head: bytes) -> None:
    """Send head and body; the first byte leaves before a streamed body begins."""
    bodiless = request.method == "HEAD" or response.status in BODILESS
    if isinstance(response.body, bytes):
        sock.sendall(head if bodiless else head + response.body)
        return
    sock.sendall(head)
    with contextlib.closing(response.body):
        if bodiless:
            return
        if (length := declared_length(response)) is not None:
            send_counted(sock, response.body, length)
        elif request.version == "HTTP/1.1":
            send_chunked(sock, response.body, response.trailers)
        else:
            for piece in response.body:
                sock.sendall(piece)


def send_counted(sock: socket.socket, pieces: Pieces, length: int) -> None:
    """Send the pieces; raise ShortBody when they do not add up to the length."""
    for piece in pieces:
        sock.sendall(piece)
        length -= len(piece)
    if length:
        raise ShortBody


def send_chunked(sock: socket.socket, pieces: Pieces, late: Callable[[], Headers] | None) -> None:
    """Send the pieces as chunks, none of them empty, then the trailers."""
    for piece in pieces:
        sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    trailers = late() if late else []
    lines = "".join([f"{name}: {value}\r\n" for name, value in trailers])
    sock.sendall(f"0\r\n{lines}\r\n".encode())
