"""A scriptable upstream: real sockets, and every byte under the test's control.

A script is an async callable that gets a Peer per connection. It runs in the test's own loop; its
errors fail the test when the upstream is left.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import httpx

from overgrow.forwarding.client.transport import NO_BODY, LegacyTransport

HEAD_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
URL = httpx.URL("http://upstream")


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """Read one request head."""
        return await self.reader.readuntil(HEAD_END)

    async def body(self, size: int) -> bytes:
        """Read exactly this much."""
        return await self.reader.readexactly(size)

    async def until_end(self) -> bytes:
        """Read until the other side closes or resets; returns what came."""
        received = bytearray()
        try:
            while data := await self.reader.read(65536):
                received += data
        except ConnectionError:
            pass
        return bytes(received)

    async def send(self, data: bytes) -> None:
        """Send, and wait until it is on its way."""
        self.writer.write(data)
        await self.writer.drain()

    def end(self) -> None:
        """Close in order."""
        self.writer.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    """An upstream on a free loopback port that runs one script per connection."""

    def __init__(self, *scripts: Script, ssl: Any = None, path: str | None = None) -> None:
        self._scripts = scripts
        self._ssl = ssl
        self._path = path
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        if self._path:
            return f"unix:{self._path}"
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        if self._path:
            self._server = await asyncio.start_unix_server(self._accept, self._path)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            await script(Peer(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the transport closed its end; tests assert on what they expect to be read
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if error is None:
            for result in results:
                if isinstance(result, BaseException):
                    raise result


def always(response: bytes) -> Script:
    """Answer every request (without a body) with these bytes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.send(response)

    return script


def once(response: bytes) -> Script:
    """Answer one request with these bytes and close."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(response)

    return script


def get(**extensions: Any) -> httpx.Request:
    """Make a GET without a body."""
    return request("GET", **extensions)


def request(
    method: str,
    *,
    headers: list[tuple[bytes, bytes]] | None = None,
    stream: Any = NO_BODY,
    **extensions: Any,
) -> httpx.Request:
    """Make a request that holds nothing but what it is given."""
    extensions.setdefault("target", b"/")
    return httpx.Request(
        method, URL, headers=headers or [(b"Host", b"shop")], stream=stream, extensions=extensions
    )


async def until_broken(response: httpx.Response) -> tuple[bytes, Exception | None]:
    """Read a body as far as it comes; returns what came and what broke it, if anything did."""
    received = bytearray()
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        async for chunk in response.stream:
            received += chunk
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test asks for
        return bytes(received), error
    return bytes(received), None


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; the test's own time limit applies."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0.001)


async def body_of(response: httpx.Response) -> bytes:
    """Read a body to its end."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return b"".join([chunk async for chunk in response.stream])


def counted(transport: LegacyTransport) -> int:
    """How many places of the pool are taken."""
    return 0 if transport._pool is None else transport._pool.counted
