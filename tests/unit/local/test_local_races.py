"""What the loop and the app's threads both count: each of them waits for the other's lock."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.gathering import Gathered
from proxy.local_input import Inflow
from proxy.local_outflow import Outflow
from proxy.local_pool import Call, Pool
from proxy.local_unsent import Unsent
from proxy.routing.model import Timeouts
from tests.locking import waits_for


def in_a_loop(work):
    """What `work()` returns, called while a loop runs."""

    async def main():
        return work()

    return asyncio.run(main())


def pool_and_call():
    pool = Pool(threads=1, queue=1, clock=lambda: 0.0, name="race", spool=None)
    return pool, Call(pool, "GET /", "r", Timeouts())


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(lambda pool, call: pool.withdraw(call), id="withdraw"),
        pytest.param(lambda pool, call: pool.mark_stuck(call), id="mark stuck"),
        pytest.param(lambda pool, call: pool._take(call), id="take"),
        pytest.param(lambda pool, call: pool._give_back(call), id="give back"),
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
    unsent = Unsent()

    assert waits_for(unsent.changed, lambda: getattr(unsent, step)(1))


def test_a_block_is_offered_by_one_answer_at_a_time():
    def found():
        unsent = Unsent()
        outflow = Outflow(unsent, asyncio.get_running_loop(), 1.0)
        return waits_for(unsent.changed, lambda: outflow.offer(b"x"))

    assert in_a_loop(found)


def test_a_chunk_is_added_while_nobody_reads():
    """A reader that has looked at the chunks would count one that it did not take."""

    def found():
        inflow = Inflow(asyncio.get_running_loop(), Gathered(None))
        looked = []

        def add():
            inflow._add(b"abc")
            looked.append(inflow._held_bytes)

        with inflow._ready:
            thread = threading.Thread(target=add)
            thread.start()
            thread.join(0.1)
            before = (list(inflow._chunks), inflow._held_bytes)
        thread.join(30)
        return before, looked

    assert in_a_loop(found) == (([], 0), [3])
