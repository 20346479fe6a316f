"""What a forwarded request holds is given back however it ends: connections, places, the spool."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest

from overgrow.exchange import Inbound
from overgrow.forwarding import forwarder as forward
from overgrow.forwarding.client.transport import LegacyTransport
from overgrow.forwarding.forwarder import Forwarder
from overgrow.routing.facts import Head
from overgrow.routing.model import Decision, Legacy, RouteTable, Timeouts
from overgrow.slow_clients.spool import BLOCK_BYTES, FileSpool

LEGACY = Legacy("http://127.0.0.1:9000", via="front", max_connections=2)  # one upload at a time
BY_DEFAULT = Decision(None, "legacy", "default", "0" * 12)


class Scripted(LegacyTransport):
    """Our transport as the Forwarder knows it, whose answers a function makes."""

    def __init__(self, handler):
        super().__init__(LEGACY.url)
        self._handler = handler

    async def handle_async_request(self, request):
        return await self._handler(request)


class Watched(httpx.AsyncByteStream):
    """A body that remembers that it was closed."""

    trailer_pairs = ()

    def __init__(self):
        self.is_closed = False

    async def __aiter__(self):
        yield b"some"

    async def aclose(self):
        self.is_closed = True


def forwarder(handler, legacy=LEGACY, spool=None):
    return Forwarder(lambda: RouteTable("r", legacy), lambda _: Scripted(handler), spool)


def upload(*pieces):
    """A request whose body is not all here."""

    async def chunks():
        for piece in pieces:
            yield piece

    head = Head("POST", b"/", [(b"host", b"a")], "192.0.2.7", "192.0.2.7", "http", "a")
    inbound = Inbound(head, chunks())
    inbound.client_connection = SimpleNamespace(
        attached_login=None,
        has_received_whole_body=False,
        rate_if_too_slow=None,
        has_taken_response=False,
    )
    return inbound


def has_room(door):
    return door._upstream.unfinished.has_free_slot()


def test_legacys_answer_is_closed_when_no_reply_can_be_made_of_it(monkeypatch):
    body = Watched()

    async def answer(_):
        return httpx.Response(200, stream=body)

    def fail(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(forward, "_build_reply", fail)
    head = Head("GET", b"/", [(b"host", b"a")], "192.0.2.7", "192.0.2.7", "http", "a")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        asyncio.run(forwarder(answer).serve(Inbound(head), BY_DEFAULT))
    assert body.is_closed


@pytest.mark.parametrize("error", [RuntimeError("ours"), asyncio.CancelledError()])
def test_an_upload_that_cannot_be_forwarded_leaves_its_place(error):
    async def answer(_):
        raise error

    async def scenario():
        door = forwarder(answer)
        with pytest.raises(type(error)):
            await door.serve(upload(b"x"), BY_DEFAULT)
        return has_room(door)

    assert asyncio.run(scenario())


@pytest.mark.parametrize("whole", [b"all of it", None], ids=["whole", "streamed"])
def test_an_upload_whose_body_nobody_read_leaves_its_place_with_its_answer(whole):
    async def answer(_):
        stream = Watched()
        if whole is not None:
            stream.whole = whole
        return httpx.Response(403, stream=stream)

    async def scenario():
        door = forwarder(answer)
        reply = await door.serve(upload(b"x"), BY_DEFAULT)
        await reply.close()
        return has_room(door)

    assert asyncio.run(scenario())


def test_an_upload_that_was_read_leaves_its_place_before_its_answer():
    async def answer(request):
        async for _ in request.stream:
            pass
        found.append(has_room(door))
        return httpx.Response(200, stream=Watched())

    async def scenario():
        await (await door.serve(upload(b"x"), BY_DEFAULT)).close()

    found = []
    door = forwarder(answer)
    asyncio.run(scenario())

    assert found == [True]


def test_an_upload_has_a_place_though_there_is_one_connection():
    async def answer(_):
        return httpx.Response(204, stream=Watched())

    async def half():
        yield b"half"
        await asyncio.Event().wait()

    async def scenario():
        waits = Timeouts(idle_s=0.05)  # for the rest of it, if somebody waited
        door = forwarder(answer, replace(LEGACY, max_connections=1, timeouts=waits))
        inbound = upload()
        inbound.body = half()
        reply = await door.serve(inbound, BY_DEFAULT)
        await reply.close()
        return reply.status

    assert asyncio.run(scenario()) == 204


def test_an_upload_that_finds_no_place_gives_back_what_was_gathered(tmp_path):
    async def answer(_):
        arrived.set()
        await asyncio.Event().wait()

    async def scenario():
        door = forwarder(answer, replace(LEGACY, timeouts=Timeouts(connect_s=0.05)), spool)
        first = asyncio.create_task(door.serve(upload(b"x"), BY_DEFAULT))
        await arrived.wait()
        reply = await door.serve(upload(*[b"x" * BLOCK_BYTES] * 3), BY_DEFAULT)
        first.cancel()
        return reply.failure.code, spool.held_bytes

    spool, arrived = FileSpool([tmp_path], max_bytes=BLOCK_BYTES), asyncio.Event()
    try:
        assert asyncio.run(scenario()) == ("legacy-busy", 0)
    finally:
        spool.close()
