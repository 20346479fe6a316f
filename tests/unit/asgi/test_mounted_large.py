"""Large answers of mounted apps: few are made at once while memory for them is short."""

from __future__ import annotations

import asyncio

from overgrow.asgi.large_responses import LARGE_BYTES, LargeResponseQueue
from overgrow.asgi.server import AsgiMounts
from overgrow.exchange import Inbound

MB = 1024 * 1024
SIZE = 20 * MB


class FakeSpooledBody:
    """A disk that takes each body after a moment."""

    unread_bytes = 0

    def append(self, body):
        return True

    def close(self):
        pass


class FakeSpool:
    def open(self):
        return FakeSpooledBody()

    async def run_in_thread(self, act, *arguments):
        await asyncio.sleep(0.001)
        return act(*arguments)


class ResponseMemory:
    """Room for so many bytes."""

    def __init__(self, memory_room, spool=None):
        self.room, self.spool = memory_room, spool

    def claim(self, size):
        taken = size <= self.room
        self.room -= size * taken
        return taken

    def release(self, size):
        self.room += size

    def has_room_for(self, size):
        return size <= self.room


class Busy:
    """An app that answers in one piece, and counts how many of its calls have not gone on."""

    def __init__(self, size=SIZE):
        self.size, self.now, self.most, self.paths = size, 0, 0, []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return
        self.now += 1
        self.most = max(self.most, self.now)
        self.paths.append(scope["path"])
        size = 10 if scope["path"] == "/small" else self.size
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size})
        self.now -= 1


async def ask(server, request_of, decision, path=b"/live/large"):
    return await server.serve(Inbound(request_of(target=path), None), decision)


def test_large_answers_are_made_one_by_one_while_memory_is_short(request_of, decided, elsewhere):
    async def run():
        app = Busy()
        server = AsgiMounts(
            [("/live", app)], elsewhere, response_memory=lambda: ResponseMemory(0, FakeSpool())
        )
        await ask(server, request_of, decided())
        replies = await asyncio.gather(*(ask(server, request_of, decided()) for _ in range(10)))
        return {reply.status for reply in replies}, app.most

    assert asyncio.run(run()) == ({200}, 1)


def test_a_call_that_waits_too_long_to_make_a_large_answer_is_refused(
    request_of, decided, elsewhere
):
    async def run():
        app = Busy()
        server = AsgiMounts([("/live", app)], elsewhere, response_memory=lambda: ResponseMemory(0))
        first = await ask(server, request_of, decided())  # its client takes nothing
        busy = await ask(server, request_of, decided(response_s=0.05))
        await first.close()
        third = await ask(server, request_of, decided(response_s=5))
        await third.close()
        return busy.failure.code, third.status

    assert asyncio.run(run()) == ("local-busy", 200)


def test_a_waiter_that_leaves_lets_the_next_one_in():
    async def run():
        calls, memory_room = LargeResponseQueue(), ResponseMemory(0)
        first = await calls.begin("r", memory_room, 5)
        first.note_piece(SIZE)
        waiting = [asyncio.create_task(calls.begin("r", memory_room, 5)) for _ in range(2)]
        await asyncio.sleep(0)
        first.finish()
        waiting[0].cancel()
        return await waiting[1]

    assert asyncio.run(run()) is not None


def test_routes_whose_answers_became_small_wait_no_more():
    async def run():
        calls, memory_room = LargeResponseQueue(), ResponseMemory(0)
        (await calls.begin("r", memory_room, 5)).note_piece(LARGE_BYTES)
        share = await calls.begin("r", memory_room, 5)
        share.finish()
        return await calls.begin("r", memory_room, 0.01) is not None

    assert asyncio.run(run())
