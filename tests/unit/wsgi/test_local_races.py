"""What the loop and the app's threads both count: each of them waits for the other's lock."""

from __future__ import annotations

import asyncio
import threading

import pytest

from overgrow.routing.model import Timeouts
from overgrow.slow_clients.buffered_body import BufferedBody
from overgrow.wsgi.request_body import WsgiInput
from overgrow.wsgi.response_stream import ResponseStream
from overgrow.wsgi.streaming_slots import StreamingSlots
from overgrow.wsgi.thread_pool import ThreadPool, WsgiCall
from overgrow.wsgi.unsent_memory import UnsentMemory
from tests.locking import waits_for


def in_a_loop(work):
    """What `work()` returns, called while a loop runs."""

    async def main():
        return work()

    return asyncio.run(main())


def pool_and_call():
    pool = ThreadPool(threads=1, queue=1, clock=lambda: 0.0, name="race", spool=None)
    return pool, WsgiCall(pool, "GET /", "r", Timeouts())


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(lambda pool, call: pool.withdraw(call), id="withdraw"),
        pytest.param(lambda pool, call: pool.mark_stuck(call), id="mark stuck"),
        pytest.param(lambda pool, call: pool._start_call(call), id="take"),
        pytest.param(lambda pool, call: pool._finish_call(call), id="give back"),
    ],
)
def test_a_step_of_a_call_waits_for_the_one_under_way(step):
    """Else a call may be withdrawn and made, or be stuck for ever though it returned."""

    def found():
        pool, call = pool_and_call()
        return waits_for(pool._lock, lambda: step(pool, call))

    assert in_a_loop(found)


def test_the_queue_is_looked_at_and_counted_in_one_step():
    def found():
        pool, call = pool_and_call()
        pool._threads = 1  # none is started: nobody takes the call
        return waits_for(pool._lock, lambda: pool.admit(call))

    assert in_a_loop(found)


@pytest.mark.parametrize("step", ["claim", "release"])
def test_the_memory_of_answers_is_counted_by_one_at_a_time(step):
    unsent = UnsentMemory()

    assert waits_for(unsent.changed, lambda: getattr(unsent, step)(1))


def test_a_block_is_offered_by_one_answer_at_a_time():
    def found():
        unsent = UnsentMemory()
        outflow = ResponseStream(unsent, asyncio.get_running_loop(), 1.0)
        return waits_for(unsent.changed, lambda: outflow.try_put(b"x"))

    assert in_a_loop(found)


def test_a_chunk_is_added_while_nobody_reads():
    """A reader that has looked at the chunks would count one that it did not take."""

    def found():
        feed = WsgiInput(asyncio.get_running_loop(), BufferedBody(None))
        looked = []

        def add():
            feed._add(b"abc")
            looked.append(feed._held_bytes)

        with feed._ready:
            thread = threading.Thread(target=add)
            thread.start()
            thread.join(0.1)
            before = (list(feed._chunks), feed._held_bytes)
        thread.join(60)
        return before, looked

    assert in_a_loop(found) == (([], 0), [3])


def test_patience_is_counted_from_the_last_byte_of_an_upload():
    def found():
        pool, _ = pool_and_call()
        feed = WsgiInput(pool.loop, BufferedBody(None))
        call = WsgiCall(pool, "POST /", "r", Timeouts(response_s=30.0), feed)
        call._began_at_s, feed.last_byte_at_s = 100.0, 150.0
        return call._deadline_s()

    assert in_a_loop(found) == 180.0


def test_threads_are_mostly_stuck_since_it_began_though_more_get_stuck():
    def found():
        times = iter([1.0, 2.0])
        pool = ThreadPool(threads=4, queue=1, clock=lambda: next(times), name="race", spool=None)
        since = []
        for _ in range(4):
            pool._count_stuck(+1)
            since.append(pool.mostly_stuck_since)
        return since

    assert in_a_loop(found) == [None, None, 1.0, 1.0]


def test_a_call_that_was_withdrawn_counts_no_more():
    def found():
        pool, call = pool_and_call()
        pool._calls = 1
        return pool.withdraw(call), pool.withdraw(call), pool.active_calls

    assert in_a_loop(found) == (True, True, 0)


def test_a_place_among_uploads_that_arrive_is_left_once():
    async def scenario():
        streams = StreamingSlots(1, lambda: None)
        slot = await streams.acquire(1.0)
        slot.release()
        slot.release()
        taken = [await streams.acquire(0.01) for _ in range(2)]
        return [found is not None for found in taken], streams.waiting

    assert asyncio.run(scenario()) == ([True, False], 0)


@pytest.mark.parametrize(("size", "has_room"), [(6, True), (7, False)])
def test_answers_may_hold_their_bound_to_the_last_byte(size, has_room):
    unsent = UnsentMemory(max_bytes=10)
    unsent.claim(4)

    assert unsent.has_room_locked(size) is has_room


def test_a_call_that_waits_for_memory_is_told_of_room():
    unsent, told = UnsentMemory(), []
    unsent.on_room = lambda: told.append(True)
    unsent.claim(4)
    unsent.release(4)

    assert told == [True]
