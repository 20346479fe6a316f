"""What keeps slow clients from holding connections to legacy: places, the spool, a fair queue."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from overgrow.exchange import BodyBroken
from overgrow.forwarding.client.pool import DEFAULT_REQUEST, ConnectionLifetime, ConnectionPool
from overgrow.forwarding.client.response_body import ResponseBody
from overgrow.forwarding.client.timeouts import UpstreamTimeouts
from overgrow.forwarding.download import Download
from overgrow.forwarding.unfinished import UnfinishedUploads
from overgrow.slow_clients.fair_queue import LONG_GROUP as LONG_QUEUE
from overgrow.slow_clients.spool import FileSpool

KB = 1024


class Source:
    """An upstream that is held back or not."""

    def __init__(self):
        self.is_paused = False

    def pause(self):
        self.is_paused = True

    def resume(self):
        self.is_paused = False

    def abandon(self):
        pass


@pytest.fixture
def spool(tmp_path):
    made = FileSpool([tmp_path], max_bytes=1024 * KB)
    yield made
    made.close()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the spool's threads set no event
            await asyncio.sleep(0.002)


def held_back(size=200 * KB):
    """A body whose reader has taken one piece and keeps legacy waiting."""
    source = Source()
    body = ResponseBody(source)
    for _ in range(size // (10 * KB)):
        body.feed(b"x" * 10 * KB)
    return source, body


def test_the_rest_of_an_answer_goes_to_the_spool_and_comes_back_in_order(spool):
    async def run():
        source, body = held_back()
        download = Download(body, None, spool)
        assert download.start_spilling_if_held_back()
        await until(lambda: not source.is_paused)
        body.feed(b"y" * 300 * KB)
        body.feed(b"z")
        body.finish()
        await until(lambda: not download.is_arriving_from_legacy and not download.is_spilling)
        return b"".join([piece async for piece in download])

    assert asyncio.run(run()) == b"x" * 200 * KB + b"y" * 300 * KB + b"z"


def test_an_answer_that_nobody_holds_back_stays_out_of_the_spool(spool):
    async def run():
        body = ResponseBody(Source())
        body.feed(b"x")
        return Download(body, None, spool).start_spilling_if_held_back(), spool.held_bytes

    assert asyncio.run(run()) == (False, 0)


def test_an_event_stream_stays_out_of_the_spool():
    async def run():
        return Download(held_back()[1]).start_spilling_if_held_back()

    assert asyncio.run(run()) is False


def test_what_the_spool_has_no_room_for_follows_as_it_comes(spool):
    async def run():
        source, body = held_back()
        download = Download(body, None, spool)
        download.start_spilling_if_held_back()
        await until(lambda: not source.is_paused)
        for _ in range(12):
            body.feed(b"y" * 100 * KB)
        await until(lambda: not download.is_spilling)
        reading = asyncio.create_task(read(download))
        body.finish()
        return len(await reading), download.start_spilling_if_held_back()

    async def read(download):
        return b"".join([piece async for piece in download])

    assert asyncio.run(run()) == (1400 * KB, False)


def test_what_breaks_a_spooled_answer_breaks_it_for_its_reader(spool):
    async def run():
        source, body = held_back()
        download = Download(body, None, spool)
        download.start_spilling_if_held_back()
        await until(lambda: not source.is_paused)
        body.fail(httpx.ReadError("gone"))
        sizes = []
        with pytest.raises(BodyBroken):
            await on_read_turn(download, sizes)
        return sum(sizes)

    async def on_read_turn(download, sizes):
        async for piece in download:
            sizes.append(len(piece))

    assert asyncio.run(run()) == 200 * KB


def test_a_reader_that_leaves_gives_its_spooled_bytes_back(spool):
    async def run():
        download = Download(held_back()[1], None, spool)
        download.start_spilling_if_held_back()
        await until(lambda: spool.held_bytes)
        await download.aclose()
        await until(lambda: not spool.held_bytes)

    asyncio.run(run())


def test_a_place_goes_to_the_longest_waiter_and_is_left_once():
    async def run():
        unfinished = UnfinishedUploads(1)
        first = unfinished.try_acquire(None)
        waiting = [asyncio.create_task(unfinished.wait_for_slot(None, 5)) for _ in range(2)]
        await until(lambda: unfinished.waiting_requests == 2)
        first.release()
        first.release()
        second = await waiting[0]
        third_waits = not waiting[1].done()
        second.release()
        await waiting[1]
        return third_waits, unfinished.has_free_slot()

    assert asyncio.run(run()) == (True, False)


def test_a_waiter_that_gives_up_leaves_its_place_to_the_next():
    async def run():
        unfinished = UnfinishedUploads(1)
        first = unfinished.try_acquire(None)
        leaving = asyncio.create_task(unfinished.wait_for_slot(None, 5))
        staying = asyncio.create_task(unfinished.wait_for_slot(None, 5))
        await until(lambda: unfinished.waiting_requests == 2)
        first.release()
        leaving.cancel()
        return await staying is not None, await unfinished.wait_for_slot(None, 0.01)

    assert asyncio.run(run()) == (True, None)


def test_in_a_long_queue_every_second_place_goes_to_the_newest():
    async def run():
        pool = ConnectionPool(
            None,
            max_connections=1,
            kept_for=ConnectionLifetime(30.0, 300.0),
            leniencies=frozenset(),
        )
        pool.counted = 1
        order = []

        async def waits(number):
            await pool._acquire_slot_or_connection(UpstreamTimeouts(pool_s=5), DEFAULT_REQUEST)
            order.append(number)

        tasks = [asyncio.create_task(waits(number)) for number in range(LONG_QUEUE + 4)]
        await until(lambda: pool.waiting_requests == len(tasks))
        for _ in tasks:
            pool._release_slot()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == [19, 0, 18, 1, *range(2, 18)]
