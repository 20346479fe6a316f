"""A caller that goes away, at every stage: nothing leaks, the upstream learns of it."""

import asyncio
import socket

import httpx
import pytest

from overgrow.forwarding.client.dialling import Dialler
from overgrow.forwarding.client.transport import UpstreamTimeouts
from tests.wire.transport.upstream import OK, Peer, always, body_of, get, request

CHUNKED = [(b"Host", b"h"), (b"Transfer-Encoding", b"chunked")]


class Stage:
    """A script that stops at a stage, tells so, and tells when the other side is gone."""

    def __init__(self, *sends, reads_body=False):
        self.sends = sends
        self.reads_body = reads_body
        self.reached = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, peer: Peer):
        await peer.head()
        for data in self.sends:
            await peer.send(data)
        self.reached.set()
        await peer.until_end()
        self.gone.set()


async def endless():
    while True:
        yield b"x" * 10_000
        await asyncio.sleep(0)


async def stuck():
    yield b"x"
    await asyncio.Event().wait()


async def note(status, headers):
    await asyncio.Event().wait()


STAGES = [
    pytest.param((), {}, id="before the head"),
    pytest.param((OK[:10],), {}, id="in the middle of the head"),
    pytest.param(
        (b"HTTP/1.1 103 Early Hints\r\n\r\n",),
        {"on_informational": note},
        id="in the interim callback",
    ),
    pytest.param((), {"headers": CHUNKED, "stream": endless}, id="while sending"),
    pytest.param((), {"headers": CHUNKED, "stream": stuck}, id="while its own body pauses"),
]


@pytest.mark.parametrize(("sends", "parts"), STAGES)
def test_cancelling_closes_the_connection_and_frees_its_place(run, sends, parts):
    async def scenario(transport, upstream):
        stage = upstream._scripts[0]
        given = {k: v() if k == "stream" else v for k, v in parts.items()}
        task = asyncio.ensure_future(transport.handle_async_request(request("POST", **given)))
        await stage.reached.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        counted = transport._pool.counted
        await asyncio.wait_for(stage.gone.wait(), 60)
        return counted

    assert run(scenario, Stage(*sends)) == 0


def test_cancelling_the_reader_of_a_body_closes_the_connection(run):
    async def scenario(transport, upstream):
        stage = upstream._scripts[0]
        response = await transport.handle_async_request(get())
        task = asyncio.ensure_future(body_of(response))
        await stage.reached.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        counted = transport._pool.counted
        await asyncio.wait_for(stage.gone.wait(), 60)
        return counted

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    assert run(scenario, Stage(head)) == 0


@pytest.mark.parametrize("way", ["aclose", "abandon"])
def test_giving_a_body_up_closes_the_connection(run, way):
    async def scenario(transport, upstream):
        stage = upstream._scripts[0]
        response = await transport.handle_async_request(get())
        if way == "aclose":
            await response.stream.aclose()
        else:
            response.stream.abandon()
        with pytest.raises(httpx.StreamClosed):
            await body_of(response)
        await asyncio.wait_for(stage.gone.wait(), 60)
        return transport._pool.counted

    assert run(scenario, Stage(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")) == 0


def test_giving_up_wakes_a_reader(run):
    async def scenario(transport, upstream):
        response = await transport.handle_async_request(get())
        await anext(response.stream)
        task = asyncio.ensure_future(body_of(response))
        await asyncio.sleep(0)
        response.stream.abandon()
        with pytest.raises(httpx.StreamClosed):
            await task

    run(scenario, Stage(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))


def test_giving_up_a_complete_body_keeps_the_connection(run):
    async def scenario(transport, upstream):
        for _ in range(3):
            response = await transport.handle_async_request(get())
            await response.stream.aclose()
            with pytest.raises(httpx.StreamClosed):  # never a quiet end of what was not read
                await body_of(response)
        return upstream.connections, transport._pool.counted

    assert run(scenario, always(OK)) == (1, 1)


def test_cancelling_while_connecting_frees_the_place(run):
    async def scenario(transport, upstream):
        # A full backlog leaves the handshake unanswered.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
            address = deaf.getsockname()
            with_queue = [socket.socket() for _ in range(4)]
            for sock in with_queue:
                sock.setblocking(False)
                sock.connect_ex(address)
            transport._dialler = Dialler(f"http://127.0.0.1:{address[1]}")
            task = asyncio.ensure_future(transport.handle_async_request(get()))
            await asyncio.sleep(0.05)
            before = transport._pool.counted
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for sock in with_queue:
                sock.close()
            return task.cancelled(), before, transport._pool.counted

    assert run(scenario, always(OK)) == (True, 1, 0)


def test_cancelling_a_waiter_at_any_moment_never_loses_a_place(run):
    async def script(peer):
        while True:
            await peer.head()
            await asyncio.sleep(0.001)
            await peer.send(OK)

    async def scenario(transport, upstream):
        for delay in range(60):
            tasks = [asyncio.ensure_future(transport.handle_async_request(get())) for _ in range(6)]
            for _ in range(delay):
                await asyncio.sleep(0)
            for task in tasks[1::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            pool = transport._pool
            assert pool.counted == len(pool._idle) <= 2
            assert not pool._waiting
        response = await transport.handle_async_request(get(overgrow=UpstreamTimeouts(connect_s=1)))
        return response.status_code

    assert run(scenario, script, max_connections=2) == 200


def test_a_connection_given_to_a_waiter_that_is_cancelled_goes_back(run):
    async def script(peer):
        while True:
            await peer.head()
            await asyncio.sleep(0.01)
            await peer.send(OK)

    async def scenario(transport, upstream):
        waiting = []

        async def first():
            await transport.handle_async_request(get())
            waiting[0].cancel()  # its turn has come in this very step, but it has not run yet

        one = asyncio.ensure_future(first())
        await asyncio.sleep(0)
        waiting.append(asyncio.ensure_future(transport.handle_async_request(get())))
        await asyncio.gather(one, *waiting, return_exceptions=True)
        pool = transport._pool
        return waiting[0].cancelled(), pool.counted, len(pool._idle), upstream.connections

    assert run(scenario, script, max_connections=1) == (True, 1, 1, 1)


def test_a_storm_of_cancellations_leaves_a_working_pool(run):
    async def script(peer):
        count = 0
        while True:
            await peer.head()
            count += 1
            if count % 5 == 0:
                return
            await peer.send(OK if count % 3 else OK + b"x")

    async def one(transport, number):
        try:
            async with asyncio.timeout(0.0005 * (number % 12)):
                return await body_of(await transport.handle_async_request(get()))
        except (TimeoutError, httpx.TransportError):
            return None

    async def scenario(transport, upstream):
        await asyncio.gather(*(one(transport, number) for number in range(600)))
        pool = transport._pool
        assert pool.counted == len(pool._idle) <= 4
        return (await transport.handle_async_request(get())).status_code

    assert run(scenario, script, max_connections=4) == 200
