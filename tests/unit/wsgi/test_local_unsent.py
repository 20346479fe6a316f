"""What a slow client has not taken: bounded in memory, else on disk, and freed when it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time

import pytest

from overgrow.exchange import Inbound, Reply
from overgrow.wsgi import response_stream
from overgrow.wsgi.large_responses import LargeResponseLimiter
from overgrow.wsgi.response_stream import ResponseStream
from overgrow.wsgi.server import WsgiServer
from overgrow.wsgi.thread_pool import WsgiCall
from overgrow.wsgi.unsent_memory import AHEAD_BYTES, PIECE_BYTES, SPOOLED_BYTES, UnsentMemory

MB = 1024 * 1024
WAIT_S = 60  # a bound on a wait that succeeds costs nothing


class FakeSpooled:
    """A body in memory, as the spool keeps one on disk."""

    def __init__(self, spool):
        self.spool = spool
        self.data = b""
        self.size_bytes = 0
        self.is_closed = False

    @property
    def unread_bytes(self):
        return len(self.data)

    def append(self, data):
        if self.spool.is_full:
            return False
        self.data += bytes(data)
        self.size_bytes += len(data)
        return True

    def take(self, most):
        taken, self.data = self.data[:most], self.data[most:]
        return taken

    def close(self):
        self.is_closed = True


class FakeSpool:
    def __init__(self, *, is_full=False):
        self.is_full = is_full
        self.bodies = []

    def open(self):
        self.bodies.append(FakeSpooled(self))
        return self.bodies[-1]

    async def run_in_thread(self, act, *arguments):
        return act(*arguments)


def flow_of(unsent, **kind):
    return ResponseStream(unsent, asyncio.get_running_loop(), WAIT_S, **kind)


async def read(flow):
    return b"".join([chunk async for chunk in flow])


def test_a_whole_answer_beyond_the_bound_goes_to_the_spool():
    async def run():
        unsent = UnsentMemory(spool=FakeSpool(), max_bytes=3 * MB)
        first, second = flow_of(unsent, is_whole=True), flow_of(unsent, is_whole=True)
        first.put(b"a" * 2 * MB)
        second.put(b"b" * 2 * MB)
        second.end()
        return unsent.held_bytes, unsent.spool.bodies[0].size_bytes, await read(second)

    held, spooled, body = asyncio.run(run())
    assert (held, spooled, body) == (2 * MB, 2 * MB, b"b" * 2 * MB)


def test_a_stream_goes_to_the_spool_only_where_calls_wait_for_its_thread():
    pressed = threading.Event()

    async def run():
        unsent = UnsentMemory(pressed.is_set, FakeSpool())
        flow = flow_of(unsent)
        flow.put(b"x" * AHEAD_BYTES)
        putting = asyncio.create_task(asyncio.to_thread(flow.put, b"y" * 1000))
        waits = not (await asyncio.wait({putting}, timeout=0.05))[0]
        pressed.set()
        unsent.wake_all()
        added = await putting
        flow.end()
        return waits, added, await read(flow)

    assert asyncio.run(run()) == (True, True, b"x" * AHEAD_BYTES + b"y" * 1000)


def test_a_stream_waits_for_a_busy_loop_instead_of_going_to_the_spool(monkeypatch):
    """The reader takes all it is given: what is late is the loop, not the client."""
    monkeypatch.setattr(response_stream, "LOOP_S", 60)

    async def run():
        spool = FakeSpool()
        flow = flow_of(UnsentMemory(lambda: True, spool))
        reading = asyncio.create_task(read(flow))
        await asyncio.sleep(0)

        def put_all():
            for _ in range(40):
                flow.put(b"x" * 50_000)
            flow.end()

        thread = threading.Thread(target=put_all)
        thread.start()
        while not flow._unsent_memory.waiting_threads:  # the loop is busy: nobody takes
            time.sleep(0.001)  # noqa: ASYNC251 - which is what is tested
        return len(await reading), len(spool.bodies)

    assert asyncio.run(run()) == (40 * 50_000, 0)


def test_a_stream_whose_client_takes_nothing_goes_to_the_spool(monkeypatch):
    monkeypatch.setattr(response_stream, "LOOP_S", 60)

    async def run():
        spool = FakeSpool()
        flow = flow_of(UnsentMemory(lambda: True, spool))
        flow.put(b"x" * 1000)
        await anext(flow)  # and it does not come back for more
        await asyncio.to_thread(flow.put, b"y" * AHEAD_BYTES)
        return len(spool.bodies)

    assert asyncio.run(run()) == 1


def test_a_client_that_takes_wakes_the_thread_of_its_own_answer_alone():
    async def run():
        unsent = UnsentMemory()
        flows = [CountingFlow(unsent, asyncio.get_running_loop(), WAIT_S) for _ in range(2)]
        for flow in flows:
            flow.put(b"x" * AHEAD_BYTES)
        putting = [asyncio.create_task(asyncio.to_thread(flow.put, b"y")) for flow in flows]
        while len(unsent.waiting_threads) < 2:  # noqa: ASYNC110 - threads set no event
            await asyncio.sleep(0.001)
        before = [flow.tries for flow in flows]
        reading = asyncio.create_task(take_twice(flows[0]))
        await putting[0]
        await reading
        woken = [flow.tries - then for flow, then in zip(flows, before, strict=True)]
        flows[1].abandon()
        await putting[1]
        return woken

    assert asyncio.run(run()) == [1, 0]


def test_what_one_client_takes_is_room_for_the_answer_of_another():
    async def run():
        unsent = UnsentMemory(max_bytes=4 * PIECE_BYTES)
        first, second = flow_of(unsent), flow_of(unsent)
        first.put(b"x" * 3 * PIECE_BYTES)
        second.put(b"y" * PIECE_BYTES)
        putting = asyncio.create_task(asyncio.to_thread(second.put, b"z" * PIECE_BYTES))
        waits = not (await asyncio.wait({putting}, timeout=0.05))[0]
        await anext(first)
        first.end()
        with contextlib.suppress(StopAsyncIteration):
            await anext(first)
        return waits, await asyncio.wait_for(putting, WAIT_S)

    assert asyncio.run(run()) == (True, True)


class CountingFlow(ResponseStream):
    """Counts how often its thread looks for room."""

    tries = 0

    def _add_to_memory(self, block):
        self.tries += 1
        return super()._add_to_memory(block)


async def take_twice(flow):
    await anext(flow)
    await anext(flow)


def test_an_endless_stream_does_not_fill_the_spool():
    async def run():
        spool = FakeSpool()
        flow = flow_of(UnsentMemory(lambda: True, spool))
        flow.put(b"x" * AHEAD_BYTES)
        flow.put(b"y")
        spool.bodies[0].size_bytes = SPOOLED_BYTES
        putting = asyncio.create_task(asyncio.to_thread(flow.put, b"z"))
        waits = not (await asyncio.wait({putting}, timeout=0.05))[0]
        flow.abandon()
        return waits, await putting

    assert asyncio.run(run()) == (True, False)


def test_an_event_stream_never_goes_to_the_spool():
    async def run():
        spool = FakeSpool()
        flow = flow_of(UnsentMemory(lambda: True, spool), is_events=True)
        flow.put(b"x" * AHEAD_BYTES)
        putting = asyncio.create_task(asyncio.to_thread(flow.put, b"y"))
        await asyncio.wait({putting}, timeout=0.05)
        flow.abandon()
        return await putting, spool.bodies

    assert asyncio.run(run()) == (False, [])


def test_an_answer_goes_on_in_pieces_where_memory_and_spool_are_full():
    async def run():
        unsent = UnsentMemory(spool=FakeSpool(is_full=True), max_bytes=MB)
        unsent.take_locked(MB, at_least=0)
        flow = flow_of(unsent, is_whole=True)
        putting = asyncio.create_task(asyncio.to_thread(flow.put, b"x" * 3 * MB))
        sizes = [len(await anext(flow)) for _ in range(8)]
        rest = sum(sizes)
        while rest < 3 * MB:
            rest += len(await anext(flow))
        return await putting, max(sizes)

    assert asyncio.run(run()) == (True, PIECE_BYTES)


def test_a_spool_that_took_nothing_is_not_tried_again_for_that_response():
    class Refusing(FakeSpooled):
        def append(self, data):
            tried.append(len(data))
            return False

    async def run():
        unsent = UnsentMemory(spool=FakeSpool(), max_bytes=MB)
        unsent.spool.open = lambda: Refusing(unsent.spool)
        unsent.take_locked(MB, at_least=0)
        flow = flow_of(unsent, is_whole=True)
        putting = asyncio.create_task(asyncio.to_thread(flow.put, b"x" * MB))
        taken = 0
        while taken < MB:
            taken += len(await anext(flow))
        return await putting

    tried = []
    assert asyncio.run(run())
    assert tried == [MB]


def test_what_an_abandoned_answer_held_is_free_for_others():
    async def run():
        unsent = UnsentMemory(spool=FakeSpool(), max_bytes=MB)
        first, second = flow_of(unsent, is_whole=True), flow_of(unsent, is_whole=True)
        first.put(b"a" * MB)
        second.put(b"b" * MB)
        await anext(first)
        first.abandon()
        second.abandon()
        return unsent.held_bytes, unsent.spool.bodies[0].is_closed

    assert asyncio.run(run()) == (0, True)


def test_large_answers_are_made_one_by_one_while_memory_is_short():
    unsent = UnsentMemory(max_bytes=64 * MB)
    large = LargeResponseLimiter(unsent)
    large.finish("big", large.begin("big"), 20 * MB)
    with_room = [large.begin("big") for _ in range(2)]
    unsent.take_locked(60 * MB, at_least=0)

    assert with_room == [20 * MB] * 2
    assert (large.begin("big"), large.begin("small")) == (None, 0)
    for _ in with_room:
        large.finish("big", 20 * MB, 20 * MB)
    assert large.begin("big") == 20 * MB


def test_a_route_whose_answers_became_small_is_large_no_more():
    large = LargeResponseLimiter(UnsentMemory())
    large.finish("r", large.begin("r"), 4 * MB)
    for _ in range(3):
        large.finish("r", large.begin("r"), 10)

    assert large.begin("r") == 0


@pytest.mark.parametrize(
    "blocks", [[b"x"], [b"x" * MB], [b"x" * MB] * 3], ids=["small", "whole", "stream"]
)
def test_an_exchange_leaves_nothing_that_only_the_collector_finds(head_with, decided, blocks):
    kinds = (Reply, WsgiCall, ResponseStream)  # isinstance would wake lazy objects of others

    def app(environ, start_response):
        start_response("200 OK", [])
        return blocks

    async def run():
        local = WsgiServer(app)
        reply = await local.serve(Inbound(head_with()), decided())
        if reply.body.__class__ is not bytes:
            await anext(reply.body)
        await reply.close()
        del reply
        await local.aclose()

    def left():
        found = [each for each in gc.get_objects() if issubclass(type(each), kinds)]
        return [each for each in found if id(each) not in others]

    others = set()
    gc.collect()
    gc.disable()
    others = {id(each) for each in left()}
    try:
        asyncio.run(run())
        until = time.monotonic() + WAIT_S
        while left() and time.monotonic() < until:  # the thread has yet to let go
            time.sleep(0.002)

        assert left() == []
    finally:
        gc.enable()
