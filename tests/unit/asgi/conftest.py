"""What the tests of mounted apps share: requests, one exchange from end to end, a client's socket."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.frames import Frame, Opcode

from overgrow.asgi.server import AsgiMounts
from overgrow.exchange import BodyBroken, Failure, Inbound, failure_reply
from overgrow.routing.facts import Head, head_of
from overgrow.routing.model import Decision, Route, Timeouts

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # and what answers it: RFC 6455 1.3
HANDSHAKE = (
    (b"host", b"shop.test"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", KEY),
)


class Elsewhere:
    """The server for what is not mounted."""

    async def serve(self, inbound, decision):
        return failure_reply(Failure("gone", "decide", "front"))


@dataclass
class Seen:
    """What a client would have seen of an answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    failure: Failure | None
    streamed: bool
    broken: Failure | None = None


def _decision(**timeouts):
    route = Route("r", prefix="/live", target="migrated", timeouts=Timeouts(**timeouts))
    return Decision(route, "migrated", "target", "rev")


def _request(method="GET", target=b"/live/a", headers=((b"host", b"shop.test"),), scheme="http"):
    return head_of(method, target, list(headers), peer="192.0.2.9", scheme=scheme)


async def _chunks(pieces):
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        if isinstance(piece, float):
            await asyncio.sleep(piece)
        else:
            yield piece


async def _read(reply):
    streamed, body, broken = not isinstance(reply.body, bytes), b"", None
    if streamed:
        try:
            async for chunk in reply.body:
                body += chunk
        except BodyBroken as error:
            broken = error.failure
    else:
        body = reply.body
    await reply.close()
    return Seen(reply.status, reply.headers, body, reply.failure, streamed, broken)


@pytest.fixture
def decided():
    return _decision


@pytest.fixture
def request_of():
    return _request


@pytest.fixture
def chunks():
    return _chunks


@pytest.fixture
def read():
    return _read


@pytest.fixture
def elsewhere():
    return Elsewhere()


@pytest.fixture
def answered():
    """Run one request against a mounted app and return what the client would see."""

    def run(app, *, body=None, timeouts=None, prefix="/live", **head):
        async def exchange():
            server = AsgiMounts([(prefix, app)], Elsewhere())
            inbound = Inbound(_request(**head), None if body is None else _chunks(body))
            try:
                return await _read(await server.serve(inbound, _decision(**(timeouts or {}))))
            finally:
                await server.aclose(grace_s=0.1)

        return asyncio.run(exchange())

    return run


@dataclass
class Client:
    """The client's end of a WebSocket: frames in, bytes out."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    relay: asyncio.Task | None = None
    head: Head = field(default_factory=lambda: _request(headers=HANDSHAKE))

    def send(self, opcode, data=b"", *, fin=True):
        self.writer.write(Frame(opcode, data, fin).serialize(mask=True))

    async def frame(self):
        """The next frame, as opcode and payload; None at the end."""
        try:
            first, length = await asyncio.wait_for(self.reader.readexactly(2), 60)
        except asyncio.IncompleteReadError:
            return None
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2))
        elif length == 127:
            length = int.from_bytes(await self.reader.readexactly(8))
        return Opcode(first & 15), await self.reader.readexactly(length)

    async def close_code(self):
        """Read to the close frame; its code, None where the connection ended without one."""
        while (found := await self.frame()) is not None:
            if found[0] is Opcode.CLOSE:
                return int.from_bytes(found[1][:2])
        return None


@asynccontextmanager
async def _upgraded(app, **timeouts):
    """A WebSocket that a mounted app accepted, over real sockets."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.pause_reading()

    def switch_protocol(protocol, head):
        transport.set_protocol(protocol)
        transport.write(head)
        protocol.connection_made(transport)
        transport.resume_reading()

    reader, writer = await asyncio.open_connection(sock=theirs)
    client = Client(reader, writer)
    server = AsgiMounts([("/live", app)], Elsewhere())
    inbound = Inbound(client.head, switch_protocol=switch_protocol)
    reply = await server.serve(inbound, _decision(**timeouts))
    assert reply.upgraded is not None, reply
    client.relay = asyncio.create_task(reply.upgraded(reply.headers))
    await client.reader.readuntil(b"\r\n\r\n")
    try:
        yield client
    finally:
        writer.close()
        await asyncio.wait({client.relay}, timeout=60)
        await reply.close()
        await server.aclose(grace_s=1)
        assert client.relay.done()


@pytest.fixture
def upgraded():
    return _upgraded


@pytest.fixture
def handshake():
    return HANDSHAKE
