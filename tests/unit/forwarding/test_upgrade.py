"""Handshakes on their way to legacy: how many at once, and what their head must say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import islice

import pytest

from overgrow.app import transport_for
from overgrow.exchange import Inbound, Reply
from overgrow.forwarding.forwarder import Forwarder
from overgrow.forwarding.tunnel.upgrader import Upgrader, handshake_head
from overgrow.routing.facts import Head, head_of
from overgrow.routing.model import Decision, Legacy, RouteTable, Timeouts, TrustedProxies

DECISION = Decision(None, "legacy", "upgrade", "r")
ASKED = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
SWITCHED = b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
REFUSED = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"


class Listening:
    """Legacy that answers each handshake with `reply`, or is silent where that is empty."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.heard = 0
        self.was_heard = asyncio.Event()
        self.port = 0
        self.answers: list[asyncio.Task[None]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answers.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            self.heard += 1
            self.was_heard.set()
            writer.write(self.reply)
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def legacy(reply: bytes) -> AsyncIterator[Listening]:
    listening = Listening(reply)
    server = await asyncio.start_server(listening.answer, "127.0.0.1", 0)
    listening.port = server.sockets[0].getsockname()[1]
    async with server:
        yield listening
        await asyncio.gather(*listening.answers)


def upgrader(listening: Listening, *, most: int, connect_s: float = 1.0) -> Upgrader:
    timeouts = Timeouts(connect_s=connect_s, response_s=5.0)
    url = f"http://127.0.0.1:{listening.port}"
    table = RouteTable("r", Legacy(url, timeouts=timeouts, max_connections=most))
    return Upgrader(None, lambda: table, Forwarder(lambda: table, transport_for).reserve_slot)


def asking(*headers: tuple[bytes, bytes]) -> Head:
    return head_of(
        "GET",
        b"/ws",
        [*headers, *ASKED],
        peer="127.0.0.1",
        scheme="http",
        trusted=TrustedProxies(),
    )


def asked(side: Upgrader) -> asyncio.Task[Reply]:
    inbound = Inbound(asking((b"host", b"shop")), switch_protocol=lambda *_: None)
    return asyncio.create_task(side.serve(inbound, DECISION))


async def ended(*tasks: asyncio.Task[Reply]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_handshakes_beyond_the_bound_are_told_that_legacy_is_busy():
    async def run():
        async with legacy(b"") as listening:
            side = upgrader(listening, most=8)
            tasks = [asked(side) for _ in range(30)]
            replies = [await each for each in islice(asyncio.as_completed(tasks), 22)]
            await ended(*tasks)
            return listening.heard, replies

    heard, replies = asyncio.run(run())

    assert heard == 8
    assert {(reply.status, reply.failure.code) for reply in replies} == {(503, "legacy-busy")}
    assert all((b"retry-after", b"1") in reply.headers for reply in replies)


def test_a_handshake_given_up_leaves_its_place_to_the_next():
    async def run():
        async with legacy(b"") as listening:
            side = upgrader(listening, most=1, connect_s=5.0)
            first, second = asked(side), asked(side)
            await listening.was_heard.wait()
            listening.reply = SWITCHED
            await ended(first)
            reply = await second
            await reply.close()
            return reply.status

    assert asyncio.run(run()) == 101


@pytest.mark.parametrize("reply", [SWITCHED, STREAM], ids=["a tunnel", "an event stream"])
def test_what_has_no_end_leaves_the_count_at_its_head(reply):
    async def run():
        async with legacy(reply) as listening:
            side = upgrader(listening, most=1)
            replies = [await asked(side) for _ in range(3)]
            for one in replies:
                await one.close()
            return [one.failure for one in replies]

    assert asyncio.run(run()) == [None] * 3


def test_a_refusal_counts_until_it_is_closed():
    async def run():
        async with legacy(REFUSED) as listening:
            side = upgrader(listening, most=1)
            first = await asked(side)
            busy = await asked(side)
            await first.close()
            third = await asked(side)
            await third.close()
            return [reply.status for reply in (first, busy, third)]

    assert asyncio.run(run()) == [403, 503, 403]


def test_a_legacy_that_is_down_takes_no_place():
    async def run():
        async with legacy(b"") as listening:
            pass
        side = upgrader(listening, most=1)
        return [(await asked(side)).failure.code for _ in range(3)]

    assert asyncio.run(run()) == ["legacy-connect"] * 3


def test_a_handshake_without_host_gets_an_empty_one():
    head = handshake_head(asking(), Legacy("http://127.0.0.1:9000"))

    assert head.lower().count(b"\r\nhost:") == 1
    assert b"\r\nhost: \r\n" in head


def test_a_handshake_says_the_user_that_a_trusted_peer_names():
    asked = [*ASKED, (b"x-forwarded-user", b"alice"), (b"x-forwarded-prefix", b"/shop")]
    head = Head("GET", b"/", asked, "10.0.0.1", "10.0.0.1", "http", "a.test", peer_trusted=True)

    sent = handshake_head(head, Legacy("http://127.0.0.1:9")).splitlines()

    assert {b"x-forwarded-user: alice", b"x-forwarded-prefix: /shop"} <= set(sent)


def test_the_default_transport_goes_by_all_that_the_table_says_of_the_way():
    legacy = Legacy("https://10.0.0.7", tls_name="legacy.internal", max_age_s=7.0)
    transport = transport_for(legacy)

    assert transport.upstream == ("https://10.0.0.7", None, "legacy.internal")
    assert transport._kept_for.whole_s == 7.0
