"""An upstream that sends more than its answers reaches nobody else (RFC 9112 9.3)."""

from __future__ import annotations

import asyncio

from tests.wire.transport.upstream import OK, eventually, request


def test_connections_are_not_reused_once_bytes_came_after_an_answer(run):
    """A legacy app that sends a body to HEAD must not answer the next client with it."""
    heard = []

    async def talkative(peer):
        await peer.head()
        await peer.send(OK)
        await asyncio.sleep(0.05)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON")
        await peer.until_end()

    async def plain(peer):
        heard.append(await peer.head())
        await peer.send(OK)
        await peer.until_end()

    async def ask(transport):
        response = await transport.handle_async_request(request("GET"))
        return response.stream.whole

    async def scenario(transport, _upstream):
        first = await ask(transport)
        await eventually(lambda: transport._pool._no_reuse_until)
        return [first, await ask(transport), await ask(transport)]

    assert [b"ok"] * 3 == run(scenario, talkative, plain, plain)
    assert 2 == len(heard)
