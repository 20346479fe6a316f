"""The app behind every proxy: a minimal asyncio server in a process of its own.

    /items/7        300 bytes          GET /files/big       100 MB      GET /files/medium   1 MB
    PUT /files/big, POST /files/sent        read a body       /events        one event, then silence
    /ws             101, then silence             GET /tell     one more event for all of them

Rule: it must never be what is slow. So it parses no more than it needs, and only what our own
clients send.

    python -m benchmarks.upstream PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

import uvloop

BIG_BYTES = 100_000_000
PIECE = b"x" * 250_000
MEDIUM = b"x" * 1_000_000
SMALL_BODY = b'{"id": 7, "note": "' + b"x" * 279 + b'"}'
HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: upstream\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n"
)
SMALL = HEAD % len(SMALL_BODY) + SMALL_BODY
EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n10\r\nid: 0\ndata: 1\n\n\n\r\n"
)
ONE_MORE = b"10\r\nid: 1\ndata: 2\n\n\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection; `left` counts what is missing of a body in bytes, -1 for one in chunks."""

    listening: ClassVar[list[asyncio.Transport]] = []  # to events

    def __init__(self) -> None:
        self.left = 0
        self.held = b""
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport):
        self.transport = transport

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def data_received(self, data):
        if not self.left and data.startswith(b"GET /items/") and data.endswith(b"\r\n\r\n"):
            self.transport.write(SMALL)
        elif self.left:
            self.take_body(data)
        else:
            self.take_head(self.held + data)

    def take_head(self, data):
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self.held = data
            return
        self.held = b""
        if head.startswith(b"PUT /files/big"):
            self.left = length_in(head.lower())
            if b"100-continue" in head.lower():
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.take_body(rest)
        elif head.startswith(b"GET /files/big"):
            asyncio.get_running_loop().create_task(self.send_big())
        elif head.startswith(b"GET /files/medium"):
            self.transport.write(HEAD % len(MEDIUM) + MEDIUM)
        elif head.startswith(b"POST /files/sent"):
            self.left = length_in(head.lower())
            self.take_body(rest)
        elif head.startswith(b"GET /events"):
            self.listening.append(self.transport)
            self.transport.write(EVENTS)
        elif head.startswith(b"GET /tell"):
            self.tell()
        elif head.startswith(b"GET /ws"):
            self.transport.write(SWITCHED)
        else:
            self.transport.write(SMALL)

    def tell(self):
        for listener in self.listening:
            if not listener.is_closing():
                listener.write(ONE_MORE)
        self.listening.clear()
        self.transport.write(SMALL)

    def take_body(self, data):
        if self.left < 0:
            ended = (self.held + data).endswith(b"0\r\n\r\n")
            self.held = data[-5:]
        else:
            self.left -= len(data)
            ended = self.left <= 0
        if ended:
            self.left, self.held = 0, b""
            self.transport.write(SMALL)

    async def send_big(self):
        self.transport.write(HEAD % BIG_BYTES)
        for _ in range(BIG_BYTES // len(PIECE)):
            await self.writable.wait()
            self.transport.write(PIECE)


def length_in(head):
    """The body's length in bytes; -1 when it comes in chunks."""
    if b"transfer-encoding: chunked" in head:
        return -1
    return int(head.partition(b"content-length:")[2].split(b"\r\n")[0])


async def serve(port):
    server = await asyncio.get_running_loop().create_server(
        Upstream, "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
