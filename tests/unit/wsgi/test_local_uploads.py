"""When an upload takes its thread: when all of it is here, and for whom that is not so."""

from __future__ import annotations

import asyncio
import threading

import pytest

from overgrow.exchange import ClientGone, Inbound
from overgrow.routing.model import Decision, Route, Timeouts
from overgrow.slow_clients.spool import FileSpool
from overgrow.wsgi.server import WsgiServer

WAIT_S = 60  # a bound on a wait that succeeds costs nothing
KB = 1024


class Sizes:
    """An app that answers how long the body is, and says when it is called."""

    def __init__(self, *, reads=True):
        self.called = threading.Event()
        self.reads = reads

    def __call__(self, environ, start_response):
        self.called.set()
        start_response("200 OK", [])
        return [b"%d" % len(environ["wsgi.input"].read())] if self.reads else [b"unread"]


class Body:
    """A body that the test sends on, piece by piece; `asked` counts the reads."""

    def __init__(self):
        self.pieces = asyncio.Queue()
        self.asked = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.asked += 1
        piece = await self.pieces.get()
        if piece is None:
            raise StopAsyncIteration
        if piece is ClientGone:
            raise ClientGone
        return piece

    def send(self, *pieces):
        for piece in pieces:
            self.pieces.put_nowait(piece)


@pytest.fixture
def spool(tmp_path):
    made = FileSpool([tmp_path])
    yield made
    made.close()


@pytest.fixture
def upload(head_with):
    """Start an upload: `upload(local, body, stream=..., length=...)`."""

    def start(local, body, *, stream=False, length=None, **timeouts):
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        inbound = Inbound(head_with(method="POST", headers=headers), body)
        route = Route("r", "/", target="migrated", stream=stream, timeouts=Timeouts(**timeouts))
        return asyncio.ensure_future(
            local.serve(inbound, Decision(route, "migrated", "target", ""))
        )

    return start


async def until(condition):
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - a thread cannot set an asyncio.Event
            await asyncio.sleep(0.002)


def test_a_thread_is_taken_when_all_of_the_body_is_here(upload, spool):
    app = Sizes()

    async def run():
        local, body = WsgiServer(app, spool=spool), Body()
        reply = upload(local, body)
        body.send(b"x" * 300 * KB, b"y" * 10)
        await until(lambda: body.asked == 3)
        before = app.called.is_set(), local.active_calls, spool.held_bytes >= 300 * KB
        body.send(b"z", None)
        response = (await reply).body
        await local.aclose()
        return before, response

    before, response = asyncio.run(run())
    assert before == (False, 0, True)
    assert response == b"%d" % (300 * KB + 11)
    assert spool.held_bytes == 0


def test_the_thread_of_a_route_that_streams_is_taken_at_64_kib(upload, spool):
    app = Sizes()

    async def run():
        local, body = WsgiServer(app, spool=spool), Body()
        reply = upload(local, body, stream=True)
        body.send(b"x" * 64 * KB)
        await until(app.called.is_set)
        body.send(b"y", None)
        response = (await reply).body
        await local.aclose()
        return response

    assert asyncio.run(run()) == b"%d" % (64 * KB + 1)


def test_a_full_spool_lets_the_body_stream(upload, tmp_path):
    app, full = Sizes(), FileSpool([tmp_path], max_bytes=128 * KB)

    async def run():
        local, body = WsgiServer(app, spool=full), Body()
        reply = upload(local, body)
        body.send(*[b"x" * 64 * KB] * 3)
        await until(app.called.is_set)
        body.send(*[b"y" * 64 * KB] * 20, None)
        response = (await reply).body
        await local.aclose()
        return response

    assert asyncio.run(run()) == b"%d" % (23 * 64 * KB)
    full.close()


def test_a_spooled_body_reads_as_it_was_sent(upload, spool):
    seen = []

    def app(environ, start_response):
        seen.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b""]

    pieces = [bytes([number]) * 9_973 for number in range(60)]

    async def run():
        local, body = WsgiServer(app, spool=spool), Body()
        body.send(*pieces, None)
        await upload(local, body)
        await local.aclose()

    asyncio.run(run())

    assert seen == [b"".join(pieces)]


def test_a_body_that_the_app_refuses_for_its_length_is_not_read(upload):
    app = Sizes(reads=False)

    async def run():
        local, body = WsgiServer(app, max_body_bytes=lambda: 100), Body()
        response = (await upload(local, body, length=101)).body
        await local.aclose()
        return response, body.asked

    assert asyncio.run(run()) == (b"unread", 0)


def test_a_body_beyond_the_apps_limit_is_read_if_the_app_wants_it(upload):
    async def run():
        local, body = WsgiServer(Sizes(), max_body_bytes=lambda: 100), Body()
        body.send(b"x" * 200, None)
        response = (await upload(local, body, length=200)).body
        await local.aclose()
        return response

    assert asyncio.run(run()) == b"200"


def test_bodies_that_still_arrive_hold_half_of_the_threads(upload):
    app = Sizes()

    async def run():
        local, bodies = WsgiServer(app, threads=4), [Body() for _ in range(6)]
        slow = [upload(local, body, stream=True) for body in bodies]
        for body in bodies:
            body.send(b"x" * 64 * KB)
        await until(lambda: local.active_calls == 2)
        whole = Body()
        whole.send(b"small", None)
        quick = (await upload(local, whole)).body
        await until(lambda: local.active_calls == 2)
        for body in bodies:
            body.send(None)
        answers = {reply.body for reply in await asyncio.gather(*slow)}
        await local.aclose()
        return quick, answers

    assert asyncio.run(run()) == (b"5", {b"65536"})


def test_a_place_is_left_by_a_client_that_leaves(upload):
    async def run():
        local = WsgiServer(Sizes(), threads=2)
        for _ in range(5):
            body = Body()
            body.send(b"x" * 64 * KB, ClientGone)
            assert (await upload(local, body, stream=True)).failure.party == "client"
        body = Body()
        body.send(b"x" * 64 * KB)
        leaving = upload(local, body, stream=True)
        await until(lambda: local.active_calls)
        leaving.cancel()
        body = Body()
        body.send(b"x" * 64 * KB, None)
        response = (await upload(local, body, stream=True)).body
        await local.aclose()
        return response

    assert asyncio.run(run()) == b"65536"


def test_a_client_that_leaves_takes_its_spooled_bytes_along(upload, spool):
    async def run():
        local, body = WsgiServer(Sizes(), spool=spool), Body()
        reply = upload(local, body)
        body.send(b"x" * 500 * KB)
        await until(lambda: spool.held_bytes)
        reply.cancel()
        await until(lambda: not spool.held_bytes)
        await local.aclose()

    asyncio.run(run())


def test_a_byte_at_a_time_costs_no_more_than_its_bytes(upload, spool):
    async def run():
        local, body = WsgiServer(Sizes(), spool=spool), Body()
        body.send(*[b"x"] * 70_000, None)
        response = (await upload(local, body)).body
        await local.aclose()
        return response, body.asked

    assert asyncio.run(run()) == (b"70000", 70_001)


def test_an_upload_that_finds_no_place_gives_back_what_was_gathered(upload, tmp_path):
    async def run():
        local, body = WsgiServer(Sizes(), spool=spool, threads=2), Body()
        await local._current_pool().streaming_slots.acquire(
            1.0
        )  # the only one for uploads that arrive
        reply = upload(local, body, response_s=0.05)
        body.send(b"x" * 64 * KB, b"y" * 64 * KB)  # more than the spool has room for
        code = (await reply).failure.code
        await local.aclose()
        return code, spool.held_bytes

    spool = FileSpool([tmp_path], max_bytes=64 * KB)
    try:
        assert asyncio.run(run()) == ("local-busy", 0)
    finally:
        spool.close()


def test_an_upload_whose_call_finds_no_room_leaves_its_place(upload, monkeypatch):
    async def run():
        local, body = WsgiServer(Sizes(), threads=2), Body()
        pool = local._current_pool()
        monkeypatch.setattr(pool, "admit", lambda _: False)  # full by the time it is asked
        body.send(b"x" * 64 * KB, b"y")
        code = (await upload(local, body)).failure.code
        slot = await pool.streaming_slots.acquire(0.01)
        await local.aclose()
        return code, slot is not None

    assert asyncio.run(run()) == ("local-busy", True)
